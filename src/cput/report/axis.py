"""From figures to coordinates: a linear or logarithmic scale with ticks at round numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 5, 10)
_LOG_FROM = 30.0  # a range of more than this factor is unreadable on a linear scale
_SMALLEST = 1e-300  # below it, floats have no digits left to divide a scale with
_DEEPEST = 1e-6  # a value further below the highest is held at the left end: more decades could not be told apart


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ``low..high`` to the coordinates ``start..end``; values beyond are held at the ends."""

    low: float
    """The first value; positive where ``log``."""
    high: float
    """The last value; above ``low``."""
    start: float
    """Coordinate of ``low``."""
    end: float
    """Coordinate of ``high``."""
    log: bool = False
    """Whether equal distances are equal factors."""

    def at(self, value: float) -> float:
        """Return the coordinate of ``value``."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Return at most ``most`` + 1 round values within the scale."""
        return _log_ticks(self.low, self.high, most) if self.log else _linear_ticks(self.low, self.high, most)


def from_zero(values: Iterable[float], start: float, end: float) -> Scale:
    """Return a linear scale from 0 to just above the largest of ``values``."""
    high = max((value for value in values), default=0.0)
    return Scale(0.0, high * 1.04 if high > _SMALLEST else 1.0, start, end)


def spread(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a scale over ``values``: logarithmic where they span more than a factor of 30, otherwise from 0."""
    high = max(values, default=0.0)
    low = max(min((value for value in values if value > 0), default=0.0), high * _DEEPEST)
    if low > 0 and high / low > _LOG_FROM:
        return Scale(low / 1.15, high * 1.15, start, end, log=True)
    return from_zero(values, start, end)


def around(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a logarithmic scale with a margin around positive ``values``, at least a factor of 2 wide."""
    positive = [value for value in values if value > _SMALLEST] or [1.0]
    high = max(positive)
    low = max(min(positive), high * _DEEPEST)
    margin = max((high / low) ** 0.08, math.sqrt(2 * low / high) if high < 2 * low else 1.0)
    return Scale(low / margin, high * margin, start, end, log=True)


def tick_words(values: Sequence[float]) -> list[str]:
    """Print ticks with the fewest decimals that tell neighbours apart."""
    return [f"{value:,.0f}" if abs(value) >= 100 else f"{value:.12g}" for value in (_rounded(v) for v in values)]


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in decades for factor in factors]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most + 1:
            return inside
    return inside[:: math.ceil(len(inside) / (most + 1))]
