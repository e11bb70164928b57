"""Bank cards by Luhn, and IBANs.

One number in ten passes Luhn by chance, so that a card must also begin as a network's or a Chinese bank's cards do and
be as long as those are; any other number that passes counts where the words before it call it a card.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cput.govern.redact.digits import iban_holds, luhn
from cput.govern.redact.recognizer import Recognizer, Span, compact, matching, said_before, stands_alone


class Issue(NamedTuple):
    """Cards of one network: how they begin and how long they are."""

    begins: re.Pattern[str]
    lengths: range


CHINESE = (
    Issue(re.compile(r"62|81"), range(16, 20)),  # UnionPay (ISO/IEC 7812, People's Bank of China JR/T 0008)
    Issue(re.compile(r"95[56]|103|6013|690|9[48]"), range(16, 20)),  # issued before UnionPay's numbers
)
NETWORKS = (
    Issue(re.compile(r"4"), range(16, 20, 3)),  # Visa; its 13 digits were given up
    Issue(re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), range(16, 17)),  # Mastercard
    Issue(re.compile(r"3[47]"), range(15, 16)),  # American Express
    Issue(re.compile(r"6011|64[4-9]|65"), range(16, 20)),  # Discover
    Issue(re.compile(r"30[0-5]|309|36|3[89]"), range(14, 20)),  # Diners Club
    Issue(re.compile(r"352[89]|35[3-8]"), range(16, 20)),  # JCB
    Issue(re.compile(r"50|5[6-9]|6[0-9]"), range(12, 20)),  # Maestro
    Issue(re.compile(r"220[0-4]"), range(16, 20)),  # Mir
)
IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29"
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20"
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29"
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
        "YE30",
    )
}
"""Characters of a country's IBAN (SWIFT, IBAN Registry)."""

_WHOLE = re.compile(r"(?<![0-9])[0-9]{12,19}(?![0-9])")
_GROUPED = re.compile(
    r"(?<![0-9])(?:[0-9]{4}([ \-])[0-9]{6}\1[0-9]{4,5}|[0-9]{6}([ \-])[0-9]{6,13}|[0-9]{4}(?:([ \-])[0-9]{4}){2,3}"
    r"(?:\3[0-9]{1,4})?)(?![0-9])"
)
_CARD_WORDS = re.compile(
    r"(?:卡号|银行卡|储蓄卡|信用卡|借记卡|账号|帐号|card(?:[ _]?(?:number|no\.?|num))?)[号码]*"
    r"[\"']?[ ]?(?:是|为|is)?[ ]?[:：=]?[ ]?[\"']?\Z",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"[0-9][.]\Z")
_IBAN_CHECK = re.compile(r"[0-9][0-9](?<=[A-Za-z][A-Za-z]..)(?<![0-9A-Za-z]....)(?=[ ]?[0-9A-Za-z])", re.DOTALL)


def is_card(digits: str, issues: tuple[Issue, ...]) -> bool:
    """Whether these are the digits of a card of one of the ``issues``."""
    return any(len(digits) in each.lengths and each.begins.match(digits) for each in issues) and luhn(digits)


def _cards(valid: Callable[[str, int, str], bool]) -> Callable[[str, int, int], Iterator[Span]]:
    def is_valid(text: str, start: int, end: int) -> bool:
        if not valid(text, start, compact(text[start:end])):
            return False
        return stands_alone(text, start, end) and not said_before(text, start, _FRACTION)

    def whole(match: re.Match[str]) -> bool:
        return is_valid(match.string, *match.span())

    def spans(text: str, begin: int, end: int) -> Iterator[Span]:
        yield from matching(_WHOLE, whole, overlapping=True)(text, begin, end)
        at = begin
        while (match := _GROUPED.search(text, at, end)) is not None:
            ends = [match.end(), *(place for place in _borders(match) if place - match.start() >= 12)]
            last = next((place for place in ends if is_valid(text, match.start(), place)), None)
            at = match.start() + 1 if last is None else last
            if last is not None:
                yield match.start(), last

    return spans


def _borders(match: re.Match[str]) -> list[int]:
    """Return where the groups of a number end, the last first: what follows a card may look like its next group."""
    return [match.start() + at for at, char in reversed(list(enumerate(match[0]))) if char in " -"]


def _is_chinese(_: str, __: int, digits: str) -> bool:
    return is_card(digits, CHINESE)


def _is_other(text: str, start: int, digits: str) -> bool:
    if is_card(digits, CHINESE):
        return False
    return is_card(digits, NETWORKS) or (
        12 <= len(digits) <= 19 and said_before(text, start, _CARD_WORDS) and luhn(digits)
    )


def _ibans(text: str, begin: int, end: int) -> Iterator[Span]:
    """Look for the check digits first: letters are everywhere."""
    for match in _IBAN_CHECK.finditer(text, begin, end):
        start = match.start() - 2
        length = IBAN_LENGTHS.get(text[start : start + 2].upper())
        last = _end_of(text, start, length) if length else None
        if last is not None and iban_holds(compact(text[start:last])):
            yield start, last


def _end_of(text: str, start: int, length: int) -> int | None:
    """Return where ``length`` letters and digits from a place on end, single spaces between; None where they do not."""
    at, seen = start, 0
    while seen < length:
        char = text[at : at + 1]
        if char == " " and text[at - 1] != " ":
            at += 1
        elif char.isascii() and char.isalnum():
            at, seen = at + 1, seen + 1
        else:
            return None
    after = text[at : at + 1]
    return None if after.isascii() and after.isalnum() else at


RECOGNIZERS = (
    Recognizer(entity="CN_BANK_CARD", spans=_cards(_is_chinese), score=0.9, long_number=True),
    Recognizer(entity="CREDIT_CARD", spans=_cards(_is_other), score=0.8, long_number=True),
    Recognizer(entity="IBAN_CODE", spans=_ibans, score=0.95),
)
