"""The answer's JSON fields are the reference's: F1 per field and over all of an item's (field, value) pairs.

Nested objects are flattened to dotted fields, a list is several values of its field, null and "" are "not there".
Texts are compared without case and needless space; 5, 5.0 and "5" are equal.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from cput.rules import FLAG, TEXTS, Rule, shown
from cput.workloads.checks.base import Judgement
from cput.workloads.checks.json_text import extract
from cput.workloads.item import Item


class Tally(NamedTuple):
    """How many values of a field agree."""

    right: int
    """Values of the answer that the reference has."""
    said: int
    """Values of the answer."""
    expected: int
    """Values of the reference."""

    @property
    def f1(self) -> float:
        """2 x right / (said + expected); 1 where neither has a value."""
        total = self.said + self.expected
        return 2 * self.right / total if total else 1.0


def pairs(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield the (dotted field, comparable value) pairs of a JSON value.

    >>> list(pairs({"a": {"b": [1, "X "]}, "c": None}))
    [('a.b', '1'), ('a.b', 'x')]
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from pairs(part, f"{field}.{key}" if field else str(key))
    elif isinstance(value, list):
        for part in value:
            yield from pairs(part, field)
    elif (told := _comparable(value)) is not None:
        yield field, told


def _comparable(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).casefold()
    text = " ".join(str(value).casefold().split())
    try:
        number = float(text) if len(text) < 30 and "_" not in text else None
    except ValueError:
        number = None
    if number is not None and number == number and abs(number) < 2**53:  # noqa: PLR0124  # NaN test without math
        return str(int(number)) if number == int(number) else repr(number)
    return text or None


@dataclass(frozen=True, slots=True)
class JsonFields:
    """Value = F1 over all pairs; passes at 1 unless the workload states a threshold."""

    name: str = "json_fields"
    """Name in workload files."""
    params: ClassVar[Mapping[str, Rule]] = {"fields": TEXTS, "ignore_extra": FLAG}

    def problems(self, item: Item) -> Iterator[tuple[str, str]]:
        """Yield (field, sentence) for what is wrong with the item."""
        if not isinstance(item.reference, dict):
            what = "missing" if item.reference is None else f"{shown(item.reference)} is not an object"
            yield "reference", f"{what}; allowed: an object of the expected fields"

    def judge(self, item: Item, text: str) -> Judgement:
        """Return the F1 over all pairs; detail holds each field's counts and F1.

        ``fields`` compares only those (and what lies under them); ``ignore_extra`` forgives fields that the reference
        does not have.
        """
        found = extract(text)
        is_object = found is not None and isinstance(found.value, Mapping)
        expected = Counter(pairs(item.reference))
        said = Counter(pairs(found.value)) if found is not None and is_object else Counter[tuple[str, str]]()
        wanted = item.params.get("fields")
        if wanted:
            expected, said = _only(expected, wanted), _only(said, wanted)
        if item.params.get("ignore_extra"):
            said = _only(said, sorted({field for field, _ in expected}))
        fields = {field: _tally(field, said, expected) for field in sorted({field for field, _ in expected | said})}
        total = Tally((expected & said).total(), said.total(), expected.total())
        value = total.f1 if is_object else 0.0
        detail = {
            "json": is_object,
            "fields": {field: {**tally._asdict(), "f1": tally.f1} for field, tally in fields.items()},
            "precision": total.right / total.said if total.said else None,
            "recall": total.right / total.expected if total.expected else None,
        }
        return Judgement(value, is_object and value >= 1, detail)


def _only(counts: Counter[tuple[str, str]], fields: list[str]) -> Counter[tuple[str, str]]:
    def wanted(field: str) -> bool:
        return any(field == name or field.startswith(f"{name}.") for name in fields)

    return Counter({pair: count for pair, count in counts.items() if wanted(pair[0])})


def _tally(field: str, said: Counter[tuple[str, str]], expected: Counter[tuple[str, str]]) -> Tally:
    mine = Counter({pair: count for pair, count in said.items() if pair[0] == field})
    right = Counter({pair: count for pair, count in expected.items() if pair[0] == field})
    return Tally((mine & right).total(), mine.total(), right.total())
