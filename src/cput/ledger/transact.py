"""Runs a transaction to its end: once on SQLite, and on a server until it is back and has taken it.

What is waiting outlives a restart of the server, and two processes that stand in each other's way. A connection that
breaks at the commit leaves open whether the rows were kept: the server is then asked (``pg_xact_status``), since some
rows (idle charges without a window) would count twice if they were simply written again.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import Engine, PoolProxiedConnection, text
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from cput.errors import SetupError
from cput.ledger.faults import BUSY_TIMEOUT_S, explain, state_of


class Statements(Protocol):
    """What runs a statement in the database's own dialect; a SQLAlchemy ``Connection`` is one."""

    def exec_driver_sql(self, statement: str, parameters: Any, /) -> Any:
        """Run it with its parameters, or with a list of them."""
        ...


Work = Callable[[Statements], None]
_NUMBER = text("SELECT CAST(pg_current_xact_id() AS text)")
_STATUS = text("SELECT pg_xact_status(CAST(:number AS xid8))")
_PASSING = frozenset({"40001", "40P01", "53300", "57P01", "57P02", "57P03"})
"""Serialization failure, deadlock, too many connections, server going down, gone down, coming up."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


class Transactions:
    """Does work in one transaction after another, in one thread.

    On SQLite they run on the driver's connection itself, which is kept: SQLAlchemy's way to the same three statements
    and back takes 0.25 ms, twice as long as SQLite with its fsync.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._where = where
        self._kept: PoolProxiedConnection | None = None

    def run(self, work: Work) -> None:
        """Do ``work``; return when it is durable.

        Raises:
            SQLAlchemyError: what the database raises and will raise again.
            SetupError: when a server is away for longer than ``BUSY_TIMEOUT_S``.
        """
        if self._engine.dialect.name == "sqlite":
            self._on_sqlite(work)
        else:
            _Lasting(self._engine, self._where).run(work)

    def close(self) -> None:
        """Give the connection back."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _on_sqlite(self, work: Work) -> None:
        if self._kept is None:
            self._kept = self._engine.raw_connection()
        driver = self._kept.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            driver.execute("BEGIN IMMEDIATE")  # takes the write lock at once, where the busy timeout applies
            work(_OnDriver(driver))
            driver.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                if driver.in_transaction:
                    driver.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise DBAPIError.instance("", None, error, sqlite3.Error) from error
            raise


class _OnDriver:
    """A driver's connection, called as SQLAlchemy's is."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver

    def exec_driver_sql(self, statement: str, parameters: Any, /) -> Any:
        return self._driver.execute(statement, parameters)


class _Lasting:
    """One transaction on a server, tried until it is through or patience ends."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._where = where
        self._number: str | None = None
        """Of the last transaction that was begun, until its end is known."""
        self._pause_s = _FIRST_PAUSE_S
        self._deadline: float | None = None

    def run(self, work: Work) -> None:
        while True:
            try:
                if self._number is None:
                    self._once(work)
                    return
                if self._ended():
                    return
            except DBAPIError as error:
                if not _passing(error):
                    raise
                self._wait(error)

    def _once(self, work: Work) -> None:
        try:
            with self._engine.begin() as connection:
                self._number = connection.scalar(_NUMBER)
                work(connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                self._number = None  # the server said that it came to nothing
            raise

    def _ended(self) -> bool:
        """Return whether the transaction on whose connection we were was committed; where it failed, forget it."""
        status: str | None
        try:
            with self._engine.connect() as connection:
                status = connection.scalar(_STATUS, {"number": self._number})
        except DataError:
            status = None  # a number that this server has never given: another one took over, without it
        if status == "in progress":  # the server has not noticed yet that nobody is there
            self._wait(None)
        elif status != "committed":
            self._number = None
        return status == "committed"

    def _wait(self, error: DBAPIError | None) -> None:
        now = time.monotonic()
        self._deadline = self._deadline or now + BUSY_TIMEOUT_S
        if now > self._deadline:
            raise self._given_up(error) from error
        time.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    def _given_up(self, error: DBAPIError | None) -> SetupError:
        rows = "are not written" if self._number is None else "may or may not be written: writing them again is safe"
        why = str(explain(error, self._where)).removesuffix(".") if error else "the server is still busy with them"
        return SetupError(f"these rows {rows}, tried for {BUSY_TIMEOUT_S:g} s: {why}")


def _passing(error: DBAPIError) -> bool:
    """Whether the same transaction may go well a little later; a connection that failed has no state."""
    state = state_of(error)
    lost = error.connection_invalidated or (state is None and isinstance(error, OperationalError))
    return lost or state in _PASSING
