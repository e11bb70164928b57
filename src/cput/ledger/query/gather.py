"""Gathers columns of a table in numpy, tens of thousands of rows in one step.

A million calls are about five million rows, for which a row object each would be most of the cost. SQLite therefore
makes one JSON array per column (``json_group_array``), in a single step in which Python's lock is free for others;
stepping row by row would win that lock back for each row, up to 5 ms a time beside a busy event loop. Elsewhere rows
come as the driver's plain tuples.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from sqlalchemy import Column, ColumnElement, Connection, Integer, cast, func, select

from cput.ledger.query.columns import Coded, Floats, Ints

NOBODY = -1
"""Stands for a row that isn't on record (yet), and for a number that isn't given."""
_ROWS = 1024  # of plain tuples: their values fit a core's cache
_FRACTION = 2.0**62
_whole = msgspec.json.Decoder(list[int])
_texts = msgspec.json.Decoder(list[str | None])

Value = Column[Any] | ColumnElement[Any]


class Part(NamedTuple):
    """Some rows of a table."""

    where: ColumnElement[bool] | None
    """Which; None is all."""
    binds: Mapping[str, Any]
    """Values of the condition's parameters."""


class Gatherer(Protocol):
    """Takes one column, part by part."""

    value: Value

    def arrays(self) -> list[Value]:
        """Return what SQLite makes an array of."""
        ...

    def add_arrays(self, arrays: Sequence[str]) -> None:
        """Take those arrays, as JSON."""
        ...

    def add_values(self, values: Sequence[Any]) -> None:
        """Take values as they are."""
        ...

    def done(self) -> Any:
        """Return the whole column."""
        ...


def gather(connection: Connection, gatherers: Sequence[Gatherer], parts: Sequence[Part]) -> list[Any]:
    """Return the columns of all parts, each as its gatherer has it, in any order of rows."""
    add = _add_arrays if connection.dialect.name == "sqlite" else _add_tuples
    for part in parts:
        add(connection, gatherers, part)
    return [gatherer.done() for gatherer in gatherers]


def _add_arrays(connection: Connection, gatherers: Sequence[Gatherer], part: Part) -> None:
    wanted = [gatherer.arrays() for gatherer in gatherers]
    query = select(*(func.json_group_array(value) for values in wanted for value in values))
    told = iter(connection.execute(query if part.where is None else query.where(part.where), part.binds).one())
    for gatherer, values in zip(gatherers, wanted, strict=True):
        gatherer.add_arrays([next(told) for _ in values])


def _add_tuples(connection: Connection, gatherers: Sequence[Gatherer], part: Part) -> None:
    query = select(*(gatherer.value for gatherer in gatherers))
    result = connection.execute(query if part.where is None else query.where(part.where), part.binds)
    cursor: Any = result.cursor
    while rows := cursor.fetchmany(_ROWS):
        for gatherer, values in zip(gatherers, zip(*rows, strict=True), strict=True):
            gatherer.add_values(values)
    result.close()


class Whole:
    """Whole numbers, none of them null."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self._parts = [np.array([], np.int64)]

    def arrays(self) -> list[Value]:
        """Return the column itself."""
        return [self.value]

    def add_arrays(self, arrays: Sequence[str]) -> None:
        """Take an array of numbers."""
        self.add_values(_whole.decode(arrays[0]))

    def add_values(self, values: Sequence[Any]) -> None:
        """Take numbers."""
        self._parts.append(np.array(values, np.int64))

    def done(self) -> Ints:
        """Return the whole column."""
        return np.concatenate(self._parts)


class Real:
    """Floating point, none of it null. JSON would keep 15 digits of 17, so each comes as two whole numbers."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self._parts = [np.array([], np.float64)]

    def arrays(self) -> list[Value]:
        """Return the whole part, and the rest in units of 2**-62: exact from 0.001 up. Both saturate at 64 bits."""
        whole = cast(self.value, Integer)
        return [whole, cast((self.value - whole) * _FRACTION, Integer)]

    def add_arrays(self, arrays: Sequence[str]) -> None:
        """Take both parts."""
        whole, rest = (np.array(_whole.decode(array), np.int64).astype(np.float64) for array in arrays)
        self._parts.append(whole + rest / _FRACTION)

    def add_values(self, values: Sequence[Any]) -> None:
        """Take numbers."""
        self._parts.append(np.array(values, np.float64))

    def done(self) -> Floats:
        """Return the whole column."""
        return np.concatenate(self._parts)


class Texts:
    """Texts as they are."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self._texts: list[str | None] = []

    def arrays(self) -> list[Value]:
        """Return the column itself."""
        return [self.value]

    def add_arrays(self, arrays: Sequence[str]) -> None:
        """Take an array of texts."""
        self._texts += _texts.decode(arrays[0])

    def add_values(self, values: Sequence[Any]) -> None:
        """Take texts."""
        self._texts += values

    def done(self) -> list[str | None]:
        """Return the whole column."""
        return self._texts


class Codes:
    """Texts as codes: few different ones."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self._parts = [np.array([], np.int64)]
        self._words: dict[str | None, int] = {}

    def arrays(self) -> list[Value]:
        """Return the column itself."""
        return [self.value]

    def add_arrays(self, arrays: Sequence[str]) -> None:
        """Take an array of texts."""
        self.add_values(_texts.decode(arrays[0]))

    def add_values(self, values: Sequence[Any]) -> None:
        """Take texts."""
        words = self._words
        self._parts.append(np.array([words.setdefault(value, len(words)) for value in values], np.int64))

    def done(self) -> Coded:
        """Return the whole column."""
        return Coded(np.concatenate(self._parts), tuple(self._words))


class Places:
    """Ids as the places of what they name, or ``NOBODY``."""

    def __init__(self, value: Value, places: Mapping[str, int]) -> None:
        self.value = value
        self._places = places
        self._parts = [np.array([], np.int64)]

    def arrays(self) -> list[Value]:
        """Return the column itself."""
        return [self.value]

    def add_arrays(self, arrays: Sequence[str]) -> None:
        """Take an array of ids."""
        self.add_values(_texts.decode(arrays[0]))

    def add_values(self, values: Sequence[Any]) -> None:
        """Take ids."""
        place = self._places.get
        self._parts.append(np.array([place(value, NOBODY) for value in values], np.int64))

    def done(self) -> Ints:
        """Return the whole column."""
        return np.concatenate(self._parts)
