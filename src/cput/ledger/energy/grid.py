"""What a kilowatt-hour costs and emits: given on the command line, by region from dated files, or unknown.

terms = energy_terms("0.12", "DE")        # $0.12 / kWh as given, Germany's carbon factor
terms = energy_terms(None, "CN-East")     # both from the files, the rows in force
terms = energy_terms("0.55 CNY", "350")   # both given; 350 g / kWh
terms.cost_nano_usd(7_200_000)            # of 2 kWh
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from cput.errors import InputError, unknown
from cput.ledger.energy.files import Dated, grid_carbon, in_force, kwh_prices
from cput.ledger.price.fx import USD, Exchange
from cput.units import to_nano_usd

JOULES_PER_KWH = Decimal(3_600_000)
_PRICE = re.compile(r"^\s*\$?\s*(?P<amount>[0-9.]+)\s*(?P<currency>[A-Za-z]{3})?\s*(?:/\s*kwh)?\s*$", re.IGNORECASE)
_GRAMS = re.compile(r"^\s*(?P<amount>[0-9.]+)\s*(?:g(?:\s*/\s*kwh)?)?\s*$", re.IGNORECASE)
_GIVEN = "given on the command line"


class Terms(NamedTuple):
    """Price and carbon of a kilowatt-hour, each with its source or the reason why it is unknown."""

    usd_per_kwh: Decimal | None = None
    """US dollars; None is unknown."""
    price_source: str = "neither --kwh-price nor a region (--grid) is given"
    """Where the price is from, with its date."""
    g_per_kwh: Decimal | None = None
    """Grams of ``gas``; None is unknown."""
    carbon_source: str = "no region (--grid) is given"
    """Where the factor is from, with its date."""
    gas: str = "CO2e"
    """``CO2e``, or ``CO2`` where the factor counts carbon dioxide alone."""

    def cost_nano_usd(self, joules: float) -> int | None:
        """Return what ``joules`` cost in integer nano-dollars; None where no price is known."""
        return None if self.usd_per_kwh is None else to_nano_usd(_kwh(joules) * self.usd_per_kwh)

    def carbon_g(self, joules: float) -> float | None:
        """Return what ``joules`` emit, in grams; None where no factor is known."""
        return None if self.g_per_kwh is None else float(_kwh(joules) * self.g_per_kwh)


def energy_terms(kwh_price: str | None, grid: str | None, *, on: date | None = None) -> Terms:
    """Return the terms in force on a day (None: today): what is given wins over the region's rows.

    Raises:
        InputError: when a text is neither an amount nor a known region, or a currency has no rate.
    """
    today = on or datetime.now(UTC).date()
    grams = None if grid is None else _amount(_GRAMS, grid)
    region = None if grid is None or grams is not None else _region(grid)
    terms = Terms()
    if region is not None:
        terms = _with_price(_with_carbon(terms, region, today), region, today)
    if grams is not None:
        terms = terms._replace(g_per_kwh=grams, carbon_source=_GIVEN)
    if kwh_price is not None:
        terms = terms._replace(usd_per_kwh=_given_price(kwh_price, today), price_source=_GIVEN)
    return terms


def regions() -> frozenset[str]:
    """Return the regions of which a price or a carbon factor is on file."""
    return frozenset({row.region for row in kwh_prices()} | {row.region for row in grid_carbon()})


def _with_carbon(terms: Terms, region: str, on: date) -> Terms:
    row = in_force([row for row in grid_carbon() if row.region == region], on)
    if row is None:
        return terms._replace(carbon_source=_missing("carbon factor", region, on, grid_carbon()))
    return terms._replace(g_per_kwh=row.g_per_kwh, carbon_source=f"{region}: {row.what}, seen {row.seen}", gas=row.gas)


def _with_price(terms: Terms, region: str, on: date) -> Terms:
    row = in_force([row for row in kwh_prices() if row.region == region], on)
    if row is None:
        return terms._replace(price_source=_missing("price of a kWh", region, on, kwh_prices()))
    rate = Exchange().usd_per(row.currency, row.seen)
    if rate is None:
        return terms._replace(price_source=f"no rate of {row.currency} is on file for {row.seen}")
    paid = "" if row.currency == USD else f" {row.per_kwh} {row.currency} at {rate.usd:.6g} USD,"
    return terms._replace(
        usd_per_kwh=row.per_kwh * rate.usd, price_source=f"{region}:{paid} {row.what}, seen {row.seen}"
    )


def _missing(what: str, region: str, on: date, rows: Iterable[Dated]) -> str:
    later = any(getattr(row, "region", None) == region for row in rows)
    return f"no {what} of {region} is on file{f' for {on}' if later else ''}"


def _region(text: str) -> str:
    known = {name.lower(): name for name in regions()}
    found = known.get(text.strip().lower())
    if found is None:
        problem = unknown("grid", text.strip(), known.values())
        raise InputError(f"{problem}; or grams of CO2e per kWh, such as 350")
    return found


def _given_price(text: str, on: date) -> Decimal:
    match = _PRICE.match(text)
    amount = _amount(_PRICE, text)
    if match is None or amount is None:
        raise InputError(f"--kwh-price is '{text}'; allowed: an amount per kWh, such as 0.12 (US dollars) or 0.55 CNY")
    currency = (match["currency"] or USD).upper()
    rate = Exchange().usd_per(currency, on)
    if rate is None:
        raise InputError(f"--kwh-price is in {currency}, of which no rate is on file for {on}; give US dollars")
    return amount * rate.usd


def _amount(pattern: re.Pattern[str], text: str) -> Decimal | None:
    match = pattern.match(text)
    try:
        return Decimal(match["amount"]) if match else None
    except InvalidOperation:
        return None


def _kwh(joules: float) -> Decimal:
    return Decimal(repr(float(joules))) / JOULES_PER_KWH
