"""Device windows charged again: by another rate, by the price that a file has for their device now, or as at first.

A window's charges are its attempts' shares of device time and the idle rest (see ``allocate``). A rate that was given
on the command line stays what it was, unless another one is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Row, select

from cput.errors import InputError
from cput.ledger import schema
from cput.ledger.allocate import allocate
from cput.ledger.price import DeviceRate, device_rate
from cput.ledger.repricing import Scope
from cput.ledger.rows import to_charge
from cput.ledger.runs import Run, Window
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Charge


class Leg(NamedTuple):
    """An attempt's share in its window."""

    call_id: str
    """Its call."""
    seq: int
    """Its number."""
    started_s: float
    """When it was sent."""
    engine_s: float | None
    """Its seconds of device time."""


def window_charges(seconds: float, legs: Sequence[Leg], rate: DeviceRate) -> tuple[Charge, ...]:
    """Return the charges of a window of ``seconds`` at a known ``rate``: one per leg, and the idle rest last."""
    assert rate.usd_per_h is not None
    split = allocate(seconds, rate.usd_per_h, [leg.engine_s for leg in legs])
    used = [
        Charge(call_id=leg.call_id, seq=leg.seq, incremental_nano_usd=amount, price_version=rate.version, basis="usage")
        for leg, amount in zip(legs, split.usage_nano_usd, strict=True)
    ]
    idle = Charge(
        call_id=None, seq=None, incremental_nano_usd=split.idle_nano_usd, price_version=rate.version, basis="idle"
    )
    return (*used, idle)


def recharged(
    ledger: Ledger, scope: Scope, *, rate: DeviceRate | None, first: bool
) -> Iterator[tuple[str, Window, tuple[tuple[Charge | None, Charge], ...]]]:
    """Yield, per window of ``scope``, its name, the window, and its charges: in effect, and as they should be.

    With ``first``, as they were written with the window; that covers the idle ones only, since the others are
    attempts' charges. A scope of one model or provider has no windows.
    """
    if scope.model is not None or scope.provider is not None:
        return
    for run in ledger.runs():
        if scope.run not in {None, run.id} or scope.workload not in {None, run.workload}:
            continue
        for window, until_s in _ended(ledger, run):
            if not (scope.since_s or 0) <= window.started_s < (scope.until_s or float("inf")):
                continue
            current = _current(ledger, window, run)
            after = _first_idle(current) if first else _again(window, until_s, current, rate)
            name = f"device {window.device or 'unknown'}"
            yield name, window, tuple((current.of(charge), charge) for charge in after)


class _Current(NamedTuple):
    """What is in effect in a window."""

    legs: tuple[Leg, ...]
    charges: Mapping[tuple[str, int | None], Charge]
    idle: Charge | None
    idle_rows: tuple[Row[Any], ...]

    def of(self, charge: Charge) -> Charge | None:
        """Return what ``charge`` takes the place of."""
        return self.idle if charge.call_id is None else self.charges.get((charge.call_id, charge.seq))


def _ended(ledger: Ledger, run: Run) -> list[tuple[Window, float]]:
    """Return a run's windows with their ends; one that a kill left open ended with the run's last attempt."""
    last_seen_s = ledger.last_seen_s(run.id)
    return [
        (window, max(window.started_s, window.ended_s if window.ended_s is not None else last_seen_s or 0.0))
        for window in ledger.windows(run.id)
    ]


def _current(ledger: Ledger, window: Window, run: Run) -> _Current:
    attempts, calls, charges = schema.attempts, schema.calls, schema.charges
    starts = [found.started_s for found in ledger.windows(run.id)]
    until_s = next((later for start, later in pairwise(starts) if start == window.started_s), float("inf"))
    legs = (
        select(attempts.c.call_id, attempts.c.seq, attempts.c.started_s, attempts.c.engine_s)
        .join_from(attempts, calls, attempts.c.call_id == calls.c.id)
        .where(calls.c.run == run.id, attempts.c.provider.is_(None), attempts.c.started_s >= window.started_s)
        .order_by(calls.c.recorded_s, calls.c.id, attempts.c.seq)
    )
    of_run = select(calls.c.id).where(calls.c.run == run.id)
    used = select(charges).where(charges.c.call_id.in_(of_run), charges.c.basis == "usage").order_by(charges.c.id)
    idle = select(charges).where(charges.c.call_id.is_(None), charges.c.window_id == window.id).order_by(charges.c.id)
    with snapshot(ledger) as connection:
        found = [Leg(*row) for row in connection.execute(legs) if row.started_s < until_s]
        in_effect = {(row.call_id, row.seq): to_charge(row) for row in connection.execute(used)}
        idle_rows = tuple(row for row in connection.execute(idle) if row.basis == "idle")
    return _Current(tuple(found), in_effect, to_charge(idle_rows[-1]) if idle_rows else None, idle_rows)


def _again(window: Window, until_s: float, current: _Current, rate: DeviceRate | None) -> tuple[Charge, ...]:
    """Return the window's charges by another rate; none where there is no other rate."""
    found = rate if rate is not None else _listed(window)
    if found is None or found.usd_per_h is None:
        return ()
    return window_charges(until_s - window.started_s, current.legs, found)


def _listed(window: Window) -> DeviceRate | None:
    """Return the price that is on file for the window's device on its day; None where its rate is not from a file."""
    device, at, _ = window.price_version.partition("@")
    if not at:
        return None
    try:
        return device_rate(None, device, on=datetime.fromtimestamp(window.started_s, UTC).date())
    except InputError:  # no price file knows it any more
        return None


def _first_idle(current: _Current) -> tuple[Charge, ...]:
    """Return the idle charge that was written with the window, where a repricing has replaced it."""
    written = [row for row in current.idle_rows if row.repricing is None]
    replaced = bool(current.idle_rows) and current.idle_rows[-1].repricing is not None
    return (to_charge(written[-1]),) if written and replaced else ()
