"""How much happened in the last minute: a sliding window log, kept in slots of a tenth of a second.

A log of every event is exact and grows with the limit; here events of one slot are one entry, which leaves when the
whole slot is out of the window. So no 60 s ever hold more than the limit, an event is counted at most 0.1 s too long,
and a window is at most 602 entries, whatever the limit. (A token bucket, or GCRA, lets up to twice the limit through in
its first minute: a full burst, and what refills meanwhile.)
"""

import math
import time
from collections import deque
from collections.abc import Callable

SPAN_S = 60
_SLOTS_PER_S = 10
_SPAN_SLOTS = SPAN_S * _SLOTS_PER_S
_ROUNDING_S = 1e-6
"""So that a wait that is slept through exactly does not end just before a slot leaves."""


class SlidingWindow:
    """Amounts of the last 60 s. Not for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self._clock = clock
        self._slots: deque[list[int]] = deque()  # [number of the slot, amount], oldest first
        self._total = 0

    @property
    def total(self) -> int:
        """All that happened in the last 60 s."""
        self._forget()
        return self._total

    def wait_s(self, amount: int, limit: int) -> float:
        """Return in how many seconds ``amount`` more fits under ``limit``: 0 is now, infinity is never."""
        over = self.total + amount - limit
        if over <= 0:
            return 0.0
        for number, held in self._slots:
            over -= held
            if over <= 0:
                return (number + 1 + _SPAN_SLOTS) / _SLOTS_PER_S - self._clock() + _ROUNDING_S
        return math.inf

    def add(self, amount: int) -> int:
        """Count ``amount`` now; return its slot, by which it can be corrected."""
        self._forget()
        number = self._now()
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append([number, 0])
        self._slots[-1][1] += amount
        self._total += amount
        return number

    def correct(self, number: int, by: int) -> None:
        """Change what was counted in a slot, once it is known better; what has left the window is left alone."""
        self._forget()
        for slot in reversed(self._slots):
            if slot[0] == number:
                slot[1] += by
                self._total += by
            if slot[0] <= number:
                return

    def _forget(self) -> None:
        oldest = self._now() - _SPAN_SLOTS
        while self._slots and self._slots[0][0] < oldest:
            self._total -= self._slots.popleft()[1]

    def _now(self) -> int:
        return math.floor(self._clock() * _SLOTS_PER_S)
