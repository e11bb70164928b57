"""Where a count stands in a body, written as text and compiled once.

    prompt_tokens_details.cached_tokens    a field of an object
    cacheDetails[ttl=5m].inputTokens       the sum over those objects of a list whose field has this value
    x_details[].output_tokens              the sum over all objects of a list
    /timings.cache_n                       from the body's top, not from its usage object
    a + b                                  the sum of those that are there
    a - b                                  the difference, where both are there and it is not negative

A field that is missing or null is unknown. A count is a finite number from 0 to ``MOST``; anything else is damage and
an ``InputError``.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cput.errors import InputError

Amount = int | float
MOST = 2**53
"""More than any bill; above it JSON numbers are no longer exact (RFC 8259, 6)."""

_STEP = re.compile(r"^(?P<name>\w+)(?P<many>\[(?:(?P<key>\w+)=(?P<value>\w+))?\])?$")
SHOWN_CHARS = 60


class Step(NamedTuple):
    """One field's name; ``many`` goes on into the objects of a list, those with ``key`` = ``value`` where given."""

    name: str
    many: bool
    key: str | None
    value: str | None


class Path(NamedTuple):
    """The steps from the usage object, or from the body's ``top``, to a number."""

    steps: tuple[Step, ...]
    top: bool
    text: str


class Expression(NamedTuple):
    """A sum of paths, or a difference."""

    plus: tuple[Path, ...]
    minus: tuple[Path, ...]
    first: frozenset[str] | None
    """Fields of the usage object of which one must be there; None where a path begins at the body's top."""


def expression(text: str) -> Expression:
    """Compile the text of one expression."""
    plus, *minus = text.split(" - ")
    sums, less = tuple(map(_path, plus.split(" + "))), tuple(map(_path, minus))
    begins = None if any(path.top for path in sums) else frozenset(path.steps[0].name for path in sums)
    return Expression(sums, less, begins)


def amount(found: Expression, usage: Mapping[str, Any], body: Mapping[str, Any]) -> Amount | None:
    """Return the number that an expression finds, or None where the body does not say it.

    Raises:
        InputError: something else than an amount, an object or a list stands there.
    """
    if found.first is not None and found.first.isdisjoint(usage):
        return None
    total: Amount | None = None
    for path in found.plus:
        value = _at(body if path.top else usage, path.steps, path.text)
        if value is not None:
            total = value if total is None else total + value
    for path in found.minus:
        value = _at(body if path.top else usage, path.steps, path.text)
        if total is None or value is None or value > total:
            return None
        total -= value
    return total


def _path(text: str) -> Path:
    return Path(tuple(map(_step, text.removeprefix("/").split("."))), text.startswith("/"), text)


def _step(text: str) -> Step:
    match = _STEP.match(text)
    assert match is not None, f"a path of the layouts is wrong: {text!r}"
    return Step(match["name"], match["many"] is not None, match["key"], match["value"])


def _at(node: Any, steps: tuple[Step, ...], where: str) -> Amount | None:
    for index, step in enumerate(steps):
        if node is None:
            return None
        if type(node) is not dict and not isinstance(node, Mapping):  # the first half is quick
            raise _odd(where, node, "an object")
        node = node.get(step.name)
        if step.many and node is not None:
            return _sum(node, step, steps[index + 1 :], where)
    return None if node is None else _count(node, where)


def _sum(items: Any, step: Step, rest: tuple[Step, ...], where: str) -> Amount | None:
    if not isinstance(items, list):
        raise _odd(where, items, "a list")
    chosen = [
        item for item in items if not isinstance(item, Mapping) or step.key is None or item.get(step.key) == step.value
    ]
    found = [value for item in chosen if (value := _at(item, rest, where)) is not None]
    return sum(found) if found else None


def _count(value: Any, where: str) -> Amount:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:  # false for NaN
        raise _odd(where, value, f"a number from 0 to {MOST:,}")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _odd(where: str, value: object, allowed: str) -> InputError:
    return InputError(f"usage field '{where}' holds {repr(value)[:SHOWN_CHARS]}; allowed: {allowed}, or nothing")
