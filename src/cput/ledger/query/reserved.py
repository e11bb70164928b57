"""Reserved time that no call used: what it cost, and each call's share of it.

A window's idle money goes to the calls that began in it, by their device seconds, or evenly by attempts where nobody
knows a second of any. Shares are whole nano-dollars and add up to the window's. What belongs to no call is left over.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from cput.ledger import schema
from cput.ledger.query.columns import Columns, Flags, Ints


class Reserved(NamedTuple):
    """A reserved span of a device."""

    run: str
    started_s: float
    price_version: str


class IdleCharge(NamedTuple):
    """Money of a window, or of a run, that no attempt used; None is unknown."""

    run: str | None
    window: str | None
    nano_usd: int | None


class Reservations(NamedTuple):
    """All windows, and the charges in effect that belong to no call."""

    windows: Mapping[str, Reserved]
    idle: Sequence[IdleCharge]
    workloads: Mapping[str, str]
    """Workload of each run."""


class Left(NamedTuple):
    """Idle money of a window in which no call began."""

    run: str | None
    workload: str | None
    started_s: float | None
    nano_usd: int | None


class Idle(NamedTuple):
    """One entry per call, and what is left."""

    share: Ints
    """Nano-dollars of the call's share."""
    unknown: Flags
    """Whether a part of that share is unknown."""
    covered: Flags
    """Whether the call began in a window that was charged at the price version its attempts lack."""
    left: Sequence[Left]


def reservations(connection: Connection) -> Reservations:
    """Read windows and idle charges; per window and basis the last charge written counts, without a window each."""
    windows, charges, runs = schema.windows.c, schema.charges.c, schema.runs.c
    query = select(charges.id, charges.run, charges.window_id, charges.basis, charges.incremental_nano_usd)
    rows = connection.execute(query.where(charges.call_id.is_(None))).all()
    in_effect = {
        (row.window_id or row.id, row.basis): IdleCharge(row.run, row.window_id, row.incremental_nano_usd)
        for row in sorted(rows, key=lambda row: row.id)  # SQLite would read all charges to have them in order
    }
    spans = select(windows.id, windows.run, windows.started_s, windows.price_version)
    return Reservations(
        windows={row.id: Reserved(row.run, row.started_s, row.price_version) for row in connection.execute(spans)},
        idle=tuple(in_effect.values()),
        workloads={row.id: row.workload for row in connection.execute(select(runs.id, runs.workload))},
    )


def share_out(columns: Columns, found: Reservations) -> Idle:
    """Return each call's share of the idle money."""
    count = len(columns)
    idle = Idle(np.zeros(count, np.int64), np.zeros(count, np.bool_), np.zeros(count, np.bool_), [])
    left: list[Left] = []
    members = _Members(columns, found.windows) if found.idle else None
    for charge in found.idle:
        window = found.windows.get(charge.window) if charge.window is not None else None
        rows = members.of(charge) if members else np.array([], np.int64)
        if window is not None:
            wanted = [code for code, word in enumerate(columns.unmeasured.words) if word == window.price_version]
            idle.covered[rows] |= np.isin(columns.unmeasured.codes[rows], wanted)
        if len(rows) == 0:
            workload = found.workloads.get(charge.run) if charge.run is not None else None
            left.append(Left(charge.run, workload, window.started_s if window else None, charge.nano_usd))
        elif charge.nano_usd is None:
            idle.unknown[rows] = True
        else:
            weights = columns.engine_ns[rows] if columns.engine_ns[rows].any() else columns.attempts[rows]
            idle.share[rows] += split(charge.nano_usd, weights)
    return idle._replace(left=left)


def split(total: int, weights: Ints) -> Ints:
    """Return ``total`` in whole parts by weight, each within a unit or so of its due; they add up to it exactly.

    Part i is the difference of two rounded running sums, so no remainder has to be handed round.
    """
    running = np.cumsum(weights.astype(np.float64))
    if running[-1] <= 0:
        running = np.arange(1, len(weights) + 1, dtype=np.float64)
    ends = np.rint(total * (running / running[-1])).astype(np.int64)
    ends[-1] = total
    parts: Ints = np.diff(ends, prepend=0)
    return parts


class _Members:
    """Which calls began in which window: the last one of their run that was open by then."""

    def __init__(self, columns: Columns, windows: Mapping[str, Reserved]) -> None:
        self._started_s = columns.started_s
        self._order = np.argsort(columns.run.codes, kind="stable")
        self._codes = columns.run.codes[self._order]
        self._code_of = {word: code for code, word in enumerate(columns.run.words) if word is not None}
        spans: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        for name, window in windows.items():
            spans[window.run].append((window.started_s, name))
        self._spans = {run: sorted(of_run) for run, of_run in spans.items()}
        self._by_window: dict[str, dict[str, Ints]] = {}

    def of(self, charge: IdleCharge) -> Ints:
        """Return the rows of the calls that share ``charge``: its window's, or all of its run."""
        if charge.run is None:
            return self._order[:0]
        if charge.window is None:
            return self._of_run(charge.run)
        if charge.run not in self._by_window:
            self._by_window[charge.run] = self._split(charge.run)
        return self._by_window[charge.run].get(charge.window, self._order[:0])

    def _of_run(self, run: str) -> Ints:
        if run not in self._code_of:
            return self._order[:0]
        first, behind = np.searchsorted(self._codes, [self._code_of[run], self._code_of[run] + 1])
        return self._order[first:behind]

    def _split(self, run: str) -> dict[str, Ints]:
        """Return the rows of each window of a run."""
        spans, rows = self._spans.get(run, []), self._of_run(run)
        starts = np.array([started_s for started_s, _ in spans])
        place = np.searchsorted(starts, self._started_s[rows], side="right") - 1
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange(len(spans) + 1))
        return {name: rows[order[ends[at] : ends[at + 1]]] for at, (_, name) in enumerate(spans)}


def left_over(left: Iterable[Left]) -> int | None:
    """Return the sum of what is left; None where a part is unknown."""
    amounts = [one.nano_usd for one in left]
    return None if None in amounts else sum(amount or 0 for amount in amounts)
