"""``cput reprice``: charge past attempts again by today's price files, beside their first charges."""

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from cput.cli.when import moment, period
from cput.errors import InputError
from cput.ledger.price import PriceBook, device_rate
from cput.ledger.reprice import Change, Money, Repricing, Scope
from cput.ledger.reprice import reprice as run_reprice
from cput.ledger.store import Ledger
from cput.units import from_nano_usd, usd


def reprice(
    *,
    period_: Annotated[str | None, Parameter(name="--period")] = None,
    since: str | None = None,
    until: str | None = None,
    run: str | None = None,
    workload: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    prices: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    rate: str | None = None,
    device: str | None = None,
    original: Annotated[bool, Parameter(negative=())] = False,
    force: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    ledger: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Charge past attempts again; the charges that were written first stay in the ledger.

    Every attempt is priced as of its own day. What is not billed by its usage is left alone.

    Parameters
    ----------
    period_: str
        A year, month or day (UTC): 2026, 2026-11, 2026-11-25.
    since: str
        Attempts sent at this day or moment or later.
    until: str
        Attempts sent before it.
    run: str
        Of this run: its id, the beginning of it, or latest.
    workload: str
        Of this workload.
    model: str
        Answered by this model, as the engine named it.
    provider: str
        Billed by this provider.
    prices: tuple[Path, ...]
        A price file that wins over all others; may be repeated.
    rate: str
        Charge device windows at this rate (0.08/h) and not at the one on file.
    device: str
        Charge device windows at the price of this device.
    original: bool
        Bring back the charges that were written with the attempts.
    force: bool
        Take implausible prices of the price files as they are.
    dry_run: bool
        Show what would change and write nothing.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    if original and (prices or rate or device):
        raise InputError("--original brings back what was written first; it takes no --prices, --rate or --device")
    first, last = _edges(period_, since, until)
    book = None if original else PriceBook.load(prices, force=force)
    at = device_rate(rate, device) if rate is not None or device is not None else None
    errors = Console(stderr=True, highlight=False)
    with contextlib.closing(Ledger.open(ledger)) as opened, _told(errors) as progress:
        scope = Scope(
            since_s=first.timestamp() if first is not None else None,
            until_s=last.timestamp() if last is not None else None,
            run=opened.find_run(run).id if run is not None else None,
            workload=workload,
            model=model,
            provider=provider,
        )
        found = run_reprice(opened, book, scope, rate=at, dry_run=dry_run, progress=progress)
    if as_json:
        print(json.dumps(_as_json(found)))
    else:
        Console().print(_card(found))


def _edges(period_: str | None, since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    if period_ is not None and (since is not None or until is not None):
        raise InputError(f"--period {period_} and --since or --until exclude each other; give one of them")
    if period_ is not None:
        return period(period_, "--period")
    first = moment(since, "--since") if since is not None else None
    last = moment(until, "--until") if until is not None else None
    if first is not None and last is not None and last <= first:
        raise InputError(f"--until {until} is not after --since {since}")
    return first, last


@contextlib.contextmanager
def _told(console: Console) -> Iterator[Any]:
    """Yield what hears how many attempts have been looked at; a terminal shows it."""
    with console.status("repricing") as status:
        yield lambda seen: status.update(f"repricing: {seen:,} attempts looked at")


def _card(found: Repricing) -> Group:
    table = Table("what", title="Repricing" if not found.dry_run else "Repricing (dry run)", title_justify="left")
    for name in ("charges", "changed", "before", "after", "difference"):
        table.add_column(name, justify="right")
    for name, change in found.changes.items():
        table.add_row(name, *_cells(change))
    table.add_section()
    table.add_row("all", *_cells(Change(found.priced, found.changed, found.before, found.after)))
    if not found.changes:
        return Group(Text("Nothing in the ledger matches: nothing was priced again."))
    end = (
        "Nothing was written: it was a dry run."
        if found.dry_run
        else f"{found.changed:,} charges written as repricing {found.id}; the first ones are kept (--original)."
    )
    return Group(table, Text(end))


def _cells(change: Change) -> tuple[str, ...]:
    difference = change.after.nano_usd - change.before.nano_usd
    sign = "-" if difference < 0 else "+"
    return (
        f"{change.priced:,}",
        f"{change.changed:,}",
        _money(change.before),
        _money(change.after),
        f"{sign}{usd(from_nano_usd(abs(difference)))}" if difference else "none",
    )


def _money(money: Money) -> str:
    known = usd(from_nano_usd(money.nano_usd))
    return f"{known} and {money.unpriced:,} unpriced" if money.unpriced else known


def _as_json(found: Repricing) -> dict[str, Any]:
    def sums(change: Change) -> dict[str, Any]:
        return {
            "charges": change.priced,
            "changed": change.changed,
            "before_nano_usd": change.before.nano_usd,
            "before_unpriced": change.before.unpriced,
            "after_nano_usd": change.after.nano_usd,
            "after_unpriced": change.after.unpriced,
        }

    return {
        "repricing": None if found.dry_run else found.id,
        "dry_run": found.dry_run,
        "total": sums(Change(found.priced, found.changed, found.before, found.after)),
        "changes": {name: sums(change) for name, change in found.changes.items()},
    }
