"""Folds calls while they arrive, so that the first question after many of them need not.

``Folding`` does it in a thread, a segment's worth whenever enough rows were written (see ``query.kept``); it holds the
write lock for milliseconds. ``FoldingApart`` starts a process for it now and then: a gateway would otherwise hold numpy
and the folds in its memory, and its event loop would wait for the interpreter. What neither gets done, the next
question does.

    python -m cput.ledger.folding LEDGER.db      # what such a process runs
"""

import contextlib
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.exc import SQLAlchemyError

from cput.errors import CputError

if TYPE_CHECKING:
    from cput.ledger.database import Database

EVERY_ROWS = 32_768
APART_EVERY_ROWS = 262_144
"""Rows between two processes; one takes about a second for them, half of it to start."""
NICENESS = 19
GOING_S = 5.0


class Folds(Protocol):
    """What is told of rows, and sees to it that they are folded."""

    def saw(self, rows: int) -> None:
        """Say that so many rows were written, from any thread; an exact count doesn't matter."""
        ...

    def close(self) -> None:
        """Stop. Safe to call twice."""
        ...


class Folding:
    """Counts the rows that are written, and folds after every so many. No thread is started before that."""

    def __init__(self, database: "Database", every_rows: int = EVERY_ROWS) -> None:
        """Fold the ledger in ``database``; where its rows carry no order of arrival, nothing is ever done."""
        self._database = database
        self._every_rows = every_rows
        self._unfolded = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def saw(self, rows: int) -> None:
        """Say that so many rows were written, from any thread; an exact count doesn't matter."""
        self._unfolded += rows
        if self._unfolded < self._every_rows or self._closing or self._database.reading.dialect.name != "sqlite":
            return
        self._unfolded = 0
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="cput-ledger-folding", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread after the segment that it works on. Safe to call twice."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while not self._closing and fold_some(self._database):
                pass
            if self._closing:
                return


class FoldingApart:
    """Counts the rows that are written to a file, and starts a process that folds after every so many."""

    def __init__(self, path: str, every_rows: int = APART_EVERY_ROWS) -> None:
        """Fold the ledger in the file ``path``."""
        self._command = [sys.executable, "-m", "cput.ledger.folding", path]
        self._every_rows = every_rows
        self._unfolded = 0
        self._process: subprocess.Popen[bytes] | None = None

    def saw(self, rows: int) -> None:
        """Say that so many rows were written; see ``Folds``."""
        self._unfolded += rows
        if self._unfolded < self._every_rows or (self._process is not None and self._process.poll() is None):
            return
        self._unfolded = 0
        with contextlib.suppress(OSError):  # no more processes, or files: the next question folds
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def close(self) -> None:
        """End a process that still folds; a transaction that it had begun comes to nothing."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GOING_S)


def fold_some(database: "Database") -> bool:
    """Fold and keep one segment's worth; return whether there was one."""
    from cput.ledger.query.kept import UNREADABLE, changed_a_little, keep

    try:
        with database.reading.begin() as connection:
            change = changed_a_little(connection)
        if change is None:
            return False
        with database.writing.begin() as connection:
            keep(connection, change)
    except (CputError, SQLAlchemyError, *UNREADABLE):
        return False
    return change.is_full


def main(path: str) -> None:
    """Fold what there is to fold in a ledger, in the background of the machine."""
    from cput.ledger.address import address
    from cput.ledger.database import open_database

    _yield_to_others()
    with contextlib.closing(open_database(address(path))) as database:
        while fold_some(database):
            pass


def _yield_to_others() -> None:
    """Run only where nobody else wants the processor: a gateway's chunk must not wait for a fold."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(NICENESS)


if __name__ == "__main__":
    main(sys.argv[1])
