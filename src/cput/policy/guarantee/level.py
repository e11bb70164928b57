"""A level: the quality that outcomes are watched against, as far as held-out outcomes tell it.

A floor that is a share of the best engine's quality is a number only as far as that quality is known, and while the
policy serves, nobody sees what the best engine would have answered. Held against its estimate, a policy that is just
good enough would be found too bad by luck of the held-out prompts; held against a lower bound, it would be found late.
So both samples are weighed together: the held-out one gives evidence that the true level is above a ``step``, the
outcomes give evidence that the quality is below that step, and what speaks for *both* is their product. The alarm asks
for it at every step: whichever the true one is, it is proven to be undercut (a product of independent e-values is one;
the smallest over all that may be true is one for the whole; Vovk and Wang 2021).

    Level.known(0.9)                              # a number is known
    Level(value=0.9, steps=((0.89, 0.6), (0.88, 3.0), (0.87, 40.0)))
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What is still good enough."""

    value: float
    """The best estimate, for people."""
    steps: tuple[tuple[float, float], ...]
    """Levels, falling, each with the held-out evidence (e-value) that the true one is not below the *next higher* step:
    that of the interval between both."""

    @classmethod
    def known(cls, value: float) -> Self:
        """Return a level that needs no evidence."""
        return cls(value=value, steps=((value, 1.0),))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"value": self.value, "steps": [list(step) for step in self.steps]}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        return cls(value=given["value"], steps=tuple((float(level), float(e)) for level, e in given["steps"]))
