"""The ledger: rows in an SQLite file the user owns, or in a team's PostgreSQL database; durable before it says so.

with Ledger.open() as ledger:  # or Ledger.open("postgresql://user@host/database")
    await ledger.record(call, [attempt], outcomes=[outcome], run=run.id)
    for record in ledger.calls(run=run.id): ...
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Self

from sqlalchemy import Row, Select, func, select

from cput.errors import InputError
from cput.ledger import schema
from cput.ledger.address import Address, address, default_path
from cput.ledger.database import Database, open_database, sentences
from cput.ledger.folding import Folding, FoldingApart, Folds
from cput.ledger.numbering import AttemptNumbers
from cput.ledger.reader import read_calls, read_idle_charges
from cput.ledger.rows import (
    attempt_row,
    call_row,
    charge_row,
    grounds_row,
    outcome_row,
    run_row,
    to_run,
    to_window,
    window_row,
)
from cput.ledger.runs import CallRecord, Run, Window
from cput.ledger.texts import escaped
from cput.ledger.writer import Placed, Writer
from cput.records import Attempt, Call, Charge, Finish, Grounds, Outcome, Role

__all__ = ["CallRecord", "Ledger", "Run", "Window", "default_path"]


class Ledger:
    """Every attempt with its usage and charge, every outcome when it arrives. Rows are added and never changed.

    Every writing method returns when its rows are on disk. The same call, attempt, charge or outcome written again is
    ignored. All methods may be used from any thread. ``path`` is where it is: a file, or a ``Server``, whose text has
    no password; ``Ledger.open(ledger.path)`` opens it once more.
    """

    def __init__(self, path: Address, database: Database, folds: Folds) -> None:
        """Use ``Ledger.open``."""
        self.path = path
        self._database = database
        self._writer = Writer(database.writing, str(path))
        self._numbers = AttemptNumbers(self._free_seq)
        self._folding = folds

    @classmethod
    def open(cls, path: Address | str | None = None, *, fold_apart: bool = False) -> Self:
        """Open the ledger at ``path``, creating or migrating it.

        ``path`` is a file or ``postgresql://user@host/database``; None is ``$CPUT_LEDGER``, else ``default_path()``.
        ``fold_apart`` is for a process that serves: calls are folded in another one, and more seldom.

        Raises:
            InputError: when it is not a ledger.
            SetupError: when it cannot be reached, created or locked, or was written by a newer cput.
        """
        where = address(path)
        database = open_database(where)
        apart = fold_apart and database.reading.dialect.name == "sqlite"
        return cls(where, database, FoldingApart(str(where)) if apart else Folding(database))

    def close(self) -> None:
        """Write what waits and close the connections. Safe to call twice."""
        self._folding.close()
        self._writer.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing

    async def record(
        self,
        call: Call,
        attempts: Sequence[Attempt],
        charges: Sequence[Charge] = (),
        outcomes: Sequence[Outcome] = (),
        run: str | None = None,
    ) -> None:
        """Write a call with its legs, in one transaction. A cancelled caller's rows are written all the same.

        Raises:
            InputError: when a record is not allowed; nothing of this call is written then.
            SetupError: when the disk is full, or the database cannot be written or reached.
        """
        placed = _placed(call, attempts, charges, outcomes, run)
        await self._writer.write(placed)
        self._folding.saw(len(placed))

    def record_sync(
        self,
        call: Call,
        attempts: Sequence[Attempt],
        charges: Sequence[Charge] = (),
        outcomes: Sequence[Outcome] = (),
        run: str | None = None,
    ) -> None:
        """Do the same as ``record`` from a thread without an event loop."""
        placed = _placed(call, attempts, charges, outcomes, run)
        self._writer.write_sync(placed)
        self._folding.saw(len(placed))

    async def explain(self, call_id: str, grounds: Grounds) -> None:
        """Write why a call was answered as it was; the first word on a call stands (``grounds.read_grounds``)."""
        await self._writer.write([Placed("grounds", grounds_row(call_id, grounds, time.time()))])

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Write outcomes; they may be about calls that are not written yet, or name only an external key."""
        self._write("outcomes", [outcome_row(outcome) for outcome in outcomes])

    def add_charges(
        self,
        charges: Iterable[Charge],
        run: str | None = None,
        window: str | None = None,
        repricing: str | None = None,
    ) -> None:
        """Write charges. Idle ones (``call_id`` None) name the run and, so that they can be repriced, the window.

        A ``repricing`` names itself: its charges are in effect even where an earlier one had the same price version.
        """
        self._write("charges", [charge_row(charge, run, window, repricing) for charge in charges])

    def start_run(self, run: Run) -> None:
        """Write a run; starting a run that is there already (a resume) changes nothing."""
        self._write("runs", [run_row(run)])

    def end_run(self, run_id: str, ended_s: float | None = None) -> None:
        """Write that a run ended, now or at ``ended_s``; a resumed run ends again and the last end counts."""
        self._write("run_ends", [(None, run_id, time.time() if ended_s is None else ended_s)])

    def add_window(self, window: Window) -> None:
        """Write a reserved window; the same id again may only move its end forward."""
        self._write("windows", [window_row(window)])

    def next_seq(self, call_id: str) -> int:
        """Return the number of this call's next attempt: 0, then 1, 2, ... whoever asks."""
        return self._numbers.take(call_id)

    # Reading

    def calls(self, run: str | None = None, workload: str | None = None) -> tuple[CallRecord, ...]:
        """Return calls with attempts, charges and outcomes, in the order they were recorded; None is all."""
        with sentences(self.path), self._database.reading.begin() as connection:
            return read_calls(connection, run, workload)

    def idle_charges(self, run: str) -> tuple[Charge, ...]:
        """Return the charges of a run that belong to no call."""
        with sentences(self.path), self._database.reading.begin() as connection:
            return read_idle_charges(connection, run)

    def recorded_items(self, run: str) -> set[str]:
        """Return the items of ``run`` that have an answer or a failure on record; a hung-up answer is to be redone."""
        calls, attempts = schema.calls, schema.attempts
        query = (
            select(calls.c.item)
            .join(attempts, attempts.c.call_id == calls.c.id)
            .where(calls.c.run == run, calls.c.item.is_not(None), attempts.c.role == Role.SERVE.value)
            .where(attempts.c.finish != Finish.CANCELLED.value)
            .distinct()
        )
        return {row.item for row in self._rows(query)}

    def runs(self) -> tuple[Run, ...]:
        """Return all runs, oldest first."""
        query = select(schema.runs).order_by(schema.runs.c.started_s, schema.runs.c.id)
        ends = {row.run: row.ended_s for row in self._rows(select(schema.run_ends).order_by(schema.run_ends.c.id))}
        return tuple(to_run(row, ends.get(row.id)) for row in self._rows(query))

    def run(self, run_id: str) -> Run:
        """Return the run with this id, or raise InputError."""
        found = next((run for run in self.runs() if run.id == run_id), None)
        if found is None:
            raise InputError(f"there is no run '{run_id}' in the ledger {self.path}; {self._known_runs()}")
        return found

    def find_run(self, prefix: str) -> Run:
        """Return the only run whose id starts with ``prefix``; ``latest`` is the one started last."""
        runs = self.runs()
        found = runs[-1:] if prefix == "latest" else [run for run in runs if prefix and run.id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(run.id for run in found[:5])
            raise InputError(f"{len(found)} runs start with '{prefix}': {ids}; give more of the id")
        raise InputError(f"no run in the ledger {self.path} starts with '{prefix}'; {self._known_runs()}")

    def windows(self, run: str) -> tuple[Window, ...]:
        """Return the reserved windows of a run, oldest first."""
        table = schema.windows
        query = select(table).where(table.c.run == run).order_by(table.c.started_s, table.c.id)
        return tuple(to_window(row) for row in self._rows(query))

    def last_seen_s(self, run: str) -> float | None:
        """Return when the run's last recorded attempt ended: the least end of a window that a kill left open."""
        calls, attempts = schema.calls, schema.attempts
        end = func.max(attempts.c.started_s + func.coalesce(attempts.c.e2e_s, 0.0)).label("end")
        query = select(end).join_from(attempts, calls, attempts.c.call_id == calls.c.id).where(calls.c.run == run)
        last: float | None = self._rows(query)[0].end
        return last

    # Helpers

    def _write(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self._writer.write_sync([Placed(table, row) for row in rows])
            self._folding.saw(len(rows))

    def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with sentences(self.path), self._database.reading.begin() as connection:
            return connection.execute(query).all()

    def _free_seq(self, call_id: str) -> int:
        stored = escaped(call_id, self._database.reading)
        query = select(func.max(schema.attempts.c.seq).label("last")).where(schema.attempts.c.call_id == stored)
        last: int | None = self._rows(query)[0].last
        return 0 if last is None else last + 1

    def _known_runs(self) -> str:
        ids = [run.id for run in self.runs()[-3:]]
        return f"the latest are {', '.join(ids)}" if ids else "it has no runs yet"


def _placed(
    call: Call, attempts: Sequence[Attempt], charges: Sequence[Charge], outcomes: Sequence[Outcome], run: str | None
) -> list[Placed]:
    placed = [Placed("calls", call_row(call, run, time.time()))]
    placed.extend(Placed("attempts", attempt_row(_of(call, attempt))) for attempt in attempts)
    placed.extend(Placed("charges", charge_row(charge, run, None)) for charge in charges)
    placed.extend(Placed("outcomes", outcome_row(outcome)) for outcome in outcomes)
    return placed


def _of(call: Call, attempt: Attempt) -> Attempt:
    if attempt.call_id != call.id:
        raise InputError(f"an attempt of call {attempt.call_id} was recorded under call {call.id}; allowed: its own")
    return attempt
