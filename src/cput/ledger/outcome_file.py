"""Reads outcomes from a file, JSONL or CSV, and names line and field of everything that is wrong in it.

    {"call_id": "0199...", "name": "thumbs", "value": 1, "source": "user", "observed_s": "2026-11-03T09:30:00Z"}
    {"external_key": "order-17", "name": "refund", "value": 0, "source": "business"}
    {"episode": "chat-9", "name": "solved", "value": true, "source": "human", "id": "crm-4711"}

An outcome without an ``id`` gets one from its content, so that the same file again changes nothing; the same line a
second time within a file is a word of its own. Without ``observed_s`` it was seen at the import, later lines later.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cput.errors import InputError, unknown
from cput.ledger.outcome_fields import Fields, Wrong, short
from cput.records import Outcome

FIELDS = (
    "id",
    "call_id",
    "external_key",
    "episode",
    "attempt",
    "name",
    "value",
    "source",
    "observed_s",
    "detail",
    "retracted",
)
ALIASES = {"response_id": "call_id", "observed": "observed_s"}
_ABOUT = ("call_id", "external_key", "episode")
_LINE_S = 1e-6


class Read(NamedTuple):
    """One line: an outcome, or what is wrong with it."""

    line: int
    outcome: Outcome | None
    wrong: tuple[Wrong, ...] = ()


def read_outcomes(path: Path, *, now_s: float) -> Iterator[Read]:
    """Yield each line of ``path`` that isn't empty; ``.csv`` is CSV with a header, all else JSONL.

    Raises:
        InputError: when the file can't be read, or its header has an unknown column.
    """
    lines = _csv(path) if path.suffix.lower() == ".csv" else _jsonl(path)
    seen: Counter[str] = Counter()
    try:
        for line, found in lines:
            yield Read(line, None, (found,)) if isinstance(found, Wrong) else read_outcome(line, found, seen, now_s)
    except OSError as error:
        raise InputError(f"the file '{path}' can't be read: {error.strerror}") from error


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any] | Wrong]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if not line.strip():
                continue
            try:
                found = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield number, Wrong(number, None, f"{short(line)} is no JSON: {error}")
                continue
            if isinstance(found, dict):
                yield number, found
            else:
                yield number, Wrong(number, None, f'{short(line)} is no object; allowed: {{"call_id": ..., ...}}')


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any] | Wrong]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        header = next(csv.reader([first], delimiter=_delimiter(first)), [])
        names = [name.strip() for name in header]
        for name in names:
            if name not in {*FIELDS, *ALIASES}:
                raise unknown(f"column of '{path}'", name, (*FIELDS, *ALIASES))
        rows, last = csv.reader(file, delimiter=_delimiter(first), strict=True), 1
        while True:
            number = last + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                last = 1 + rows.line_num
                yield number, Wrong(number, None, f"it can't be read as CSV: {error}")
                continue
            last = 1 + rows.line_num
            if len(row) > len(names):
                yield number, Wrong(number, None, f"it has {len(row)} fields; allowed: the header's {len(names)}")
            elif any(value.strip() for value in row):
                yield number, {name: value for name, value in zip(names, row, strict=False) if value.strip()}


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def read_outcome(line: int, found: Mapping[str, Any], seen: Counter[str], now_s: float) -> Read:
    """Return the outcome that a line's fields make, or what is wrong with each field."""
    given = {ALIASES.get(name, name): value for name, value in found.items() if value is not None}
    parts = Fields(line, given)
    strange = sorted(set(given) - set(FIELDS))
    wrong = [Wrong(line, name, str(unknown("field", name, (*FIELDS, *ALIASES)))) for name in strange]
    retracted = parts.flag("retracted")
    texts = {name: parts.text(name) for name in ("id", *_ABOUT)}
    name = parts.text("name", needed=True)
    source = parts.source()
    value = parts.share("value", needed=not retracted)
    observed_s = parts.moment("observed_s")
    attempt = parts.count("attempt")
    detail = parts.mapping("detail")
    if not any(given.get(each) for each in _ABOUT):
        wrong.append(Wrong(line, None, f"it says not which call it is about; allowed: one of {', '.join(_ABOUT)}"))
    wrong = [*wrong, *parts.wrong]
    if wrong or name is None or source is None:
        return Read(line, None, tuple(wrong))
    content = hashlib.sha256(msgspec.json.encode(given, order="deterministic")).hexdigest()[:32]
    seen[content] += 1
    return Read(
        line,
        Outcome(
            id=texts["id"] or f"import:{content}:{seen[content]}",
            call_id=texts["call_id"],
            external_key=texts["external_key"],
            episode=texts["episode"],
            attempt=attempt,
            name=name,
            value=0.0 if value is None else value,
            source=source,
            observed_s=now_s + line * _LINE_S if observed_s is None else observed_s,
            detail=detail | ({"retracted": True} if retracted else {}),
        ),
    )
