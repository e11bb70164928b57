r"""The shape of a recognizer, and the borders of what it finds.

A recognizer reads plain text (see ``plain``) between two places and yields spans; around them it may look. ``\b`` is no
border here: Python's ``\w`` holds Chinese characters, so that a number in a Chinese sentence has none.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]
Spans = Callable[[str, int, int], Iterable[Span]]
Check = Callable[[re.Match[str]], bool]

_LONG_NUMBER = re.compile(r"[0-9](?:[ .\-)]{0,2}[0-9]){8,}(?:[ \-]?[Xx])?")

_RUN_BEFORE = re.compile(r"[0-9A-Za-z]{0,16}\Z")
_RUN_AFTER = re.compile(r"[0-9A-Za-z]{0,16}")
_SEPARATORS = re.compile(r"[ .\-]")
CONTEXT_CHARS = 24
"""How far before a span words are looked at."""


def compact(value: str) -> str:
    """Return a value without separators and in upper case: what is equal whichever way it was written."""
    return _SEPARATORS.sub("", value).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizer:
    """Finds one kind of thing."""

    entity: str
    """What it is called, also in its placeholder."""
    spans: Spans
    """Yields what is found in a plain text from ``begin`` up to ``end``."""
    score: float
    """How sure a span is (see ``Finding``)."""
    needs: tuple[str, ...] = ()
    """Texts of which one must be there, else there is nothing to look for; a quick look that saves a slow one."""
    long_number: bool = False
    """Whether it is nine digits or more, and is looked for in a text's long numbers and nowhere else."""
    canonical: Callable[[str], str] = compact
    """The value of a span for its pseudonym: the same for every way of writing it."""


def matching(
    pattern: re.Pattern[str], check: Check = lambda _: True, *, group: int = 0, overlapping: bool = False
) -> Spans:
    """Return spans of a pattern's matches that pass a check.

    With ``overlapping``, a match that fails is looked into again from its second character; for patterns of bounded
    length only, since time would grow with the square of the text otherwise.
    """

    def spans(text: str, begin: int, end: int) -> Iterator[Span]:
        while (match := pattern.search(text, begin, end)) is not None:
            good = check(match)
            if good:
                yield match.span(group)
            begin = match.end() if good or not overlapping else match.start() + 1

    return spans


def long_numbers(text: str, begin: int) -> list[Span]:
    """Return where nine digits or more hang together, with what opens a number: (+86."""
    found = []
    for match in _LONG_NUMBER.finditer(text, begin):
        start = match.start()
        while start > begin and text[start - 1] in "(+":
            start -= 1
        found.append((start, match.end()))
    return found


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether a number is not a part of something longer, such as a digest: it touches a word of letters at most.

    >>> stands_alone("tel13800138000", 3, 14), stands_alone("9f3ade13800138000", 6, 17)
    (True, False)
    """
    before, after = _RUN_BEFORE.search(text, max(0, start - 16), start), _RUN_AFTER.match(text, end)
    return _is_word(before[0] if before else "") and _is_word(after[0] if after else "")


def said_before(text: str, start: int, words: re.Pattern[str]) -> bool:
    r"""Whether ``words`` (a pattern that ends in ``\Z``) stand right before a place."""
    return words.search(text, max(0, start - CONTEXT_CHARS), start) is not None


def _is_word(run: str) -> bool:
    """Letters that are not all hexadecimal digits, or nothing."""
    return not run or (run.isalpha() and not all(char in "abcdefABCDEF" for char in run))
