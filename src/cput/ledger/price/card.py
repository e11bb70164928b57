"""A price card: one model's prices in US dollars at one moment, and what a usage costs by it.

The lattice of token classes and their leaves by subtraction are genai-prices' (``compute_leaf_values``), as are the
tiers (``calc_unit_price``): the whole request is billed at the tier of its total input tokens. Amounts are exact
decimals; the sum is rounded once, to nano-dollars, where it becomes a charge.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from cput.records import Usage
from cput.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices
    from genai_prices.units import UnitDef, UnitRegistry

JOULES_PER_KWH = Decimal(3_600_000)
ENERGY_PART = "energy_j"
"""The part of a usage that holds its energy in joules."""
PLAIN = frozenset({"input_tokens", "output_tokens"})
_MEASURED_FAMILIES = {"durations", "characters", "pixels", "document_pages", "messages"}


class Line(NamedTuple):
    """What one class of a usage costs."""

    what: str
    """genai-prices' usage key, or engine_s, energy_j, or minimum (what a provider's least bill adds)."""
    amount: Decimal
    """How much of it was billed: leaves, so that no token is in two lines."""
    usd: Decimal
    """US dollars, exact."""

    @property
    def direction(self) -> str:
        """``input``, ``output``, or empty where it is neither."""
        unit = registry().units.get(self.what)
        return unit.dimensions.get("direction", "") if unit is not None else ""


class Bill(NamedTuple):
    """What a usage costs."""

    lines: tuple[Line, ...]
    """One line per class with an amount; none where the cost is unknown."""
    why_unknown: str | None
    """Which count is missing or contradicts another, as a sentence's beginning; None where the cost is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Prices of one model at one moment."""

    rates: tuple[tuple["UnitDef", "Decimal | TieredPrices"], ...]
    """Each priced unit with its price in US dollars per ``unit.per`` of it."""
    per_hour: Decimal | None = None
    """US dollars per hour of device time."""
    per_kwh: Decimal | None = None
    """US dollars per kilowatt-hour."""
    version: str
    """What a charge names as its price version."""
    plain: tuple[tuple[str, Decimal, int], ...] | None = None
    """Usage key, price and ``per`` of input and output, where the price of a plain usage is just those two; the lattice
    takes 0.1 ms, and most usages are plain."""

    def bill(self, usage: Usage) -> Bill:
        """Return what a usage costs, line by line."""
        if self.plain is not None and (both := _plain_counts(usage)) is not None:
            amounts = [(key, Decimal(both[key]), rate, per) for key, rate, per in self.plain if both[key]]
            return Bill(tuple(Line(key, amount, rate * amount / per) for key, amount, rate, per in amounts), None)
        counts = billable(usage)
        missing = self._missing(counts, usage)
        if missing is not None:
            return Bill((), missing)
        try:
            lines = (*self._counted(counts), *self._measured(usage))
        except ValueError as error:  # a part that is larger than its whole
            return Bill((), f"its counts contradict each other: {error}")
        return Bill(tuple(line for line in lines if line.amount), None)

    def _missing(self, counts: Mapping[str, float], usage: Usage) -> str | None:
        """Say which count is unknown that a price above 0 asks for: unknown must not be billed as none."""
        told = {_group(registry().units[key]) for key in counts}
        asked = {_group(unit) for unit, rate in self.rates if _positive(rate)}
        measured = {group for group in asked if group[0] in _MEASURED_FAMILIES}
        if not measured & told:  # a transcript may be billed by tokens or by seconds, whichever is reported
            for direction in ("input", "output"):
                if ("tokens", direction) in asked - told:
                    return f"its {direction} tokens are unknown"
            if measured and measured == asked:
                return f"its {' and '.join(sorted(family for family, _ in measured))} are unknown"
        if self.per_hour and usage.engine_s is None:
            return "its device seconds are unknown"
        return "its energy is unknown" if self.per_kwh and ENERGY_PART not in usage.parts else None

    def _counted(self, counts: Mapping[str, float]) -> Iterable[Line]:
        from genai_prices.decompose import compute_leaf_values
        from genai_prices.types import TieredPrices, calc_unit_price
        from genai_prices.types import Usage as Counts

        told = Counts(**counts)
        units = {unit.usage_key: unit for unit, _ in self.rates if unit.usage_key != "requests"}
        leaves = compute_leaf_values(set(units), told, units)
        tiered = any(isinstance(rate, TieredPrices) for _, rate in self.rates)
        total_input = told.input_tokens if tiered else 0
        for unit, rate in self.rates:
            leaf = leaves.get(unit.usage_key, 1)  # a request is one request
            yield Line(unit.usage_key, Decimal(str(leaf)), calc_unit_price(rate, leaf, total_input, unit.per))

    def _measured(self, usage: Usage) -> Iterable[Line]:
        if self.per_hour is not None and usage.engine_s is not None:
            seconds = Decimal(repr(usage.engine_s))
            yield Line("engine_s", seconds, seconds * self.per_hour / SECONDS_PER_HOUR)
        if self.per_kwh is not None and ENERGY_PART in usage.parts:
            joules = Decimal(repr(float(usage.parts[ENERGY_PART])))
            yield Line(ENERGY_PART, joules, joules * self.per_kwh / JOULES_PER_KWH)


