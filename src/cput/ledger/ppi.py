"""Prediction-powered inference: few calls judged by a trusted source, all by a cheap check, one valid interval.

A human, a user or a business event says how it was, of a sample; a check or a judge guesses, of every call. The guesses
alone would be biased by as much as the check errs, the sample alone is small. Together (Angelopoulos, Bates, Fannjiang,
Jordan and Zrnic, Science 382, 2023; power tuning: Angelopoulos, Duchi and Zrnic 2023, PPI++; by class: Fisch et al.
2024): the sample shows how often the check is right in each of its classes, and all calls show how large the classes
are. Nothing is assumed of the check, which may be as wrong as it likes; ``poststratified`` has the arithmetic.

    found = powered_cput([fact_of(record, cost=...) for record in ledger.calls()])
    found.interval, found.alone, found.sampling, found.notes

What *is* assumed:

* the calls with a trusted verdict were drawn by chance, with the probability that each fact's ``inclusion`` says (an
  outcome's ``detail["inclusion_probability"]``) or that the argument gives. Where neither says it, the sample is read
  as if every call had been as likely, and ``sampling`` is ``assumed``: the interval then says nothing of the bias;
* whether the check spoke did not depend on the draw. Calls on which it was silent are a class of their own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from cput.errors import InputError
from cput.ledger.facts import Fact
from cput.ledger.interval import UNKNOWN_INTERVAL, Column, Interval
from cput.ledger.poststratified import LEAST_DRAWN, Columns, cost_interval, useful_total_interval
from cput.ledger.weighted import weighted_cost_interval, weighted_share_interval
from cput.records import Verdict

_CLASSES = tuple(Verdict)
_DOUBTFUL_ERRORS = 4.0  # standard errors by which the draw may miss the calls it should stand for


class Sampling(StrEnum):
    """How the calls with a trusted verdict were chosen."""

    KNOWN = "known"
    """By chance, with a probability that is known."""
    ASSUMED = "assumed"
    """Nobody wrote it down: read as if every call had been equally likely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Powered:
    """An estimate from a trusted sample and a cheap check of all calls."""

    interval: Interval
    """The estimate with its 95 % interval."""
    alone: Interval
    """What the trusted sample alone would say, for comparison."""
    calls: int
    """All calls."""
    checked: int
    """Calls of which the cheap check said useful or useless."""
    drawn: int
    """Calls with a trusted verdict that count as the sample."""
    drawn_useful: int
    """Those of them that were useful."""
    agreement: float | None
    """Share of the drawn and checked calls on which both agree; None without any."""
    left_out: int
    """Calls with a trusted verdict that no known draw had chosen (volunteered), where others' draw is known."""
    sampling: Sampling
    """How the sample was chosen."""
    notes: tuple[str, ...]
    """Sentences on what makes the estimate unknown, doubtful or wide; none where all is well."""

    @property
    def width_ratio(self) -> float | None:
        """Width of the interval over the width of ``alone``'s; None where either is unknown or infinite."""
        ours, theirs = (_width(interval) for interval in (self.interval, self.alone))
        return ours / theirs if ours is not None and theirs else None


class _Sample(NamedTuple):
    weight: Column
    sampling: Sampling
    left_out: int
    notes: list[str]


def powered_useful_rate(facts: Sequence[Fact], *, inclusion: float | None = None) -> Powered:
    """Return the share of all calls that were useful. ``inclusion`` is the chance of each call that states none.

    Without a trusted verdict it is unknown. With fewer than five in a class of the check the class is not told apart;
    one single verdict, or a sample that is all useful or all useless, gives the wide interval that it is worth.

    Raises:
        InputError: when a probability is not above 0 and at most 1.
    """
    sample = _sample(facts, inclusion)
    columns = _columns(facts, sample.weight, np.zeros(len(facts)), np.ones(len(facts)))
    total = useful_total_interval(columns)
    share = Interval(*(None if bound is None else bound / len(facts) for bound in total))
    drawn = columns.weight > 0
    alone = weighted_share_interval(columns.weight[drawn], columns.useful[drawn]) if drawn.any() else UNKNOWN_INTERVAL
    return _powered(facts, sample, share, alone)


def powered_cput(
    facts: Sequence[Fact], *, inclusion: float | None = None, seed: int = 0, resamples: int = 4000
) -> Powered:
    """Return all cost per useful token, where every answer's tokens and every cost is known; else unknown, and why.

    Where no drawn call was useful the value is None, ``high`` infinite and ``low`` the cost per the most tokens that
    may have been useful. ``seed`` and ``resamples`` are those of ``alone``'s bootstrap.

    Raises:
        InputError: when a probability is not above 0 and at most 1.
    """
    return _cost_per(facts, lambda fact: fact.answer_tokens, inclusion, seed, resamples)


def powered_cost_per_useful_answer(
    facts: Sequence[Fact], *, inclusion: float | None = None, seed: int = 0, resamples: int = 4000
) -> Powered:
    """Return all cost per useful answer; as ``powered_cput``, but tokens need not be known."""
    return _cost_per(facts, lambda _: 1, inclusion, seed, resamples)


