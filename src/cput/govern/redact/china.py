"""Chinese ids: resident id, mobile number, unified social credit code. Landlines, passports and plates have no check
digit and look like any other number; they are not looked for.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

from cput.govern.redact.digits import credit_code_check, resident_id_check
from cput.govern.redact.recognizer import Recognizer, Span, compact, matching, said_before, stands_alone

PROVINCES = frozenset(
    map(
        str,
        (
            *range(11, 16),
            *range(21, 24),
            *range(31, 38),
            *range(41, 47),
            *range(50, 55),
            *range(61, 66),
            71,
            81,
            82,
            83,
        ),
    )
)
"""First two digits of GB/T 2260; 83 are residents from Taiwan with a residence permit."""
FOREIGNER = "9"
"""First digit of a foreigner's permanent residence number (since 2023): then province and three of a country."""
_FIRST_YEAR = 1900

_RESIDENT_ID = re.compile(
    r"(?<![0-9])(?:[1-9][0-9]{2}[ \-]?[0-9]{3}[ \-]?[0-9]{4}[ \-]?[0-9]{2}[ \-]?[0-9]{2}[ \-]?[0-9]{3}[ \-]?"
    r"|[1-9][0-9]{3}(?:[ \-][0-9]{4}){3}[ \-][0-9])[0-9Xx](?![0-9])"
)
_OLD_RESIDENT_ID = re.compile(r"(?<![0-9])[1-9][0-9]{5}[ \-]?[0-9]{6}[ \-]?[0-9]{3}(?![0-9])")
_MOBILE = re.compile(
    r"(?<![0-9])(?:\(?(?:\+|00)?86\)?[ \-]?)?"
    r"(1(?:3[0-9]|4[0145-9]|5[0-35-9]|6[2567]|7[0-8]|8[0-9]|9[0-35-9])"
    r"(?:[ .\-]?[0-9]{4}[ .\-]?[0-9]{4}|[ \-]?[0-9]{3}[ \-]?[0-9]{5}))(?![0-9])"
)
_CREDIT_CODE = re.compile(
    r"[1-9AaNnYy](?<![0-9A-Za-z].)(?:[0-9A-Za-z][ \-]?[0-9]{6}[ \-]?[0-9A-Za-z]{8}[ \-]?[0-9A-Za-z][ \-]?[0-9A-Za-z]"
    r"|[0-9A-Za-z][0-9]{2}([ \-])[0-9]{4}\1[0-9A-Za-z]{4}\1[0-9A-Za-z]{4}\1[0-9A-Za-z]{2})(?![0-9A-Za-z])",
    re.DOTALL,
)
_FRACTION = re.compile(r"(?<![0-9])0\.\Z")


def _is_resident_id(match: re.Match[str]) -> bool:
    digits = compact(match[0])
    if not (_is_region(digits[:6]) and _is_date(digits[6:14])):
        return False
    return resident_id_check(digits[:17]) == digits[17]


def _is_old_resident_id(match: re.Match[str]) -> bool:
    digits = compact(match[0])
    return digits[:2] in PROVINCES and digits[2:4] != "00" and _is_date("19" + digits[6:12])


def _is_region(code: str) -> bool:
    if code.startswith(FOREIGNER):
        return code[1:3] in PROVINCES
    return code[:2] in PROVINCES and code[2:4] != "00"


def _is_date(digits: str) -> bool:
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return born.year >= _FIRST_YEAR and born <= datetime.now(UTC).date()


def _is_mobile(match: re.Match[str]) -> bool:
    text, (start, end) = match.string, match.span()
    return stands_alone(text, start, end) and not said_before(text, start, _FRACTION)


def _is_credit_code(match: re.Match[str]) -> bool:
    code = compact(match[0])
    if code[2:4] not in PROVINCES and code[2:8] != "100000":  # 100000: registered with the state itself
        return False
    return credit_code_check(code[:17]) == code[17]


def _resident_ids(text: str, begin: int, end: int) -> Iterator[Span]:
    yield from matching(_RESIDENT_ID, _is_resident_id, overlapping=True)(text, begin, end)
    yield from matching(_OLD_RESIDENT_ID, _is_old_resident_id, overlapping=True)(text, begin, end)


def _mobile_number(value: str) -> str:
    return re.sub(r"[^0-9]", "", value)[-11:]


RECOGNIZERS = (
    Recognizer(entity="CN_RESIDENT_ID", spans=_resident_ids, score=0.95, long_number=True),
    Recognizer(
        entity="CN_MOBILE",
        spans=matching(_MOBILE, _is_mobile, overlapping=True),
        score=0.7,
        long_number=True,
        canonical=_mobile_number,
    ),
    Recognizer(entity="CN_CREDIT_CODE", spans=matching(_CREDIT_CODE, _is_credit_code, overlapping=True), score=0.95),
)
