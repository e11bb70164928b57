"""What an hour of a device costs: given on the command line, from a dated price file with its source, or unknown.

device_rate("0.08/h", None)      # given
device_rate(None, "g6.xlarge")   # the user's prices.toml or prices/*.toml, the row in force
device_rate(None, "my laptop")   # unknown, and it says so
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from cput.errors import InputError, unknown
from cput.ledger.price.file import Table, amount, day, shipped_files, tables, users_file, words
from cput.ledger.price.fx import USD, Exchange, parse_fx
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
    per_h: Decimal
    """Money per hour."""
    currency: str = USD
    """ISO 4217 code of that money."""
    terms: str
    """Vendor, region and terms."""
    source: str
    """Where it was seen."""


def device_rate(
    text: str | None, device: str | None, *, on: date | None = None, rows: Sequence[PriceRow] | None = None
) -> DeviceRate:
    """Return the rate that ``text`` (``--rate``) gives, else the one in force for ``device`` on a day (None: today).

    ``rows`` replaces the price files. The user's own rows of a device stand in the place of the shipped ones.

    Raises:
        InputError: when ``text`` is not an amount per time, or no price file knows the device.
    """
    if text is not None:
        return DeviceRate(parse_rate_usd_per_h(text), "given on the command line", f"given:{text.strip()}")
    if device is None:
        return DeviceRate(None, "unknown: neither a rate nor a priced device is given", UNKNOWN_VERSION)
    today = on or datetime.now(UTC).date()
    named = [row for row in _rows(rows) if row.device.lower() == device.strip().lower()]
    if not named:
        raise unknown("device", device, {row.device for row in _rows(rows)})
    found = [row for row in named if row.seen <= today]
    if not found:
        return DeviceRate(None, f"unknown: no price of '{device}' is on file for {today}; give --rate", UNKNOWN_VERSION)
    return _rate(max(found, key=lambda row: row.seen), today)


@cache
def price_rows() -> tuple[PriceRow, ...]:
    """Return all device rows of the shipped price files."""
    return tuple(row for file in shipped_files() for row in parse_prices(file.text, file.name))


def parse_prices(text: str, name: str) -> tuple[PriceRow, ...]:
    """Read the device tables of a price file: ``[[price]]`` with device, seen, usd_per_h (a text), terms and source.

    In another currency, ``per_h`` and ``currency`` stand in the place of ``usd_per_h``.

    Raises:
        InputError: names the file, the row and what is wrong with it.
    """
    currencies = Exchange(parse_fx(text, name)).currencies
    return tuple(_row(table, currencies) for table in tables(text, name, "price"))


def _rows(given: Sequence[PriceRow] | None) -> Sequence[PriceRow]:
    if given is not None:
        return given
    mine = users_file()
    own = parse_prices(mine.text, mine.name) if mine else ()
    names = {row.device.lower() for row in own}
    return (*own, *(row for row in price_rows() if row.device.lower() not in names))


def _row(table: Table, currencies: frozenset[str]) -> PriceRow:
    dollars = ("device", "seen", "usd_per_h", "terms", "source")
    other = ("device", "seen", "per_h", "currency", "terms", "source")
    if set(table.fields) not in ({*dollars}, {*other}):
        raise InputError(
            f"{table.where} has fields {', '.join(sorted(table.fields))}; allowed: exactly {', '.join(dollars)} "
            "(or per_h and currency in the place of usd_per_h)"
        )
    seen = day(table, "seen")
    currency = words(table, "currency", USD).upper()
    if currency not in currencies:
        raise InputError(f"{table.where}: {unknown('currency', currency, currencies)}")
    return PriceRow(
        device=words(table, "device"),
        seen=seen,
        per_h=amount(table, "usd_per_h" if "usd_per_h" in table.fields else "per_h"),
        currency=currency,
        terms=words(table, "terms"),
        source=words(table, "source"),
    )


def _rate(row: PriceRow, today: date) -> DeviceRate:
    source = f"{row.terms}, seen {row.seen.isoformat()} ({row.source})"
    version = f"{row.device}@{row.seen.isoformat()}"
    if row.currency == USD:
        return DeviceRate(row.per_h, source, version)
    mine = users_file()
    fx = Exchange(parse_fx(mine.text, mine.name) if mine else ()).usd_per(row.currency, today)
    if fx is None:
        return DeviceRate(None, f"unknown: no rate of {row.currency} is on file for {today}", UNKNOWN_VERSION)
    exchanged = f"{row.currency}@{fx.day}"
    return DeviceRate(
        row.per_h * fx.usd, f"{source}, {row.per_h} {row.currency} at {exchanged}", f"{version};{exchanged}"
    )
