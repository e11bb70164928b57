"""A store in an SQLite file: it survives restarts, and several processes share it.

    store = FileStore(Path("cache.db"), max_bytes=1 << 30)

A file of its own, not the ledger's: what is lost here is only asked again, so that it need not wait for the disk
(WAL, synchronous NORMAL), and it may be deleted at any time. It holds answers, and the last turns of prompts where
there is a semantic cache: nobody but its user may read it. All statements run in one thread, off the event loop.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from cput.errors import InputError, SetupError
from cput.policy.cache.store import MOST_HANDLES, ROW_BYTES, Newcomer, Place

APPLICATION_ID = 0x43505543
"""``CPUC``."""
BUSY_S = 2.0
TOUCH_EVERY_S = 60.0
"""An entry's last use is written down at most this often: a hit is mostly a read."""
_TABLES = """
CREATE TABLE IF NOT EXISTS entries (
  number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, until_s REAL NOT NULL,
  used_s REAL NOT NULL, size INTEGER NOT NULL, scope BLOB, vector BLOB, text TEXT);
CREATE INDEX IF NOT EXISTS entries_used ON entries (used_s);
CREATE INDEX IF NOT EXISTS entries_scope ON entries (scope, number) WHERE scope IS NOT NULL;
CREATE TABLE IF NOT EXISTS handles (
  number INTEGER PRIMARY KEY AUTOINCREMENT, handle BLOB NOT NULL, entry INTEGER NOT NULL
  REFERENCES entries (number) ON DELETE CASCADE, UNIQUE (handle, entry));
CREATE INDEX IF NOT EXISTS handles_entry ON handles (entry, number);
CREATE TABLE IF NOT EXISTS total (
  one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL, entries INTEGER NOT NULL);
INSERT OR IGNORE INTO total VALUES (1, 0, 0);
CREATE TRIGGER IF NOT EXISTS entry_in AFTER INSERT ON entries
  BEGIN UPDATE total SET bytes = bytes + NEW.size, entries = entries + 1; END;
CREATE TRIGGER IF NOT EXISTS entry_out AFTER DELETE ON entries
  BEGIN UPDATE total SET bytes = bytes - OLD.size, entries = entries - 1; END;
CREATE TRIGGER IF NOT EXISTS entry_sized AFTER UPDATE OF size ON entries
  BEGIN UPDATE total SET bytes = bytes + NEW.size - OLD.size; END;
"""
Found = TypeVar("Found")


