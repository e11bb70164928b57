"""A fact: what one call cost and what it gave. The metric is a pure function of facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cput.ledger.runs import CallRecord
from cput.ledger.verdict import verdict as read_verdict
from cput.records import Attempt, Finish, Role, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One call, reduced to what the metric needs."""

    id: str
    """The call."""
    item: str | None = None
    """The workload's item; two policies are compared item by item."""
    cost: float | None
    """This call's share of all money of the window (US dollars), or of its device seconds; None is unknown."""
    output_tokens: int | None
    """Generated tokens over all attempts, failed and discarded ones too."""
    useful_tokens: int | None
    """Output tokens of the answer given if it was useful, 0 if it was useless, None while pending or uncounted."""
    verdict: Verdict
    """The reading of its outcomes."""
    slo_met: bool | None = None
    """Whether it kept the workload's latency limits; None where there are none."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Slices it belongs to."""


def fact_of(record: CallRecord, *, cost: float | None, threshold: float = 1.0, slo_met: bool | None = None) -> Fact:
    """Reduce a call read from the ledger; ``cost`` comes from ``allocate`` or from the call's charges."""
    judged = read_verdict(record.outcomes, threshold)
    answer = answer_given(record)
    tokens = answer.usage.output if answer else None
    counts = [attempt.usage.output for attempt in record.attempts]
    return Fact(
        id=record.call.id,
        item=record.call.item,
        cost=cost,
        output_tokens=None if None in counts else sum(count or 0 for count in counts),
        useful_tokens={Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[judged],
        verdict=judged,
        slo_met=slo_met,
        tags=record.call.tags,
    )


def answer_given(record: CallRecord) -> Attempt | None:
    """Return the leg whose answer the caller got.

    An outcome may name it; the last one that does is believed. Otherwise it is the last serving or hedging leg that
    ended by itself; where none did, the last one that was cut off after it had begun, since what the caller saw of it
    may still have been judged.
    """
    named = [outcome.attempt for outcome in record.outcomes if outcome.attempt is not None]
    legs = [leg for leg in record.attempts if leg.role in {Role.SERVE, Role.HEDGE}]
    if named and (told := [leg for leg in legs if leg.seq == named[-1]]):
        return told[0]
    ended = [leg for leg in legs if leg.finish in {Finish.STOP, Finish.LENGTH}]
    cut = [leg for leg in legs if leg.finish is Finish.CANCELLED and leg.usage.output]
    return next(reversed(legs), None) if legs and legs[-1] in cut else next(reversed(ended or cut), None)
