"""Judged: which calls an outcome speaks for, for those who watch a policy call by call.

An outcome names its call, or the caller's key, or an episode; the last two are looked up among the calls on record.
"""

from sqlalchemy import or_, select

from cput.ledger import schema
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Outcome

MOST_CALLS = 1000
"""Of one key or episode; of more, the latest are told."""


def calls_of(ledger: Ledger, outcome: Outcome) -> tuple[str, ...]:
    """Return the ids of the calls that an outcome is about; empty where none is on record."""
    if outcome.call_id is not None:
        return (outcome.call_id,)
    calls = schema.calls.c
    named = [(calls.external_key, outcome.external_key), (calls.episode, outcome.episode)]
    wanted = [column == value for column, value in named if value is not None]
    if not wanted:
        return ()
    with snapshot(ledger) as connection:
        found = connection.execute(
            select(calls.id).where(or_(*wanted)).order_by(calls.recorded_s.desc()).limit(MOST_CALLS)
        )
        return tuple(found.scalars())
