"""Idempotent inserts of many rows: one per table, in the order of their references; what is there stands.

A window is the exception: the same one again may move its end forward.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any, Protocol

from sqlalchemy import Dialect, Engine, Table
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from cput.ledger import schema
from cput.ledger.rows import RowTuple
from cput.ledger.transact import Statements

_TABLES = (
    schema.runs,  # before what refers to them
    schema.windows,
    schema.run_ends,
    schema.calls,
    schema.attempts,
    schema.charges,
    schema.outcomes,
    schema.grounds,
)
_SIZES = tuple(sorted({*(1 << power for power in range(11)), *(3 << power for power in range(9))}))
"""Rows per statement; 1,024 attempts are 24,576 of the 32,766 variables that SQLite allows."""


class Insert(Protocol):
    """One table's insert."""

    def run(self, connection: Statements, rows: list[RowTuple]) -> None:
        """Insert rows, in the order of the table's columns."""
        ...


def inserts(engine: Engine) -> Mapping[str, Insert]:
    """Return the insert of each table, by name, in the order in which they must run."""
    kind = _Sqlite if engine.dialect.name == "sqlite" else _Postgresql
    return {table.name: kind(table, engine.dialect) for table in _TABLES}


class _Sqlite:
    """Few statements of many rows.

    sqlite3 lets go of the interpreter lock a few times per statement, and each time has to win it back from a busy
    event loop (up to ``sys.getswitchinterval()``, 5 ms). ``executemany`` does so for every row. Here one statement
    takes up to 1,024 rows. It comes in few sizes (1, 2, 3, 4, 6, 8, 12, ...), so that few texts are prepared; the rest
    of a statement repeats its last row, which the store ignores as it ignores any repetition.
    """

    def __init__(self, table: Table, dialect: Dialect) -> None:
        statement = _idempotent(insert_sqlite(table), table)
        head, _, tail = str(statement.compile(dialect=dialect)).partition(" VALUES ")
        group, _, rest = tail.partition(")")
        self._texts = {size: f"{head} VALUES {', '.join([f'{group})'] * size)}{rest}" for size in _SIZES}
        self._has_key = not _numbered(table)

    def run(self, connection: Statements, rows: list[RowTuple]) -> None:
        start = 0
        while start < len(rows):
            size = self._size(len(rows) - start)
            part = rows[start : start + size]
            part += [part[-1]] * (size - len(part))
            connection.exec_driver_sql(self._texts[size], tuple(chain.from_iterable(part)))
            start += size

    def _size(self, left: int) -> int:
        """Return how many rows the next statement takes: those left, rounded up where a repeated row is ignored."""
        if self._has_key:
            return next((size for size in _SIZES if size >= left), _SIZES[-1])
        return max(size for size in _SIZES if size <= left)


class _Postgresql:
    """One prepared statement, its rows sent together (psycopg's ``executemany`` is a pipeline).

    The column that the database numbers is left out: a null given for it would be refused.
    """

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self._start = 1 if _numbered(table) else 0
        statement = _idempotent(insert_postgresql(table).inline(), table)  # inline: no RETURNING
        kind: Any = type(dialect)
        positional = kind(paramstyle="format")
        names = [column.name for column in table.columns][self._start :]
        self._text = str(statement.compile(dialect=positional, column_keys=names))

    def run(self, connection: Statements, rows: list[RowTuple]) -> None:
        connection.exec_driver_sql(self._text, [row[self._start :] for row in rows])


def _numbered(table: Table) -> bool:
    """Whether the database gives a row its number, which stands in the table's first column."""
    return table.autoincrement_column is table.columns[0]


def _idempotent(statement: Any, table: Table) -> Any:
    if table is not schema.windows:
        return statement.on_conflict_do_nothing()
    there, new = table.c.ended_s, statement.excluded.ended_s
    return statement.on_conflict_do_update(
        index_elements=["id"],
        set_={"ended_s": new},
        where=new.is_not(None) & (there.is_(None) | (new > there)),
    )
