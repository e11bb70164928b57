"""What one unit of a currency was worth in US dollars on a day.

The shipped table holds the European Central Bank's reference rates; a price file's ``[[fx]]`` rows win over it:

    [[fx]]
    currency = "CNY"
    day = 2026-11-02        # holds from this day until a later row of the same currency
    usd = "0.1404"          # US dollars for one unit
    source = "our bank's statement"
"""

import csv
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from cput.errors import unknown
from cput.ledger.price.file import amount, day, only, tables, words

USD = "USD"
_FIELDS = ("currency", "day", "usd", "source")


class Fx(NamedTuple):
    """A rate of exchange."""

    usd: Decimal
    """US dollars for one unit of the currency."""
    day: date | None
    """The day it was set; None for the dollar itself."""


class FxRow(NamedTuple):
    """One dated rate; a later row replaces it."""

    currency: str
    """ISO 4217 code."""
    day: date
    """The first day it holds."""
    usd: Decimal
    """US dollars for one unit of the currency."""
    source: str
    """Where it was seen."""


class Exchange:
    """Dated rates of exchange: the user's own rows, else the shipped table."""

    def __init__(self, own: Sequence[FxRow] = ()) -> None:
        self._own = tuple(own)

    def usd_per(self, currency: str, on: date) -> Fx | None:
        """Return the rate in force on a day: the last one set by then; None before the first one that is known.

        Raises:
            InputError: when the currency is not known at all.
        """
        code = currency.upper()
        if code == USD:
            return Fx(Decimal(1), None)
        own = [row for row in self._own if row.currency == code and row.day <= on]
        if own:
            last = max(own, key=lambda row: row.day)
            return Fx(last.usd, last.day)
        if code not in self.currencies:
            raise unknown("currency", currency, self.currencies)
        return _shipped(code, on)

    def latest(self, currency: str) -> Fx:
        """Return the last known rate."""
        found = self.usd_per(currency, date.max)
        assert found is not None  # every known currency has a last rate
        return found

    @property
    def currencies(self) -> frozenset[str]:
        """The codes for which there is a rate."""
        return frozenset({USD, *ecb(), *(row.currency for row in self._own)})


def parse_fx(text: str, name: str) -> tuple[FxRow, ...]:
    """Read the ``[[fx]]`` tables of a price file.

    Raises:
        InputError: names the file, the row and what is wrong with it.
    """
    found = tables(text, name, "fx")
    for table in found:
        only(table, _FIELDS)
    return tuple(
        FxRow(words(table, "currency").upper(), day(table, "day"), amount(table, "usd"), words(table, "source"))
        for table in found
    )


@cache
def ecb() -> dict[str, tuple[tuple[date, ...], tuple[Decimal, ...]]]:
    """Return the shipped table: days and US dollars per unit, by currency."""
    text = (files("cput.ledger") / "prices" / "ecb.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    days = tuple(date.fromisoformat(row["day"]) for row in rows)
    euro = tuple(Decimal(row[USD]) for row in rows)
    others = [code for code in rows[0] if code not in {"day", USD}]
    crossed = {code: tuple(usd / Decimal(row[code]) for usd, row in zip(euro, rows, strict=True)) for code in others}
    return {code: (days, rates) for code, rates in {"EUR": euro, **crossed}.items()}


def _shipped(code: str, on: date) -> Fx | None:
    table = ecb().get(code)
    if table is None:  # only the user knows this currency, and only from a later day on
        return None
    days, rates = table
    position = bisect_right(days, on)
    return Fx(rates[position - 1], days[position - 1]) if position else None
