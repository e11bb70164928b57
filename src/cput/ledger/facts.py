"""A fact: what one call cost and what it gave. The metric is a pure function of facts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cput.ledger.runs import CallRecord
from cput.ledger.verdict import TRUSTED, standing
from cput.ledger.verdict import verdict as read_verdict
from cput.records import Attempt, Finish, Outcome, Role, Source, Verdict

SERVING = frozenset({Role.SERVE, Role.HEDGE})
INCLUSION = "inclusion_probability"
"""Key in an outcome's ``detail``: with which probability the call had been drawn for this judgement."""


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
    """The reading of all its outcomes."""
    slo_met: bool | None = None
    """Whether it kept the workload's latency limits; None where there are none."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Slices it belongs to."""
    answer_tokens: int | None = None
    """Output tokens of the answer given, whatever its verdict; 0 where every serving leg failed, None if uncounted."""
    trusted: Verdict = Verdict.PENDING
    """The reading of its trusted outcomes alone (see ``verdict``)."""
    cheap: Verdict = Verdict.PENDING
    """The reading of its other outcomes alone: what a check or a judge predicts."""
    inclusion: float | None = None
    """Probability in (0, 1] with which it had been drawn for trusted judging; None where nobody wrote that down."""
    workload: str | None = None
    """The workload it belongs to."""
    engine: str | None = None
    """The engine of the leg that answered, or of the last serving leg where none did."""
    model: str | None = None
    """The model of that leg."""
    policy: str | None = None
    """The policy that served it."""
    tenant: str | None = None
    """Who asked."""
    started_s: float | None = None
    """When its first attempt was sent (Unix seconds)."""
    propensity: float | None = None
    """Probability in (0, 1] with which the policy chose that leg's engine; None where nothing was drawn."""


def fact_of(
    record: CallRecord,
    *,
    cost: float | None,
    threshold: float = 1.0,
    slo_met: bool | None = None,
    trusted: Collection[Source] = TRUSTED,
) -> Fact:
    """Reduce a call read from the ledger; ``cost`` comes from ``allocate`` or from the call's charges.

    ``trusted`` are the sources whose word is the truth that the others predict; {human} alone where users' feedback is
    volunteered and only the humans' sample was drawn.
    """
    judged = read_verdict(record.outcomes, threshold)
    answer = answer_given(record)
    leg = answer or _last_serving(record)
    tokens = answer.usage.output if answer else None
    counts = [attempt.usage.output for attempt in record.attempts]
    said = [outcome for outcome in record.outcomes if outcome.source in trusted]
    guessed = [outcome for outcome in record.outcomes if outcome.source not in trusted]
    return Fact(
        id=record.call.id,
        item=record.call.item,
        cost=cost,
        output_tokens=None if None in counts else sum(count or 0 for count in counts),
        useful_tokens={Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[judged],
        verdict=judged,
        slo_met=slo_met,
        tags=record.call.tags,
        answer_tokens=tokens if answer or not leg else 0,
        trusted=read_verdict(said, threshold),
        cheap=read_verdict(guessed, threshold),
        inclusion=_inclusion(said),
        workload=record.call.workload,
        engine=leg.engine if leg else None,
        model=leg.model if leg else None,
        policy=record.call.policy,
        tenant=record.call.tenant,
        started_s=record.attempts[0].started_s if record.attempts else None,
        propensity=leg.propensity if leg else None,
    )


def answer_given(record: CallRecord) -> Attempt | None:
    """Return the leg whose answer the caller got.

    An outcome may name it; the last one that does is believed. Otherwise it is the last serving or hedging leg that
    ended by itself; where none did, the last one that was cut off after it had begun, since what the caller saw of it
    may still have been judged. Where nothing but an embedding was asked for, the embedding legs are those that serve,
    and their output is 0 tokens.
    """
    named = [outcome.attempt for outcome in record.outcomes if outcome.attempt is not None]
    legs = _serving(record)
    if named and (told := [leg for leg in legs if leg.seq == named[-1]]):
        return told[0]
    ended = [leg for leg in legs if leg.finish in {Finish.STOP, Finish.LENGTH}]
    cut = [leg for leg in legs if leg.finish is Finish.CANCELLED and leg.usage.output]
    return next(reversed(legs), None) if legs and legs[-1] in cut else next(reversed(ended or cut), None)


def _last_serving(record: CallRecord) -> Attempt | None:
    serving = _serving(record)
    return serving[-1] if serving else None


def _serving(record: CallRecord) -> list[Attempt]:
    serving = [leg for leg in record.attempts if leg.role in SERVING]
    return serving or [leg for leg in record.attempts if leg.role is Role.EMBED]


def _inclusion(outcomes: list[Outcome]) -> float | None:
    """Return the probability written into the latest standing outcome that has one; what is no number is NaN.

    The metric refuses NaN by the call's name, where the probability is used; a report that needs none is not held up.
    """
    stated = [outcome for outcome in standing(outcomes) if outcome.detail.get(INCLUSION) is not None]
    if not stated:
        return None
    value = max(stated, key=lambda outcome: outcome.observed_s).detail[INCLUSION]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
