"""Keeps the folds in the ledger, and brings them up to date by what has arrived since.

Calls are kept in *segments*, in the order they arrived. A *mark* per table says which row was folded last. What lies
above the marks names the calls to be folded again: a new call goes behind the last segment; one that something late is
about (an outcome, an attempt, a repriced charge) goes into a *patch*, a segment with a negative number, laid over the
others when they are read, until patches are so many that all is written anew.

Where what has arrived is about a good part of all, or a mark's row isn't the one it was (the database was rebuilt),
everything is folded anew. What is kept is never needed: a ledger that can't be written, or a database whose rows carry
no order of arrival (PostgreSQL), is folded from its rows each time.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from cput.ledger import schema
from cput.ledger.query.bycall import endings
from cput.ledger.query.columns import Columns, joined, overlaid, packed, unpacked
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
_PATCHED_SHARE = 8
_MOST_UNHELD = 8 * SEGMENT_CALLS
UNREADABLE = (msgspec.MsgspecError, KeyError, ValueError, TypeError)


class Change(NamedTuple):
    """What a fold has found and nobody has kept yet."""

    before: Marks
    """The marks that it started from."""
    after: Marks
    """Where it came to."""
    segments: Mapping[int, Columns]
    """Segments and patches that are new or changed, by number."""
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
    columns = _whole(segments)
    patched = sum(len(patch) for number, patch in segments.items() if number < 0)
    if change and patched > max(SEGMENT_CALLS, len(columns) // _PATCHED_SHARE):
        change = change._replace(segments=dict(enumerate(_cut(columns))), anew=True)
    return Folded(columns, change)


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
    stale = delete(table) if change.anew else delete(table).where(table.c.number.in_(list(change.segments)))
    connection.execute(stale)
    for number, columns in change.segments.items():
        first = int(columns.arrival[0])
        connection.execute(insert(table).values(number=number, first_arrival=first, data=packed(columns)))
    keep_marks(connection, change.after)


def _anew(connection: Connection, before: Marks, after: Marks) -> Change:
    return Change(before, after, dict(enumerate(_cut(fold(scan(connection))))), anew=True)


def _brought_up(connection: Connection, before: Marks, after: Marks) -> dict[int, Columns]:
    """Fold the calls that what has arrived is about; return the segments that are new or changed."""
    fresh = fold(scan(connection, calls_touched(connection, before, after)))
    is_new = fresh.arrival > before.arrival("calls")
    new, known = (fresh.take(rows[np.argsort(fresh.arrival[rows])]) for rows in map(np.flatnonzero, (is_new, ~is_new)))
    return _appended(connection, new) | _patch(connection, known)


def _appended(connection: Connection, rows: Columns) -> dict[int, Columns]:
    """Return the last segment and those behind it, with ``rows`` at the end."""
    if len(rows) == 0:
        return {}
    last, segment = _segment(connection, func.max(schema.folds.c.number), 0)
    return {last + place: part for place, part in enumerate(_cut(rows if segment is None else joined([segment, rows])))}


def _patch(connection: Connection, rows: Columns) -> dict[int, Columns]:
    """Return the last patch with ``rows``, or another one where they would be more than a segment."""
    if len(rows) == 0:
        return {}
    last, patch = _segment(connection, func.min(schema.folds.c.number), -1)
    if patch is None:
        return {last: rows}
    if len(patch) + len(rows) > SEGMENT_CALLS:
        return {last - 1: rows}
    return {last: _latest([patch, rows])}


def _whole(segments: Mapping[int, Columns]) -> Columns:
    """Return all calls: the segments, with the patches over them."""
    base = joined([segments[number] for number in sorted(segments) if number >= 0])
    patches = [segments[number] for number in sorted(segments, reverse=True) if number < 0]
    if not patches:
        return base
    patch = _latest(patches)
    return overlaid(base, np.searchsorted(base.arrival, patch.arrival), patch)


def _latest(parts: Sequence[Columns]) -> Columns:
    """Return the calls of all parts, each as the last part has it."""
    both = joined(parts)
    order = np.argsort(both.arrival, kind="stable")
    return both.take(order[endings(both.arrival[order])])


def _segments(connection: Connection, but: set[int]) -> dict[int, Columns]:
    """Return the kept segments by number, but those that are void."""
    table = schema.folds.c
    rows: Any = connection.execute(select(table.number, table.data).where(table.number.not_in(list(but))))
    return {row.number: unpacked(row.data) for row in rows}


def _segment(connection: Connection, which: ColumnElement[int], first: int) -> tuple[int, Columns | None]:
    """Return the number and rows of the last segment or patch; ``first`` and None where there is none."""
    number = connection.execute(select(which)).scalar()
    if number is None or (number < 0) != (first < 0):
        return first, None
    return number, unpacked(
        connection.execute(select(schema.folds.c.data).where(schema.folds.c.number == number)).scalar_one()
    )


def _cut(columns: Columns) -> list[Columns]:
    """Return the rows in segments."""
    return [columns.take(slice(start, start + SEGMENT_CALLS)) for start in range(0, len(columns), SEGMENT_CALLS)]
