"""The redactor: all recognizers over a text, and what stands in it afterwards.

redactor = Redactor(secrets=[upstream_key], key=key_of("..."))
redactor.redact("call 138-0013-8000", tenant="shop").text  # 'call <CN_MOBILE:kfbcmjapodnelgia>'
"""

import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from cput.errors import InputError
from cput.govern.redact import china, credentials, everywhere, money
from cput.govern.redact.finding import Finding, resolved
from cput.govern.redact.plain import plain
from cput.govern.redact.recognizer import Recognizer, long_numbers

KEY_ENV = "CPUT_REDACT_KEY"
LEAST_KEY_BYTES = 16
RECOGNIZERS: tuple[Recognizer, ...] = (
    *china.RECOGNIZERS,
    *money.RECOGNIZERS,
    *everywhere.RECOGNIZERS,
    *credentials.RECOGNIZERS,
)
ENTITIES = tuple(sorted({*(each.entity for each in RECOGNIZERS), "PRIVATE_KEY", "SECRET"}))
WINDOW = 1 << 14
"""Characters looked through at a time: Python's ``re`` keeps the interpreter's lock for a whole search."""
SEEN_BEFORE = 64
"""Characters before a window that its recognizers see."""
ROUNDS = 8
"""Most times over a text: what hides behind something found stands free in the next round."""
_NO_FINDING_CROSSES = re.compile(r'[\n\r\t"<>|，。；：、！？（）《》“”一-鿿]')
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*(?::[a-p]{16})?>")
_LETTERS = "abcdefghijklmnop"
_CANONICAL = {each.entity: each.canonical for each in RECOGNIZERS}


class Redaction(NamedTuple):
    """A text without what was found in it."""

    text: str
    """Placeholders stand where something was found; else it is the text as it came."""
    found: Mapping[str, int]
    """How many of each entity."""


class Finder(Protocol):
    """Finds more than the recognizers here do; ``Presidio`` is one."""

    def find(self, text: str) -> Iterable[Finding]:
        """Return findings in a text of at most a few windows."""
        ...


class Redactor:
    """Finds and replaces. May be used from several threads.

    Args:
        secrets: texts that are never to be kept, whatever they look like (the gateway's own keys).
        key: makes pseudonyms: equal values of one tenant get equal placeholders, which nobody without the key can tell
            the values of. Without it a placeholder says only what was there.
        finders: what else looks for findings, such as presidio. They are slow, and asked once.
    """

    def __init__(
        self, *, secrets: Iterable[str] = (), key: bytes | None = None, finders: Iterable[Finder] = ()
    ) -> None:
        self._secrets = tuple(dict.fromkeys(secret for secret in secrets if len(secret) >= 8))
        self._key = key
        self._finders = tuple(finders)

    @property
    def is_slow(self) -> bool:
        """Whether even a short text takes milliseconds."""
        return bool(self._finders)

    @property
    def has_pseudonyms(self) -> bool:
        """Whether equal values stay equal."""
        return self._key is not None

    def find(self, text: str, *, pause: Callable[[], None] = lambda: None) -> list[Finding]:
        """Return disjoint findings in order; ``pause`` is called often, to let other threads have their turn."""
        found = list(self._recognized(text, pause))
        for finder in self._finders:
            found += _asked(finder, text, pause)
        return resolved(found)

    def redact(self, text: str, *, tenant: str | None = None, pause: Callable[[], None] = lambda: None) -> Redaction:
        """Return the text with placeholders for what is found in it; redacting it again changes nothing."""
        count: Counter[str] = Counter()
        found = self.find(text, pause=pause)
        for _ in range(ROUNDS):
            if not found:
                break
            count.update(finding.entity for finding in found)
            text = self._replaced(text, found, tenant)
            found = resolved(self._recognized(text, pause))
        return Redaction(text, count)

    def _replaced(self, text: str, findings: list[Finding], tenant: str | None) -> str:
        parts, at = [], 0
        for finding in findings:
            parts += [text[at : finding.start], self._placeholder(text[finding.start : finding.end], finding, tenant)]
            at = finding.end
        return "".join([*parts, text[at:]])

    def _placeholder(self, value: str, finding: Finding, tenant: str | None) -> str:
        if self._key is None:
            return f"<{finding.entity}>"
        same = _CANONICAL.get(finding.entity, str.casefold)(plain(value))
        said = "\0".join((tenant or "", finding.entity, same)).encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, said, hashlib.sha256)[:8]
        # In letters: digits would be taken for another number.
        return f"<{finding.entity}:{''.join(_LETTERS[byte >> 4] + _LETTERS[byte & 15] for byte in digest)}>"

    def _recognized(self, text: str, pause: Callable[[], None]) -> Iterator[Finding]:
        for secret in self._secrets:
            at = text.find(secret)
            while at >= 0:
                yield Finding(at, at + len(secret), "SECRET", 1.0)
                at = text.find(secret, at + len(secret))
        for start, end in credentials.private_keys(text):
            yield Finding(start, end, "PRIVATE_KEY", 1.0)
        for begin, end in _windows(text):
            seen = max(0, begin - SEEN_BEFORE)
            for finding in _in_window(plain(text[seen:end]), begin - seen):
                yield finding._replace(start=finding.start + seen, end=finding.end + seen)
            pause()


def _in_window(text: str, begin: int) -> Iterator[Finding]:
    whole, numbers = [(begin, len(text))], long_numbers(text, begin)
    for each in RECOGNIZERS:
        if each.needs and not any(need in text for need in each.needs):
            continue
        for first, last in numbers if each.long_number else whole:
            for start, end in each.spans(text, first, last):
                yield Finding(start, end, each.entity, each.score)


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Cut a text where nothing that is looked for goes on; where it never ends, the rest is one window."""
    begin = 0
    while len(text) - begin > WINDOW:
        cut = _NO_FINDING_CROSSES.search(text, begin + WINDOW)
        if cut is None:
            break
        yield begin, cut.end()
        begin = cut.end()
    if begin < len(text):
        yield begin, len(text)


def _asked(finder: Finder, text: str, pause: Callable[[], None]) -> Iterator[Finding]:
    """Yield what a finder finds, but for what it makes of placeholders."""
    taken = [match.span() for match in _PLACEHOLDER.finditer(text)]
    for begin, end in _windows(text):
        for finding in finder.find(text[begin:end]):
            moved = finding._replace(start=finding.start + begin, end=finding.end + begin)
            if not any(moved.start < stop and start < moved.end for start, stop in taken):
                yield moved
        pause()


def key_from_environment() -> bytes | None:
    """Return the key for pseudonyms from ``CPUT_REDACT_KEY``; None where it is not set.

    Raises:
        InputError: it is too short to keep anybody from trying all numbers.
    """
    given = os.environ.get(KEY_ENV, "").strip().encode()
    if given and len(given) < LEAST_KEY_BYTES:
        raise InputError(
            f"{KEY_ENV} has {len(given)} bytes; allowed: {LEAST_KEY_BYTES} or more (openssl rand -hex 32 makes one)"
        )
    return given or None


_light = Redactor()


def redacted(text: str, *, redactor: Redactor | None = None, tenant: str | None = None) -> Redaction:
    """Return a text without what is personal or secret in it, and what was found; see ``Redactor``.

    >>> redacted("卡号6222020200112233447，邮箱 li@example.com").found["EMAIL_ADDRESS"]
    1
    """
    return (redactor or _light).redact(text, tenant=tenant)
