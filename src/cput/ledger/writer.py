"""Group commit: one thread owns the only writing connection and puts all that waits into one transaction.

A caller hands over finished rows and is woken when they are on disk. Under load a commit's fsync is shared by all the
calls that arrived during the previous one, so that throughput is bound by rows and not by the disk's latency.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from cput.errors import CputError, SetupError
from cput.ledger import schema
from cput.ledger.faults import explain
from cput.ledger.rows import RowTuple
from cput.ledger.turns import Turns

_TABLES = (
    schema.runs,  # before what refers to them
    schema.windows,
    schema.run_ends,
    schema.calls,
    schema.attempts,
    schema.charges,
    schema.outcomes,
)
_SIZES = tuple(sorted({*(1 << power for power in range(11)), *(3 << power for power in range(9))}))
"""Rows per statement; 1,024 attempts are 20,480 of the 32,766 variables that SQLite allows."""
_MAX_ENTRIES = 8192


class Placed(NamedTuple):
    """One row and the table it belongs to."""

    table: str
    """Name of the table."""
    row: RowTuple
    """Values in the order of its columns."""


class _Entry(NamedTuple):
    """Rows that are written together or not at all, and who waits for them."""

    rows: Sequence[Placed]
    future: "asyncio.Future[None] | Future[None]"
    loop: asyncio.AbstractEventLoop | None


class Writer:
    """The writing thread. ``write`` and ``write_sync`` return when the rows are durable.

    A caller that is cancelled while it waits gives up the news and not the rows: they are written all the same.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._where = where
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._inserts = {table.name: _Insert(table, engine) for table in _TABLES}
        self._turns = Turns()
        self._closed = False
        self._gate = threading.Lock()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._work, name="cput-ledger-writer", daemon=True)
        self._thread.start()

    async def write(self, rows: Sequence[Placed]) -> None:
        """Write ``rows`` in one transaction; return when they are durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._put(_Entry(rows, future, loop))
        self._turns.waits(loop)
        await future

    def write_sync(self, rows: Sequence[Placed]) -> None:
        """Do the same from a thread without an event loop."""
        future: Future[None] = Future()
        self._put(_Entry(rows, future, None))
        future.result()

    def close(self) -> None:
        """Write what waits and stop the thread. Safe to call twice."""
        with self._gate:
            if self._closed or os.getpid() != self._pid:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _put(self, entry: _Entry) -> None:
        with self._gate:  # nothing may be queued behind the closing mark: it would wait for ever
            if self._closed:
                raise SetupError(f"the ledger {self._where} is closed: open it again with Ledger.open()")
            if os.getpid() != self._pid:
                raise SetupError(f"the ledger {self._where} was opened before a fork: open it again in the child")
            self._queue.put(entry)

    def _work(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch, closing = self._gather(first)
            self._wake(batch, self._commit(batch))
            if closing:
                return

    def _gather(self, first: _Entry) -> tuple[list[_Entry], bool]:
        """Return ``first`` and all that already waits behind it, and whether the closing mark was among it."""
        batch = [first]
        with contextlib.suppress(queue.Empty):
            while len(batch) < _MAX_ENTRIES:
                entry = self._queue.get_nowait()
                if entry is None:
                    return batch, True
                batch.append(entry)
        return batch, False

    def _commit(self, batch: list[_Entry]) -> list[CputError | None]:
        """Write the batch in one transaction; where that fails, each entry alone, so that only the guilty one fails."""
        try:
            self._transact(batch)
        except OperationalError as error:
            if len(batch) == 1 or not _is_full(error):
                return [explain(error, self._where)] * len(batch)
        except (SQLAlchemyError, ValueError, OverflowError, TypeError) as error:
            if len(batch) == 1:
                return [self._rescue(batch[0], error)]
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must be woken
            return [explain(error, self._where)] * len(batch)
        else:
            return [None] * len(batch)
        return [self._commit([entry])[0] for entry in batch]

    def _rescue(self, entry: _Entry, error: BaseException) -> CputError | None:
        """Write an entry whose texts hold lone surrogates, with those escaped: its money must not be lost."""
        if not _unicode_error(error):
            return explain(error, self._where)
        try:
            self._transact([entry._replace(rows=[Placed(table, _escaped(row)) for table, row in entry.rows])])
        except Exception as second:  # noqa: BLE001  # those who wait must be woken
            return explain(second, self._where)
        return None

    def _transact(self, batch: list[_Entry]) -> None:
        by_table: defaultdict[str, list[RowTuple]] = defaultdict(list)
        for entry in batch:
            for table, row in entry.rows:
                by_table[table].append(row)
        with self._engine.begin() as connection:
            for table, insert in self._inserts.items():
                if table in by_table:
                    insert.run(connection, by_table[table])

    def _wake(self, batch: list[_Entry], errors: list[CputError | None]) -> None:
        """Tell every waiter how it went; one wake-up per event loop."""
        by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[Any, CputError | None]]] = defaultdict(list)
        for entry, error in zip(batch, errors, strict=True):
            if entry.loop is None:
                _settle([(entry.future, error)])
            else:
                by_loop[entry.loop].append((entry.future, error))
        for loop, pairs in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._settle_on, loop, pairs)

    def _settle_on(self, loop: asyncio.AbstractEventLoop, pairs: list[tuple[Any, CputError | None]]) -> None:
        self._turns.settled(loop, len(pairs))
        _settle(pairs)


class _Insert:
    """An idempotent insert of many rows in few statements.

    sqlite3 lets go of the interpreter lock a few times per statement, and each time has to win it back from a busy
    event loop (up to ``sys.getswitchinterval()``, 5 ms). ``executemany`` does so for every row. Here one statement
    takes up to 1,024 rows. It comes in few sizes (1, 2, 3, 4, 6, 8, 12, ...), so that few texts are prepared; the rest
    of a statement repeats its last row, which the store ignores as it ignores any repetition.
    """

    def __init__(self, table: Table, engine: Engine) -> None:
        statement: Any = insert_sqlite(table) if engine.dialect.name == "sqlite" else insert_postgresql(table)
        if table is schema.windows:
            statement = statement.on_conflict_do_update(
                index_elements=["id"],
                set_={"ended_s": statement.excluded.ended_s},
                where=(statement.excluded.ended_s.is_not(None))
                & (table.c.ended_s.is_(None) | (statement.excluded.ended_s > table.c.ended_s)),
            )
        else:
            statement = statement.on_conflict_do_nothing()
        head, _, tail = str(statement.compile(dialect=engine.dialect)).partition(" VALUES ")
        group, _, rest = tail.partition(")")
        self._texts = {size: f"{head} VALUES {', '.join([f'{group})'] * size)}{rest}" for size in _SIZES}
        self._has_key = table not in {schema.charges, schema.run_ends}

    def run(self, connection: Connection, rows: list[RowTuple]) -> None:
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


def _settle(pairs: list[tuple[Any, CputError | None]]) -> None:
    for future, error in pairs:
        if future.done():  # the caller was cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _is_full(error: OperationalError) -> bool:
    """Whether a smaller transaction may still fit."""
    return "full" in str(error.orig)


def _unicode_error(error: BaseException) -> bool:
    return isinstance(error, UnicodeEncodeError) or isinstance(getattr(error, "orig", None), UnicodeEncodeError)


def _escaped(row: RowTuple) -> RowTuple:
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value for value in row
    )
