"""Token classes as a lattice: direction x cache state or purpose x modality, by genai-prices' names.

A class holds the classes below it: ``input_tokens`` holds ``cache_read_tokens`` and ``input_audio_tokens``, and both
hold ``cache_audio_read_tokens``. Classes that a body reports are inclusive; ``raised`` mends a whole that is smaller
than its parts, ``cells`` splits a direction into disjoint leaves that sum to its total.

A direction is a table: rows are purposes (plain, read from cache, written to it, ...), columns are modalities (``""``
is unnamed). Where a body gives a row's and a column's sum but not their cell, the row's tokens are taken from the
unnamed modality first, then from text, image, video, audio: what is cached is mostly text, and dear tokens keep their
full price, so that this reading errs on the dear side.
"""

from collections.abc import Mapping
from itertools import product

from cput.ledger.usage.path import Amount

MODALITIES = ("text", "image", "video", "audio")
COLUMNS = ("", *MODALITIES)
ROWS = {
    "input": ("cache_write_1h", "cache_write_5m", "cache_write", "cache_read", "tool"),
    "output": ("reasoning", "citation"),
}
"""Named rows of each direction; what is in none of them is plain (row ``""``)."""
TTLS = ("cache_write_5m", "cache_write_1h")
"""Rows that are also part of ``cache_write``."""

Cell = tuple[str, str]
Splits = tuple[tuple[str, ...], ...]


def class_key(direction: str, row: str, modality: str) -> str:
    """Return the name of a class.

    >>> class_key("input", "cache_write_5m", "audio"), class_key("output", "", "")
    ('cache_audio_write_5m_tokens', 'output_tokens')
    """
    head, _, tail = row.partition("_")
    words = ("cache", modality, tail) if head == "cache" else (direction, modality, row)
    return "_".join(word for word in (*words, "tokens") if word)


KEYS = {
    direction: {(row, column): class_key(direction, row, column) for row in ("", *rows) for column in COLUMNS}
    for direction, rows in ROWS.items()
}
"""The class of each (row, column) of each direction."""


def _families() -> tuple[tuple[str, Splits, frozenset[str]], ...]:
    """Return every class that has parts, finest first, with each way to split it into disjoint parts, and all parts."""
    found: list[tuple[int, str, Splits]] = []
    for keys, rows in ((KEYS[direction], ROWS[direction]) for direction in ROWS):
        outer = [row for row in rows if row not in TTLS]
        for (row, column), key in keys.items():
            splits = []
            if not column:
                splits.append(tuple(keys[row, modality] for modality in MODALITIES))
            if not row:
                splits.append(tuple(keys[part, column] for part in outer))
            if row == "cache_write":
                splits.append(tuple(keys[ttl, column] for ttl in TTLS))
            if splits:
                depth = 2 * bool(row) + (row in TTLS) + 2 * bool(column)
                found.append((depth, key, tuple(splits)))
    found.sort(key=lambda entry: -entry[0])
    return tuple((key, splits, frozenset().union(*splits)) for _, key, splits in found)


_FAMILIES = _families()


def raised(amounts: Mapping[str, Amount]) -> tuple[dict[str, Amount], bool]:
    """Return the amounts with every whole at least the sum of its disjoint parts, and whether any changed.

    A part is never cut down: each count that was reported stands, and no token is counted in two parts.
    """
    least = floors(amounts)
    mended = {key: least[key] for key in amounts}
    return mended, mended != amounts


def floors(amounts: Mapping[str, Amount]) -> dict[str, Amount]:
    """Return the least that every class can be: what was reported of it, and what its parts need."""
    least = dict(amounts)
    for key, splits, parts in _FAMILIES:
        if parts.isdisjoint(least):
            continue
        need = max(sum(least.get(part, 0) for part in split) for split in splits)
        if need > least.get(key, 0):
            least[key] = need
    return least


def cells(direction: str, amounts: Mapping[str, Amount]) -> dict[Cell, Amount]:
    """Return the disjoint leaves of a direction as (row, column) -> amount; only those above 0.

    They sum to the direction's total; a direction whose total is unknown has none.
    """
    keys = KEYS[direction]
    if keys["", ""] not in amounts:
        return {}
    known = floors(amounts)
    rows, columns = _margins(direction, known)
    table = _reported_cells(direction, known)
    for (row, column), value in table.items():
        rows[row] -= value
        columns[column] -= value
    closed = frozenset(table)
    _fill(table, rows, columns, closed)
    _fill(table, rows, columns, frozenset())  # a report that no table fits: the reported cell takes the rest
    return {cell: value for cell, value in table.items() if value > 0}


def _margins(direction: str, known: Mapping[str, Amount]) -> tuple[dict[str, Amount], dict[str, Amount]]:
    """Return the disjoint rows' and columns' sums; both add up to the direction's total."""
    keys = KEYS[direction]
    total = known[keys["", ""]]
    rows = {row: known.get(keys[row, ""], 0) for row in ROWS[direction]}
    if "cache_write" in rows:
        rows["cache_write"] = max(0, rows["cache_write"] - sum(rows[ttl] for ttl in TTLS))
    columns = {column: known.get(keys["", column], 0) for column in MODALITIES}
    for margin in (rows, columns):
        margin[""] = max(0, total - sum(margin.values()))
    return rows, columns


def _reported_cells(direction: str, known: Mapping[str, Amount]) -> dict[Cell, Amount]:
    """Return the cells with a row and a modality that were reported, as far as both sums allow."""
    keys = KEYS[direction]
    rows, columns = _margins(direction, known)
    table: dict[Cell, Amount] = {}
    for row in ROWS[direction]:
        for column in MODALITIES:
            value = known.get(keys[row, column])
            if value is None:
                continue
            if row == "cache_write":
                value -= sum(known.get(keys[ttl, column], 0) for ttl in TTLS)
            value = max(0, min(value, rows[row], columns[column]))
            rows[row] -= value
            columns[column] -= value
            table[row, column] = value
    return table


def _fill(
    table: dict[Cell, Amount], rows: dict[str, Amount], columns: dict[str, Amount], closed: frozenset[Cell]
) -> None:
    """Move what is left of rows and columns into the cells that are not ``closed``, in order (north-west corner)."""
    for row, column in product(rows, COLUMNS):
        part = min(rows[row], columns[column])
        if part > 0 and (row, column) not in closed:
            table[row, column] = table.get((row, column), 0) + part
            rows[row] -= part
            columns[column] -= part
