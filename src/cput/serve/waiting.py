"""The line in front of the engine: so many calls at once, so many waiting, the most urgent first.

    line = Line(most_at_once=8, queue=64)
    await line.enter(priority=0, due_at=None)     # or Refused: 429 when the line is full, 504 when it is too late
    try: ...
    finally: line.leave()

Order: every step of priority is worth ``aging_s`` seconds of waiting. A call goes before another that came up to
``aging_s`` earlier with a priority one lower, and first come first served within one priority; a call of whatever
priority is only ever passed by those that come within a bounded time after it, so that none waits for ever. When the
line is full, the last in that order gives up its place; mostly that is the newcomer.
"""

import asyncio
import bisect
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cput.errors import InputError
from cput.serve.gate import HIGHEST_PRIORITY, LOWEST_PRIORITY, Refused, too_late

AGING_S = 10.0
LEAST_RETRY_S, MOST_RETRY_S = 1.0, 60.0
_RECENT = 64
"""Finished calls from which the rate is taken."""


@dataclass(order=True, slots=True)
class _Waiting:
    rank: float
    """When it came (seconds), less what its priority is worth; the least is next."""
    number: int
    """Order of arrival, for equal ranks."""
    turn: "asyncio.Future[None]" = field(compare=False)
    """Done when it may go on; has an exception when it lost its place."""


class Line:
    """Calls under way and calls that wait. For one event loop."""

    def __init__(
        self,
        *,
        most_at_once: int | None = None,
        queue: int = 64,
        aging_s: float = AGING_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``most_at_once`` None lets everybody through; ``queue`` 0 lets nobody wait.

        Raises:
            InputError: when a number is not allowed.
        """
        if most_at_once is not None and most_at_once < 1:
            raise InputError(f"most_at_once is {most_at_once}; allowed: 1 or more calls, or None for no bound")
        if queue < 0:
            raise InputError(f"queue is {queue}; allowed: 0 or more waiting calls")
        if not aging_s > 0:
            raise InputError(f"aging_s is {aging_s}; allowed: more than 0 seconds")
        self._most = math.inf if most_at_once is None else most_at_once
        self._longest = queue
        self._aging_s = aging_s
        self._clock = clock
        self._busy = 0
        self._line: list[_Waiting] = []
        self._arrived = 0
        self._finished: deque[float] = deque(maxlen=_RECENT)

    @property
    def under_way(self) -> int:
        """Calls that were let through and have not left."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._line)

    async def enter(self, priority: int = 0, due_at: float | None = None) -> None:
        """Return when the call may go on; it must ``leave`` then.

        Raises:
            Refused: 429 when the line is full, 504 when ``due_at`` (by the event loop's clock) comes first.
        """
        loop = asyncio.get_running_loop()
        if due_at is not None and due_at <= loop.time():
            raise too_late("the deadline has passed before the call could begin")
        if self._busy < self._most:
            self._busy += 1
            return
        self._arrived += 1
        steps = min(max(priority, LOWEST_PRIORITY), HIGHEST_PRIORITY)
        rank = self._clock() - steps * self._aging_s
        waiting = _Waiting(rank, self._arrived, loop.create_future())
        self._join(waiting)
        try:
            async with asyncio.timeout_at(due_at):
                await waiting.turn
        except TimeoutError as error:
            self._give_up(waiting)
            raise too_late("the deadline passed while the call waited for its turn") from error
        except BaseException:
            self._give_up(waiting)
            raise

    def leave(self, *, served: bool = True) -> None:
        """Say that a call has finished; the next one goes on. One that was turned away tells nothing about the rate."""
        if served:
            self._finished.append(self._clock())
        self._go_on()

    def retry_after_s(self) -> float:
        """Return an estimate of when all that wait now will have begun, by the rate at which calls finished lately.

        It is kept between 1 and 60 s; 1 s where too few have finished to tell.
        """
        if len(self._finished) < 2:
            return LEAST_RETRY_S
        first, last, count = self._finished[0], self._finished[-1], len(self._finished)
        per_call_s = max((last - first) / (count - 1), (self._clock() - first) / count)  # a stall since then counts
        return min(max(LEAST_RETRY_S, self.waiting * per_call_s), MOST_RETRY_S)

    def _join(self, waiting: _Waiting) -> None:
        if self._longest == 0:
            raise self._full()
        if len(self._line) >= self._longest:
            if waiting > self._line[-1]:
                raise self._full()
            last = self._line.pop()
            if not last.turn.done():
                last.turn.set_exception(self._full())
        bisect.insort(self._line, waiting)

    def _give_up(self, waiting: _Waiting) -> None:
        """Take a call out that will not go on, whatever its turn was when it stopped waiting."""
        with contextlib.suppress(ValueError):
            self._line.remove(waiting)
        turn = waiting.turn
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._go_on()  # its turn had come at the same moment: the next one's, then

    def _go_on(self) -> None:
        while self._line:
            following = self._line.pop(0)
            if not following.turn.done():
                following.turn.set_result(None)
                return
        self._busy -= 1

    def _full(self) -> Refused:
        wait_s = self.retry_after_s()
        return Refused(
            429,
            "overloaded",
            f"too many calls wait already ({self.waiting} of {self._longest}); try again in about {wait_s:.0f} s",
            wait_s,
        )
