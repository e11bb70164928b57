"""Grounds in the ledger: one row a call, the options as JSON. No text of a prompt or an answer is in it.

await ledger.explain(call.id, ending.grounds)
read_grounds(ledger, call.id)      # Grounds, or None where no policy chose
"""

import msgspec
from sqlalchemy import select

from cput.errors import InputError
from cput.ledger import schema
from cput.ledger.reader import read_calls
from cput.ledger.runs import CallRecord
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Grounds, Option

SHOWN = 5
"""Most ids that a sentence lists."""
_LAST = "\U0010ffff"
_options = msgspec.json.Decoder(tuple[Option, ...])


def read_grounds(ledger: Ledger, call_id: str) -> Grounds | None:
    """Return why a call was answered as it was; None where no policy chose, or nobody wrote it down."""
    table = schema.grounds
    with snapshot(ledger) as connection:
        row = connection.execute(select(table).where(table.c.call_id == call_id)).one_or_none()
    if row is None:
        return None
    return Grounds(
        chosen=row.chosen,
        reason=row.reason,
        options=_options.decode(row.options) if row.options else (),
        policy=row.policy,
        propensity=row.propensity,
        source_call=row.source_call,
    )


def read_call(ledger: Ledger, call_id: str) -> CallRecord | None:
    """Return a call with its attempts, charges and outcomes; None where the ledger does not have it."""
    with snapshot(ledger) as connection:
        return next(iter(read_calls(connection, only=[call_id])), None)


def find_call_id(ledger: Ledger, prefix: str) -> str:
    """Return the id of the only call that begins with ``prefix``; a whole id always finds its own.

    Raises:
        InputError: no call's id begins so, or several do.
    """
    with snapshot(ledger) as connection:
        found: set[str] = set()
        for column in (schema.calls.c.id, schema.grounds.c.call_id):
            near = select(column).where(column >= prefix, column < prefix + _LAST).order_by(column).limit(SHOWN + 1)
            found.update(connection.execute(near).scalars())
    if prefix in found:
        return prefix
    if not prefix or not found:
        raise InputError(f"no call in the ledger {ledger.path} has an id that begins with '{prefix}'")
    if len(found) > 1:
        more = ", ..." if len(found) > SHOWN else ""
        ids = ", ".join(sorted(found)[:SHOWN])
        raise InputError(f"several calls begin with '{prefix}': {ids}{more}; give more of the id")
    return found.pop()
