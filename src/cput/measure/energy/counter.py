"""What counts energy: something that says how many joules it has counted since it was opened."""

from typing import Protocol


class Counter(Protocol):
    """One component's counter."""

    @property
    def component(self) -> str:
        """Which part of the machine it counts, such as package-0."""
        ...

    @property
    def kind(self) -> str:
        """``cpu`` or ``gpu``."""
        ...

    @property
    def source(self) -> str:
        """The counter in words, for people."""
        ...

    @property
    def period_s(self) -> float:
        """The longest time that may pass between two readings."""
        ...

    def joules(self) -> float:
        """Return the joules since it was opened; raises OSError or ValueError where it can't be read any more."""
        ...
