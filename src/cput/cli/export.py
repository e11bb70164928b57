"""``cput export`` and ``cput import``: the ledger as FOCUS, OpenTelemetry and JSON Lines, and back."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from cput.cli.when import moment
from cput.errors import InputError
from cput.ledger.export import Selection, export_focus, export_jsonl, export_otel, import_jsonl, send_otel
from cput.ledger.store import Ledger

export = App(name="export", help="Write the ledger as FOCUS 1.2, OpenTelemetry GenAI spans or JSON Lines.")
PIPE_EVERY_S = 15.0
INTERRUPTED = 130
Flag = Annotated[bool, Parameter(negative=())]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which calls, of which ledger; the parameters that all exports share."""

    since: Annotated[str | None, Parameter(help="Calls sent at this day or moment (UTC) or later.")] = None
    until: Annotated[str | None, Parameter(help="Calls sent before it.")] = None
    run: Annotated[str | None, Parameter(help="Of this run: its id, the beginning of it, or latest.")] = None
    workload: Annotated[str | None, Parameter(help="Of this workload.")] = None
    policy: Annotated[str | None, Parameter(help="Served by this policy; leaves idle time out.")] = None
    tenant: Annotated[str | None, Parameter(help="Asked by this tenant; leaves idle time out.")] = None
    ledger: Annotated[str | None, Parameter(help="The ledger; by default a file in the user's data folder.")] = None

    def of(self, book: Ledger) -> Selection:
        """Return the selection in a ledger."""
        since, until = (
            None if text is None else moment(text, flag).timestamp()
            for text, flag in ((self.since, "--since"), (self.until, "--until"))
        )
        if since is not None and until is not None and until <= since:
            raise InputError(f"--until {self.until} is not after --since {self.since}")
        return Selection(
            run=None if self.run is None else book.find_run(self.run).id,
            workload=self.workload,
            policy=self.policy,
            tenant=self.tenant,
            since_s=since,
            until_s=until,
        )


ALL = Which()


@export.command
def focus(
    *,
    out: Path,
    which: Which = ALL,
    threshold: float = 1.0,
    account: str = "cput",
    overwrite: Flag = False,
    as_json: AsJson = False,
) -> None:
    """Write one row per charge in effect, idle time included, with the columns of FOCUS 1.2 and our own.

    What has no known cost or time goes into a second file, .incomplete in its name, with the same columns.

    Parameters
    ----------
    out: Path
        The file: .csv or .parquet (which needs the extra cput[export]).
    threshold: float
        The least outcome value, 0 to 1, that is useful.
    account: str
        What stands in BillingAccountId.
    overwrite: bool
        Replace files that exist.
    as_json: bool
        Print what was written as JSON.
    """
    with _opened(which.ledger, f"{out} is not written") as (book, console), _showing(console, "focus") as tell:
        written = export_focus(
            book,
            out,
            which.of(book),
            threshold=_share(threshold),
            account=account,
            overwrite=overwrite,
            progress=tell,
        )
    found = {"rows": written.rows, "incomplete": written.incomplete, "file": str(written.path)}
    sentence = f"{written.rows:,} rows in {written.path}"
    if written.incomplete_path is not None:
        found["incomplete_file"] = str(written.incomplete_path)
        sentence += f"; {written.incomplete:,} whose cost or time is unknown in {written.incomplete_path}"
    _say(found, sentence, as_json)


@export.command
def otel(
    *,
    out: Path | None = None,
    endpoint: str | None = None,
    which: Which = ALL,
    threshold: float = 1.0,
    overwrite: Flag = False,
    as_json: AsJson = False,
) -> None:
    """Write GenAI spans, one per attempt, and an evaluation event per outcome. Prompts and answers stay here.

    Parameters
    ----------
    out: Path
        The file of spans, as OTLP in JSON Lines; the events go into a second one, .events in its name.
    endpoint: str
        An OTLP/HTTP collector to send to instead, such as http://localhost:4318; OTEL_EXPORTER_OTLP_HEADERS is read.
    threshold: float
        The least outcome value, 0 to 1, that is useful.
    overwrite: bool
        Replace files that exist.
    as_json: bool
        Print what was written as JSON.
    """
    if (out is None) == (endpoint is None):
        raise InputError("give one of --out FILE and --endpoint URL")
    place = str(out if out is not None else endpoint)
    left = f"{place} is not written" if out is not None else f"what {place} has taken stays there; it may be sent again"
    with _opened(which.ledger, left) as (book, console), _showing(console, "otel") as tell:
        chosen, least = which.of(book), _share(threshold)
        if out is not None:
            sent = export_otel(book, out, chosen, threshold=least, overwrite=overwrite, progress=tell)
        else:
            sent = send_otel(book, place, chosen, threshold=least, progress=tell)
    found = {"spans": sent.spans, "events": sent.events, "to": place}
    _say(found, f"{sent.spans:,} spans and {sent.events:,} events to {place}", as_json)


@export.command
def jsonl(
    *,
    out: Path,
    which: Which = ALL,
    overwrite: Flag = False,
    as_json: AsJson = False,
) -> None:
    """Write whole records, one per line, texts included; cput import reads them into another ledger.

    Parameters
    ----------
    out: Path
        The file.
    overwrite: bool
        Replace a file that exists.
    as_json: bool
        Print what was written as JSON.
    """
    with _opened(which.ledger, f"{out} is not written") as (book, console), _showing(console, "jsonl") as tell:
        lines = export_jsonl(book, out, which.of(book), overwrite=overwrite, progress=tell)
    _say({"lines": lines, "file": str(out)}, f"{lines:,} lines in {out}", as_json)


def import_(file: Path, *, ledger: str | None = None, as_json: AsJson = False) -> None:
    """Read what cput export jsonl wrote into a ledger; what is there already is left alone.

    Parameters
    ----------
    file: Path
        The file.
    ledger: str
        The ledger; by default a file in the user's data folder.
    as_json: bool
        Print what was read as JSON.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with contextlib.closing(Ledger.open(ledger)) as book, _showing(console, "import") as tell:
        read = import_jsonl(book, file, progress=lambda lines: tell(lines, 0))
    _say(
        {"lines": read.lines, "calls": read.calls, "file": str(file)},
        f"{read.lines:,} lines of {file} are in the ledger, {read.calls:,} calls among them",
        as_json,
    )


@contextlib.contextmanager
def _opened(ledger: str | None, left: str) -> Iterator[tuple[Ledger, Console]]:
    """Open the ledger; an interrupted export says what is ``left`` of it."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with contextlib.closing(Ledger.open(ledger)) as book:
            yield book, console
    except KeyboardInterrupt:
        console.print(f"cput: interrupted; {left}", markup=False)
        sys.exit(INTERRUPTED)


def _share(threshold: float) -> float:
    if not 0.0 <= threshold <= 1.0:
        raise InputError(f"--threshold is {threshold}; allowed: 0 to 1")
    return threshold


def _say(found: dict[str, Any], sentence: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
    else:
        Console(highlight=False, soft_wrap=True).print(sentence, markup=False)


@contextlib.contextmanager
def _showing(console: Console, label: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many calls are done: a bar on a terminal, a line now and then on a pipe. A total of 0 is unknown."""
    if not console.is_terminal:
        yield _lines(console, label)
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total or None)


def _lines(console: Console, label: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PIPE_EVERY_S:
            last = time.monotonic()
            console.print(f"{label}: {done:,}{f' of {total:,}' if total else ''}", markup=False)

    return tell
