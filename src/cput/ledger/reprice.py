"""Repricing: past attempts charged again by another price book, beside their first charges and not over them.

    with Ledger.open() as ledger:
        found = reprice(ledger, PriceBook.load([Path("prices.toml")]), Scope(workload="ifeval"), dry_run=True)
        found.before.nano_usd, found.after.nano_usd

What is in effect is the charge written last. A repricing names itself in its rows, so that going back to an earlier
price version takes effect as well; one that was broken off goes on where it is started again. Prices are those of each
attempt's own day. ``book=None`` brings back the charges that were written with the attempts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, null, select, tuple_

from cput.ledger import schema
from cput.ledger.price import UNPRICED, DeviceRate, PriceBook
from cput.ledger.recharge import recharged
from cput.ledger.repricing import Change, Money, Repricing, Scope
from cput.ledger.rows import to_attempt, to_charge
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Attempt, Charge, new_id

__all__ = ["Change", "Money", "Repricing", "Scope", "reprice"]

PAGE = 1000
_HEAVY = {"text", "gaps_s"}
_UNKNOWN: dict[str, Any] = {"incremental_nano_usd": None, "price_version": UNPRICED}


def reprice(
    ledger: Ledger,
    book: PriceBook | None,
    scope: Scope | None = None,
    *,
    rate: DeviceRate | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Repricing:
    """Charge the attempts of ``scope`` again by ``book``, and device windows by their device's price or ``rate``.

    ``book=None`` brings back what was first written. ``progress`` hears how many attempts have been looked at.
    Left alone: an attempt that is not billed by its usage, ``flat`` charges, and what a cache hit avoided.
    """
    within = scope or Scope()
    identity = new_id()
    changes: defaultdict[str, Change] = defaultdict(Change)
    seen = 0
    paid = _runs_by_window(ledger)
    for page in _pages(ledger, within):
        written: defaultdict[str | None, list[Charge]] = defaultdict(list)
        for item in page:
            after = _first(item) if book is None else _again(item, book, paid)
            if after is None:
                continue
            changes[_name(item.attempt)] = changes[_name(item.attempt)].of(item.current, after)
            if after != item.current:
                written[item.run].append(after)
        if not dry_run:
            for run, charges in written.items():
                ledger.add_charges(charges, run=run, repricing=identity)
        seen += len(page)
        progress(seen)
    for name, window, pairs in recharged(ledger, within, rate=rate, first=book is None):
        for before, after in pairs:
            changes[name] = changes[name].of(before, after)
        if not dry_run:
            other = [after for before, after in pairs if before != after]
            ledger.add_charges(other, run=window.run, window=window.id, repricing=identity)
    return Repricing(id=identity, dry_run=dry_run, changes=dict(sorted(changes.items())))


class _Item(NamedTuple):
    attempt: Attempt
    run: str | None
    current: Charge | None
    first: Charge | None
    repriced: bool
    by_window: bool


def _again(item: _Item, book: PriceBook, paid: frozenset[str | None]) -> Charge | None:
    """Return the attempt's charge by ``book``; None where it is left as it is.

    ``paid`` are the runs whose windows pay for the attempts that have no provider.
    """
    if item.attempt.provider is None and (item.by_window or item.run in paid):
        return None
    charge = book.charge(item.attempt)
    if charge is None:  # not billed by its usage; what another book had made of it is taken back
        return replace(item.current, **_UNKNOWN) if item.current is not None and item.repriced else None
    return charge if item.current is None else replace(charge, avoided_nano_usd=item.current.avoided_nano_usd)


def _first(item: _Item) -> Charge | None:
    """Return the charge that was written with the attempt; None where no repricing has replaced it."""
    if not item.repriced or item.current is None:
        return None
    return item.first or replace(item.current, **_UNKNOWN)


def _pages(ledger: Ledger, scope: Scope) -> Iterator[Sequence[_Item]]:
    """Yield the attempts of ``scope`` with their charges, by call, a page at a time."""
    attempts = schema.attempts
    last: tuple[str, int] | None = None
    while True:
        query = _chosen(scope).order_by(attempts.c.call_id, attempts.c.seq).limit(PAGE)
        if last is not None:
            query = query.where(tuple_(attempts.c.call_id, attempts.c.seq) > last)
        with snapshot(ledger) as connection:
            rows = connection.execute(query).all()
            if not rows:
                return
            found = connection.execute(_per_call({row.call_id for row in rows})).all()
        charges = _charges(charge for charge in found if charge.basis == "usage")
        flat = {(charge.call_id, charge.seq) for charge in found if charge.basis == "flat"}
        legs = [(row, (row.call_id, row.seq)) for row in rows]
        yield [_item(row, charges.get(leg, [])) for row, leg in legs if leg in charges or leg not in flat]
        last = (rows[-1].call_id, rows[-1].seq)


def _chosen(scope: Scope) -> Select[Any]:
    attempts, calls = schema.attempts, schema.calls
    light = [column for column in attempts.c if column.name not in _HEAVY]
    query = select(*light, *(null().label(name) for name in sorted(_HEAVY)), calls.c.run.label("run_of_call"))
    query = query.join_from(attempts, calls, attempts.c.call_id == calls.c.id)
    for column, value in (
        (calls.c.run, scope.run),
        (calls.c.workload, scope.workload),
        (attempts.c.model, scope.model),
        (attempts.c.provider, scope.provider),
    ):
        query = query if value is None else query.where(column == value)
    if scope.since_s is not None:
        query = query.where(attempts.c.started_s >= scope.since_s)
    return query if scope.until_s is None else query.where(attempts.c.started_s < scope.until_s)


def _per_call(call_ids: set[str]) -> Select[Any]:
    table = schema.charges
    return select(table).where(table.c.call_id.in_(call_ids), table.c.basis.in_(("usage", "flat"))).order_by(table.c.id)


def _charges(rows: Iterable[Row[Any]]) -> dict[tuple[str, int], list[Row[Any]]]:
    grouped: defaultdict[tuple[str, int], list[Row[Any]]] = defaultdict(list)
    for row in rows:
        grouped[row.call_id, row.seq].append(row)
    return grouped


def _item(row: Row[Any], charges: Sequence[Row[Any]]) -> _Item:
    first = [charge for charge in charges if charge.repricing is None]
    return _Item(
        attempt=to_attempt(row),
        run=row.run_of_call,
        current=to_charge(charges[-1]) if charges else None,
        first=to_charge(first[-1]) if first else None,
        repriced=bool(charges) and charges[-1].repricing is not None,
        by_window=bool(charges) and charges[-1].window_id is not None,
    )


def _runs_by_window(ledger: Ledger) -> frozenset[str | None]:
    """Return the runs whose windows have a price."""
    windows = schema.windows
    with snapshot(ledger) as connection:
        rows = connection.execute(select(windows.c.run).where(windows.c.rate_nano_usd_per_h.is_not(None)).distinct())
        return frozenset(row.run for row in rows)


def _name(attempt: Attempt) -> str:
    model = attempt.model or "unknown model"
    return f"{attempt.provider}/{model}" if attempt.provider else model
