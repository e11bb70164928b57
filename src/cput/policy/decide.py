"""How a router chooses from what it expects: the same functions for one call and for a whole record.

Worth(usd=2_000.0)(quality, cost_usd)      # (n,) columns: most quality less 2,000 times the dollars
Bar(quality=0.8)(quality, cost_usd)        # (n,) columns: the cheapest that is expected to reach 0.8
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cput.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Decide(Protocol):
    """Chooses one engine a prompt."""

    @property
    def threshold(self) -> float | None:
        """What an expected quality is held against; None where engines are only compared."""
        ...

    def __call__(self, quality: Floats, cost_usd: Floats) -> Ints:
        """Return a column (n,) from expected quality (n, m) and cost (n, m)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """The engine with the most quality less ``usd`` times its cost; of two the cheaper, then the first."""

    usd: float
    """How much quality (0 to 1) a dollar is worth: 0 takes the best engine, whatever it costs."""
    threshold: None = None
    """Engines are compared with one another."""

    def __post_init__(self) -> None:
        """Check the exchange rate.

        Raises:
            InputError: it is negative or no number.
        """
        if not 0 <= self.usd < float("inf"):
            raise InputError(f"a dollar is worth {self.usd} of quality here; allowed: 0 or more")

    def __call__(self, quality: Floats, cost_usd: Floats) -> Ints:
        """Return the columns; see ``Decide``. What is not known is worth nothing."""
        value = worth(quality, cost_usd, self.usd)
        value = np.where(np.isnan(value), -np.inf, value)
        return _cheapest(value >= value.max(axis=1, keepdims=True), cost_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The cheapest engine that is expected to reach ``quality``; where none is, the best."""

    quality: float
    """0 to 1; infinite always takes the best."""

    @property
    def threshold(self) -> float:
        """The bar."""
        return self.quality

    def __call__(self, quality: Floats, cost_usd: Floats) -> Ints:
        """Return the columns; see ``Decide``."""
        known = np.where(np.isnan(quality), -np.inf, quality)
        best = known >= known.max(axis=1, keepdims=True)
        reached = known >= self.quality
        return _cheapest(np.where(reached.any(axis=1, keepdims=True), reached, best), cost_usd)


def worth(quality: Floats, cost_usd: Floats, usd: float) -> Floats:
    """Return quality less ``usd`` times the cost; where money is worth nothing an unknown cost is no matter."""
    return quality if usd == 0 else quality - usd * cost_usd


def _cheapest(among: npt.NDArray[np.bool_], cost_usd: Floats) -> Ints:
    cost = np.where(among, np.where(np.isnan(cost_usd), np.finfo(np.float64).max, cost_usd), np.inf)
    first: Ints = cost.argmin(axis=1)
    return first
