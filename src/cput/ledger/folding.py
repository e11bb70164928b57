"""Folds calls while they arrive, so that the first question after many of them need not.

A thread of its own folds a segment's worth whenever enough rows were written (see ``query.kept``). It holds the write
lock for milliseconds, and what it doesn't get done, the next question does.
"""

import threading
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from cput.errors import CputError

if TYPE_CHECKING:
    from cput.ledger.database import Database

EVERY_ROWS = 32_768


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
            while not self._closing and self._fold_some():
                pass
            if self._closing:
                return

    def _fold_some(self) -> bool:
        """Fold and keep one segment's worth; return whether there was one."""
        from cput.ledger.query.kept import UNREADABLE, changed_a_little, keep

        try:
            with self._database.reading.begin() as connection:
                change = changed_a_little(connection)
            if change is None:
                return False
            with self._database.writing.begin() as connection:
                keep(connection, change)
        except (CputError, SQLAlchemyError, *UNREADABLE):
            return False
        return change.is_full
