"""A model's own dated price: for self-hosted engines, for what genai-prices lacks, and to override it.

    [[model]]
    model = "qwen3-max"            # exact, or a pattern with * and ?
    provider = "dashscope"         # optional; left out, it holds for every provider and for an engine of one's own
    valid_from = 2026-05-31        # holds from this day (UTC) until a later row of the same model
    currency = "CNY"               # optional; US dollars where left out
    input = "2.5"                  # per million tokens; also cache_read, cache_write, reasoning, input_audio, ...
    output = "10"
    per_request = "0.001"          # optional, as are per_hour (of device time) and per_kwh
    terms = "list price, mainland China"
    source = "https://..."

    [[model.tier]]                 # the whole request at these prices, by its total input tokens
    above = 32000                  # more than 32,000; or: from = 32000, 32,000 itself included
    input = "4"
    output = "16"

An amount is a text. A price per million tokens that is implausibly high or low is refused: it is mostly a price per
token in the wrong place. ``force = true`` in the row says that it is meant.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import pairwise

from cput.errors import InputError, unknown
from cput.ledger.price.card import Card, card_of, registry
from cput.ledger.price.file import Table, amount, amount_of, day, only, tables, words
from cput.ledger.price.fx import USD, Exchange, Fx

HIGHEST_USD_PER_M = Decimal(1000)
LOWEST_USD_PER_M = Decimal("0.0001")
_MILLION = Decimal(1_000_000)
_PLAIN = ("model", "provider", "valid_from", "currency", "terms", "source", "force", "tier")
_RATES = ("per_request", "per_hour", "per_kwh")
_BOUNDARIES = ("above", "from")
_ALIASES = {"reasoning": "output_reasoning_mtok"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTier:
    """What the whole request costs from some input length on."""

    above: int
    """The tier holds where the total input tokens are more than this."""
    prices: Mapping[str, Decimal]
    """Prices that differ from the tier below, by genai-prices' price keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One dated price of a model; a change of price is a new row."""

    model: str
    """The model's name in lower case, or a pattern with * and ?."""
    provider: str | None
    """Who bills it, as genai-prices names providers; None holds for all, and for engines of one's own."""
    valid_from: date
    """The first day (UTC) it holds."""
    currency: str
    """ISO 4217 code of the amounts."""
    prices: Mapping[str, Decimal]
    """Prices by genai-prices' price keys (input_mtok is per million tokens, web_searches_kcount per thousand)."""
    tiers: tuple[PriceTier, ...]
    """Tiers by rising boundary."""
    per_request: Decimal | None
    """Money per request."""
    per_hour: Decimal | None
    """Money per hour of device time (``Usage.engine_s``)."""
    per_kwh: Decimal | None
    """Money per kilowatt-hour (``energy_j`` among the usage's parts)."""
    terms: str
    """Vendor, region and terms."""
    source: str
    """Where it was seen."""
    version: str
    """What a charge names: file, digest of the row, model and day."""

    def holds(self, model: str, provider: str | None) -> bool:
        """Whether it is a price of this model at this provider."""
        return self.provider in {None, provider and provider.lower()} and fnmatchcase(model.lower(), self.model)

    @property
    def precedence(self) -> tuple[bool, bool, date]:
        """Of rows that hold, the greatest is in force: the provider's own, then the exact name, then the latest."""
        return self.provider is not None, not any(mark in self.model for mark in "*?["), self.valid_from


def parse_models(text: str, name: str, exchange: Exchange, *, force: bool = False) -> tuple[ModelRow, ...]:
    """Read the ``[[model]]`` tables of a price file; ``force`` takes implausible prices as they are.

    Raises:
        InputError: names the file, the model's number and what is wrong with it.
    """
    return tuple(_row(table, exchange, force=force) for table in tables(text, name, "model"))


def row_card(row: ModelRow, fx: Fx) -> Card:
    """Return a row's prices in US dollars at a rate of exchange."""
    from genai_prices.types import ModelPrice, Tier, TieredPrices

    rates: dict[str, Decimal | TieredPrices] = {}
    for key, base in row.prices.items():
        steps = [Tier(start=tier.above, price=tier.prices[key] * fx.usd) for tier in row.tiers if key in tier.prices]
        rates[key] = TieredPrices(base=base * fx.usd, tiers=steps) if steps else base * fx.usd
    if row.per_request is not None:
        rates["requests_kcount"] = row.per_request * 1000 * fx.usd
    exchanged = f";{row.currency}@{fx.day}" if fx.day is not None else ""
    return card_of(
        ModelPrice(**rates),
        row.version + exchanged,
        per_hour=None if row.per_hour is None else row.per_hour * fx.usd,
        per_kwh=None if row.per_kwh is None else row.per_kwh * fx.usd,
    )


