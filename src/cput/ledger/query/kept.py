"""Keeps the folds in the ledger, and brings them up to date by what has arrived since.

A *mark* per table says which row was folded last. What lies above the marks names the calls to be folded again: a new
call, a late outcome or attempt, a repriced charge. Where that is a good part of them, or a mark's row isn't the one it
was (the database was rebuilt), everything is folded anew. What is kept is never needed: a ledger that can't be written,
or a database whose rows carry no order of arrival (PostgreSQL), is folded from its rows each time.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from sqlalchemy import Connection, delete, insert, select

from cput.ledger import schema
from cput.ledger.query.columns import Columns, joined, packed, unpacked
from cput.ledger.query.fold import fold
from cput.ledger.query.marks import (
    NO_MARKS,
    Marks,
    arrived,
    calls_touched,
    keep_marks,
    kept_marks,
    marks_hold,
    marks_now,
)
from cput.ledger.query.scan import scan

SEGMENT_CALLS = 16_384
_FEWEST_ANEW = 20_000
_MOST_UNHELD = 8 * SEGMENT_CALLS
UNREADABLE = (msgspec.MsgspecError, KeyError, ValueError, TypeError)


class Change(NamedTuple):
    """What a fold has found and nobody has kept yet."""

    before: Marks
    """The marks that it started from."""
    after: Marks
    """Where it came to."""
    segments: Mapping[int, Columns]
    """Segments that are new or changed, by number."""
    anew: bool
    """Whether all earlier segments are void."""

    @property
    def is_full(self) -> bool:
        """Whether as many new calls were folded as go into a segment: more may be waiting."""
        return self.after.arrival("calls") - self.before.arrival("calls") >= SEGMENT_CALLS


class Folded(NamedTuple):
    """The ledger as columns, as of one moment."""

    columns: Columns
    change: Change | None
    """What is worth keeping; None where nothing is new, or the database can't say what is."""


def folded(connection: Connection) -> Folded:
    """Return all calls as columns, as they stand in this transaction."""
    if connection.dialect.name != "sqlite":
        return Folded(fold(scan(connection)), None)
    try:
        change = changed(connection)
        segments = {} if change and change.anew else _segments(connection, set(change.segments) if change else set())
    except UNREADABLE:
        change, segments = _anew(connection, kept_marks(connection), marks_now(connection)), {}
    segments |= change.segments if change else {}
    if not segments:
        return Folded(fold(scan(connection)), change)
    return Folded(joined([segments[number] for number in sorted(segments)]), change)


def changed(connection: Connection) -> Change | None:
    """Return what has arrived since the kept folds, folded; None where nothing has. For SQLite."""
    before, after = kept_marks(connection), marks_now(connection)
    if before == after:
        return None
    few = arrived(before, after) <= max(_FEWEST_ANEW, after.arrival("calls") // 4)
    if few and marks_hold(connection, before):
        return Change(before, after, _brought_up(connection, before, after), anew=False)
    return _anew(connection, before, after)


def changed_a_little(connection: Connection) -> Change | None:
    """Return the same for one segment's worth of new calls; None where to begin is not worth a little, or possible."""
    before, now = kept_marks(connection), marks_now(connection)
    start = before if before.by_source else NO_MARKS
    if before == now or not marks_hold(connection, start):
        return None
    if start is NO_MARKS and now.arrival("calls") > _MOST_UNHELD:
        return None
    after = now.with_calls(connection, start.arrival("calls") + SEGMENT_CALLS)
    return Change(before, after, _brought_up(connection, start, after), anew=False)


def keep(connection: Connection, change: Change) -> None:
    """Write a change, in a writing transaction. Where another process was quicker, its folds stand."""
    if kept_marks(connection) != change.before:
        return
    table = schema.folds
    stale = table.c.number >= 0 if change.anew else table.c.number.in_(list(change.segments))
    connection.execute(delete(table).where(stale))
    for number, columns in change.segments.items():
        first = int(columns.arrival[0])
        connection.execute(insert(table).values(number=number, first_arrival=first, data=packed(columns)))
    keep_marks(connection, change.after)


def _anew(connection: Connection, before: Marks, after: Marks) -> Change:
    return Change(before, after, dict(enumerate(_cut(fold(scan(connection))))), anew=True)


def _brought_up(connection: Connection, before: Marks, after: Marks) -> dict[int, Columns]:
    """Fold the calls that what has arrived is about; return the segments that they change."""
    fresh = fold(scan(connection, calls_touched(connection, before, after)))
    fresh = fresh.take(np.argsort(fresh.arrival))
    index = connection.execute(select(schema.folds.c.number, schema.folds.c.first_arrival).order_by("number")).all()
    firsts = np.array([row.first_arrival for row in index], np.int64)
    home = np.maximum(np.searchsorted(firsts, fresh.arrival, side="right") - 1, 0)
    segments: dict[int, Columns] = {}
    for number in np.unique(home).tolist():
        rows = fresh.take(np.flatnonzero(home == number))
        old = _segment(connection, number)
        segments[number] = rows if old is None else _replaced(old, rows)
    last = max(len(index) - 1, 0)
    if last in segments:  # the only one that grows
        segments |= {last + place: part for place, part in enumerate(_cut(segments[last]))}
    return segments


def _replaced(segment: Columns, rows: Columns) -> Columns:
    """Return the segment with ``rows`` in the places of the same calls, or behind."""
    stays = np.flatnonzero(~np.isin(segment.arrival, rows.arrival))
    mixed = joined([segment.take(stays), rows])
    return mixed.take(np.argsort(mixed.arrival))


def _segments(connection: Connection, but: set[int]) -> dict[int, Columns]:
    """Return the kept segments by number, but those that are void."""
    table = schema.folds.c
    rows: Any = connection.execute(select(table.number, table.data).where(table.number.not_in(list(but))))
    return {row.number: unpacked(row.data) for row in rows}


def _segment(connection: Connection, number: int) -> Columns | None:
    data = connection.execute(select(schema.folds.c.data).where(schema.folds.c.number == number)).scalar()
    return None if data is None else unpacked(data)


def _cut(columns: Columns) -> list[Columns]:
    """Return the rows in segments."""
    return [columns.take(slice(start, start + SEGMENT_CALLS)) for start in range(0, len(columns), SEGMENT_CALLS)]
