"""Writes a ledger's charges as a FOCUS 1.2 dataset: one file of rows that FOCUS allows, one of those that it does not.

    export_focus(ledger, Path("july.parquet"), Selection(workload="ifeval"))

The second file (``july.incomplete.parquet``) has the same columns; it is there only where it has rows. BilledCost over
both adds up to the ledger's charges in effect.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select

from cput.errors import unknown
from cput.ledger import schema
from cput.ledger.export.atomic import check, whole_file
from cput.ledger.export.focus import ACCOUNT, focus_rows, idle_row, loose_row
from cput.ledger.export.focus_columns import COLUMNS
from cput.ledger.export.focus_parts import WHY, FocusRow
from cput.ledger.export.scan import Progress, bundles, idle_charges, loose_charges
from cput.ledger.export.selection import Selection
from cput.ledger.export.table import BATCH, CsvSink, ParquetSink, Sink, pyarrow
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger

FORMATS: dict[str, Callable[..., Sink]] = {"csv": CsvSink, "parquet": ParquetSink}
_REQUIRED = tuple(column.name for column in COLUMNS if not column.nullable)


class Written(NamedTuple):
    """What an export wrote."""

    rows: int
    """Rows of the FOCUS file."""
    incomplete: int
    """Rows of the second file."""
    path: Path
    """The FOCUS file."""
    incomplete_path: Path | None
    """The second file; None where there is none."""


def export_focus(
    ledger: Ledger,
    path: Path,
    selection: Selection | None = None,
    *,
    threshold: float = 1.0,
    account: str = ACCOUNT,
    overwrite: bool = False,
    progress: Progress = lambda *_: None,
) -> Written:
    """Write the selected charges to ``path``, a .csv or .parquet file. Memory does not grow with the ledger.

    ``threshold`` is the least outcome that is useful, ``account`` the BillingAccountId.

    Raises:
        InputError: when the file's ending or place is not allowed.
        SetupError: when it cannot be written, or pyarrow is missing.
    """
    second = path.with_name(f"{path.stem}.incomplete{path.suffix}")
    open_sink = _sink_for(path)
    for place in (path, second):
        check(place, overwrite=overwrite)
    with contextlib.ExitStack() as stack, snapshot(ledger) as connection:
        files = _Files(stack, path, second, open_sink, overwrite)
        for row in _rows(connection, selection or Selection(), threshold, account, progress):
            files.add(row)
        files.flush()
    if not files.incomplete:
        second.unlink(missing_ok=True)  # one of an earlier export
    return Written(files.rows, files.incomplete, path, second if files.incomplete else None)


def _sink_for(path: Path) -> Callable[..., Sink]:
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise unknown("ending of the file", ending or str(path), FORMATS)
    if ending == "parquet":
        pyarrow()  # where it is missing, say so before any work is done
    return FORMATS[ending]


def _rows(
    connection: Connection, selection: Selection, threshold: float, account: str, progress: Progress
) -> Iterator[FocusRow]:
    devices = {row.id: row.device for row in connection.execute(select(schema.windows.c.id, schema.windows.c.device))}
    total = selection.count(connection)
    for done, bundle in enumerate(bundles(connection, selection, texts=False), start=1):
        yield from focus_rows(bundle, devices, threshold=threshold, account=account)
        progress(done, total)
    for idle in idle_charges(connection, selection):
        yield idle_row(idle, account=account)
    if selection.everything:
        for charge in loose_charges(connection):
            yield loose_row(charge, account=account)


class _Files:
    """The two files, the second one opened when its first row comes."""

    def __init__(
        self, stack: contextlib.ExitStack, path: Path, second: Path, open_sink: Callable[..., Sink], overwrite: bool
    ) -> None:
        self._stack = stack
        self._second = second
        self._open = open_sink
        self._overwrite = overwrite
        self._whole = self._sink(path)
        self._rest: Sink | None = None
        self._waiting: list[FocusRow] = []
        self._waiting_rest: list[FocusRow] = []
        self.rows = 0
        self.incomplete = 0

    def add(self, row: FocusRow) -> None:
        if WHY in row or any(row.get(name) is None for name in _REQUIRED):
            self.incomplete += 1
            self._waiting_rest.append(row)
        else:
            self.rows += 1
            self._waiting.append(row)
        if len(self._waiting) + len(self._waiting_rest) >= BATCH:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._whole.write(self._waiting)
        if self._waiting_rest:
            self._rest = self._rest or self._sink(self._second)
            self._rest.write(self._waiting_rest)
        self._waiting, self._waiting_rest = [], []

    def _sink(self, path: Path) -> Sink:
        sink = self._open(self._stack.enter_context(whole_file(path, overwrite=self._overwrite)))
        self._stack.callback(sink.close)  # before its file is closed and put in its place
        return sink
