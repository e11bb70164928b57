"""A text as the guard compares it: what it asks for, and the sequence of what it says, each part in one spelling.

    canon("Could you tell me how to turn on 2FA?")      # Canon("en", ("HOW",), ("ENABLE", "TWOFACTOR"))
    canon("how do i enable two-factor authentication")  # the same

Words that say nothing are left out, words that say the same get one marker, numbers and dates one spelling. Whatever is
not known stays as it is written, in its place. Quoted texts, code, addresses and identifiers stay letter by letter.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from cput.policy.cache.amounts import MONTHS, ORDINALS, SCALES, TENS, UNITS, spelt
from cput.policy.cache.characters import Language, readable
from cput.policy.cache.words import words_of

MOST_CHARS = 600
"""Longer texts are never compared: what of them matters can't be told by a list of words."""
STANDS_FOR = 0xE000
"""First of the private characters that stand for what is held; no text that is read has one."""
_AS_WRITTEN = re.compile(
    r"```.*?```|`[^`]+`|\"[^\"]+\"|https?://[^\s\u4e00-\u9fff]+|[\w.+-]+@[\w-]+\.[\w.-]+|(?:[A-Za-z]:)?[/\\][\w./\\-]+"
    r"|[@#]\w+|\b(?=\w*\d)(?=\w*[A-Za-z])"
    r"(?!\d+(?:st|nd|rd|th|k|bn|am|pm|km|kg|cm|mm|mb|gb|tb|hrs?|mins?|usd|eur)\b)[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*\b|\b\w+_\w+\b|\b\d+(?:[./-]\d+){2,}\b|\b\d+/\d+\b",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
_READ_ANYWAY = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|2fa|2-step|2-factor", re.IGNORECASE)
_CAPITALISED = re.compile(r"(?<!^)(?<![.?!] )\b[A-ZÀ-Þ]\w*\b|\b[A-Z]{2,}\b")
_AUXILIARY = re.compile(
    r"^[.,!? ]*(?:is|are|was|were|do(?! not)|does|did|has|have|had|will|would|can|could|should|am)\b"
)
_TOKEN = re.compile(r"[A-Za-zÀ-ſ]+(?:-[A-Za-zÀ-ſ]+)*|\d+|\S")
_TOKEN_ZH = re.compile(r"⟨[A-Z]+⟩|[a-zà-ſ]+|\d+|\S")
_DROPPED = frozenset(".,!?;:'\"")
_NEGATIONS = {"en": {"not", "no", "never", "neither", "nor", "without"}, "zh": {"不", "没", "别", "勿", "无", "未"}}
_NUMBERS = frozenset({*UNITS, *TENS, *SCALES, *ORDINALS})


class Canon(NamedTuple):
    """A text as it is compared."""

    language: Language
    """How it was read."""
    asks: tuple[str, ...]
    """What kind of answer it asks for, in order: HOW, WHEN, WHO, ...; none is a command or a statement."""
    says: tuple[str, ...]
    """What it says, in order: words, markers, ``#`` and an amount, ``=`` and a text letter by letter."""


@lru_cache(maxsize=8192)
def canon(text: str) -> Canon | None:
    """Return a text as it is compared; None where it can't be: too long, unknown characters, nothing said."""
    read = readable(text.strip()) if len(text) <= MOST_CHARS else None
    if read is None or "\n" in read[0]:
        return None
    found = _english(read[0]) if read[1] == "en" else _chinese(read[0])
    return found if found is not None and found.says else None


class _Held:
    """What is taken out of a text before its words are looked at, each for a private character that stands there."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def as_written(self, match: re.Match[str]) -> str:
        """Hold a text letter by letter."""
        return match[0] if _READ_ANYWAY.fullmatch(match[0]) else self._put("=" + match[0])

    def name(self, match: re.Match[str]) -> str:
        """Hold a capitalised word that would be lost in lower case, or read as another (US, Will, IT)."""
        word = match[0]
        lost = word != "I" and word.lower() in _common() and (word.lower() not in MONTHS or word.isupper())
        return self._put("=" + word) if lost else word

    def amount(self, found: str) -> str:
        """Hold a number, a date or a time."""
        return self._put("#" + found)

    def said(self, token: str) -> str | None:
        """Return what a character stands for; None where it stands for nothing."""
        at = ord(token) - STANDS_FOR if len(token) == 1 else -1
        return self._held[at] if 0 <= at < len(self._held) else None

    def _put(self, text: str) -> str:
        self._held.append(text)
        return f" {chr(STANDS_FOR + len(self._held) - 1)} "


def _english(text: str) -> Canon | None:
    words, held = words_of("en"), _Held()
    text = _AS_WRITTEN.sub(held.as_written, text)
    letters = [each for each in text if each.isalpha()]
    if len(letters) > 5 and sum(each.isupper() for each in letters) > len(letters) * 0.7:
        return None  # shouted: names can't be told from words
    text = _marked(_spaced(_CAPITALISED.sub(held.name, text).lower()), "en", "things")
    for pattern, other in words.rewritten:
        text = pattern.sub(other, text)
    text = _spaced(text)
    for pattern, marker in words.frames:
        text = pattern.sub(lambda m, marker=marker: f" {_filled(m, marker)} ", text)  # type: ignore[misc]
    text = _spaced(text)
    yes_or_no = _AUXILIARY.match(text) is not None
    text = _marked(spelt(text, "en", held.amount), "en", "things", "same")
    tokens, asking = _TOKEN.findall(text), _asking("en")
    asks = [token for token in tokens if token in asking] or ["YESNO"] * yes_or_no
    left_out = asking | (words.light if asks else words.light - words.copula)
    says = tuple(held.said(token) or _word(token) for token in _heard(tokens, "en") if token not in left_out)
    return Canon("en", tuple(dict.fromkeys(asks)), says)


def _chinese(text: str) -> Canon:
    words, held = words_of("zh"), _Held()
    text = _AS_WRITTEN.sub(held.as_written, re.sub(r"\s+", " ", text)).lower()
    for pattern, other in words.rewritten:
        text = pattern.sub(other, text)
    text = _marked(text, "zh", "things")
    for pattern, marker in words.frames:
        text = pattern.sub(lambda m, marker=marker: _framed(m, marker), text)  # type: ignore[misc]
    text = spelt(_marked(text, "zh", "same"), "zh", held.amount)
    for filler in words.fillers:
        text = text.replace(filler, "")
    tokens = [token[1:-1] if token.startswith("⟨") else token for token in _TOKEN_ZH.findall(text)]
    asks = dict.fromkeys(token for token in tokens if token in _asking("zh"))
    says = tuple(held.said(token) or token for token in _heard(tokens, "zh") if token not in asks)
    return Canon("zh", tuple(asks), says)


def _heard(tokens: list[str], language: Language) -> list[str]:
    """Return the tokens without punctuation; inside a text that negates something it stays ("don't, stop")."""
    while tokens and tokens[-1] in _DROPPED:
        tokens = tokens[:-1]
    if _NEGATIONS[language] & set(tokens):
        return tokens
    return [token for token in tokens if token not in _DROPPED]


def _word(token: str) -> str:
    words = words_of("en")
    if token in words.speaker:
        return "i"
    if not token.islower() or token in words.no_plural or token in words.polar:
        return token
    if len(token) > 3 and token.endswith("s") and not token.endswith(("ss", "us", "is")):
        return token[:-3] + "y" if token.endswith("ies") and len(token) > 4 else token[:-1]
    return token


def _filled(match: re.Match[str], marker: str) -> str:
    r"""Return a marker with its ``\g<name>`` filled in; a group that did not match is empty."""
    groups = match.groupdict()
    return re.sub(r"\\g<(\w+)>", lambda name: groups.get(name[1]) or "", marker)


def _framed(match: re.Match[str], marker: str) -> str:
    head, rest = re.match(r"[A-Z]*", marker), _filled(match, marker)
    size = head.end() if head is not None else 0
    return f"⟨{rest[:size]}⟩{rest[size:]}" if size else rest


def _spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _marked(text: str, language: Language, *tables: str) -> str:
    """Return a text with the markers of all groups that stand in it, the longest member first."""
    pattern, marker_of = _groups(language, tables)
    if language == "zh":
        return pattern.sub(lambda m: f"⟨{marker_of[m[0]]}⟩", text)
    return pattern.sub(lambda m: marker_of.get(m[0]) or marker_of[m[0][:-1]], text)


@lru_cache(maxsize=8)
def _groups(language: Language, tables: tuple[str, ...]) -> tuple[re.Pattern[str], Mapping[str, str]]:
    found = [getattr(words_of(language), table) for table in tables]
    marker_of = {member: marker for table in found for marker, members in table.items() for member in members}
    members = "|".join(map(re.escape, sorted(marker_of, key=len, reverse=True)))
    return re.compile(members if language == "zh" else rf"(?<![\w-])(?:{members})s?(?![\w-])"), marker_of


@lru_cache(maxsize=2)
def _asking(language: Language) -> frozenset[str]:
    """Return the markers of what may be asked for."""
    heads = (re.match("[A-Z]+", marker) for _, marker in words_of(language).frames)
    return frozenset(head[0] for head in heads if head is not None)


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    """Return the words that mean something else as a name."""
    words = words_of("en")
    acting = frozenset(member for members in words.same.values() for member in members)
    return words.light | words.speaker | acting | _NUMBERS | {"may", "will", "who", "can", "mark", "bill", "not"}
