"""The arithmetic of prediction-powered inference where the prediction is a class: a post-stratified useful total.

All calls have a size (tokens of the answer, or 1), a cost and a class (what the cheap check said of them). Some were
drawn with known chance and judged. Of class h the drawn calls show which share q_h of the size was useful, and all
calls show how much size T_h there is: U = sum_h T_h q_h. For a prediction with few values this *is* the power-tuned
estimator: with two classes its coefficient is q_1 - q_0 = Cov(y, f) / Var(f) (Angelopoulos, Duchi and Zrnic 2023,
PPI++), and a check that says nothing gives q_1 = q_0, which is what the drawn calls alone say.

The interval has two parts. The *judged* part is how far U may lie off because only some calls were judged: limits of
each q_h, put together by MOVER (Zou and Donner, Stat. Med. 27, 2008). Limits of shares and not standard errors, since a
check that is nearly always right leaves no disagreement in a small sample: its variance is then estimated as 0, its
limit is not. The *calls* part is how far because these calls are themselves a sample: the delta method.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cput.ledger.interval import NORMAL, UNKNOWN_INTERVAL, Column, Interval
from cput.ledger.weighted import weighted_share_interval

LEAST_DRAWN = 5
"""Drawn calls below which a class is not told apart from the others."""
_LEAST_F = 4.0  # below this F statistic (|t| = 2) the cost's coefficient is noise and is not used

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """One row per call; all of length N."""

    cost: Column
    """Cost of the call, 0 or more; all 0 where only the useful total is asked for."""
    size: Column
    """What the call would gain if it were useful: tokens of its answer, or 1."""
    label: Labels
    """The class that the cheap check put it in."""
    weight: Column
    """1 / probability of having been drawn for trusted judging; 0 where it was not drawn."""
    useful: Column
    """1 where it was drawn and found useful, else 0."""


class Total(NamedTuple):
    """The useful total with all that its interval needs."""

    value: float
    """U, in the unit of size."""
    below: float
    """How far the truth may lie below for the judged part's sake: one-sided 97.5 %."""
    above: float
    """How far above."""
    predicted: Column
    """What each call is predicted to gain; sums to U."""
    missed: Column
    """What each drawn call gained beyond that, times its calibrated weight; 0 elsewhere. Sums to 0."""
    tuning: float
    """Coefficient on the cost; 0 where it would not narrow the interval."""


def useful_total_interval(columns: Columns) -> Interval:
    """Return U and its 95 % interval, within 0 and the size of all calls. Unknown where nothing was drawn."""
    total = useful_total(columns)
    if total is None:
        return UNKNOWN_INTERVAL
    calls = NORMAL**2 * float(((total.predicted - total.predicted.mean()) ** 2).sum())
    low, high = total.value - np.sqrt(total.below**2 + calls), total.value + np.sqrt(total.above**2 + calls)
    return Interval(total.value, max(0.0, float(low)), min(float(columns.size.sum()), float(high)))


def cost_interval(columns: Columns) -> Interval:
    """Return all cost per useful size and its 95 % interval. Unknown where nothing was drawn.

    Where no drawn call was useful the value is None, ``high`` is infinite, and ``low`` is the cost per the most that
    may have been useful.
    """
    total = useful_total(columns)
    cost = float(columns.cost.sum())
    if total is None:
        return UNKNOWN_INTERVAL
    if cost == 0:
        return Interval(0.0, 0.0, 0.0) if total.value > 0 else Interval(None, 0.0, float("inf"))
    if total.value <= 0:
        reach = NORMAL * np.sqrt(((columns.cost / cost - columns.size / columns.size.sum()) ** 2).sum())
        return Interval(None, float(cost / total.above * np.exp(-reach)), float("inf"))
    value = cost / total.value
    influence = columns.cost / cost - total.predicted / total.value
    # Var = sum A^2 - 2 sum A B + sum B^2, A the calls' and B the judged part's influence; MOVER stands for the last.
    calls = NORMAL**2 * float((influence**2).sum() - 2 * (influence * total.missed).sum() / total.value)
    up, down = total.above / total.value, total.below / total.value
    low = value * np.exp(-np.sqrt(max(0.0, np.log1p(up) ** 2 + calls)))
    high = value * np.exp(np.sqrt(max(0.0, np.log1p(-down) ** 2 + calls))) if down < 1 else np.inf
    return Interval(value, float(low), float(high))


