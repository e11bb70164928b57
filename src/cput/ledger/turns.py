"""Lets the writer thread have its turn while the event loop is busy.

A thread that wants CPython's interpreter lock asks for it after waiting ``sys.getswitchinterval()`` (5 ms) undisturbed,
but each time the holder lets go and retakes it, as an event loop does around every poll, that wait begins anew
(``take_gil`` in ``Python/ceval_gil.c``). A loop that always has something to do can so keep the writer waiting for
seconds. While records are waiting and none of them comes through, this lets go of the lock for long enough.
"""

import asyncio
import time
from weakref import WeakKeyDictionary

TICK_S = 0.001
TURN_S = 0.0001


class Turns:
    """Counts, per event loop, the records that wait. All methods run in the loop's own thread."""

    def __init__(self) -> None:
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()

    def waits(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say that one more record of this loop waits."""
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue()
        queue.waiting += 1
        if not queue.ticking:
            queue.ticking = True
            loop.call_later(TICK_S, self._tick, loop, queue)

    def settled(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """Say that ``count`` records of this loop came through."""
        queue = self._queues[loop]
        queue.waiting -= count
        queue.moved = True

    def _tick(self, loop: asyncio.AbstractEventLoop, queue: "_Queue") -> None:
        if queue.waiting == 0:
            queue.ticking = False
            return
        if not queue.moved:
            time.sleep(TURN_S)  # not asyncio.sleep: the lock must be free, and the loop's thread off it
        queue.moved = False
        loop.call_later(TICK_S, self._tick, loop, queue)


class _Queue:
    __slots__ = ("moved", "ticking", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.moved = False
        self.ticking = False
