"""A ledger as JSON Lines, and back: whole records, one per line, told apart by ``type``.

    {"type": "cput", "format": 1}                       first line
    {"type": "run", ..., "ended_s": 12.5}               runs
    {"type": "window", ..., "energies": [...]}          reserved windows with the energy they used
    {"type": "call", ..., "attempts": [...], "charges": [...], "outcomes": [...]}
    {"type": "charge", ...}                             idle time, and charges whose call is not there
    {"type": "outcome", ...}                            outcomes that belong to no call so far
    {"type": "grounds", ...}                            why a call was answered as it was that is not there

A call's own grounds stand in it, as ``grounds``, where a policy chose.

Field names are the ledger's columns. Charges that were replaced are kept, in the order they were written. An export of
everything, read into an empty ledger, gives the same ledger; read twice it changes nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from cput.ledger import schema
from cput.ledger.export.atomic import check, whole_file
from cput.ledger.export.lines import to_json
from cput.ledger.export.scan import Progress, bundles, loose_charges, loose_grounds, loose_outcomes
from cput.ledger.export.selection import Selection
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger

FORMAT = 1
_encode = msgspec.json.Encoder().encode


def export_jsonl(
    ledger: Ledger,
    path: Path,
    selection: Selection | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> int:
    """Write the selected calls, with their runs, to ``path``; return the number of lines.

    Raises:
        InputError: when the place is not allowed.
        SetupError: when it cannot be written.
    """
    check(path, overwrite=overwrite)
    lines = 0
    with snapshot(ledger) as connection, whole_file(path, overwrite=overwrite) as file:
        for line in _lines(connection, selection or Selection(), progress):
            file.write(_encode(line))
            file.write(b"\n")
            lines += 1
    return lines


def _lines(connection: Connection, selection: Selection, progress: Progress) -> Iterator[dict[str, Any]]:
    yield {"type": "cput", "format": FORMAT}
    runs = list(_runs(connection, selection))
    yield from runs
    yield from _windows(connection, {run["id"] for run in runs})
    total = selection.count(connection)
    for done, bundle in enumerate(bundles(connection, selection), start=1):
        why = bundle.grounds
        yield {
            "type": "call",
            **to_json(schema.calls, bundle.call),
            "attempts": [to_json(schema.attempts, row, without=("call_id",)) for row in bundle.attempts],
            "charges": [to_json(schema.charges, row, without=("call_id",)) for row in bundle.charges],
            "outcomes": [to_json(schema.outcomes, row) for row in bundle.outcomes],
            **({} if why is None else {"grounds": to_json(schema.grounds, why, without=("call_id",))}),
        }
        progress(done, total)
    yield from _loose(connection, selection, {run["id"] for run in runs})


def _runs(connection: Connection, selection: Selection) -> Iterator[dict[str, Any]]:
    ends = {row.run: row.ended_s for row in connection.execute(select(schema.run_ends).order_by(schema.run_ends.c.id))}
    table = schema.runs
    for row in connection.execute(select(table).where(*selection.runs()).order_by(table.c.started_s, table.c.id)):
        ended = {"ended_s": ends[row.id]} if row.id in ends else {}
        yield {"type": "run", **to_json(table, row), **ended}


def _windows(connection: Connection, runs: set[str]) -> Iterator[dict[str, Any]]:
    energies: dict[str, list[dict[str, Any]]] = {}
    order = (schema.energies.c.window_id, schema.energies.c.component)
    for row in connection.execute(select(schema.energies).order_by(*order)):
        energies.setdefault(row.window_id, []).append(to_json(schema.energies, row, without=("window_id",)))
    table = schema.windows
    for row in connection.execute(select(table).order_by(table.c.started_s, table.c.id)):
        if row.run in runs:
            used = {"energies": energies[row.id]} if row.id in energies else {}
            yield {"type": "window", **to_json(table, row), **used}


def _loose(connection: Connection, selection: Selection, runs: set[str]) -> Iterator[dict[str, Any]]:
    """Yield what belongs to no call: idle charges of the runs, and with everything also what is about no call."""
    if selection.whole_runs:
        table = schema.charges
        for row in connection.execute(select(table).where(table.c.call_id.is_(None)).order_by(table.c.id)):
            if selection.everything or row.run in runs:
                yield {"type": "charge", **to_json(table, row)}
    if selection.everything:
        yield from ({"type": "charge", **to_json(schema.charges, row)} for row in loose_charges(connection))
        yield from ({"type": "outcome", **to_json(schema.outcomes, row)} for row in loose_outcomes(connection))
        yield from ({"type": "grounds", **to_json(schema.grounds, row)} for row in loose_grounds(connection))
