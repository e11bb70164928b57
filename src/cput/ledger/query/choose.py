"""Chooses calls and numbers their groups."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cput.errors import InputError
from cput.ledger.groups import PERIODS, TAG, period
from cput.ledger.query.columns import Coded, Columns, Flags, Floats, Ints, coded
from cput.ledger.query.question import FILTERS, Question, no_such
from cput.ledger.rows import to_object
from cput.ledger.zones import time_zone

_QUARTER_S = 900  # every time zone's offset since 1972 is whole quarters of an hour
_NO_TIME_S = 1e15  # far outside the calendar
_DENSE = 1 << 22  # group numbers below this are counted in place, above they are sorted
_LOW_BITS = 32
_EXACT = 2.0**53  # whole numbers up to here are exact in floating point


class Grouping(NamedTuple):
    """Which row belongs to which group."""

    number: Ints
    """Group of each row, from 0 up."""
    firsts: Ints
    """First row of each group."""

    def exact(self, values: npt.NDArray[np.int64] | Flags) -> list[int]:
        """Return the sum of each group; no sum of 64-bit amounts overflows on the way."""
        most = float(np.abs(values.astype(np.float64)).max(initial=0.0))
        if most * len(values) < _EXACT:
            return [int(total) for total in self.rough(values)]
        high, low = np.zeros(len(self.firsts), np.int64), np.zeros(len(self.firsts), np.int64)
        np.add.at(high, self.number, values >> _LOW_BITS)
        np.add.at(low, self.number, values & ((1 << _LOW_BITS) - 1))
        return [(above << _LOW_BITS) + below for above, below in zip(high.tolist(), low.tolist(), strict=True)]

    def rough(self, values: npt.NDArray[np.int64] | Flags | Floats) -> Floats:
        """Return the sum of each group in floating point."""
        totals: Floats = np.bincount(self.number, weights=values.astype(np.float64), minlength=len(self.firsts))  # type: ignore[assignment]
        return totals


def chosen(columns: Columns, question: Question) -> Ints:
    """Return the rows that pass every filter."""
    passes = np.ones(len(columns), np.bool_)
    for name in FILTERS:
        value = getattr(question, name)
        if value is not None:
            passes &= _equal(getattr(columns, name), value, name)
    for tag, value in question.tags.items():
        passes &= _equal(_tag(columns.tags, tag), value, f"tag '{tag}'")
    if question.since_s is not None:
        passes &= columns.started_s >= question.since_s
    if question.until_s is not None:
        passes &= columns.started_s < question.until_s
    return np.flatnonzero(passes)


def _equal(column: Coded, value: str, kind: str) -> Flags:
    used = {column.words[code] for code in np.unique(column.codes)} - {None}
    if value not in used:
        raise no_such(kind, value, {word for word in used if word is not None})
    equal: Flags = column.codes == column.words.index(value)
    return equal


def key_of(columns: Columns, key: str, rows: Ints, zone: str) -> Coded:
    """Return the value of a key for each row."""
    if key in PERIODS:
        return _period(columns.started_s[rows], key, zone)
    column = _tag(columns.tags, key.removeprefix(TAG)) if key.startswith(TAG) else getattr(columns, key)
    return Coded(column.codes[rows], column.words)


def _tag(tags: Coded, name: str) -> Coded:
    values = coded(to_object(text).get(name) for text in tags.words)
    return Coded(values.codes[tags.codes], values.words)


def _period(started_s: Floats, length: str, zone: str) -> Coded:
    """Return the period of each moment, asking the calendar once per quarter of an hour that occurs."""
    known, where = np.isfinite(started_s), time_zone(zone)
    bounded = np.clip(np.where(known, started_s, 0.0), -_NO_TIME_S, _NO_TIME_S)
    quarters = np.floor(bounded / _QUARTER_S).astype(np.int64)
    first = int(quarters.min(initial=0))
    place, found = _closed_up(quarters - first, int(quarters.max(initial=0)) - first + 1)
    times = np.zeros(found, np.int64)
    times[place] = quarters * _QUARTER_S
    names = coded([*(_name(float(at), length, where) for at in times), None])
    return Coded(np.where(known, names.codes[place], names.codes[-1]), names.words)


def _name(at: float, length: str, where: tzinfo) -> str:
    try:
        return period(at, length, where)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"a call started at {at:g} s; allowed: seconds since 1970 within the calendar") from None


def grouped(keys: Sequence[Coded], count: int) -> Grouping:
    """Return the grouping of ``count`` rows by all of ``keys``."""
    number, groups = np.zeros(count, np.int64), 1
    for key in keys:
        number = number * len(key.words) + key.codes
        groups *= len(key.words)
        if groups > _DENSE:
            number, groups = _closed_up(number, groups)
    number, groups = _closed_up(number, groups)
    firsts = np.zeros(groups if count else 0, np.int64)
    firsts[number[::-1]] = np.arange(count - 1, -1, -1)  # the last assignment is the first row
    return Grouping(number, firsts)


def _closed_up(number: Ints, groups: int) -> tuple[Ints, int]:
    """Return the numbers without the ones that do not occur."""
    if groups > _DENSE:
        used, place = np.unique(number, return_inverse=True)
        return place.astype(np.int64), len(used)
    occurs = np.bincount(number, minlength=groups) > 0
    return (np.cumsum(occurs) - 1)[number], int(occurs.sum())
