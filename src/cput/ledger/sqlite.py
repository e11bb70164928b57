"""Opens the SQLite file: WAL, full synchronous, and BEGIN IMMEDIATE for writers."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from cput.errors import InputError, SetupError
from cput.ledger.faults import BUSY_TIMEOUT_S

APPLICATION_ID = 0x43505554
"""``CPUT``; ``file ledger.db`` shows it."""
_CHECKPOINT_PAGES = 4000


def prepare(path: Path) -> None:
    """Make the file with its folder, or see that it is a ledger; switch it to a write-ahead log."""
    _make_folder(path)
    with contextlib.closing(_connect(path)) as plain:
        _refuse_strangers(plain, path)
        _use_wal(plain, path)


def engine(path: Path, *, writing: bool) -> Engine:
    """Return connections to the file; those that are not for writing cannot write, and see one snapshot each."""
    made = create_engine(
        "sqlite://", creator=lambda: _connect(path), poolclass=QueuePool, pool_size=2 if writing else 4, max_overflow=16
    )

    @event.listens_for(made, "connect")
    def configure(connection: Any, _: Any) -> None:
        if writing:
            connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        else:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(made, "begin")
    def begin(connection: Any) -> None:
        # IMMEDIATE takes the write lock at once, where the busy timeout applies; a later upgrade would fail at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return made


def _make_folder(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the ledger's file, such as {path / 'ledger.db'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"the folder {path.parent} for the ledger cannot be made ({error.strerror}); set CPUT_HOME"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    # isolation_level None: the driver begins no transaction of its own; SQLAlchemy's begin event does.
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _refuse_strangers(connection: sqlite3.Connection, path: Path) -> None:
    """Leave a database that is not a ledger untouched."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "cput_migrations" not in tables:
        raise InputError(
            f"{path} is an SQLite database but not a ledger (it has tables {', '.join(sorted(tables)[:3])}). "
            "Name another file, or set CPUT_HOME"
        )


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to WAL. Two processes that create the file at once may meet here, where no busy timeout applies."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise SetupError(
                f"the ledger {path} cannot use a write-ahead log (SQLite says '{mode}'); "
                "put it on a local disk: set CPUT_HOME"
            )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        return
