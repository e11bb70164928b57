"""A CSV file, plain or gzipped, as rows that know their line: what is wrong with one is said by file and line.

for row in rows_of(path, needs=("prompt",)):
    score = row.share("gpt-4|score")
"""

import csv
import gzip
import math
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cput.errors import InputError
from cput.rules import shown

_RIGHT = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


class Row(NamedTuple):
    """One line of a file, by column."""

    where: str
    """File and the line it ends at."""
    cells: Mapping[str, str]
    """Text of each column."""

    def text(self, column: str) -> str:
        """Return a cell's text.

        Raises:
            InputError: it is empty.
        """
        if not self.cells[column]:
            raise InputError(f"{self.where}: '{column}' is empty; allowed: a text")
        return self.cells[column]

    def right(self, column: str) -> float:
        """Return 1 for a right answer and 0 for a wrong one.

        Raises:
            InputError: it is neither.
        """
        value = self.cells[column]
        if value.lower() not in _RIGHT:
            raise InputError(f"{self.where}: '{column}' is {shown(value)}; allowed: 0, 1, True, False")
        return _RIGHT[value.lower()]

    def share(self, column: str) -> float:
        """Return a number from 0 to 1; NaN where the cell is empty.

        Raises:
            InputError: it is none.
        """
        return self._number(column, 1.0, "a number from 0 to 1, or nothing")

    def usd(self, column: str) -> float:
        """Return an amount of 0 dollars or more; NaN where the cell is empty.

        Raises:
            InputError: it is none.
        """
        return self._number(column, math.inf, "US dollars, 0 or more, or nothing")

    def _number(self, column: str, most: float, allowed: str) -> float:
        value = self.cells[column]
        if value == "":
            return math.nan
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number <= most or math.isinf(number):
            raise InputError(f"{self.where}: '{column}' is {shown(value)}; allowed: {allowed}")
        return number


def rows_of(path: str | Path, *, needs: Sequence[str] = (), names: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a CSV file; ``names`` are its columns where it has no heading.

    Raises:
        InputError: the file is missing, is no CSV, has no row, lacks a column of ``needs``, or a row has another number
            of cells than the heading.
    """
    file, found = Path(path), False
    csv.field_size_limit(sys.maxsize)  # a prompt may be longer than the library's 128 KiB
    try:
        with _opened(file) as lines:
            reader = csv.reader(lines, strict=True)
            heading = list(names) if names else next(reader, [])
            _has(file, heading, needs)
            for cells in reader:
                where = f"{file}:{reader.line_num}"
                if len(cells) != len(heading):
                    raise InputError(f"{where}: {len(cells)} cells; allowed: {len(heading)}, one for each column")
                found = True
                yield Row(where, dict(zip(heading, cells, strict=True)))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise InputError(f"recording {file} can't be read: {error}; allowed: CSV in UTF-8, plain or .gz") from error
    if not found:
        raise InputError(f"recording {file} holds no row; allowed: a heading and one row for each prompt")


def _opened(file: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202  # two libraries' text files
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _has(file: Path, heading: Sequence[str], needs: Sequence[str]) -> None:
    for column in needs:
        if column not in heading:
            columns = ", ".join(heading) or "none"
            raise InputError(f"{file}:1: there is no column '{column}'; its columns are: {columns}")
