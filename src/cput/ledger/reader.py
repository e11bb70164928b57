"""Reads calls with their attempts, charges and outcomes. Outcomes are joined here, so that they may come first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, select

from cput.ledger import schema
from cput.ledger.rows import to_attempt, to_call, to_charge, to_outcome
from cput.ledger.runs import CallRecord
from cput.records import Attempt, Charge, Outcome


def read_calls(
    connection: Connection, run: str | None = None, workload: str | None = None, only: Sequence[str] | None = None
) -> tuple[CallRecord, ...]:
    """Return the calls of ``run`` and ``workload``, or ``only`` these ids (None is all), in order of recording."""
    chosen = _chosen(run, workload)
    if only is not None:
        chosen = chosen.where(schema.calls.c.id.in_(only))
    ids = chosen.with_only_columns(schema.calls.c.id)
    attempts = _attempts(connection, schema.attempts.c.call_id.in_(ids))
    charges = _charges(connection, schema.charges.c.call_id.in_(ids))
    outcomes = _outcomes(connection, chosen)
    order = (schema.calls.c.recorded_s, schema.calls.c.id)
    return tuple(
        CallRecord(
            call=to_call(row),
            run=row.run,
            recorded_s=row.recorded_s,
            attempts=tuple(attempts.get(row.id, ())),
            charges=tuple(charges.get(row.id, {}).values()),
            outcomes=outcomes.about(row),
        )
        for row in connection.execute(chosen.order_by(*order))
    )


def read_idle_charges(connection: Connection, run: str) -> tuple[Charge, ...]:
    """Return the charges of ``run`` that belong to no call; per window and basis the last price version counts."""
    table = schema.charges
    rows = connection.execute(select(table).where(table.c.call_id.is_(None), table.c.run == run).order_by(table.c.id))
    in_effect = {(row.window_id or row.id, row.basis): to_charge(row) for row in rows}
    return tuple(in_effect.values())


def _chosen(run: str | None, workload: str | None) -> Select[Any]:
    table = schema.calls
    query = select(table)
    if run is not None:
        query = query.where(table.c.run == run)
    if workload is not None:
        query = query.where(table.c.workload == workload)
    return query


def _attempts(connection: Connection, which: ColumnElement[bool]) -> dict[str, list[Attempt]]:
    table = schema.attempts
    grouped: defaultdict[str, list[Attempt]] = defaultdict(list)
    for row in connection.execute(select(table).where(which).order_by(table.c.call_id, table.c.seq)):
        grouped[row.call_id].append(to_attempt(row))
    return grouped


def _charges(connection: Connection, which: ColumnElement[bool]) -> dict[str, dict[tuple[int | None, str], Charge]]:
    """Return, per call, the charge in effect of each attempt and basis: the last one written."""
    table = schema.charges
    grouped: defaultdict[str, dict[tuple[int | None, str], Charge]] = defaultdict(dict)
    for row in connection.execute(select(table).where(which).order_by(table.c.id)):
        grouped[row.call_id][row.seq, row.basis] = to_charge(row)
    return grouped


class _Outcomes(NamedTuple):
    """Outcomes by what they name: a call, a caller's key, an episode."""

    by_call: Mapping[str, Sequence[Row[Any]]]
    by_key: Mapping[str, Sequence[Row[Any]]]
    by_episode: Mapping[str, Sequence[Row[Any]]]

    def about(self, call: Row[Any]) -> tuple[Outcome, ...]:
        """Return all that speak for a call, by ``observed_s``, then by id; one that names it twice is one outcome."""
        found = (
            *self.by_call.get(call.id, ()),
            *self.by_key.get(call.external_key, ()),
            *self.by_episode.get(call.episode, ()),
        )
        unique = {row.id: row for row in found}
        return tuple(to_outcome(row) for row in sorted(unique.values(), key=lambda row: (row.observed_s, row.id)))


def _outcomes(connection: Connection, chosen: Select[Any]) -> _Outcomes:
    outcomes, calls = schema.outcomes.c, schema.calls.c
    return _Outcomes(
        by_call=_outcomes_by(connection, outcomes.call_id, chosen.with_only_columns(calls.id)),
        by_key=_outcomes_by(connection, outcomes.external_key, _given(chosen, calls.external_key)),
        by_episode=_outcomes_by(connection, outcomes.episode, _given(chosen, calls.episode)),
    )


def _given(chosen: Select[Any], column: ColumnElement[Any]) -> Select[Any]:
    return chosen.with_only_columns(column).where(column.is_not(None))


def _outcomes_by(connection: Connection, column: Column[Any], names: Select[Any]) -> dict[str, list[Row[Any]]]:
    grouped: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(select(schema.outcomes).where(column.in_(names))):
        grouped[getattr(row, column.name)].append(row)
    return grouped
