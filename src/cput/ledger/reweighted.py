"""The arithmetic of propensity weighting: columns of matched calls to rates, costs per something, and intervals."""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from scipy import special

from cput.ledger.interval import NORMAL, TAIL, UNKNOWN_INTERVAL, Column, Interval, ratio_interval
from cput.ledger.weighted import told_by, weighted_cost_interval, weighted_share_interval


class Method(StrEnum):
    """How weighted outcomes are put together; ``propensity`` says what each is good for."""

    IPS = "ips"
    SELF_NORMALISED = "self-normalised"
    DOUBLY_ROBUST = "doubly robust"


class Logged(NamedTuple):
    """One row per call; a figure nobody knows is NaN where the call has weight, and 0 where it has none."""

    weight: Column
    """Target probability over propensity."""
    cost: Column
    """Its cost."""
    useful: Column
    """1 where it was useful, else 0."""
    tokens: Column
    """Its useful tokens; 0 while pending."""
    output: Column
    """Tokens of all its attempts."""
    judged: Column
    """1 where it has a verdict, else 0."""


class Figures(NamedTuple):
    """The three answers, each with its 95 % interval."""

    useful_rate: Interval
    cput: Interval
    cost_per_useful_answer: Interval


def figures_of(
    logged: Logged, guesses: tuple[Column, Column] | None, method: Method, *, seed: int, resamples: int
) -> Figures:
    """Return the figures of the policy asked about.

    ``guesses`` are a model's (cost, useful, useful tokens) for the routed arm and for the target, each of shape
    (calls, 3). Where no matched call was useful nothing corrects a model, and the self-normalised figures stand.
    """
    if not (logged.weight * logged.useful).any() or method is Method.SELF_NORMALISED:
        return _self_normalised(logged, seed, resamples)
    cost, useful, tokens = _pseudo_outcomes(logged, guesses)
    judged = logged.judged > 0
    worth = min(told_by(logged.weight), told_by(logged.weight * logged.useful))  # heavy calls may all be useless
    rate = _inverse(_ratio(np.ones(int(judged.sum())), useful[judged], worth, seed, resamples))
    if method is Method.IPS:
        return _self_normalised(logged, seed, resamples)._replace(useful_rate=rate)
    return Figures(
        useful_rate=rate,
        cput=_ratio(cost, tokens, worth, seed, resamples),
        cost_per_useful_answer=_ratio(cost, useful, worth, seed, resamples),
    )


def _self_normalised(logged: Logged, seed: int, resamples: int) -> Figures:
    matched = logged.weight > 0
    weight, cost, useful, tokens, output, judged = (column[matched] for column in logged)
    seen = judged > 0
    return Figures(
        useful_rate=_share(weight[seen], useful[seen]),
        cput=weighted_cost_interval(weight, cost, tokens, possible=output, seed=seed, resamples=resamples),
        cost_per_useful_answer=weighted_cost_interval(
            weight, cost, useful, possible=np.ones_like(weight), seed=seed, resamples=resamples
        ),
    )


def _share(weight: Column, useful: Column) -> Interval:
    """Return the weighted useful share; its limits are wider by what Student's t is over the normal's quantile."""
    if not weight.any():
        return UNKNOWN_INTERVAL
    student = float(special.stdtrit(max(1, told_by(weight) - 1), 1 - TAIL))
    return weighted_share_interval(weight, useful, discount=(NORMAL / student) ** 2)


def _pseudo_outcomes(logged: Logged, guesses: tuple[Column, Column] | None) -> Column:
    """Return per call what it says of the target's cost, useful answers and useful tokens: 3 rows, unbiased each.

    A pending call's tokens do not count yet, so what a model expects of them does not either.
    """
    seen = np.stack([logged.cost, logged.useful, logged.tokens]) * logged.weight
    if guesses is None:
        return seen
    routed, target = guesses
    counts_yet = np.stack([np.ones_like(logged.judged), logged.judged, logged.judged])
    return seen + (target.T - logged.weight * routed.T) * counts_yet


def _ratio(above: Column, below: Column, useful: int, seed: int, resamples: int) -> Interval:
    """Return sum(above) / sum(below); unknown where a row is unknown or a model drove a sum below 0."""
    if not (above.sum() > 0 and below.sum() > 0):
        return UNKNOWN_INTERVAL
    return ratio_interval([above], [below], useful=useful, seed=seed, resamples=resamples)


def _inverse(interval: Interval) -> Interval:
    value, low, high = interval
    if value is None or low is None or high is None:
        return UNKNOWN_INTERVAL
    return Interval(1 / value, 1 / high, 1 / low if low else float("inf"))
