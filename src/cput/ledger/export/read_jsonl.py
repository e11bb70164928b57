"""Reads what ``jsonl`` wrote into a ledger, line by line. What is there already stands, so it may be done again."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, select

from cput.errors import InputError, SetupError, unknown
from cput.ledger import schema
from cput.ledger.doors import place, writing
from cput.ledger.energy.book import insert_energies
from cput.ledger.export.jsonl import FORMAT
from cput.ledger.export.lines import from_json
from cput.ledger.rows import RowTuple
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.ledger.writer import Placed

BATCH = 500
_CALL = schema.charges.c.keys().index("call_id")
TYPES = ("cput", "run", "window", "call", "charge", "outcome", "grounds")


class Read(NamedTuple):
    """What an import found."""

    lines: int
    """Lines of the file."""
    calls: int
    """Calls among them, those that were there already too."""


@dataclass(slots=True)
class _Rows:
    """Rows of one line, or of several that are written in one transaction."""

    rows: list[Placed] = field(default_factory=list)
    charges: list[RowTuple] = field(default_factory=list)
    ends: list[tuple[str, float]] = field(default_factory=list)
    energies: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, other: "_Rows") -> None:
        """Take another line's rows."""
        self.rows += other.rows
        self.charges += other.charges
        self.ends += other.ends
        self.energies += other.energies


def import_jsonl(ledger: Ledger, path: Path, *, progress: Callable[[int], None] = lambda _: None) -> Read:
    """Write the records of ``path`` into ``ledger``; ``progress`` hears how many lines are done.

    Raises:
        InputError: names the line and what is wrong with it; what stands before it is in the ledger, and the whole
            file can be read again when it is mended.
        SetupError: when the file or the ledger cannot be used.
    """
    try:
        with path.open("rb") as file:
            return _read(_Book(ledger), _objects(file, path), progress)
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; name a file that cput export jsonl wrote") from error
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except OSError as error:
        raise SetupError(f"{path} cannot be read ({error.strerror})") from error


def _read(book: "_Book", objects: Iterator[tuple[str, dict[str, Any]]], progress: Callable[[int], None]) -> Read:
    lines = calls = 0
    waiting = _Rows()
    try:
        for where, said in objects:
            calls += said.get("type") == "call"
            waiting.add(_taken(said, where))
            lines += 1
            if lines % BATCH == 0:
                full, waiting = waiting, _Rows()
                book.write(full)
                progress(lines)
    finally:
        book.write(waiting)  # also where a line is wrong: what stands before it is in
    progress(lines)
    return Read(lines, calls)


def _objects(file: IO[bytes], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line with the words that name it; the first one must say that it is ours."""
    for number, line in enumerate(file, start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            said = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{where} is not JSON: {error}") from error
        if not isinstance(said, dict):
            raise InputError(f"{where} is {type(said).__name__}; allowed: a JSON object")
        if number == 1 and (said.get("type") != "cput" or said.get("format") != FORMAT):
            raise InputError(f'{where}: allowed as the first line: {{"type": "cput", "format": {FORMAT}}}')
        yield where, said


def _taken(said: dict[str, Any], where: str) -> _Rows:
    """Return the rows of one line."""
    kind = said.pop("type", None)
    match kind:
        case "cput":
            return _Rows()
        case "run":
            return _run(said, where)
        case "window":
            return _window(said, where)
        case "call":
            return _call(said, where)
        case "charge":
            return _Rows(charges=[from_json(schema.charges, said, where)])
        case "outcome":
            return _Rows([Placed("outcomes", from_json(schema.outcomes, said, where))])
        case "grounds":
            return _Rows([Placed("grounds", from_json(schema.grounds, said, where))])
        case _:
            raise InputError(f"{where}: {unknown('type', str(kind), TYPES)}")


def _run(said: dict[str, Any], where: str) -> _Rows:
    ended_s = said.pop("ended_s", None)
    row = from_json(schema.runs, said, where)
    if ended_s is not None and type(ended_s) not in {int, float}:
        raise InputError(f"{where}: ended_s is {ended_s!r}; allowed: a number")
    return _Rows([Placed("runs", row)], ends=[] if ended_s is None else [(said["id"], float(ended_s))])


def _window(said: dict[str, Any], where: str) -> _Rows:
    used = _list(said, "energies", where)
    row = from_json(schema.windows, said, where)
    of_window = (from_json(schema.energies, one, f"{where}, energies", window_id=said["id"]) for one in used)
    names = schema.energies.c.keys()
    return _Rows([Placed("windows", row)], energies=[dict(zip(names, one, strict=True)) for one in of_window])


def _call(said: dict[str, Any], where: str) -> _Rows:
    attempts, charges, outcomes = (_list(said, name, where) for name in ("attempts", "charges", "outcomes"))
    why = _list({"grounds": [said.pop("grounds")]}, "grounds", where) if "grounds" in said else []
    row = from_json(schema.calls, said, where)
    of_call = {"call_id": said["id"]}
    legs = (from_json(schema.attempts, one, f"{where}, attempts", **of_call) for one in attempts)
    words = (from_json(schema.outcomes, one, f"{where}, outcomes") for one in outcomes)
    return _Rows(
        [
            Placed("calls", row),
            *(Placed("attempts", leg) for leg in legs),
            *(Placed("outcomes", word) for word in words),
            *(Placed("grounds", from_json(schema.grounds, one, f"{where}, grounds", **of_call)) for one in why),
        ],
        charges=[from_json(schema.charges, one, f"{where}, charges", **of_call) for one in charges],
    )


def _list(said: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    found = said.pop(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InputError(f"{where}: {name} is {found!r}; allowed: a list of objects")
    return found


class _Book:
    """A ledger that takes what it lacks. Rows with a key it knows by itself; charges and ends of runs have none."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._callless = Counter(self._charges(schema.charges.c.call_id.is_(None)))
        self._ends = {run.id: run.ended_s for run in ledger.runs()}

    def write(self, batch: _Rows) -> None:
        """Write a batch; return when it is durable."""
        charges = [Placed("charges", row) for row in self._new_charges(batch.charges)]
        ends = [Placed("run_ends", (None, *end)) for end in batch.ends if self._ends.get(end[0]) != end[1]]
        place(self._ledger, [*batch.rows, *charges, *ends])
        if batch.energies:
            with writing(self._ledger) as connection:
                insert_energies(connection, batch.energies)

    def _new_charges(self, rows: Sequence[RowTuple]) -> Iterator[RowTuple]:
        """Yield the rows that the ledger lacks, in order. Equal rows are counted: two in the file are two here."""
        calls = {row[_CALL] for row in rows} - {None}
        of_calls = Counter(self._charges(schema.charges.c.call_id.in_(calls))) if calls else Counter()
        for row in rows:
            there = self._callless if row[_CALL] is None else of_calls
            if there[row[1:]] > 0:
                there[row[1:]] -= 1
            else:
                yield row

    def _charges(self, which: ColumnElement[bool]) -> list[RowTuple]:
        """Return charges without the numbers that the database gave them."""
        with snapshot(self._ledger) as connection:
            return [tuple(row)[1:] for row in connection.execute(select(schema.charges).where(which))]
