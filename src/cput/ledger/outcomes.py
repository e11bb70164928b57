"""Adds outcomes and says what became of them: new, already there, or still without a call.

Nothing is refused for its time: an outcome may come before its call, weeks later, twice, or take an earlier word back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Row, select

from cput.ledger import schema
from cput.ledger.rows import outcome_row, to_outcome
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Outcome

BATCH = 500


class Added(NamedTuple):
    """How many outcomes went which way."""

    new: int
    """Written now."""
    repeated: int
    """Already there, by their id: ignored."""
    differing: tuple[str, ...]
    """Ids of those among the repeated that say something else than what is there; the first stands."""
    waiting: int
    """Of the new ones, those that no call on record is named by yet: they count as soon as it is written."""

    def plus(self, other: "Added") -> "Added":
        """Return both together."""
        return Added(
            new=self.new + other.new,
            repeated=self.repeated + other.repeated,
            differing=self.differing + other.differing,
            waiting=self.waiting + other.waiting,
        )


NONE_ADDED = Added(0, 0, (), 0)


def add(ledger: Ledger, outcomes: Sequence[Outcome], *, dry_run: bool = False) -> Added:
    """Write outcomes that aren't there yet and return what became of each; ``dry_run`` only looks.

    Raises:
        InputError: when one is not allowed; none of its batch is written then.
        SetupError: when the ledger cannot be read or written.
    """
    total, rest = NONE_ADDED, iter(outcomes)
    while batch := list(islice(rest, BATCH)):
        total = total.plus(_add(ledger, batch, dry_run=dry_run))
    return total


def retraction(outcome: Outcome) -> Outcome:
    """Return the outcome that takes back what the same observer said: same name and source, later."""
    return replace(outcome, detail={**outcome.detail, "retracted": True})


def _add(ledger: Ledger, batch: Sequence[Outcome], *, dry_run: bool) -> Added:
    for outcome in batch:
        outcome_row(outcome)  # refuses what is not allowed before anything is written
    with snapshot(ledger) as connection:
        there = _there(connection, [outcome.id for outcome in batch])
        new, differing = _sorted_out(batch, there)
        waiting = _waiting(connection, new)
    if new and not dry_run:
        ledger.add_outcomes(new)
    return Added(len(new), len(batch) - len(new), differing, waiting)


def _sorted_out(batch: Sequence[Outcome], there: Mapping[str, Outcome]) -> tuple[list[Outcome], tuple[str, ...]]:
    known, new, differing = dict(there), [], []
    for outcome in batch:
        if outcome.id not in known:
            known[outcome.id] = outcome
            new.append(outcome)
        elif _meaning(known[outcome.id]) != _meaning(outcome):
            differing.append(outcome.id)
    return new, tuple(differing)


def _meaning(outcome: Outcome) -> tuple[Any, ...]:
    """Return what an outcome says; when it was seen may be the moment of the import."""
    about = (outcome.call_id, outcome.external_key, outcome.episode, outcome.attempt)
    return (*about, outcome.name, outcome.value, outcome.source, outcome.detail.get("retracted") is True)


def _there(connection: Connection, ids: Sequence[str]) -> dict[str, Outcome]:
    rows: Sequence[Row[Any]] = connection.execute(select(schema.outcomes).where(schema.outcomes.c.id.in_(ids))).all()
    return {row.id: to_outcome(row) for row in rows}


def _waiting(connection: Connection, outcomes: Sequence[Outcome]) -> int:
    calls = schema.calls.c
    ids = _known(connection, calls.id, (outcome.call_id for outcome in outcomes))
    keys = _known(connection, calls.external_key, (outcome.external_key for outcome in outcomes))
    episodes = _known(connection, calls.episode, (outcome.episode for outcome in outcomes))
    return sum(
        not (outcome.call_id in ids or outcome.external_key in keys or outcome.episode in episodes)
        for outcome in outcomes
    )


def _known(connection: Connection, column: Column[Any], names: Iterable[str | None]) -> set[str]:
    wanted = sorted({name for name in names if name is not None})
    if not wanted:
        return set()
    return set(connection.execute(select(column).where(column.in_(wanted)).distinct()).scalars())
