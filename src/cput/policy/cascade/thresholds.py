"""Thresholds of a cascade, found on recorded answers: the bars that make quality less the price of money largest.

    paths = threshold_path(quality, cost_usd, scores, count=40)      # safest first, for ``certify``

``quality`` and ``cost_usd`` are (n, m), ``scores`` (n, m) what each leg's rule says; the last leg's is not read unless
``best`` is given. Threshold by threshold the optimum is exact, and the sweeps go on until none moves.
"""

import numpy as np

from cput.policy.replayed import Floats, Ints, Replayed, ladder, paid, safest_first

SWEEPS = 20
Thresholds = tuple[float, ...]
NEVER = float("inf")


def stopped_at(scores: Floats, thresholds: Thresholds) -> Ints:
    """Return the first leg (n,) whose score reaches its threshold; the number of legs where none does, as NaN never."""
    with np.errstate(invalid="ignore"):
        reached = scores >= np.asarray(thresholds)
    first: Ints = np.where(reached.any(axis=1), reached.argmax(axis=1), scores.shape[1])
    return first


def cascaded(
    quality: Floats, cost_usd: Floats, scores: Floats, thresholds: Thresholds, *, best: bool = False
) -> Replayed:
    """Return what a cascade gives and pays; ``thresholds`` has one a leg, the last one's only read with ``best``."""
    legs = quality.shape[1]
    bars = thresholds if best else (*thresholds[: legs - 1], NEVER)
    stop = stopped_at(scores, bars)
    last = np.minimum(stop, legs - 1)
    known = np.where(np.isnan(scores), -1.0, scores)
    otherwise = known.argmax(axis=1) if best else np.full(len(quality), legs - 1)
    asked = np.arange(legs) <= last[:, None]
    return paid(quality, cost_usd, asked, np.where(stop < legs, stop, otherwise))


def fit_thresholds(quality: Floats, cost_usd: Floats, scores: Floats, usd: float, start: Thresholds = ()) -> Thresholds:
    """Return the thresholds (m,) that make the mean of quality less ``usd`` times cost largest; the last is infinite.

    One threshold at a time, from the last to the first, until none moves: each step is exact, the whole a local
    optimum. Prompts where something is unknown say nothing.
    """
    sound = ~(np.isnan(quality).any(axis=1) | np.isnan(cost_usd).any(axis=1))
    quality, cost_usd, scores = quality[sound], cost_usd[sound], scores[sound]
    legs = quality.shape[1]
    bars = list(start or (NEVER,) * legs)
    for _ in range(SWEEPS):
        before = list(bars)
        for leg in range(legs - 2, -1, -1):
            reached = stopped_at(scores[:, :leg], tuple(bars[:leg])) == leg if leg else np.ones(len(quality), np.bool_)
            rest = (reached, slice(leg + 1, None))
            later = cascaded(quality[rest], cost_usd[rest], scores[rest], tuple(bars[leg + 1 :]))
            gain = quality[reached, leg] - (later.quality - usd * later.cost_usd)
            bars[leg] = _best_bar(scores[reached, leg], gain)
        if bars == before:
            break
    return tuple(bars)


def threshold_path(quality: Floats, cost_usd: Floats, scores: Floats, *, count: int = 40) -> tuple[Thresholds, ...]:
    """Return thresholds from the safest to the riskiest: one for each of ``count`` prices of a dollar, and the ends.

    The ends are the last leg for everybody, and the first leg for everybody.
    """
    legs = quality.shape[1]
    found: list[Thresholds] = [(NEVER,) * legs, (0.0,) * (legs - 1) + (NEVER,)]
    start: Thresholds = ()
    for usd in ladder(cost_usd, count):
        start = fit_thresholds(quality, cost_usd, scores, float(usd), start)
        found.append(start)
    unique = list(dict.fromkeys(found))
    each = [cascaded(quality, cost_usd, scores, bars) for bars in unique]
    kept = safest_first(np.column_stack([e.quality for e in each]), np.column_stack([e.cost_usd for e in each]))
    return tuple(unique[at] for at in kept)


def _best_bar(scores: Floats, gain: Floats) -> float:
    """Return the threshold that makes the sum of the gains of those that reach it largest; of two the higher."""
    known = ~np.isnan(scores)
    scores, gain = scores[known], gain[known]
    order = np.argsort(-scores, kind="stable")
    ranked, total = scores[order], np.cumsum(gain[order])
    last_of_its_score = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.array([], int)
    if not len(last_of_its_score) or total[last_of_its_score].max() <= 0:
        return NEVER
    return float(ranked[last_of_its_score[total[last_of_its_score].argmax()]])
