"""Where a cache keeps its answers: the seam, and the store in memory.

A store maps a key to bytes for a time. It is bounded in bytes and in entries; what was used longest ago goes first.
Beside the bytes it keeps *handles* (digests of call ids, external keys, episodes) by which an entry is evicted when an
outcome says that an answer from it was of no use, and *places*: vectors by scope, for the semantic cache.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MOST_HANDLES = 4096
"""Handles of one entry; of more, the oldest are forgotten."""
ROW_BYTES = 200
"""What an entry takes beside its value, and a handle; both count against the bound."""


class Place(NamedTuple):
    """Where an entry lies among those of its scope."""

    scope: bytes
    """Digest of all that must be equal."""
    vector: bytes
    """The last turn's vector, float32 in little endian."""
    text: str
    """The last turn."""


class Newcomer(NamedTuple):
    """An entry of a scope, as the index learns of it."""

    number: int
    """Rises with every entry that is stored."""
    key: bytes
    """Its key."""
    vector: bytes
    """See ``Place``."""
    text: str
    """See ``Place``."""


class Store(Protocol):
    """Bytes by key. Safe for many tasks of one event loop; a file's also for many processes."""

    async def get(self, key: bytes) -> bytes | None:
        """Return the value, and note that it was used; None where there is none, or its time is over."""
        ...

    async def put(
        self, key: bytes, value: bytes, *, ttl_s: float, handles: Sequence[bytes] = (), place: Place | None = None
    ) -> bool:
        """Keep a value in place of what the key had; False where it is larger than the bound allows one to be."""
        ...

    async def link(self, key: bytes, handles: Sequence[bytes]) -> None:
        """Add handles to an entry, where it is still there."""
        ...

    async def evict(self, handles: Sequence[bytes]) -> int:
        """Forget the entries that have one of these handles; return how many."""
        ...

    async def newcomers(self, scope: bytes, after: int, most: int) -> list[Newcomer]:
        """Return the entries of a scope numbered above ``after``, the newest ``most`` of them, by number."""
        ...

    async def aclose(self) -> None:
        """Let go of files and threads."""
        ...


@dataclass(slots=True)
class _Entry:
    value: bytes
    until_s: float
    number: int
    place: Place | None
    handles: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    @property
    def size(self) -> int:
        placed = 0 if self.place is None else len(self.place.vector) + len(self.place.text.encode()) + ROW_BYTES
        return len(self.value) + placed + ROW_BYTES * (1 + len(self.handles))


class MemoryStore:
    """A store in this process. ``most_share`` of the bytes is the largest a single entry may be."""

    def __init__(
        self,
        *,
        max_bytes: int = 256 << 20,
        max_entries: int = 100_000,
        most_share: float = 0.125,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._largest = int(max_bytes * most_share)
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_handle: dict[bytes, set[bytes]] = {}
        self._by_scope: dict[bytes, OrderedDict[int, bytes]] = {}
        self._bytes, self._number = 0, 0

    @property
    def size_bytes(self) -> int:
        """What the entries take, as the bound counts it."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: bytes) -> bytes | None:
        """See ``Store.get``."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry.until_s:
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def put(
        self, key: bytes, value: bytes, *, ttl_s: float, handles: Sequence[bytes] = (), place: Place | None = None
    ) -> bool:
        """See ``Store.put``."""
        self._forget(key)
        self._number += 1
        entry = _Entry(value, self._clock() + ttl_s, self._number, place)
        if entry.size + ROW_BYTES * len(handles) > self._largest:
            return False
        self._entries[key] = entry
        self._bytes += entry.size
        if place is not None:
            self._by_scope.setdefault(place.scope, OrderedDict())[entry.number] = key
        self._add(key, handles)
        self._shrink()
        return True

    async def link(self, key: bytes, handles: Sequence[bytes]) -> None:
        """See ``Store.link``."""
        if key in self._entries:
            self._add(key, handles)
            self._shrink()

    async def evict(self, handles: Sequence[bytes]) -> int:
        """See ``Store.evict``."""
        keys = {key for handle in handles for key in self._by_handle.get(handle, ())}
        for key in keys:
            self._forget(key)
        return len(keys)

    async def newcomers(self, scope: bytes, after: int, most: int) -> list[Newcomer]:
        """See ``Store.newcomers``."""
        found: list[Newcomer] = []
        for number, key in reversed(self._by_scope.get(scope, {}).items()):
            if number <= after or len(found) == most:
                break
            place = self._entries[key].place
            assert place is not None
            found.append(Newcomer(number, key, place.vector, place.text))
        return found[::-1]

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _add(self, key: bytes, handles: Sequence[bytes]) -> None:
        entry = self._entries[key]
        self._bytes -= entry.size
        for handle in handles:
            entry.handles.pop(handle, None)
            entry.handles[handle] = None
            self._by_handle.setdefault(handle, set()).add(key)
        while len(entry.handles) > MOST_HANDLES:
            self._unlink(key, entry.handles.popitem(last=False)[0])
        self._bytes += entry.size

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._bytes -= entry.size
        for handle in entry.handles:
            self._unlink(key, handle)
        if entry.place is not None:
            placed = self._by_scope[entry.place.scope]
            del placed[entry.number]
            if not placed:
                del self._by_scope[entry.place.scope]

    def _unlink(self, key: bytes, handle: bytes) -> None:
        keys = self._by_handle[handle]
        keys.discard(key)
        if not keys:
            del self._by_handle[handle]
