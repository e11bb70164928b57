"""A reserved window is paid for whole: its cost goes to attempts by engine share, and what is left is idle.

All amounts are integer nano-dollars and add up exactly (largest remainder, Hamilton's method).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from cput.errors import InputError
from cput.units import SECONDS_PER_HOUR, to_nano_usd

_NS = 1_000_000_000


class Allocation(NamedTuple):
    """A window's cost, split. ``sum(usage) + idle == total`` and ``sum(full) == total`` (None counts as 0)."""

    total_nano_usd: int
    """Window times rate."""
    usage_nano_usd: tuple[int | None, ...]
    """What each attempt used; None where its engine seconds are unknown."""
    idle_nano_usd: int
    """What no attempt is known to have used."""
    full_nano_usd: tuple[int, ...]
    """The whole total spread over the attempts, idle included: what a bootstrap over calls resamples."""


def allocate(window_s: float, rate_usd_per_h: Decimal, engine_s: Sequence[float | None]) -> Allocation:
    """Split the cost of ``window_s`` seconds at ``rate_usd_per_h`` over attempts that used ``engine_s`` seconds each.

    Where the attempts used more seconds than the window has (clock jitter at its edges), shares are scaled down and
    nothing is idle. Where no engine second is known, the whole is spread evenly.

    Raises:
        InputError: when a time or the rate is negative or not finite.
    """
    window_ns = _ns("window", window_s)
    if not rate_usd_per_h.is_finite() or rate_usd_per_h < 0:
        raise InputError(f"the rate is {rate_usd_per_h} USD/h; allowed: a finite amount from 0 up")
    used_ns = [0 if seconds is None else _ns("engine time", seconds) for seconds in engine_s]
    busy_ns = sum(used_ns)
    total = to_nano_usd(rate_usd_per_h * Decimal(window_ns) / _NS / SECONDS_PER_HOUR)
    *usage, idle = split(total, [*used_ns, max(window_ns - busy_ns, 0)])
    return Allocation(
        total_nano_usd=total,
        usage_nano_usd=tuple(None if s is None else u for s, u in zip(engine_s, usage, strict=True)),
        idle_nano_usd=idle,
        full_nano_usd=tuple(split(total, used_ns if busy_ns else [1] * len(used_ns))),
    )


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Split ``total`` into whole parts in proportion to ``weights``; they sum to it exactly.

    With no positive weight the last part takes all; without parts there is nothing to split.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * (len(weights) - 1) + [total] if weights else []
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[:left]:
        parts[i] += 1
    return parts


def _ns(what: str, seconds: float) -> int:
    if not 0 <= seconds < float("inf"):
        raise InputError(f"the {what} is {seconds} s; allowed: a finite time from 0 up")
    return round(seconds * _NS)
