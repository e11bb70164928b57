"""What an hour of a device costs: given on the command line, from a dated price file with its source, or unknown.

device_rate("0.08/h", None)      # given
device_rate(None, "g6.xlarge")   # prices/*.toml, the row in force
device_rate(None, "my laptop")   # unknown, and it says so
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from cput.errors import InputError, unknown
from cput.units import parse_rate_usd_per_h

UNKNOWN_VERSION = "unknown"


class DeviceRate(NamedTuple):
    """A device's price per hour and where it comes from."""

    usd_per_h: Decimal | None
    """US dollars per hour of the whole device; None is unknown."""
    source: str
    """Where the price comes from, with its date; or why it is unknown."""
    version: str
    """What a charge names as its price version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """One dated price; a change of price is a new row."""

    device: str
    """Name of the device or instance type, as its vendor spells it."""
    seen: date
    """When the source showed this price; it counts from then until a later row of the same device."""
    usd_per_h: Decimal
    """US dollars per hour."""
    terms: str
    """Vendor, region and terms."""
    source: str
    """Where it was seen."""


def device_rate(text: str | None, device: str | None, *, on: date | None = None) -> DeviceRate:
    """Return the rate that ``text`` (``--rate``) gives, else the one in force for ``device`` on a day (None: today).

    Raises:
        InputError: when ``text`` is not an amount per time.
    """
    if text is not None:
        return DeviceRate(parse_rate_usd_per_h(text), "given on the command line", f"given:{text.strip()}")
    if device is None:
        return DeviceRate(None, "unknown: neither a rate nor a priced device is given", UNKNOWN_VERSION)
    day = on or datetime.now(UTC).date()
    rows = [row for row in price_rows() if row.device.lower() == device.strip().lower() and row.seen <= day]
    if not rows and device.strip().lower() not in {row.device.lower() for row in price_rows()}:
        raise unknown("device", device, {row.device for row in price_rows()})
    if not rows:
        return DeviceRate(None, f"unknown: no price of '{device}' is on file for {day}; give --rate", UNKNOWN_VERSION)
    row = max(rows, key=lambda row: row.seen)
    return DeviceRate(
        row.usd_per_h,
        f"{row.terms}, seen {row.seen.isoformat()} ({row.source})",
        f"{row.device}@{row.seen.isoformat()}",
    )


@cache
def price_rows() -> tuple[PriceRow, ...]:
    """Return all rows of the shipped price files."""
    folder = files("cput.ledger") / "prices"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(row for file in found for row in parse_prices(file.read_text(encoding="utf-8"), file.name))


def parse_prices(text: str, name: str) -> tuple[PriceRow, ...]:
    """Read a price file: tables ``[[price]]`` with device, seen, usd_per_h (a string), terms and source.

    Raises:
        InputError: names the file, the row and what is wrong with it.
    """
    try:
        tables = tomllib.loads(text).get("price", [])
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"price file {name} is not TOML: {error}") from error
    return tuple(_row(table, f"price file {name}, row {number}") for number, table in enumerate(tables, start=1))


def _row(table: dict[str, object], where: str) -> PriceRow:
    fields = ("device", "seen", "usd_per_h", "terms", "source")
    if set(table) != set(fields):
        raise InputError(f"{where} has fields {', '.join(sorted(table))}; allowed: exactly {', '.join(fields)}")
    seen, amount = table["seen"], table["usd_per_h"]
    if type(seen) is not date:
        raise InputError(f"{where}: seen is {seen!r}; allowed: a date such as 2026-06-17, without quotes")
    try:
        price = Decimal(amount) if isinstance(amount, str) else Decimal("NaN")
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price <= 0:
        raise InputError(f'{where}: usd_per_h is {amount!r}; allowed: a positive amount as text, such as "0.0832"')
    texts = {name: str(table[name]) for name in ("device", "terms", "source")}
    return PriceRow(seen=seen, usd_per_h=price, **texts)
