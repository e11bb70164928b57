"""Quantities that wear their unit: money as integer nano-dollars, rates per hour, and how people read them.

Money is ``Decimal`` in code and an integer count of nano-dollars (1e-9 USD) in the store, so that sums are exact.
Unknown is ``None`` and prints as "unknown", never as 0.
"""

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from cput.errors import InputError

UNKNOWN = "unknown"
NANO = Decimal(1_000_000_000)
SECONDS_PER_HOUR = Decimal(3600)
_RATE = re.compile(
    r"^\s*\$?\s*(?P<amount>[0-9.]+(?:e-?[0-9]+)?)\s*(?:/\s*(?P<per>hr?|hour|s|d|day|mo|month))?\s*$", re.IGNORECASE
)
_HOURS = {
    "h": Decimal(1),
    "hr": Decimal(1),
    "hour": Decimal(1),
    "s": 1 / SECONDS_PER_HOUR,
    "d": Decimal(24),
    "day": Decimal(24),
    "mo": Decimal(730),  # the cloud vendors' month: 8,760 h / 12
    "month": Decimal(730),
}


def to_nano_usd(amount_usd: Decimal) -> int:
    """Return ``amount_usd`` in integer nano-dollars, rounded half to even."""
    return int((amount_usd * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def from_nano_usd(nano_usd: int) -> Decimal:
    """Return integer nano-dollars as dollars."""
    return Decimal(nano_usd) / NANO


def parse_rate_usd_per_h(text: str) -> Decimal:
    """Return dollars per hour from ``0.08/h``, ``$1.92/day``, ``58.4/month`` or a bare number (per hour).

    Raises:
        InputError: when the text is not a positive amount with an allowed period.
    """
    match = _RATE.match(text)
    try:
        amount = Decimal(match["amount"]) if match else None
    except InvalidOperation:
        amount = None
    if match is None or amount is None or amount <= 0:
        raise InputError(f"rate '{text}' is not an amount of dollars per time; allowed: 0.08/h, 1.92/day, 58.4/month")
    return amount / _HOURS[(match["per"] or "h").lower()]


def usd(amount: Decimal | float | None, digits: int = 4) -> str:
    """Print dollars with ``digits`` significant digits; ``None`` is "unknown"."""
    if amount is None:
        return UNKNOWN
    value = float(amount)
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124  # NaN test without math
        return "unbounded"
    if value == 0:
        return "$0"
    places = max(2, digits - 1 - _exponent(value))
    return f"${value:,.{places}f}" if places <= 12 else f"${value:.{digits - 1}e}"


def number(value: float | None, digits: int = 3, unit: str = "") -> str:
    """Print a figure with ``digits`` significant digits and its unit; ``None`` is "unknown"."""
    if value is None:
        return UNKNOWN
    if value in {float("inf"), float("-inf")}:
        return "unbounded"
    places = max(0, digits - 1 - _exponent(value)) if value else 0
    return f"{value:,.{places}f}{' ' + unit if unit else ''}"


def percent(share: float | None, places: int = 1) -> str:
    """Print a share of 1 as a percentage; ``None`` is "unknown"."""
    return UNKNOWN if share is None else f"{share * 100:.{places}f} %"


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])
