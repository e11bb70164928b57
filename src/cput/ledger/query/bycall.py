"""Rows sorted by call, reduced to one value per call."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cput.ledger.query.columns import Flags, Floats, Ints

NONE = -1
"""Stands for a row that isn't there."""


class ByCall:
    """Where each call's rows begin. ``call`` is the sorted call of each row, ``count`` how many calls there are."""

    def __init__(self, call: Ints, count: int) -> None:
        self._starts = beginnings(call)
        self._owner = call[self._starts]
        self._rows = len(call)
        self._count = count

    def sums(self, values: npt.NDArray[Any]) -> Ints:
        """Return each call's sum, 0 for a call without rows."""
        return self._reduced(np.add, values.astype(np.int64), np.zeros(self._count, np.int64))

    def rough_sums(self, values: npt.NDArray[Any]) -> Floats:
        """Return each call's sum in floating point."""
        return self._reduced(np.add, values.astype(np.float64), np.zeros(self._count))

    def any(self, flags: Flags) -> Flags:
        """Return whether any of a call's rows is flagged."""
        return self.sums(flags) > 0

    def least(self, values: Floats) -> Floats:
        """Return each call's least value, infinity for a call without rows."""
        return self._reduced(np.minimum, values, np.full(self._count, np.inf))

    def last(self, flags: Flags) -> Ints:
        """Return the place of each call's last flagged row, or ``NONE``."""
        places = np.where(flags, np.arange(self._rows), NONE)
        return self._reduced(np.maximum, places, np.full(self._count, NONE))

    def first_of(self, values: Floats) -> Floats:
        """Return the value of each call's first row, NaN for a call without rows."""
        found = np.full(self._count, np.nan)
        found[self._owner] = values[self._starts]
        return found

    def _reduced(self, how: np.ufunc, values: npt.NDArray[Any], found: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._rows:  # reduceat takes no empty rows
            found[self._owner] = how.reduceat(values, self._starts)
        return found


def beginnings(*columns: Ints) -> Ints:
    """Return the rows at which any of the sorted columns differs from the row before."""
    return np.flatnonzero(np.concatenate([[True], ~_repeats(*columns)])[: len(columns[0])])


def endings(*columns: Ints) -> Ints:
    """Return the rows at which any of the sorted columns differs from the row behind."""
    return np.flatnonzero(np.concatenate([~_repeats(*columns), [True]])[: len(columns[0])])


def _repeats(*columns: npt.NDArray[Any]) -> Flags:
    """Return, for each row but the first, whether all columns are as in the row before."""
    same = np.ones(max(len(columns[0]) - 1, 0), np.bool_)
    for column in columns:
        same &= column[1:] == column[:-1]
    return same


def repeated(*columns: npt.NDArray[Any]) -> Flags:
    """Return whether all of the sorted columns are as in a row beside it."""
    same = _repeats(*columns)
    if len(columns[0]) == 0:
        return same
    beside: Flags = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    return beside
