"""What was read a moment ago: answers without the database for a short life, then reads again, once for all who wait.

    keys = Fresh(lambda digest: by_digest(ledger, digest), life_s=2.0)
    key = await keys.get(digest)      # a change in the database is seen at most 2 s later

Reading happens in a thread. A failure is not remembered; it reaches everybody who waited for it.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


class _Held(NamedTuple, Generic[Value]):
    value: Value
    until_s: float


class Fresh(Generic[Name, Value]):
    """Values by name, none older than ``life_s`` seconds; at most ``most`` of them are kept."""

    def __init__(
        self,
        read: Callable[[Name], Value],
        *,
        life_s: float,
        most: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``read`` is called in a thread."""
        self._read = read
        self._life_s = life_s
        self._most = most
        self._clock = clock
        self._held: dict[Name, _Held[Value]] = {}
        self._reading: dict[Name, asyncio.Task[Value]] = {}

    async def get(self, name: Name) -> Value:
        """Return the value, read at most ``life_s`` ago; what ``read`` raises is raised."""
        held = self._held.get(name)
        if held is not None and self._clock() < held.until_s:
            return held.value
        task = self._reading.get(name)
        if task is None:
            task = asyncio.create_task(self._renew(name))
            self._reading[name] = task
            task.add_done_callback(lambda done: self._done(name, done))
        return await asyncio.shield(task)  # one caller that hangs up does not take the others' answer away

    async def _renew(self, name: Name) -> Value:
        until_s = self._clock() + self._life_s  # from before it was read: what is read may be as old as that
        value = await asyncio.to_thread(self._read, name)
        self._held.pop(name, None)
        self._held[name] = _Held(value, until_s)
        if len(self._held) > self._most:
            del self._held[next(iter(self._held))]  # the one that was read longest ago
        return value

    def _done(self, name: Name, task: asyncio.Task[Value]) -> None:
        self._reading.pop(name, None)
        if not task.cancelled():
            task.exception()  # seen, also where every caller has hung up
