"""Runs a transaction to its end: once on SQLite, and on a server until it is back and has taken it.

What is waiting outlives a restart of the server, and two processes that stand in each other's way. A connection that
breaks at the commit leaves open whether the rows were kept: the server is then asked (``pg_xact_status``), since some
rows (idle charges without a window) would count twice if they were simply written again.
"""

import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from cput.errors import SetupError
from cput.ledger.faults import BUSY_TIMEOUT_S, explain, state_of

Work = Callable[[Connection], None]
_NUMBER = text("SELECT CAST(pg_current_xact_id() AS text)")
_STATUS = text("SELECT pg_xact_status(CAST(:number AS xid8))")
_PASSING = frozenset({"40001", "40P01", "53300", "57P01", "57P02", "57P03"})
"""Serialization failure, deadlock, too many connections, server going down, gone down, coming up."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


def transact(engine: Engine, where: str, work: Work) -> None:
    """Do ``work`` in one transaction; return when it is durable.

    Raises:
        SQLAlchemyError: what the database raises and will raise again.
        SetupError: when a server is away for longer than ``BUSY_TIMEOUT_S``.
    """
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            work(connection)
    else:
        _Lasting(engine, where).run(work)


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
