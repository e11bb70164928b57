"""Reads counters while a window is open: often enough that none runs round unseen."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

from cput.measure.energy.counter import Counter


class Counted(NamedTuple):
    """What one counter counted."""

    counter: Counter
    """The counter."""
    joules: float | None
    """Joules since the gauge was made; None where it could not be read to the end."""
    why: str | None
    """Why it is None."""


class Gauge:
    """Counts from when it is made until ``stop``. A counter that fails once is unknown, not smaller."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = tuple(counters)
        self._starts: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._errors: dict[str, str] = {}
        self._stopped = threading.Event()
        self._read()
        self._starts = dict(self._last)
        self._thread = threading.Thread(target=self._watch, name="cput-energy", daemon=True)
        if self._counters:
            self._thread.start()

    def stop(self) -> tuple[Counted, ...]:
        """Read once more and return what was counted. Safe to call twice: the first reading stands."""
        if not self._stopped.is_set():
            self._stopped.set()
            if self._counters:
                self._thread.join()
            self._read()
        return tuple(self._counted(counter) for counter in self._counters)

    def _watch(self) -> None:
        period_s = min(counter.period_s for counter in self._counters)
        while not self._stopped.wait(period_s):
            self._read()

    def _read(self) -> None:
        for counter in self._counters:
            if counter.component in self._errors:
                continue
            try:
                self._last[counter.component] = counter.joules()
            except (OSError, ValueError) as error:
                self._errors[counter.component] = str(error) or type(error).__name__

    def _counted(self, counter: Counter) -> Counted:
        error = self._errors.get(counter.component)
        if error is not None:
            return Counted(counter, None, f"{counter.source} could not be read to the end ({error})")
        return Counted(counter, self._last[counter.component] - self._starts[counter.component], None)
