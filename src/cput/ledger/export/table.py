"""Rows of a FOCUS dataset into CSV and Parquet, a batch at a time.

CSV in UTF-8 with a line feed per row, quoted as RFC 4180 has it, null as an empty field, decimals without an exponent.
Parquet through pyarrow (the extra ``cput[export]``), decimals as DECIMAL(38, 9), times as UTC timestamps.
"""

import csv
import importlib
import io
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import IO, Any, Protocol

import msgspec

from cput.errors import SetupError
from cput.ledger.export.focus_columns import COLUMNS, NAMES, PLACES, Column, Kind
from cput.ledger.export.focus_parts import FocusRow

BATCH = 5000


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[FocusRow]) -> None:
        """Write a batch of rows."""
        ...

    def close(self) -> None:
        """Write what is left, so that the file is whole."""
        ...


class CsvSink:
    """A CSV file with a header."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(NAMES)

    def write(self, rows: Sequence[FocusRow]) -> None:
        """Write a batch of rows."""
        self._writer.writerows([_TEXT[column.kind](row.get(column.name)) for column in COLUMNS] for row in rows)

    def close(self) -> None:
        """Hand everything to the file, and leave it open."""
        self._text.flush()
        self._text.detach()


class ParquetSink:
    """A Parquet file, compressed with Zstandard."""

    def __init__(self, file: IO[bytes]) -> None:
        """Open it.

        Raises:
            SetupError: when pyarrow is not installed.
        """
        self._arrow, parquet = pyarrow()
        types = {
            Kind.STRING: self._arrow.string(),
            Kind.DECIMAL: self._arrow.decimal128(38, PLACES),
            Kind.DATETIME: self._arrow.timestamp("us", tz="UTC"),
            Kind.JSON: self._arrow.string(),
            Kind.INTEGER: self._arrow.int64(),
            Kind.BOOLEAN: self._arrow.bool_(),
        }
        fields = [self._arrow.field(column.name, types[column.kind]) for column in COLUMNS]
        self._schema = self._arrow.schema(fields)
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Sequence[FocusRow]) -> None:
        """Write a batch of rows as one row group."""
        arrays = [
            self._arrow.array([_typed(column, row.get(column.name)) for row in rows], type=field.type)
            for column, field in zip(COLUMNS, self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer; the file stays open."""
        self._writer.close()


def pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        SetupError: when it is not installed.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise SetupError("Parquet needs pyarrow, which is not installed. Run: pip install 'cput[export]'") from error


def decimal_text(value: Decimal) -> str:
    """Print a decimal without an exponent and without zeros at its end.

    >>> decimal_text(Decimal("0.005615000")), decimal_text(Decimal("1E+3"))
    ('0.005615', '1000')
    """
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _typed(column: Column, value: Any) -> Any:
    """Return a value as pyarrow takes it; an empty text is none (FOCUS: null handling)."""
    if value is None or value == "":
        return None
    return msgspec.json.encode(value).decode() if column.kind is Kind.JSON else value


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "" if value is None else show(value)


_TEXT: dict[Kind, Callable[[Any], str]] = {
    Kind.STRING: _plain(str),
    Kind.DECIMAL: _plain(decimal_text),
    Kind.DATETIME: _plain(_moment),
    Kind.JSON: _plain(lambda value: msgspec.json.encode(value).decode()),
    Kind.INTEGER: _plain(str),
    Kind.BOOLEAN: _plain(lambda value: "true" if value else "false"),
}