def useful_total(columns: Columns) -> Total | None:
    """Return the useful total of all calls, or None where no drawn call has a size."""
    drawn = columns.weight * columns.size
    if not drawn.any():
        return None
    _, label = np.unique(told_apart(columns), return_inverse=True)
    whole, seen = np.bincount(label, columns.size), np.bincount(label, drawn)
    limits = [_share(columns, label == name) for name in range(len(whole))]
    share, low, high = np.array(limits, dtype=np.float64).T
    calibrated = columns.weight * (whole / seen)[label]
    total = Total(
        value=float(whole @ share),
        below=float(np.linalg.norm(whole * (share - low))),
        above=float(np.linalg.norm(whole * (high - share))),
        predicted=share[label] * columns.size,
        missed=calibrated * columns.size * (columns.useful - share[label]),
        tuning=0.0,
    )
    dearer = columns.cost - (np.bincount(label, columns.weight * columns.cost) / seen)[label] * columns.size
    hits = int(np.count_nonzero(columns.useful[drawn > 0]))
    return _tuned(total, dearer, calibrated, rarer=min(hits, int(np.count_nonzero(drawn)) - hits))


def told_apart(columns: Columns) -> Labels:
    """Return the classes, those with too few drawn calls put together with the next smallest.

    It looks at how many were drawn and not at what they were judged, so it favours no result.
    """
    label = columns.label.copy()
    drawn = (columns.weight > 0) & (columns.size > 0)
    while len(names := np.unique(label)) > 1:
        counts = np.array([int((drawn & (label == name)).sum()) for name in names])
        smallest, next_smallest = np.argsort(counts, kind="stable")[:2]
        if counts[smallest] >= LEAST_DRAWN:
            break
        label[label == names[smallest]] = names[next_smallest]
    return label


def _share(columns: Columns, inside: npt.NDArray[np.bool_]) -> Interval:
    """Return the useful share of a class's size.

    A few drawn calls have seldom met the longest of their class, and look more even than it is. Where long answers fail
    more often that is where they err, so what they are worth is cut by how much more even they look.
    """
    size, weight = columns.size[inside], columns.weight[inside]
    drawn = weight * size
    discount = min(1.0, _unevenness(size, weight) / _unevenness(size, np.ones_like(size)))
    return weighted_share_interval(drawn[drawn > 0], columns.useful[inside][drawn > 0], discount=discount)


def _unevenness(size: Column, weight: Column) -> float:
    """Return 1 + the squared coefficient of variation of the sizes, weighted."""
    return float(weight.sum() * (weight @ size**2) / (weight @ size) ** 2)


def _tuned(total: Total, dearer: Column, calibrated: Column, *, rarer: int) -> Total:
    """Return the total with the cost as a second predictor, where that narrows it.

    ``dearer`` is what each call costs beyond its class's cost per size among the drawn; its sum over all calls is
    known. Without it the estimate would be wider than the drawn calls' own cost per useful size wherever cost says more
    than size about usefulness, since that ratio profits from it. ``rarer`` counts the drawn calls with the rarer
    verdict. The coefficient is that of least variance, shrunk by what of it is noise (positive-part James-Stein).
    """
    again = np.where(calibrated > 1, calibrated - 1, 0.0) / np.where(calibrated > 0, calibrated, 1.0)
    beside = calibrated * dearer
    shared, own, left = (beside * total.missed) @ again, beside**2 @ again, total.missed**2 @ again
    explained = shared**2 / (own * left) if own * left > 0 else 0.0
    f = explained / max(1 - explained, 1e-12) * (rarer - 1)
    if f <= _LEAST_F:
        return total
    tuning = float(shared / own * (1 - _LEAST_F / f))
    value, missed = total.value + tuning * float(dearer.sum()), total.missed - tuning * beside
    scale = min(1.0, float(np.linalg.norm(missed) / np.linalg.norm(total.missed)))
    if value <= 0:
        return total
    return Total(value, total.below * scale, total.above * scale, total.predicted + tuning * dearer, missed, tuning)
