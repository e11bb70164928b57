"""Wealth: evidence that a quality has fallen below a level, that may be read after every outcome.

One bets that the next outcome is below the level. While the quality is at or above it, no strategy makes 1 dollar into
1 / alpha with more than probability alpha, ever (Ville 1939; Shafer 2021; Waudby-Smith and Ramdas 2024). So the alarm
"wealth is at least 1 / alpha" has its error rate however often one looks.

Nobody knows when the quality will fall, or how far. The dollar is therefore spread: over stakes, a factor of 2 apart,
and over starting times, the share h / ((h + t - 1) (h + t)) of it for outcome t, where h is the horizon. These shares
add up to 1, forever; within the horizon they are nearly equal. What has not started yet lies still. So a long good time
costs no evidence: an alarm comes as fast after a year as on the first day (a sum over starts as in Shiryaev-Roberts;
Shin, Ramdas and Rinaldo 2024).

What is bet against is a ``Level``: at each of its steps, and what stands at the worst one counts.

    wealth = Wealth(level=Level.known(0.9), horizon=10_000)
    for quality in outcomes:
        if wealth.bet(quality) >= 1 / alpha: ...
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cput.policy.guarantee.level import Level

FRACTIONS = tuple(0.8 / 2**step for step in range(6))
"""Of the stake that would lose everything on a perfect answer."""


@dataclass(slots=True, kw_only=True)
class Wealth:
    """Bets against one level."""

    level: Level
    """The quality that is still good enough."""
    horizon: int
    """Outcomes within which a fall is to be noticed as fast at any time."""
    heaviest: float = 1.0
    """The largest weight that an outcome can have, known beforehand."""
    pots: list[list[float]] = field(default_factory=list)
    """For each step, what each stake has made of the shares that have started."""
    seen: int = 0
    """Outcomes bet on."""

    def __post_init__(self) -> None:
        self.pots = self.pots or [[0.0] * len(FRACTIONS) for _ in self.level.steps]

    @property
    def value(self) -> float:
        """The e-value: evidence against "the quality is at or above the level"."""
        lying = self.horizon / (self.horizon + self.seen)
        return min(
            evidence * (sum(pots) + lying) for (_, evidence), pots in zip(self.level.steps, self.pots, strict=True)
        )

    def bet(self, quality: float, weight: float = 1.0) -> float:
        """Take an outcome in; return the e-value. Its mean weight must be 1 (inverse propensities)."""
        self.seen += 1
        begins = self.horizon / ((self.horizon + self.seen - 1) * (self.horizon + self.seen)) / len(FRACTIONS)
        for place, (level, _) in enumerate(self.level.steps):
            shortfall = weight * (level - quality) / ((1 - level) * self.heaviest)  # at least -1
            self.pots[place] = [
                (pot + begins) * (1 + fraction * shortfall)
                for pot, fraction in zip(self.pots[place], FRACTIONS, strict=True)
            ]
        return self.value

    def as_json(self) -> dict[str, Any]:
        """Return its state as plain JSON values."""
        return {
            "level": self.level.as_json(),
            "horizon": self.horizon,
            "heaviest": self.heaviest,
            "pots": [list(pots) for pots in self.pots],
            "seen": self.seen,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        pots = [[float(pot) for pot in pots] for pots in given["pots"]]
        return cls(**{**given, "level": Level.from_json(given["level"]), "pots": pots})
