"""Ledger rows as JSON objects and back, by the columns of the schema: what a migration adds is carried along.

Columns that hold JSON are nested as they are; inter-token gaps become a list of seconds. The database's own numbering
of charges is left out: their order in the file is their order of arrival.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import BigInteger, Double, Integer, LargeBinary, Table

from cput.errors import InputError, unknown
from cput.ledger import schema
from cput.ledger.energy.use import Basis
from cput.ledger.export.scan import AnyRow
from cput.ledger.rows import RowTuple
from cput.records import CountedBy, Finish, Message, Option, Role, Sampling, Source

Embeddable = str | tuple[int, ...]
_JSON: dict[Table, dict[str, Any]] = {
    schema.calls: {
        "tags": dict[str, str],
        "messages": tuple[Message, ...],
        "sampling": Sampling,
        "embed": tuple[Embeddable, ...],
    },
    schema.attempts: {"usage_parts": dict[str, float]},
    schema.outcomes: {"detail": dict[str, Any]},
    schema.grounds: {"options": tuple[Option, ...]},
    schema.runs: {"config": dict[str, Any], "environment": dict[str, Any]},
}
"""Columns that hold JSON, and what they must read as."""
_WORDS: dict[Table, dict[str, type[StrEnum]]] = {
    schema.attempts: {"role": Role, "finish": Finish, "counted_by": CountedBy},
    schema.outcomes: {"source": Source},
    schema.energies: {"basis": Basis},
}
"""Columns that hold one of a few words."""
_SERIAL = {schema.charges, schema.run_ends}
"""Tables whose ``id`` the database gives."""
_DOUBLES = "<f8"
_encode = msgspec.json.Encoder().encode


def to_json(table: Table, row: AnyRow, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return a row as a JSON object; what is null is left out, and so is what ``without`` names."""
    left_out = {*without, *(("id",) if table in _SERIAL else ())}
    nested = _JSON.get(table, {})
    said = row._mapping  # noqa: SLF001  # SQLAlchemy's public name for a row by column
    found: dict[str, Any] = {}
    for column in table.c:
        value = said[column.name]
        if value is None or column.name in left_out:
            continue
        if column.name in nested:
            value = msgspec.Raw(value.encode())
        elif isinstance(column.type, LargeBinary):
            value = np.frombuffer(value, _DOUBLES).tolist()
        found[column.name] = value
    return found


def from_json(table: Table, said: Mapping[str, Any], where: str, **more: Any) -> RowTuple:
    """Return the row that a JSON object stands for, in the order of the table's columns; ``more`` adds to it.

    Raises:
        InputError: names ``where``, the field and what is allowed, when one is unknown, missing or of another type.
    """
    given = {**said, **more}
    names = {column.name for column in table.c} - ({"id"} if table in _SERIAL else set())
    for name in given:
        if name not in names:
            raise InputError(f"{where}: {unknown('field', name, names)}")
    return tuple(_value(table, column.name, given.get(column.name), where) for column in table.c)


def _value(table: Table, name: str, value: Any, where: str) -> Any:
    column = table.c[name]
    if value is None:
        if column.nullable or (table in _SERIAL and name == "id"):
            return None
        raise InputError(f"{where}: {name} is missing")
    if name in _JSON.get(table, {}):
        return _nested(value, _JSON[table][name], f"{where}: {name}")
    if name in _WORDS.get(table, {}) and value not in list(_WORDS[table][name]):
        raise InputError(f"{where}: {unknown(name, str(value), list(_WORDS[table][name]))}")
    match column.type:
        case LargeBinary():
            return _doubles(value, f"{where}: {name}")
        case Integer() | BigInteger():
            fits, what = type(value) is int, "a whole number"
        case Double():
            fits, what = type(value) in {int, float}, "a number"
        case _:
            fits, what = isinstance(value, str), "a text"
    if not fits:
        raise InputError(f"{where}: {name} is {value!r}; allowed: {what}")
    return float(value) if isinstance(column.type, Double) else value


def _nested(value: Any, kind: Any, where: str) -> str:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{where} does not read as it should: {error}") from error
    return _encode(value).decode()


def _doubles(value: Any, where: str) -> bytes:
    if not isinstance(value, list) or not all(type(one) in {int, float} for one in value):
        raise InputError(f"{where} is {value!r}; allowed: a list of seconds")
    return np.array(value, _DOUBLES).tobytes()
