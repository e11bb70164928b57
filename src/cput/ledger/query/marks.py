"""How far the folds have come in each table of an SQLite ledger, and which calls what came later is about.

SQLite has one writer at a time, so a row's number is above all that were committed before it. A mark also remembers
what its row was: a ledger that was restored or rebuilt has other rows at the same numbers, and its marks don't hold.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

from sqlalchemy import Connection, delete, func, insert, select, text

from cput.ledger import schema

FORMAT = 2
"""Changes whenever the columns or their reading do: folds of another format are made anew."""
_IDENTITY = {
    "calls": "id",
    "attempts": "call_id || ' ' || seq",
    "charges": "COALESCE(call_id, '') || ' ' || COALESCE(seq, -1) || ' ' || basis || ' ' || price_version",
    "outcomes": "id",
}
"""What a row is recognised by, per table."""
_SEGMENTS = "folds"
_TOUCHED = """
WITH touched (id) AS (
  SELECT call_id FROM attempts WHERE rowid > :attempts
  UNION SELECT call_id FROM charges WHERE rowid > :charges AND call_id IS NOT NULL
  UNION SELECT call_id FROM outcomes WHERE rowid > :outcomes AND call_id IS NOT NULL
  UNION SELECT calls.id FROM outcomes CROSS JOIN calls ON calls.external_key = outcomes.external_key
    WHERE outcomes.rowid > :outcomes
  UNION SELECT calls.id FROM outcomes CROSS JOIN calls ON calls.episode = outcomes.episode
    WHERE outcomes.rowid > :outcomes)
SELECT json_group_array(id) FROM (
  SELECT id FROM calls WHERE rowid > :calls AND rowid <= :until
  UNION SELECT calls.id FROM touched CROSS JOIN calls ON calls.id = touched.id WHERE calls.rowid <= :until)
"""  # in SQLite CROSS JOIN keeps the tables in this order: the few rows that are new first, then the calls by an index


class Mark(NamedTuple):
    """The last folded row of a table."""

    arrival: int
    """Its number; 0 where the table was empty."""
    identity: str
    """What it is recognised by."""


class Marks(NamedTuple):
    """A mark per table, and one for the format."""

    by_source: Mapping[str, Mark]

    def arrival(self, source: str) -> int:
        """Return the number of a table's last folded row."""
        return self.by_source[source].arrival if source in self.by_source else 0

    def with_calls(self, connection: Connection, most: int) -> Self:
        """Return these marks with the calls' at ``most`` where it was beyond."""
        if self.arrival("calls") <= most:
            return self
        return self._replace(by_source={**self.by_source, "calls": Mark(most, _identity(connection, "calls", most))})


NO_MARKS = Marks({"format": Mark(FORMAT, ""), **dict.fromkeys(_IDENTITY, Mark(0, ""))})
"""Before the first row."""


def kept_marks(connection: Connection) -> Marks:
    """Return the marks of the kept folds; none where nothing is kept, or segments are missing."""
    marks = {row.source: Mark(row.arrival, row.identity) for row in connection.execute(select(schema.fold_marks))}
    segments = marks.pop(_SEGMENTS, None)
    return Marks(marks if segments == _segments(connection) else {})


def keep_marks(connection: Connection, marks: Marks) -> None:
    """Write the marks, after the segments."""
    rows = [*marks.by_source.items(), (_SEGMENTS, _segments(connection))]
    connection.execute(delete(schema.fold_marks))
    connection.execute(insert(schema.fold_marks), [{"source": source, **mark._asdict()} for source, mark in rows])


def _segments(connection: Connection) -> Mark:
    return Mark(connection.execute(select(func.count()).select_from(schema.folds)).scalar_one(), "")


def marks_now(connection: Connection) -> Marks:
    """Return the marks of the last rows."""
    marks = {"format": Mark(FORMAT, "")}
    for source in _IDENTITY:
        last = connection.exec_driver_sql(f"SELECT MAX(rowid) FROM {source}").scalar() or 0  # noqa: S608  # our own names
        marks[source] = Mark(last, _identity(connection, source, last))
    return Marks(marks)


def marks_hold(connection: Connection, marks: Marks) -> bool:
    """Return whether the rows at the marks are still those that were folded."""
    return (
        set(marks.by_source) == {"format", *_IDENTITY}
        and marks.arrival("format") == FORMAT
        and all(
            _identity(connection, source, marks.arrival(source)) == marks.by_source[source].identity
            for source in _IDENTITY
        )
    )


def arrived(before: Marks, after: Marks) -> int:
    """Return how many rows have arrived in the table where most have."""
    return max(after.arrival(source) - before.arrival(source) for source in _IDENTITY)


def calls_touched(connection: Connection, before: Marks, after: Marks) -> str:
    """Return the ids of the calls, up to the mark ``after``, that are new or that something new is about, as JSON."""
    binds = {source: before.arrival(source) for source in _IDENTITY} | {"until": after.arrival("calls")}
    return str(connection.execute(text(_TOUCHED), binds).scalar_one())


def _identity(connection: Connection, source: str, arrival: int) -> str:
    statement = f"SELECT {_IDENTITY[source]} FROM {source} WHERE rowid = ?"  # noqa: S608  # our own names
    found: str | None = connection.exec_driver_sql(statement, (arrival,)).scalar()
    return found or ""
