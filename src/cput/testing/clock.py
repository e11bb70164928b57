"""A clock for tests, which stands still until it is told."""

from cput.errors import InputError


class FakeClock:
    """A clock that stands still until it is told: ``clock()`` gives seconds, ``advance(s)`` moves them on."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """Return the present moment in seconds."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            InputError: time does not run backwards.
        """
        if seconds < 0:
            raise InputError(f"the clock can't advance by {seconds} s; allowed: 0 or more")
        self.now_s += seconds
