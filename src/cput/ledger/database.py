"""Opens the SQLite file: WAL, full synchronous, BEGIN IMMEDIATE for writers, migrations, and sentences for failures."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from cput.errors import InputError, SetupError
from cput.ledger.faults import BUSY_TIMEOUT_S, explain
from cput.ledger.migrations import migrate

APPLICATION_ID = 0x43505554
"""``CPUT``; ``file ledger.db`` shows it."""
_CHECKPOINT_PAGES = 4000


class Database(NamedTuple):
    """The two ways into one file."""

    writing: Engine
    """One connection, for the writer thread; its transactions begin IMMEDIATE."""
    reading: Engine
    """A few connections that cannot write; each sees one snapshot per transaction."""

    def close(self) -> None:
        """Close all connections."""
        self.writing.dispose()
        self.reading.dispose()


def open_database(path: Path) -> Database:
    """Open ``path`` or create it, and bring its schema to the last migration.

    Raises:
        InputError: when the file is something else.
        SetupError: when it cannot be created, written or locked, or a newer cput wrote it.
    """
    with sentences(path):
        _make_folder(path)
        with contextlib.closing(_connect(path)) as plain:
            _refuse_strangers(plain, path)
            _use_wal(plain, path)
        database = Database(_engine(path, writing=True), _engine(path, writing=False))
        try:
            with database.writing.begin() as connection:
                migrate(connection, str(path))
        except BaseException:
            database.close()
            raise
    return database


@contextlib.contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn what the database raises into a sentence that names ``path``."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise explain(error, str(path)) from error


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


def _engine(path: Path, *, writing: bool) -> Engine:
    engine = create_engine(
        "sqlite://", creator=lambda: _connect(path), poolclass=QueuePool, pool_size=1 if writing else 4, max_overflow=16
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        if writing:
            connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        else:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # IMMEDIATE takes the write lock at once, where the busy timeout applies; a later upgrade would fail at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
