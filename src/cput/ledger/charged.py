"""What a call cost by its charges in effect, exact, or None where that is unknown.

    fact_of(record, cost=in_usd(charged(record)))

The rule that ``query`` applies to a million calls at once; a test holds the two equal.
"""

from decimal import Decimal

from cput.ledger.runs import CallRecord
from cput.units import from_nano_usd


def charged(record: CallRecord) -> int | None:
    """Return the nano-dollars of all the call's charges; None where one is unknown, or an attempt has none.

    A charge of the whole call (no ``seq``) stands for attempts that have none of their own. A call without any charge
    is unpriced, and never free.
    """
    amounts = [charge.incremental_nano_usd for charge in record.charges]
    seqs = {charge.seq for charge in record.charges}
    priced = None in seqs or all(attempt.seq in seqs for attempt in record.attempts)
    if not amounts or None in amounts or not priced:
        return None
    return sum(amount or 0 for amount in amounts)


def in_usd(nano_usd: int | None) -> float | None:
    """Return nano-dollars as the float that statistics take; None stays None."""
    return None if nano_usd is None else float(from_nano_usd(nano_usd))


def avoided(record: CallRecord) -> Decimal:
    """Return the dollars that caches and students saved on this call."""
    return from_nano_usd(sum(charge.avoided_nano_usd for charge in record.charges))
