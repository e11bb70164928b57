"""``cput runs``: list earlier runs and show one again, from the ledger."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from cput.cli.measure import energy_of
from cput.ledger.store import Ledger
from cput.measure.energy import with_energy
from cput.measure.read import measurement
from cput.report import card, html, write
from cput.workloads import load

runs = App(name="runs", help="List earlier runs and show one again, from the ledger.")


@runs.command(name="list")
def list_(*, ledger: str | None = None) -> None:
    """List the runs in the ledger, newest last.

    Parameters
    ----------
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    """
    table = Table("run", "kind", "workload", "engine", "started (UTC)", "state")
    with contextlib.closing(Ledger.open(ledger)) as book:
        for run in book.runs():
            started = datetime.fromtimestamp(run.started_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
            state = "ended" if run.ended_s is not None else "open: resume it"
            table.add_row(run.id, run.kind, run.workload, run.engine, started, state)
    Console().print(table)


@runs.command
def show(
    run: str = "latest",
    *,
    ledger: str | None = None,
    html_file: Annotated[Path | None, Parameter(name="--html")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Show a run's card again.

    Parameters
    ----------
    run: str
        Its id, the beginning of it, or latest.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    html_file: Path
        Also write the HTML report there.
    as_json: bool
        Print JSON.
    """
    with contextlib.closing(Ledger.open(ledger)) as book:
        found = book.find_run(run)
        asked = found.config.get("asked", {})
        windows = book.windows(found.id)
        source = f"price version {windows[-1].price_version}" if windows else "unknown"
        result = measurement(book, found, load(asked.get("workload", found.workload)), rate_source=source)
        began = datetime.fromtimestamp(found.started_s, tz=UTC).date()
        result = with_energy(result, book, energy_of(asked, on=began))
    if as_json:
        print(json.dumps(result.as_json()))
    else:
        Console().print(card(result))
    if html_file is not None:
        write(html(result), html_file)