def card_of(
    price: "ModelPrice", version: str, *, per_hour: Decimal | None = None, per_kwh: Decimal | None = None
) -> Card:
    """Return a card from genai-prices' price of a model."""
    from genai_prices.validation import validate_priced_units

    units = registry()
    stored = [(key, rate) for key, rate in vars(price).items() if rate is not None]
    rates = tuple((units.unit_for_price_key(key), rate) for key, rate in stored)
    validate_priced_units(tuple(unit for unit, _ in rates), units)
    plain = None if per_hour is not None or per_kwh is not None else _plain_rates(rates)
    return Card(rates=rates, per_hour=per_hour, per_kwh=per_kwh, version=version, plain=plain)


def _plain_rates(
    rates: Iterable[tuple["UnitDef", "Decimal | TieredPrices"]],
) -> tuple[tuple[str, Decimal, int], ...] | None:
    """Return the prices of input and output; None where a plain usage is billed by something else, or by tiers."""
    found = []
    for unit, rate in rates:
        if unit.dimensions.get("family") != "tokens":
            return None
        if unit.usage_key in PLAIN:
            if not isinstance(rate, Decimal):
                return None
            found.append((unit.usage_key, rate, unit.per))
    return tuple(found)


def _plain_counts(usage: Usage) -> dict[str, int] | None:
    """Return input and output of a usage that has no finer class; None for any other."""
    if usage.parts or usage.input_cache_read or usage.input_cache_write or usage.reasoning:
        return None
    if usage.input_uncached is None or usage.output is None:
        return None
    return {"input_tokens": usage.input_uncached, "output_tokens": usage.output}


def billable(usage: Usage) -> dict[str, float]:
    """Return the inclusive totals of a usage by those of genai-prices' usage keys that it knows."""
    from cput.ledger.usage import reported

    known = registry().units
    return {key: value for key, value in reported(usage).items() if key in known and key != "requests"}


@cache
def registry() -> "UnitRegistry":
    """Return genai-prices' units: their keys, the quantities they are priced by, and their place in the lattice."""
    from genai_prices.data_units import unit_data
    from genai_prices.units import UnitRegistry

    return UnitRegistry(unit_data)


def _group(unit: "UnitDef") -> tuple[str, str | None]:
    """Family and, for tokens, direction: where one member is reported, the others are known to be none."""
    family = unit.dimensions.get("family", "")
    return family, unit.dimensions.get("direction") if family == "tokens" else None


def _positive(rate: "Decimal | TieredPrices") -> bool:
    return rate > 0 if isinstance(rate, Decimal) else rate.base > 0 or any(tier.price > 0 for tier in rate.tiers)
