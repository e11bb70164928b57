"""The answer's number is the reference's: the one after the last ``####``, else the last one in the text.

Read: 1,234.5 and 1'234 and 1 234; 3/4 and 1 3/4; 45 %; 1e6; a minus sign, typographic too; full-width digits.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from cput.rules import FLAG, NOT_NEGATIVE, Rule, is_number, one_of, shown
from cput.workloads.checks.base import Judgement, verdict
from cput.workloads.item import Item
from cput.workloads.problems import wrong_value

_LONGEST = 300  # digits; longer runs are noise, and exact arithmetic on them is slow
# Digits in groups of three with one kind of separator (comma, apostrophe, no-break or thin space), or plain digits.
_DIGITS = r"(?:[0-9]{1,3}(?P<sep>[,'’\u00a0\u202f\u2009])[0-9]{3}(?:(?P=sep)[0-9]{3})*(?![0-9])|[0-9]+)"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w.)])[-+\u2212]\s?(?=[$€£¥]?\s?[.0-9]))?[$€£¥]?\s?"
    rf"(?:(?P<mixed>[0-9]{{1,18}})\s+(?=[0-9]{{1,18}}/[0-9]))?"
    rf"(?P<digits>{_DIGITS}(?:\.[0-9]+)?|(?<![\w.])\.[0-9]+)(?P<exp>[eE][-+]?[0-9]{{1,3}}(?![0-9]))?"
    rf"(?:\s?/\s?(?P<below>[0-9]{{1,18}})(?![0-9/]|\.[0-9]))?(?P<percent>\s?[%％])?"
)
_FULL_WIDTH = str.maketrans("０１２３４５６７８９．，－", "0123456789.,-")


def numbers(text: str, *, percent_as_share: bool = False) -> list[Fraction]:
    """Return every number of ``text``, exactly, in order.

    >>> [float(n) for n in numbers("It costs $1,234.50, that is 3/4 of it or -5%.")]
    [1234.5, 0.75, -5.0]
    """
    found = (_value(match, percent_as_share) for match in _NUMBER.finditer(text.translate(_FULL_WIDTH)))
    return [number for number in found if number is not None]


def answer_number(text: str, *, percent_as_share: bool = False) -> Fraction | None:
    """Return the number after the last ``####`` that has one, else the last of the text; None where there is none."""
    for part in reversed(text.split("####")[1:]):
        if found := numbers(part, percent_as_share=percent_as_share):
            return found[0]
    found = numbers(text, percent_as_share=percent_as_share)
    return found[-1] if found else None


def _value(match: re.Match[str], percent_as_share: bool) -> Fraction | None:
    digits = re.sub(r"[^0-9.]", "", match["digits"])
    below = match["below"]
    if len(digits) > _LONGEST or (below and int(below) == 0):
        return None
    value = Fraction(digits + (match["exp"] or ""))
    if below:
        value /= int(below)
    if match["mixed"]:
        value += int(match["mixed"])
    if match["percent"] and percent_as_share:
        value /= 100
    return -value if match["sign"] and match["sign"][0] in "-\u2212" else value


@dataclass(frozen=True, slots=True)
class Numeric:
    """Equal within ``tolerance`` (absolute) or ``relative_tolerance`` (of the reference); both 0 unless given."""

    name: str = "numeric"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {
        "tolerance": NOT_NEGATIVE,
        "relative_tolerance": NOT_NEGATIVE,
        "percent": one_of("number", "share"),
        "marked_only": FLAG,
    }

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        if item.reference is None:
            yield "reference", "missing; allowed: a number, or a text that holds one"
        elif not isinstance(item.reference, str) and not is_number(item.reference):
            yield "reference", wrong_value(item.reference, "a number, or a text that holds one")
        elif self._reference(item) is None:
            yield "reference", f"{shown(item.reference)} holds no number; allowed: a number, or a text that holds one"

    def judge(self, item: Item, text: str) -> Judgement:
        """Return 1 where the numbers agree. ``percent = "share"`` reads 45 % as 0.45; ``marked_only`` asks for ####."""
        expected = self._reference(item)
        said = None
        if not item.params.get("marked_only") or "####" in text:
            said = answer_number(text, percent_as_share=_as_share(item))
        if said is None or expected is None:
            return verdict(False, number=None)
        slack = max(
            Fraction(item.params.get("tolerance") or 0),
            Fraction(item.params.get("relative_tolerance") or 0) * abs(expected),
        )
        return verdict(abs(said - expected) <= slack, number=_plain(said))

    def _reference(self, item: Item) -> Fraction | None:
        if is_number(item.reference):
            return Fraction(str(item.reference))  # 0.1 is a tenth, not its nearest double
        return answer_number(str(item.reference), percent_as_share=_as_share(item))


def _as_share(item: Item) -> bool:
    return item.params.get("percent") == "share"


def _plain(number: Fraction) -> Any:
    if number.denominator == 1 and abs(number.numerator) < 2**53:
        return number.numerator
    try:
        return float(number)
    except OverflowError:
        return str(number)[:60]
