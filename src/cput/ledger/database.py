"""Opens a ledger's database, whichever it is, brings its schema up to date, and turns its failures into sentences."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cput.ledger import postgresql, sqlite
from cput.ledger.address import Address, Server
from cput.ledger.faults import explain
from cput.ledger.migrations import MIGRATIONS, applied, migrate


class Database(NamedTuple):
    """The two ways into one database."""

    writing: Engine
    """One connection, for the writer thread, and more where others write meanwhile; a commit is on disk."""
    reading: Engine
    """A few connections that cannot write; each sees one snapshot per transaction."""

    def close(self) -> None:
        """Close all connections."""
        self.writing.dispose()
        self.reading.dispose()


def open_database(where: Address) -> Database:
    """Open the database at ``where``, or create the file, and bring its schema to the last migration.

    Raises:
        InputError: when it is something else.
        SetupError: when it cannot be reached, created, written or locked, or a newer cput wrote it.
    """
    with sentences(where):
        if isinstance(where, Server):
            database = Database(postgresql.engine(where, writing=True), postgresql.engine(where, writing=False))
        else:
            sqlite.prepare(where)
            database = Database(sqlite.engine(where, writing=True), sqlite.engine(where, writing=False))
        try:
            with database.writing.begin() as connection:
                _bring_up_to_date(connection, where)
        except BaseException:
            database.close()
            raise
    return database


@contextlib.contextmanager
def sentences(where: Address) -> Iterator[None]:
    """Turn what the database at ``where`` raises into a sentence that names it."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, UnicodeEncodeError) as error:
        raise explain(error, str(where)) from error


def _bring_up_to_date(connection: Connection, where: Address) -> None:
    if isinstance(where, Server):
        postgresql.refuse_unfit(connection, where)
        if applied(connection) == {migration.number for migration in MIGRATIONS}:
            return  # so that a user who may not create tables can open it
        postgresql.refuse_strangers(connection, where)
        postgresql.wait_for_turn(connection)
    migrate(connection, str(where))
