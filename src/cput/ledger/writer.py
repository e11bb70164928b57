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
from typing import Any, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from cput.errors import CputError, SetupError
from cput.ledger.faults import explain, is_full
from cput.ledger.insert import inserts
from cput.ledger.rows import RowTuple
from cput.ledger.texts import escaped, unstorable
from cput.ledger.transact import Statements, Transactions
from cput.ledger.turns import Turns

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
        self._inserts = inserts(engine)
        self._transactions = Transactions(engine, where)
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
        self._transactions.close()

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
        """Write the batch in one transaction; where that fails, by halves, so that only the guilty entries fail."""
        try:
            self._transact(batch)
        except OperationalError as error:
            if len(batch) == 1 or not is_full(error):
                return [explain(error, self._where)] * len(batch)
        except (SQLAlchemyError, ValueError, OverflowError, TypeError) as error:
            if len(batch) == 1:
                return [self._rescue(batch[0], error)]
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must be woken
            return [explain(error, self._where)] * len(batch)
        else:
            return [None] * len(batch)
        half = len(batch) // 2
        return self._commit(batch[:half]) + self._commit(batch[half:])

    def _rescue(self, entry: _Entry, error: BaseException) -> CputError | None:
        """Write an entry whose texts the database cannot keep, with those escaped: its money must not be lost."""
        if not unstorable(error):
            return explain(error, self._where)
        try:
            self._transact([entry._replace(rows=[Placed(table, self._escaped(row)) for table, row in entry.rows])])
        except Exception as second:  # noqa: BLE001  # those who wait must be woken
            return explain(second, self._where)
        return None

    def _escaped(self, row: RowTuple) -> RowTuple:
        return tuple(escaped(value, self._engine) if isinstance(value, str) else value for value in row)

    def _transact(self, batch: list[_Entry]) -> None:
        by_table: defaultdict[str, list[RowTuple]] = defaultdict(list)
        for entry in batch:
            for table, row in entry.rows:
                by_table[table].append(row)

        def insert(connection: Statements) -> None:
            for table, one in self._inserts.items():
                if table in by_table:
                    one.run(connection, by_table[table])

        self._transactions.run(insert)

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


def _settle(pairs: list[tuple[Any, CputError | None]]) -> None:
    for future, error in pairs:
        if future.done():  # the caller was cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