class FileStore:
    """A store in a file; see ``Store``. What a broken or busy disk does not let through is a miss."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = 1 << 30,
        max_entries: int = 1_000_000,
        most_share: float = 0.125,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the file, or make it.

        Raises:
            InputError: it is another database, or a folder.
            SetupError: it can't be made.
        """
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._largest = int(max_bytes * most_share)
        self._clock = clock
        self._connection = _opened(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")

    async def get(self, key: bytes) -> bytes | None:
        """See ``Store.get``."""
        return await self._run(lambda: self._get(key), None)

    async def put(
        self, key: bytes, value: bytes, *, ttl_s: float, handles: Sequence[bytes] = (), place: Place | None = None
    ) -> bool:
        """See ``Store.put``."""
        return await self._run(lambda: self._put(key, value, ttl_s, handles, place), False)

    async def link(self, key: bytes, handles: Sequence[bytes]) -> None:
        """See ``Store.link``."""
        await self._run(lambda: self._link(key, handles), None)

    async def evict(self, handles: Sequence[bytes]) -> int:
        """See ``Store.evict``; raises ``sqlite3.Error`` where the file can't be written: a bad answer must not stay."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._evict(handles))

    async def newcomers(self, scope: bytes, after: int, most: int) -> list[Newcomer]:
        """See ``Store.newcomers``."""
        return await self._run(lambda: self._newcomers(scope, after, most), [])

    async def aclose(self) -> None:
        """Close the file."""
        with contextlib.suppress(RuntimeError):  # closed before
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, RuntimeError):  # RuntimeError: it was closed meanwhile, and its thread is gone
            return otherwise

    def _get(self, key: bytes) -> bytes | None:
        now = self._clock()
        row = self._connection.execute(
            "SELECT value, until_s, used_s, number FROM entries WHERE key = ?", (key,)
        ).fetchone()
        if row is None or now >= row[1]:
            return None
        if now - row[2] >= TOUCH_EVERY_S:
            with contextlib.suppress(sqlite3.Error):  # somebody else writes: its use is not noted
                self._connection.execute("UPDATE entries SET used_s = ? WHERE number = ?", (now, row[3]))
        value: bytes = row[0]
        return value

    def _put(self, key: bytes, value: bytes, ttl_s: float, handles: Sequence[bytes], place: Place | None) -> bool:
        scope, vector, text = place or (None, None, None)
        size = len(value) + ROW_BYTES
        size += 0 if vector is None or text is None else len(vector) + len(text.encode()) + ROW_BYTES
        now = self._clock()
        with self._writing() as connection:
            connection.execute("DELETE FROM entries WHERE key = ?", (key,))
            if size + ROW_BYTES * len(handles) > self._largest:
                return False
            number = connection.execute(
                "INSERT INTO entries (key, value, until_s, used_s, size, scope, vector, text) VALUES (?,?,?,?,?,?,?,?)",
                (key, value, now + ttl_s, now, size, scope, vector, text),
            ).lastrowid
            assert number is not None
            self._add(number, handles)
            self._shrink(now)
        return True

    def _link(self, key: bytes, handles: Sequence[bytes]) -> None:
        with self._writing() as connection:
            row = connection.execute("SELECT number FROM entries WHERE key = ?", (key,)).fetchone()
            if row is not None:
                self._add(row[0], handles)
                self._shrink(self._clock())

    def _evict(self, handles: Sequence[bytes]) -> int:
        with self._writing() as connection:
            gone = 0
            for handle in handles:
                gone += connection.execute(
                    "DELETE FROM entries WHERE number IN (SELECT entry FROM handles WHERE handle = ?)", (handle,)
                ).rowcount
            return gone

    def _newcomers(self, scope: bytes, after: int, most: int) -> list[Newcomer]:
        rows = self._connection.execute(
            "SELECT number, key, vector, text FROM entries WHERE scope = ? AND number > ? AND until_s > ? "
            "ORDER BY number DESC LIMIT ?",
            (scope, after, self._clock(), most),
        ).fetchall()
        return [Newcomer(*row) for row in reversed(rows)]

    def _add(self, number: int, handles: Sequence[bytes]) -> None:
        rows = [(handle, number) for handle in handles]
        self._connection.executemany("INSERT OR REPLACE INTO handles (handle, entry) VALUES (?, ?)", rows)
        self._connection.execute(
            "DELETE FROM handles WHERE entry = ? AND number NOT IN "
            "(SELECT number FROM handles WHERE entry = ? ORDER BY number DESC LIMIT ?)",
            (number, number, MOST_HANDLES),
        )
        self._connection.execute(
            "UPDATE entries SET size = length(value) + coalesce(length(vector) + length(CAST(text AS BLOB)) + ?, 0) + "
            "? * (1 + (SELECT count(*) FROM handles WHERE entry = ?)) WHERE number = ?",
            (ROW_BYTES, ROW_BYTES, number, number),
        )

    def _shrink(self, now: float) -> None:
        """Make room: first what is over, then what was used longest ago, a twentieth of the bound at once."""
        execute = self._connection.execute
        if not self._too_much(1.0):
            return
        execute("DELETE FROM entries WHERE until_s <= ?", (now,))
        oldest = "SELECT number FROM entries ORDER BY used_s, number LIMIT (SELECT 1 + entries / 64 FROM total)"
        while self._too_much(0.95):
            execute(f"DELETE FROM entries WHERE number IN ({oldest})")  # noqa: S608  # no text of others

    def _too_much(self, share: float) -> bool:
        size, count = self._connection.execute("SELECT bytes, entries FROM total").fetchone()
        return bool(size > self._max_bytes * share or count > self._max_entries * share)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _opened(path: Path) -> sqlite3.Connection:
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the cache's file, such as {path / 'cache.db'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        (identity,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and identity != APPLICATION_ID:
            connection.close()
            raise InputError(f"{path} is an SQLite database but not a cache; name another file")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.executescript(_TABLES)
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} can't be used as a cache: {error}; name another file") from error
    except OSError as error:
        raise SetupError(f"the cache's file {path} can't be made ({error.strerror}); name another one") from error
    return connection
