"""A budget for further legs: a share of the calls, so that retries and hedges never multiply the load on what is slow.

budget = Budget(share=0.2, reserve=10)
budget.earn()                  # a call began
if budget.spend(): ...         # it may be sent once more
"""

import time
from collections.abc import Callable

from cput.errors import InputError


class Budget:
    """At most ``reserve + share * calls + per_s * seconds`` further legs since it was made, and so in every window.

    A token bucket: each call puts ``share`` of a leg in, each further leg takes one out, and it holds ``reserve`` at
    most (one, where that is less). It begins full. Several calls may share one; not for several threads.
    """

    def __init__(
        self,
        *,
        share: float,
        reserve: float = 0.0,
        per_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``share`` is 0 to 1; ``per_s`` lets a door with few calls have further legs too; ``clock`` gives seconds.

        Raises:
            InputError: a number is not allowed.
        """
        if not 0 <= share <= 1:
            raise InputError(f"share is {share}; allowed: 0 to 1 further legs for each call")
        if reserve < 0 or per_s < 0:
            raise InputError(f"reserve is {reserve} and per_s is {per_s}; allowed: 0 or more")
        self._share = share
        self._per_s = per_s
        self._clock = clock
        self._most = max(reserve, 1.0)
        self._held = float(reserve)
        self._seen_s = clock()

    def earn(self) -> None:
        """Count a call."""
        self._held = min(self._most, self._held + self._share)

    def spend(self) -> bool:
        """Take a further leg, where there is one."""
        now = self._clock()
        self._held = min(self._most, self._held + self._per_s * (now - self._seen_s))
        self._seen_s = now
        if self._held < 1 - 1e-9:  # ten tenths are one
            return False
        self._held -= 1
        return True