def _row(table: Table, exchange: Exchange, *, force: bool) -> ModelRow:
    keys = price_keys()
    only(table, (*_PLAIN, *_RATES, *keys))
    if not isinstance(forced := table.fields.get("force", False), bool):
        raise InputError(f"{table.where}: force is {forced!r}; allowed: true or false")
    currency = words(table, "currency", USD).upper()
    if currency not in exchange.currencies:
        raise InputError(f"{table.where}: {unknown('currency', currency, exchange.currencies)}")
    usd = Decimal(0) if force or forced else exchange.latest(currency).usd
    prices = _prices(table, table.fields, keys, usd)
    rates = {name: amount(table, name, free=True) if name in table.fields else None for name in _RATES}
    if not prices and all(rate is None for rate in rates.values()):
        raise InputError(f'{table.where} has no price; allowed: input = "2.5", output, cache_read, {", ".join(_RATES)}')
    _require_lattice(prices, table)
    model, valid_from = words(table, "model").lower(), day(table, "valid_from")
    return ModelRow(
        model=model,
        provider=words(table, "provider").lower() if "provider" in table.fields else None,
        valid_from=valid_from,
        currency=currency,
        prices=prices,
        tiers=_tiers(table, prices, usd),
        per_request=rates["per_request"],
        per_hour=rates["per_hour"],
        per_kwh=rates["per_kwh"],
        terms=words(table, "terms"),
        source=words(table, "source"),
        version=f"{table.file}#{_digest(table)}:{model}@{valid_from.isoformat()}",
    )


def price_keys() -> dict[str, str]:
    """Return genai-prices' price key for each name that a price file may use: its own, or without ``_mtok``."""
    keys = [unit.price_key for unit in registry().units.values() if unit.price_key != "requests_kcount"]
    return {key: key for key in keys} | {key.removesuffix("_mtok"): key for key in keys} | _ALIASES


def _prices(table: Table, fields: Mapping[str, object], keys: Mapping[str, str], usd: Decimal) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for field, value in fields.items():
        if field not in keys:
            continue
        if keys[field] in found:
            raise InputError(f"{table.where}: {field} says {keys[field]} a second time; give it once")
        price = amount_of(value, f"{table.where}: {field}", free=True)
        if keys[field].endswith("_mtok"):
            _require_plausible(f"{table.where}: {field}", price, usd)
        found[keys[field]] = price
    return found


def _require_plausible(what: str, price: Decimal, usd_per_unit: Decimal) -> None:
    """Refuse a price per million tokens that is mostly a slip of unit; ``usd_per_unit`` 0 takes it as it is."""
    usd = price * usd_per_unit
    if usd > HIGHEST_USD_PER_M:
        limit = f"above ${HIGHEST_USD_PER_M:,f}"
    elif 0 < usd < LOWEST_USD_PER_M:
        limit = f"below ${LOWEST_USD_PER_M:,f}"
    else:
        return
    raise InputError(
        f"{what} is {price}: read per million tokens that is ${_plain(usd)} per million, ${_plain(usd / _MILLION)} per "
        f"token; read per token it would be ${_plain(usd * _MILLION)} per million. A price {limit} per million tokens "
        "is refused: prices here are per million tokens; write force = true in the row, or --force, if it is meant"
    )


def _plain(value: Decimal) -> str:
    """Print without an exponent and without trailing zeros."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _tiers(table: Table, prices: Mapping[str, Decimal], usd: Decimal) -> tuple[PriceTier, ...]:
    written = table.fields.get("tier", [])
    if not isinstance(written, list) or not all(isinstance(row, dict) for row in written):
        raise InputError(f"{table.where}: tier is {written!r}; allowed: tables that begin with [[model.tier]]")
    tiers = [
        _tier(Table(row, f"{table.where}, tier {number}", table.file), prices, usd)
        for number, row in enumerate(written, start=1)
    ]
    for lower, upper in pairwise(tiers):
        if upper.above <= lower.above:
            raise InputError(f"{table.where}: its tiers do not rise; write them by growing boundary")
    return tuple(tiers)


def _tier(table: Table, prices: Mapping[str, Decimal], usd: Decimal) -> PriceTier:
    keys = price_keys()
    only(table, (*_BOUNDARIES, *keys))
    given = [side for side in _BOUNDARIES if side in table.fields]
    boundary = table.fields[given[0]] if given else None
    if len(given) != 1 or type(boundary) is not int or boundary < 1:
        raise InputError(
            f"{table.where}: allowed is one boundary, above = 32000 (more than that many input tokens) or from = 32000 "
            f"(that many or more); it has {', '.join(f'{side} = {table.fields[side]!r}' for side in given) or 'none'}"
        )
    found = _prices(table, table.fields, keys, usd)
    if not found or not set(found) <= set(prices):
        extra = ", ".join(sorted(set(found) - set(prices))) or "no price at all"
        raise InputError(f"{table.where} has {extra}; allowed: prices that the row itself has ({', '.join(prices)})")
    return PriceTier(above=boundary if given[0] == "above" else boundary - 1, prices=found)


def _require_lattice(prices: Mapping[str, Decimal], table: Table) -> None:
    """Refuse prices that leave a token without one: a finer class needs the class that it is a part of."""
    from genai_prices.validation import validate_model_price

    try:
        validate_model_price(set(prices), registry())
    except ValueError as error:
        raise InputError(f"{table.where}: {error}; give a price for that class too") from error


def _digest(table: Table) -> str:
    """Eight hex digits of what the row says, so that an edited row is another price version."""
    canonical = json.dumps(table.fields, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
