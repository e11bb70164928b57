"""Figures as people read them: the same words on the card, in the tables and in the pictures.

Unknown prints as "unknown", an infinite bound as "unbounded"; neither is ever 0. Costs per token are printed per
million tokens, so that they stand on one scale with the waterfall; the unit says so.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cput.ledger.interval import Interval
from cput.measure.result import Level, Percentiles
from cput.units import UNKNOWN, number, usd
from cput.units import percent as any_percent

MILLION = 1_000_000
VERDICTS = ("useful", "useless", "pending")


class Metric(NamedTuple):
    """One kind of latency and how it is printed."""

    name: str
    """Field of ``Measurement``; ``name_s`` is the field of ``CallRow`` and the key of the SLO."""
    label: str
    """Short name for a row."""
    title: str
    """What it is, in words."""
    unit: str
    """s or ms."""
    scale: float
    """Printed units per second."""


METRICS = (
    Metric("ttft", "TTFT", "time to first token", "s", 1.0),
    Metric("tpot", "TPOT", "time per output token after the first", "ms", 1000.0),
    Metric("itl", "ITL", "inter-token latency", "ms", 1000.0),
    Metric("e2e", "E2E", "whole answer", "s", 1.0),
)


def known(value: float | None) -> float | None:
    """Return ``value``, or None where it is not a number."""
    return None if value is None or math.isnan(value) else value


def finite(value: float | None) -> float | None:
    """Return ``value``, or None where it cannot be drawn: unknown, not a number, or infinite."""
    return value if value is not None and math.isfinite(value) else None


def percent(value: float | None) -> str:
    """Print a share of 1 in percent."""
    return any_percent(known(value))


def count(value: int | None) -> str:
    """Print a whole number with thousands separators."""
    return UNKNOWN if value is None else f"{value:,}"


def quantity(value: float | None, unit: str = "") -> str:
    """Print a figure with 3 significant digits, in powers of ten where it would be longer than a column."""
    value = known(value)
    if value is not None and value and math.isfinite(value) and not 1e-6 <= abs(value) < 1e10:
        return f"{value:.2e}{' ' + unit if unit else ''}"
    return number(value, unit=unit)


def latency(seconds: float | None, metric: Metric) -> str:
    """Print a latency in its metric's unit, which stands in the header."""
    return quantity(None if seconds is None else seconds * metric.scale)


def interval(value: Interval, show: Callable[[float | None], str] = quantity) -> str:
    """Print ``value [low, high]``; an empty value with an infinite bound reads "unbounded [at least low]"."""
    middle, low, high = (known(bound) for bound in value)
    if middle is None and low is None and high is None:
        return UNKNOWN
    if middle is None and high == math.inf:
        return f"unbounded [at least {show(low)}]" if low is not None else "unbounded"
    return f"{show(middle)} [{show(low)}, {show(high)}]"


def rate(value: Interval) -> str:
    """Print a share with its interval in percent."""
    if known(value.value) is None:
        return UNKNOWN
    return f"{percent(value.value)} [{share(value.low)}, {share(value.high)}]"


def share(value: float | None) -> str:
    """Print a share as bare percent; the unit stands beside it."""
    value = known(value)
    return UNKNOWN if value is None else f"{value * 100:.1f}"


def points(value: Interval) -> str:
    """Print a difference of shares in percentage points, with its sign."""
    middle, low, high = (known(bound) for bound in value)
    if middle is None:
        return UNKNOWN
    signed = [UNKNOWN if bound is None else f"{bound * 100:+.1f}" for bound in (middle, low, high)]
    return f"{signed[0]} [{signed[1]}, {signed[2]}]"


def amount(value: float | None, unit: str) -> str:
    """Print dollars with a sign, or device seconds as a bare figure."""
    value = known(value)
    if unit != "USD":
        return quantity(value)
    if value is not None and value and math.isfinite(value) and not 1e-9 <= abs(value) < 1e10:
        return f"${value:.3e}"
    return usd(value)


def cost_interval(value: Interval, unit: str) -> str:
    """Print a cost and its interval, in ``unit``."""
    return interval(value, lambda bound: amount(bound, unit))


def cost_point(value: Interval, unit: str) -> str:
    """Print a cost without its interval, where the column is too narrow for both."""
    if known(value.value) is None and value.high == math.inf:
        return "unbounded"
    return amount(value.value, unit)


def cput(value: Interval, unit: str) -> str:
    """Print a cost per useful token, per million, with its interval and unit."""
    counted = "per M useful tokens"
    return f"{cost_interval(per_million(value), unit)} {counted if unit == 'USD' else f'device-s {counted}'}"


def per_million(value: Interval) -> Interval:
    """Return a cost per token as a cost per million tokens."""
    return Interval(*(None if bound is None else bound * MILLION for bound in value))


def per_million_unit(unit: str) -> str:
    """Name the unit of a cost per million tokens."""
    return "$ / M tokens" if unit == "USD" else "device-s / M tokens"


def level_cost(level: Level, unit: str) -> float | None:
    """Return what a million of a level's tokens cost, in the measurement's unit."""
    return known(level.usd_per_m if unit == "USD" else level.device_s_per_m)


def level_words(level: Level, unit: str) -> str:
    """Print a level's cost; a level without tokens has none."""
    cost = level_cost(level, unit)
    return "no token left" if cost is None and level.output_tokens == 0 else amount(cost, unit)


def median_first(value: Percentiles) -> tuple[float | None, ...]:
    """Return p50, p95, p99, mean: the order of every latency table."""
    return value.p50, value.p95, value.p99, value.mean


def floor_words(floor: float | None, value: Interval) -> str:
    """Say where a useful rate and its interval lie against the floor."""
    if floor is None:
        return "no floor stated"
    stated = f"floor {percent(floor)}"
    if value.low is None or value.high is None:
        return f"{stated}: cannot be told"
    if value.low >= floor:
        return f"{stated}: kept with 95 % confidence"
    if value.high < floor:
        return f"{stated}: missed with 95 % confidence"
    return f"{stated}: not decided by these calls"


def clip(text: str, most: int) -> str:
    """Shorten a text that came from outside; what is cut is said in characters."""
    return text if len(text) <= most else f"{text[:most]}… (+{len(text) - most:,} characters)"


def listing(names: Sequence[str]) -> str:
    """Join words with commas and a closing "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def bare_rate(value: Interval) -> str:
    """Print a share with its interval in percent, where the unit stands in the header."""
    if known(value.value) is None:
        return UNKNOWN
    return f"{share(value.value)} [{share(value.low)}, {share(value.high)}]"
