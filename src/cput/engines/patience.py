"""How long to wait for a first piece before another engine is asked too: a fixed time, or a running quantile.

patience = Patience(quantile=0.95)
patience.after_s      # None until enough first pieces were seen: nobody is hedged yet
patience.saw(0.31)
"""

from collections import deque

from cput.errors import InputError

REMEMBERED = 512
"""First pieces of which the quantile is taken."""
ENOUGH = 32
"""First pieces before there is a quantile."""
RENEWED_EVERY = 16
"""First pieces between two computations of it."""


class Patience:
    """The wait before a hedge. Calls of one route share it."""

    def __init__(self, *, after_s: float | None = None, quantile: float = 0.95) -> None:
        """``after_s`` is a fixed wait; None takes the ``quantile`` of the last ``REMEMBERED`` times to first piece.

        Raises:
            InputError: a number is not allowed.
        """
        if after_s is not None and after_s < 0:
            raise InputError(f"after_s is {after_s}; allowed: 0 or more seconds")
        if not 0 < quantile < 1:
            raise InputError(f"quantile is {quantile}; allowed: between 0 and 1")
        self._fixed_s = after_s
        self._quantile = quantile
        self._seen_s: deque[float] = deque(maxlen=REMEMBERED)
        self._fresh = 0
        self._running_s: float | None = None

    @property
    def after_s(self) -> float | None:
        """Seconds to wait; None is for ever."""
        return self._fixed_s if self._fixed_s is not None else self._running_s

    def saw(self, ttft_s: float) -> None:
        """Take in a time to first piece, or how long one that never came was waited for.

        Those that lost to a hedge must be among them: without its slowest times the quantile would fall, and with it
        the wait, call after call.
        """
        if self._fixed_s is not None:
            return
        self._seen_s.append(ttft_s)
        self._fresh += 1
        if len(self._seen_s) >= ENOUGH and (self._running_s is None or self._fresh >= RENEWED_EVERY):
            self._fresh = 0
            ordered = sorted(self._seen_s)
            self._running_s = ordered[min(len(ordered) - 1, int(len(ordered) * self._quantile))]
