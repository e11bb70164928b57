"""The dated rows of ``energies/*.toml``: prices of a kilowatt-hour, carbon of a grid, nominal power of devices.

A change is a new row with a later day; a figure that nobody has seen with a date and a source is left out.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Protocol, TypeVar

from cput.errors import InputError, unknown
from cput.ledger.price.file import Table, amount, day, only, words


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOfKwh:
    """What a kilowatt-hour costs in a region."""

    region: str
    """ISO 3166 code (CN, US), EU, or a code and a name (CN-East)."""
    seen: date
    """When the source showed it; it counts from then until a later row of the same region."""
    per_kwh: Decimal
    """Money per kilowatt-hour."""
    currency: str
    """ISO 4217 code of that money."""
    what: str
    """Which price: whose, of which year, with which taxes."""
    source: str
    """Where it was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonOfKwh:
    """What a kilowatt-hour from a region's grid emits."""

    region: str
    """As ``PriceOfKwh``; ``world`` for all."""
    seen: date
    """When the source showed it."""
    g_per_kwh: Decimal
    """Grams of ``gas``."""
    gas: str
    """``CO2`` alone, or ``CO2e``: all greenhouse gases as its equivalent."""
    what: str
    """Which factor: of which year, of generation or use, whose."""
    source: str
    """Where it was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOfDevice:
    """The nominal power of a processor or an accelerator."""

    device: str
    """Its name, as it calls itself."""
    seen: date
    """When the source showed it."""
    watts: Decimal
    """Thermal design power, or board power."""
    threads: int | None
    """Hardware threads of a processor: a part of them is a part of its power. None for an accelerator."""
    source: str
    """Where it was seen."""


class Dated(Protocol):
    """A row that counts from a day on."""

    @property
    def seen(self) -> date:
        """The first day it counts."""
        ...


Row = TypeVar("Row", bound=Dated)


def in_force(rows: Iterable[Row], on: date) -> Row | None:
    """Return the row with the latest day that is not after ``on``; None where all are later."""
    return max((row for row in rows if row.seen <= on), key=lambda row: row.seen, default=None)


@cache
def kwh_prices() -> tuple[PriceOfKwh, ...]:
    """Return the shipped prices of a kilowatt-hour."""
    return tuple(_price(table) for table in _tables(_text("grids.toml"), "grids.toml", "price"))


@cache
def grid_carbon() -> tuple[CarbonOfKwh, ...]:
    """Return the shipped carbon factors."""
    return tuple(_carbon(table) for table in _tables(_text("grids.toml"), "grids.toml", "carbon"))


@cache
def device_powers() -> tuple[PowerOfDevice, ...]:
    """Return the shipped nominal powers."""
    return tuple(_power(table) for table in _tables(_text("devices.toml"), "devices.toml", "power"))


def _text(name: str) -> str:
    return (files("cput.ledger") / "energies" / name).read_text(encoding="utf-8")


def _tables(text: str, name: str, kind: str) -> tuple[Table, ...]:
    parsed = tomllib.loads(text)
    if strange := set(parsed) - {"price", "carbon", "power"}:
        raise InputError(f"energy file {name}: {unknown('table', min(strange), ('price', 'carbon', 'power'))}")
    return tuple(Table(row, f"energy file {name}, {kind} {i}", name) for i, row in enumerate(parsed.get(kind, []), 1))


def _price(table: Table) -> PriceOfKwh:
    only(table, ("region", "seen", "per_kwh", "currency", "what", "source"))
    return PriceOfKwh(
        region=words(table, "region"),
        seen=day(table, "seen"),
        per_kwh=amount(table, "per_kwh"),
        currency=words(table, "currency"),
        what=words(table, "what"),
        source=words(table, "source"),
    )


def _carbon(table: Table) -> CarbonOfKwh:
    only(table, ("region", "seen", "g_per_kwh", "gas", "what", "source"))
    if table.fields.get("gas") not in ("CO2", "CO2e"):
        raise InputError(f"{table.where}: gas is {table.fields.get('gas')!r}; allowed: CO2, CO2e")
    return CarbonOfKwh(
        region=words(table, "region"),
        seen=day(table, "seen"),
        g_per_kwh=amount(table, "g_per_kwh"),
        gas=words(table, "gas"),
        what=words(table, "what"),
        source=words(table, "source"),
    )


def _power(table: Table) -> PowerOfDevice:
    only(table, ("device", "seen", "watts", "threads", "source"))
    threads = table.fields.get("threads")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InputError(f"{table.where}: threads is {threads!r}; allowed: a whole number from 1 up, or left out")
    return PowerOfDevice(
        device=words(table, "device"),
        seen=day(table, "seen"),
        watts=amount(table, "watts"),
        threads=threads,
        source=words(table, "source"),
    )
