"""Folds the rows of calls into one row of columns each: the same reading as call by call, on whole columns.

It applies ``verdict.verdict`` (latest word per observer, retraction, tiers), ``facts.answer_given``, ``charged`` and
the reader's charges in effect. A test holds it equal to them over random ledgers.
"""

from cput.ledger.query import judged, legs, money
from cput.ledger.query.columns import Columns
from cput.ledger.query.scan import Rows


def fold(rows: Rows) -> Columns:
    """Return one row per call, in the order of ``rows.calls``.

    Raises:
        InputError: when one call's charges are more than can be added up.
    """
    calls = rows.calls
    verdicts = judged.judge(rows.outcomes, calls)
    return Columns(
        arrival=calls.arrival,
        value=verdicts.value,
        workload=calls.workload,
        policy=calls.policy,
        tenant=calls.tenant,
        run=calls.run,
        tags=calls.tags,
        **legs.add_up(rows.attempts, verdicts.attempt)._asdict(),
        **money.add_up(rows.charges, rows.attempts, calls)._asdict(),
    )
