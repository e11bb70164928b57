r"""IFEval's instructions as one regular expression within which they hold, or are likelier.

    pattern([{"id": "punctuation:no_comma"}, {"id": "startend:quotation"}], max_new_tokens=192)

An answer is heads (a title, the prompt again), parts of free text with literals between them (bullets, paragraphs,
sections), and tails (a postscript, a phrase at the end). Free text is chunks of a word and what follows it up to the
next word. Where something must still come after it, its words are bounded, so that all of it fits the token bound.
What must occur within (keywords, highlights, placeholders) is dealt out over the parts. Where two instructions can't be
put together one of them is left to the model, as are those about languages and letters: forcing a script on a model
that does not speak it buys a verdict and no answer.

The syntax is what Python's ``re`` and xgrammar read alike: classes, groups, ``?*+{}``, no look-around. Counts stand
around words only, since xgrammar's compiler takes milliseconds for those and seconds for counted characters.
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cput.workloads.checks.ifeval.words import count_words

TOKENS_PER_WORD = 2
"""Of English in small vocabularies, with its punctuation, generously."""
CHARS_PER_TOKEN = 2.5
"""Of literals, which may hold rare words; likewise."""
LEAST_WORDS = 3
"""A part of free text shorter than this says nothing."""
MOST_FORBIDDEN = 12
"""More would make an expression of thousands of characters."""

_LOWER, _UPPER = "a-z", "A-Z"  # accented ones too would make the grammar compiler ten times slower
_MARKS = "".join(sorted(set(string.punctuation) - {"_"})) + "‘’“”–—…"
_ENDS = ".?!"


def pattern(instructions: Sequence[Mapping[str, Any]], max_new_tokens: int) -> str | None:
    """Return the expression of all that can be put together; None where nothing can be forced within the bound."""
    asked = {given["id"].partition(":")[2]: given for given in reversed(instructions)}
    if asked.get("response_language", {}).get("language", "en") != "en":
        return None
    return _Answer(asked, max_new_tokens).pattern()


@dataclass(frozen=True, slots=True)
class _Part:
    """Free text."""

    without: str = ""
    """Characters that would break the structure."""


class _Answer:
    """The regular expression of one item."""

    def __init__(self, asked: Mapping[str, Mapping[str, Any]], max_new_tokens: int) -> None:
        self.asked = asked
        self.tokens = max_new_tokens
        self.forced = False
        self.lower = "english_lowercase" in asked
        self.upper = "english_capital" in asked and not self.lower
        self.banned = set()
        if "no_comma" in asked:
            self.banned.add(",")
        self.quoted = "quotation" in asked and not {"repeat_prompt", "json_format"} & set(asked)
        if self.quoted:
            self.banned.add('"')
        if "number_highlighted_sections" in asked:
            self.banned.add("*")  # a loose star would close or open a highlight in the wrong place

    # The answer

    def pattern(self) -> str | None:
        """Return the whole expression."""
        if "json_format" in self.asked:
            return self._json()
        heads, tails = self._heads(), self._tails()
        body, marks = self._body(bool(tails)), self._marks()
        text = self._filled(heads, body, marks, tails)
        if text is None and marks:
            marks, text = [], self._filled(heads, body, [], tails)
        if text is None and len(body) > 1:
            body, text = [_Part()], self._filled(heads, [_Part()], [], tails)
        told = bool(
            heads
            or tails
            or marks
            or len(body) > 1
            or self.quoted
            or self.banned
            or self.lower
            or self.upper
            or self.forced
        )
        return text if told else None

    def _filled(self, heads: list[str], body: list["_Part | str"], marks: list[str], tails: list[str]) -> str | None:
        """Return the parts with as many words as the bound leaves them; None where that is too few."""
        literals = [*heads, *tails, *[part for part in body if isinstance(part, str)]]
        spent = sum(len(literal) for literal in literals) / CHARS_PER_TOKEN + 4 * len(marks) + 4
        parts = [part for part in body if isinstance(part, _Part)]
        room = int((self.tokens - spent) / TOKENS_PER_WORD)
        said = sum(count_words(literal) for literal in literals) + 4 * len(marks)
        least, most = self._least(), self._most(said)
        places = len(parts) + len(marks)
        if most is not None:
            room = min(room, most)
        if room < LEAST_WORDS * places:
            return None
        if least > room and (len(parts) > 1 or marks or tails or self.quoted or least * 1.5 > self.tokens - spent):
            least = 0
        sentences = self._sentences(room) if places == 1 else None
        self.forced = bool(least or most is not None or sentences or self.forced)
        each, needed = room // places, max(1, -(-least // len(parts)))
        open_ended = not tails and not self.quoted and most is None
        filled: list[str] = []
        hands = [marks[hand :: len(parts)] for hand in range(len(parts))]
        for part in body:
            if isinstance(part, str):
                filled.append(part)
                continue
            if sentences:
                filled.append(sentences)
                continue
            mine = hands.pop(0)
            lead = self._words(1, each, part.without)
            filled += [f"(?:{lead}{mark}){{{mine.count(mark)}}}" for mark in dict.fromkeys(mine)]
            if not hands and open_ended and "\n" not in part.without:
                filled.append(
                    self._rest(least if len(parts) == 1 else needed, part.without, begun=bool(filled or heads))
                )
            else:
                filled.append(self._words(needed, each, part.without))
        quote = '"' if self.quoted else ""
        return "".join([quote, *heads, *filled, *tails, quote])

    def _least(self) -> int:
        given = self.asked.get("number_words")
        return given["num_words"] if given and given["relation"] == "at least" else 0

    def _most(self, said: int) -> int | None:
        given = self.asked.get("number_words")
        if given is None or given["relation"] == "at least" or given["num_words"] > self.tokens:
            return None
        return int(given["num_words"]) - 1 - said

    # Free text

    @property
    def _letters(self) -> str:
        cases = (_LOWER if not self.upper else "") + (_UPPER if not self.lower else "")
        return "0-9_" + cases

    @property
    def _word(self) -> str:
        """A word that is allowed. One group."""
        few = self._few_capitals
        letters = "0-9_" + _LOWER if few else self._letters
        forbidden = self.asked.get("forbidden_words", {}).get("forbidden_words", [])
        plain = [word for word in forbidden if re.fullmatch(r"[A-Za-z]+", word)]
        if plain and len(plain) <= MOST_FORBIDDEN:
            self.forced = True
            return _other_than(plain, letters)
        if few:
            self.forced = True
            return f"(?:[{_UPPER}][0-9_]*[{_LOWER}][{letters}]*|[0-9_]*[{_LOWER}][{letters}]*|[0-9_]+)"
        return f"[{letters}]+"

    @property
    def _few_capitals(self) -> bool:
        given = self.asked.get("capital_word_frequency", {})
        return given.get("capital_relation") == "less than" and not self.upper and not self.lower

    def _gap(self, without: str = "") -> str:
        """What may stand between two words; bounding its length takes the grammar compiler seconds to minutes."""
        marks = "".join(mark for mark in _MARKS if mark not in self.banned and mark not in without)
        space = " " if "\n" in without else r" \n"
        return f"[{space}{_escaped(marks)}]+"

    def _words(self, least: int, most: int, without: str = "") -> str:
        return f"(?:{self._word}{self._gap(without)}){{{least},{max(least, most)}}}"

    def _rest(self, least: int, without: str, *, begun: bool) -> str:
        """Return text that may go on up to the token bound."""
        if least > 1 or self._picky:
            opening = "" if begun else f"(?:{self._gap(without)})?"
            return f"{opening}(?:{self._word}{self._gap(without)}){{{max(least, 1)},}}"
        other_case = _UPPER if self.lower else _LOWER if self.upper else ""
        banned = other_case + _escaped("".join(sorted(self.banned | set(without))))
        start = self._words(least, 1, without) if least else ""
        return start + (f"[^{banned}]*" if banned else r"[\s\S]*")

    @property
    def _picky(self) -> bool:
        """Whether not all words are allowed."""
        return self._few_capitals or "forbidden_words" in self.asked

    def _sentences(self, room: int) -> str | None:
        given = self.asked.get("number_sentences")
        if given is None or self._least() or self.asked.get("number_words"):
            return None
        count = given["num_sentences"] - (given["relation"] == "less than")
        count -= 2 * ("postscript" in self.asked) if given["relation"] == "less than" else 0
        words = min(24, room // max(count, 1))
        if count < 1 or words < LEAST_WORDS or (given["relation"] == "at least" and self.lower):
            return None
        gap, ends = self._gap(_ENDS + "…"), "[.?!]"
        sentence = f"(?:{self._word}{gap}){{1,{words}}}{self._word}{ends}[ \\n]+"
        if given["relation"] == "less than":
            return f"(?:{sentence}){{1,{count}}}"
        opened = f"(?:[{_UPPER}][{self._letters}]*{gap}{sentence})"
        return f"{opened}{{{count},}}" if not self._tails() else f"{opened}{{{count}}}"

    # Heads and tails

    def _heads(self) -> list[str]:
        heads = []
        if (given := self.asked.get("repeat_prompt")) is not None:
            heads.append(self._literal(given["prompt_to_repeat"].strip()) + r"\n+")
        if "constrained_response" in self.asked:
            heads.append(r"My answer is (?:yes|no|maybe)\.")
        if "title" in self.asked:
            heads.append(f"<<(?:{self._word} ){{0,7}}{self._word}>>\\n+")
        return heads

    def _tails(self) -> list[str]:
        tails = []
        if (given := self.asked.get("postscript")) is not None:
            tails.append(r"\n" + self._literal(given["postscript_marker"].strip()) + " " + self._words(2, 20))
        if (given := self.asked.get("end_checker")) is not None:
            tails.append(self._literal(given["end_phrase"].strip()))
        return tails

    def _literal(self, text: str) -> str:
        cased = text.lower() if self.lower else text.upper() if self.upper else text
        return _literal(cased)

    # Structure

    def _body(self, more: bool) -> list["_Part | str"]:
        """Return the parts of free text and what stands between them."""
        asked = self.asked
        if (given := asked.get("number_bullet_lists")) is not None:
            first = r"\n\* " if self.quoted else r"\* "
            return _between([_Part("\n*-")] * given["num_bullets"], r"\n\* ", first=first, end=r"\n" if more else "")
        if (given := asked.get("multiple_sections")) is not None:
            head = self._literal(given["section_spliter"].strip()) + " "
            return [each for number in range(1, given["num_sections"] + 1) for each in (rf"{head}{number}\n", _Part())]
        if (given := asked.get("number_paragraphs")) is not None:
            return _between([_Part("*")] * given["num_paragraphs"], r"\n\*\*\*\n")
        if (given := asked.get("nth_paragraph_first_word")) is not None:
            parts: list[_Part | str] = _between([_Part("\n")] * given["num_paragraphs"], r"\n\n")
            place = 2 * (given["nth_paragraph"] - 1)
            return [*parts[:place], self._capitalized(given["first_word"]) + " ", *parts[place:]]
        if "two_responses" in asked:
            return [_Part("*"), r"\n\*\*\*\*\*\*\n", _Part("*")]
        return [_Part()]

    def _marks(self) -> list[str]:
        """Return what must occur within the parts, each as a chunk of its own."""
        asked, word, gap = self.asked, f"[{self._letters}]*", self._gap(self._kept_out)
        marks = [f"{self._capitalized(each)}{word}{gap}" for each in asked.get("existence", {}).get("keywords", [])]
        if (given := asked.get("frequency")) is not None and given["relation"] == "at least":
            marks += [f"{self._capitalized(given['keyword'])}{word}{gap}"] * given["frequency"]
        few = f"(?:{self._word} ){{0,3}}{self._word}"
        if (given := asked.get("number_highlighted_sections")) is not None:
            marks += [rf"\*{few}\*[ .:;?!]+"] * given["num_highlights"]
        if (given := asked.get("number_placeholders")) is not None:
            marks += [rf"\[{few}\][ .:;?!]+"] * given["num_placeholders"]
        given = asked.get("capital_word_frequency", {})
        if given.get("capital_relation") == "at least" and not self.lower and not self.upper:
            marks += [f"[{_UPPER}][{_UPPER}]+{gap}"] * given["capital_frequency"]
        return marks

    @property
    def _kept_out(self) -> str:
        return "\n*-"

    def _capitalized(self, text: str) -> str:
        """Return a literal that may begin with a capital."""
        body = self._literal(text.strip())
        if self.lower or self.upper or not text[:1].isalpha() or not text[:1].isascii():
            return body
        return f"[{text[0].lower()}{text[0].upper()}]{_literal(text.strip()[1:])}"

    def _json(self) -> str:
        """Return a flat object of texts and lists of texts."""
        self.banned |= {'"', "\\"}
        few = self._gap("\n" + '"\\')
        key = f'"{self._word}(?:[ _-]{self._word}){{0,3}}"'
        text = f'"(?:{self._word}{few}){{1,12}}"'
        if "no_comma" in self.asked:
            return f"\\{{\\n{key}: {text}\\n\\}}"
        listed = f"\\[{text}(?:, {text}){{0,3}}\\]"
        pairs = max(1, self.tokens // TOKENS_PER_WORD // 16)
        number = "(?:0|[1-9][0-9]{0,8})"
        value = f"(?:{text}|{number})" if pairs < 8 else f"(?:{text}|{listed}|{number})"
        return f"\\{{\\n{key}: {value}(?:,\\n{key}: {value}){{0,{pairs - 1}}}\\n\\}}"


def _between(parts: list[_Part], literal: str, *, first: str = "", end: str = "") -> list[_Part | str]:
    woven = [each for part in parts for each in (literal, part)][1:]
    return [*([first] if first else []), *woven, *([end] if end else [])]


def _other_than(words: Iterable[str], letters: str) -> str:
    """Return an expression for every word of ``letters`` but these, whatever their case."""
    return f"(?:{_branch(sorted({word.lower() for word in words}), letters, top=True)})"


def _branch(words: Sequence[str], letters: str, *, top: bool = False) -> str:
    firsts = sorted({word[0] for word in words if word})
    ways = [f"[{_less(letters, firsts)}][{letters}]*"]
    for first in firsts:
        rest = [word[1:] for word in words if word[:1] == first]
        either = "".join(each for each in (first, first.upper()) if re.fullmatch(f"[{letters}]", each))
        if not either:
            continue
        after = _branch(rest, letters)
        ways.append(f"[{either}]{after}")
    if top:
        return "|".join(ways)
    return f"(?:{'|'.join(ways)})" + ("" if "" in words else "?")


def _less(letters: str, without: Iterable[str]) -> str:
    """Return the class ``letters`` less some ASCII letters, in both cases."""
    kept = letters
    for start, end in (("a", "z"), ("A", "Z")):
        gone = sorted({ord(letter.lower() if start == "a" else letter.upper()) for letter in without})
        edges = [ord(start) - 1, *gone, ord(end) + 1]
        spans = [f"{chr(low + 1)}-{chr(high - 1)}" for low, high in pairwise(edges) if high - low > 1]
        kept = kept.replace(f"{start}-{end}", "".join(spans))
    return kept


def _literal(text: str) -> str:
    """Return a text as an expression; ``re.escape`` also escapes spaces and more, which xgrammar does not know."""
    return "".join({"\n": r"\n", "\t": r"\t"}.get(c, f"\\{c}" if c in r"\.^$*+?{}[]|()/" else c) for c in text)


def _escaped(marks: str) -> str:
    """Return characters as they stand inside a class."""
    return "".join({"\n": r"\n"}.get(c, f"\\{c}" if c in r"\]^-[" else c) for c in marks)
