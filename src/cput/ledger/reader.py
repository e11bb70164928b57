"""Reads calls with their attempts, charges and outcomes. Outcomes are joined here, so that they may come first."""

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from cput.ledger import schema
from cput.ledger.rows import to_attempt, to_call, to_charge, to_outcome
from cput.ledger.runs import CallRecord
from cput.records import Attempt, Charge, Outcome


def read_calls(connection: Connection, run: str | None, workload: str | None) -> tuple[CallRecord, ...]:
    """Return the calls of ``run`` and ``workload`` (None is all), in the order they were recorded."""
    chosen = _chosen(run, workload)
    ids = chosen.with_only_columns(schema.calls.c.id)
    keys = chosen.with_only_columns(schema.calls.c.external_key).where(schema.calls.c.external_key.is_not(None))
    attempts = _attempts(connection, schema.attempts.c.call_id.in_(ids))
    charges = _charges(connection, schema.charges.c.call_id.in_(ids))
    about, by_key = _outcomes(connection, ids, keys)
    order = (schema.calls.c.recorded_s, schema.calls.c.id)
    return tuple(
        CallRecord(
            call=to_call(row),
            run=row.run,
            recorded_s=row.recorded_s,
            attempts=tuple(attempts.get(row.id, ())),
            charges=tuple(charges.get(row.id, {}).values()),
            outcomes=_merged(about.get(row.id, []), by_key.get(row.external_key, [])),
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


def _outcomes(
    connection: Connection, ids: Select[Any], keys: Select[Any]
) -> tuple[dict[str, list[Row[Any]]], dict[str, list[Row[Any]]]]:
    table = schema.outcomes
    about: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    by_key: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(select(table).where(table.c.call_id.in_(ids))):
        about[row.call_id].append(row)
    for row in connection.execute(select(table).where(table.c.external_key.in_(keys))):
        by_key[row.external_key].append(row)
    return about, by_key


def _merged(about: list[Row[Any]], by_key: list[Row[Any]]) -> tuple[Outcome, ...]:
    """Join the outcomes that name the call and those that name its key; one that names both is one outcome."""
    unique = {row.id: row for row in (*about, *by_key)}
    return tuple(to_outcome(row) for row in sorted(unique.values(), key=lambda row: (row.observed_s, row.id)))