def _cost_per(
    facts: Sequence[Fact], size: Callable[[Fact], int | None], inclusion: float | None, seed: int, resamples: int
) -> Powered:
    sample = _sample(facts, inclusion)
    costs, sizes = [fact.cost for fact in facts], [size(fact) for fact in facts]
    unknown = [
        f"{what} of {values.count(None):,} of {len(facts):,} calls is unknown"
        for what, values in (("the cost", costs), ("the number of the answer's tokens", sizes))
        if None in values
    ]
    if unknown:
        return _powered(facts, sample._replace(notes=[*sample.notes, *unknown]), UNKNOWN_INTERVAL, UNKNOWN_INTERVAL)
    columns = _columns(facts, sample.weight, np.array(costs, dtype=float), np.array(sizes, dtype=float))
    if sample.weight.any() and not (sample.weight * columns.size).any():
        sample.notes.append("no call with a trusted verdict has an answer with tokens")
    return _powered(facts, sample, cost_interval(columns), _alone(columns, seed, resamples))


def _sample(facts: Sequence[Fact], inclusion: float | None) -> _Sample:
    """Return the weights 1 / probability of the calls that were drawn, 0 elsewhere."""
    if inclusion is not None and not 0 < inclusion <= 1:
        raise InputError(f"the inclusion probability is {inclusion}; allowed: above 0 up to 1")
    judged = [fact for fact in facts if fact.trusted is not Verdict.PENDING]
    for fact in judged:
        if fact.inclusion is not None and not 0 < fact.inclusion <= 1:
            raise InputError(
                f"the inclusion probability of call '{fact.id}' is {fact.inclusion}; allowed: above 0 up to 1"
            )
    assumed = inclusion is None and all(fact.inclusion is None for fact in judged)
    if assumed:
        inclusion = len(judged) / max(len(facts), 1)
    weight = np.array([_weight(fact, inclusion) for fact in facts], dtype=float)
    left_out = len(judged) - int(np.count_nonzero(weight))
    if assumed:
        return _Sample(weight, Sampling.ASSUMED, left_out, _assumed(len(judged)))
    return _Sample(weight, Sampling.KNOWN, left_out, _doubts(weight))


def _weight(fact: Fact, inclusion: float | None) -> float:
    """Return 1 / probability of a call that was drawn; one with a trusted verdict but no known draw volunteered it."""
    chance = fact.inclusion if fact.inclusion is not None else inclusion
    return 0.0 if fact.trusted is Verdict.PENDING or not chance else 1 / chance


def _assumed(judged: int) -> list[str]:
    if not judged:
        return ["no call has a trusted verdict"]
    return [f"how the {judged:,} calls with a trusted verdict were chosen is unknown; they are read as drawn at random"]


def _doubts(weight: Column) -> list[str]:
    """Say where the draw cannot have been what its probabilities say: their inverses must add up to all calls."""
    stands_for = float(weight.sum())
    error = math.sqrt(float(weight @ np.maximum(weight - 1, 0.0)))
    if abs(stands_for - len(weight)) <= _DOUBTFUL_ERRORS * error + 1e-6 * len(weight):
        return []
    drawn = np.count_nonzero(weight)
    note = (
        f"the {drawn:,} calls with a trusted verdict stand for {stands_for:,.0f} calls by their inclusion"
        f" probabilities, but there are {len(weight):,}: the draw was not as stated"
    )
    return [note]


def _columns(facts: Sequence[Fact], weight: Column, cost: Column, size: Column) -> Columns:
    return Columns(
        cost=cost,
        size=size,
        label=np.array([_CLASSES.index(fact.cheap) for fact in facts], dtype=np.int64),
        weight=weight,
        useful=np.array([fact.trusted is Verdict.USEFUL for fact in facts], dtype=float) * (weight > 0),
    )


def _alone(columns: Columns, seed: int, resamples: int) -> Interval:
    """Return cost per useful size from the drawn calls' own costs, with the metric's own interval."""
    drawn = columns.weight > 0
    weight = columns.weight[drawn]
    size, useful = columns.size[drawn], columns.useful[drawn]
    return weighted_cost_interval(
        weight, columns.cost[drawn], size * useful, possible=size, seed=seed, resamples=resamples
    )


def _powered(facts: Sequence[Fact], sample: _Sample, interval: Interval, alone: Interval) -> Powered:
    drawn = [fact for fact, weight in zip(facts, sample.weight, strict=True) if weight > 0]
    both = [fact.cheap is fact.trusted for fact in drawn if fact.cheap is not Verdict.PENDING]
    notes = list(sample.notes)
    if drawn and len(drawn) < 2 * LEAST_DRAWN:
        notes.append(f"only {len(drawn)} calls have a trusted verdict: the interval is wide")
    return Powered(
        interval=interval,
        alone=alone,
        calls=len(facts),
        checked=sum(fact.cheap is not Verdict.PENDING for fact in facts),
        drawn=len(drawn),
        drawn_useful=sum(fact.trusted is Verdict.USEFUL for fact in drawn),
        agreement=sum(both) / len(both) if both else None,
        left_out=sample.left_out,
        sampling=sample.sampling,
        notes=tuple(notes),
    )


def _width(interval: Interval) -> float | None:
    if interval.low is None or interval.high is None or math.isinf(interval.high):
        return None
    return interval.high - interval.low
