"""A price file's tables and fields, read with a sentence for whatever is wrong.

A price file is TOML: ``[[price]]`` for devices (``device``), ``[[model]]`` for models (``model``), ``[[fx]]`` for
exchange rates (``fx``). Amounts are texts, so that no digit is lost on the way through a binary float.
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from cput.errors import InputError, unknown
from cput.ledger.store import default_path

_KINDS = {"price": "row", "model": "model", "fx": "fx"}


class Table(NamedTuple):
    """One table of a price file."""

    fields: Mapping[str, Any]
    """Its keys and values as TOML has them."""
    where: str
    """File, kind and number, for messages."""
    file: str
    """Name of the file."""


class PriceFile(NamedTuple):
    """A price file's name and text."""

    name: str
    """As messages and price versions name it."""
    text: str
    """TOML."""


@cache
def shipped_files() -> tuple[PriceFile, ...]:
    """Return the price files that come with cput, by name."""
    folder = files("cput.ledger") / "prices"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(PriceFile(file.name, file.read_text(encoding="utf-8")) for file in found)


def users_file() -> PriceFile | None:
    """Return ``prices.toml`` beside the user's ledger (``CPUT_HOME``), or None where there is none."""
    path = default_path().parent / "prices.toml"
    return open_file(path) if path.is_file() else None


def open_file(path: Path) -> PriceFile:
    """Read a price file.

    Raises:
        InputError: when it cannot be read as UTF-8 text.
    """
    try:
        return PriceFile(path.name, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the price file {path} cannot be read ({error.strerror}); name a TOML file of prices"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"the price file {path} is not UTF-8 text; save it as UTF-8") from error


def tables(text: str, name: str, kind: str) -> tuple[Table, ...]:
    """Return the tables of one ``kind`` (price, model or fx) of a price file's text.

    Raises:
        InputError: when it is not TOML, or has tables of a kind that nobody reads.
    """
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"price file {name} is not TOML: {error}") from error
    for key, value in parsed.items():
        if key not in _KINDS:
            raise InputError(f"price file {name}: {unknown('table', key, _KINDS)}")
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise InputError(f"price file {name}: {key} is {value!r}; allowed: tables that begin with [[{key}]]")
    found = parsed.get(kind, [])
    return tuple(Table(row, f"price file {name}, {_KINDS[kind]} {i}", name) for i, row in enumerate(found, start=1))


def day(table: Table, field: str) -> date:
    """Return a date field."""
    value = table.fields.get(field)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise InputError(f"{table.where}: {field} is {value!r}; allowed: a date such as 2026-06-17, without quotes")
    return value


def amount(table: Table, field: str, *, free: bool = False) -> Decimal:
    """Return a positive amount that is written as text; ``free`` also allows 0."""
    return amount_of(table.fields.get(field), f"{table.where}: {field}", free=free)


def amount_of(value: object, what: str, *, free: bool = False) -> Decimal:
    """Read an amount that is written as text; ``what`` names it in the message."""
    try:
        read = Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite() or read < 0 or (read == 0 and not free):
        least = 'an amount from "0" up' if free else "a positive amount"
        raise InputError(f'{what} is {value!r}; allowed: {least} as text, such as "0.0832"')
    return read


def words(table: Table, field: str, default: str | None = None) -> str:
    """Return a text field that says something; where it is left out, ``default``."""
    value = table.fields.get(field, default)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{table.where}: {field} is {value!r}; allowed: a text")
    return value.strip()


def only(table: Table, allowed: Iterable[str]) -> None:
    """Refuse fields that nobody reads."""
    names = set(allowed)
    for field in table.fields:
        if field not in names:
            raise InputError(f"{table.where}: {unknown('field', field, names)}")
