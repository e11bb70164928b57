"""Calls with all that the ledger has on them, a page at a time: bounded memory however many there are."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Table, null, select

from cput.ledger import schema
from cput.ledger.export.selection import Selection
from cput.ledger.rows import to_attempt, to_call, to_charge, to_outcome
from cput.ledger.runs import CallRecord

PAGE = 500
_HEAVY = {"text", "gaps_s", "messages", "embed"}
_JOINS = {"call_id": "id", "external_key": "external_key", "episode": "episode"}
"""Columns of ``outcomes`` by which one speaks of a call, and the column of ``calls`` that each names."""
AnyRow = Row[Any]
Progress = Callable[[int, int], None]
"""Hears how many calls are done, and of how many."""


class Bundle(NamedTuple):
    """A call's rows."""

    call: AnyRow
    """Of ``calls``."""
    attempts: Sequence[AnyRow]
    """Of ``attempts``, by ``seq``."""
    charges: Sequence[AnyRow]
    """Of ``charges``, in the order they were written, replaced ones too."""
    outcomes: Sequence[AnyRow]
    """Of ``outcomes``, by call id, external key or episode; by ``observed_s``."""

    grounds: AnyRow | None = None
    """Of ``grounds``; None where no policy chose, or nobody wrote it down."""

    def record(self) -> CallRecord:
        """Return the call as ``Ledger.calls`` does, with the charges in effect."""
        return CallRecord(
            call=to_call(self.call),
            run=self.call.run,
            recorded_s=self.call.recorded_s,
            attempts=tuple(to_attempt(row) for row in self.attempts),
            charges=tuple(to_charge(row) for row in in_effect(self.charges)),
            outcomes=tuple(to_outcome(row) for row in self.outcomes),
        )


class Idle(NamedTuple):
    """A charge in effect that belongs to no call."""

    charge: AnyRow
    """Of ``charges``."""
    first: AnyRow
    """The charge that was written with the window, before any repricing."""
    window: AnyRow | None
    """Of ``windows``; None where the charge names none."""
    run: AnyRow | None
    """Of ``runs``; None where the charge names none."""


def bundles(connection: Connection, selection: Selection, *, texts: bool = True) -> Iterator[Bundle]:
    """Yield the selected calls by id; without ``texts`` the messages, answers and gaps are left out."""
    table = schema.calls
    query = select(*_columns(table, texts)).where(*selection.calls()).order_by(table.c.id).limit(PAGE)
    page = connection.execute(query).all()
    while page:
        yield from _joined(connection, page, texts)
        page = connection.execute(query.where(table.c.id > page[-1].id)).all()


def in_effect(charges: Iterable[AnyRow]) -> list[AnyRow]:
    """Return the last charge of each attempt and basis, in the order in which they were first written."""
    return list({(row.seq, row.basis): row for row in charges}.values())


def idle_charges(connection: Connection, selection: Selection) -> list[Idle]:
    """Return what is in effect of the charges without a call, of the selected runs and time.

    Per window and basis the last one written counts; without a window each one does. A run's idle time belongs to no
    policy and no tenant.
    """
    if not selection.whole_runs:
        return []
    table = schema.charges
    rows = connection.execute(select(table).where(table.c.call_id.is_(None)).order_by(table.c.id))
    groups: defaultdict[tuple[Any, str], list[AnyRow]] = defaultdict(list)
    for row in rows:
        groups[row.window_id or row.id, row.basis].append(row)
    windows = {row.id: row for row in connection.execute(select(schema.windows))}
    runs = {row.id: row for row in connection.execute(select(schema.runs).where(*selection.runs()))}
    found = [Idle(g[-1], g[0], windows.get(g[-1].window_id), runs.get(g[-1].run)) for g in groups.values()]
    return [idle for idle in found if _is_meant(idle, selection)]


def loose_charges(connection: Connection) -> Iterator[AnyRow]:
    """Yield the charges, in order, that name a call which the ledger does not have."""
    table, calls = schema.charges, schema.calls.c
    known = select(calls.id).where(calls.id == table.c.call_id).exists()
    yield from _streamed(connection, table, table.c.call_id.is_not(None) & ~known, table.c.id)


def loose_outcomes(connection: Connection) -> Iterator[AnyRow]:
    """Yield the outcomes that belong to no call so far: they came early, or by a key that no call has."""
    table, calls = schema.outcomes, schema.calls.c
    known = (
        select(calls.id).where(calls.id == table.c.call_id).exists()
        | select(calls.id).where(calls.external_key == table.c.external_key).exists()
        | select(calls.id).where(calls.episode == table.c.episode).exists()
    )
    yield from _streamed(connection, table, ~known, table.c.id)


def loose_grounds(connection: Connection) -> Iterator[AnyRow]:
    """Yield the grounds of calls that the ledger does not have: nothing was sent for them, a cache answered."""
    table, calls = schema.grounds, schema.calls.c
    known = select(calls.id).where(calls.id == table.c.call_id).exists()
    yield from _streamed(connection, table, ~known, table.c.call_id)


def _streamed(
    connection: Connection, table: Table, which: ColumnElement[bool], order: ColumnElement[Any]
) -> Iterator[AnyRow]:
    query = select(table).where(which).order_by(order).execution_options(yield_per=PAGE)
    yield from connection.execute(query)


def _is_meant(idle: Idle, selection: Selection) -> bool:
    limited = selection.run is not None or selection.workload is not None
    if limited and idle.run is None:
        return False
    started = idle.window or idle.run
    return selection.holds(started.started_s if started is not None else None)


def _joined(connection: Connection, page: Sequence[AnyRow], texts: bool) -> Iterator[Bundle]:
    ids = [row.id for row in page]
    attempts = _grouped(connection, schema.attempts, "call_id", ids, texts=texts)
    charges = _grouped(connection, schema.charges, "call_id", ids)
    grounds = _grouped(connection, schema.grounds, "call_id", ids)
    about = {
        key: _grouped(connection, schema.outcomes, key, _known(getattr(row, name) for row in page))
        for key, name in _JOINS.items()
    }
    for row in page:
        found = {one.id: one for key, name in _JOINS.items() for one in about[key].get(getattr(row, name), ())}
        yield Bundle(
            row,
            attempts.get(row.id, ()),
            charges.get(row.id, ()),
            sorted(found.values(), key=lambda one: (one.observed_s, one.id)),
            next(iter(grounds.get(row.id, ())), None),
        )


def _known(values: Iterable[Any]) -> list[Any]:
    return list({value for value in values if value is not None})


def _grouped(
    connection: Connection, table: Table, key: str, values: Sequence[Any], *, texts: bool = True
) -> dict[Any, list[AnyRow]]:
    """Return the rows of ``table`` whose ``key`` is one of ``values``, grouped by it, in the order of their own key."""
    grouped: defaultdict[Any, list[AnyRow]] = defaultdict(list)
    if values:
        query = select(*_columns(table, texts)).where(table.c[key].in_(values)).order_by(*table.primary_key)
        for row in connection.execute(query):
            grouped[getattr(row, key)].append(row)
    return grouped


def _columns(table: Table, texts: bool) -> list[ColumnElement[Any]]:
    return [column if texts or column.name not in _HEAVY else null().label(column.name) for column in table.c]
