"""Intervals where calls count differently: drawn with unequal chances, or routed by a policy other than the one meant.

Weights are positive and only their proportions matter. Kish's number says how many equally weighted calls they are
worth, and the intervals are those of that many.
"""

import numpy as np
from scipy import special

from cput.ledger.interval import TAIL, UNKNOWN_INTERVAL, Column, Interval, low_without_useful, ratio_interval

_KISH_COUNTS = 30
_FEW, _NONE = 1.5, 0.5  # hits and misses that count as one and as none, where weights make them fractions


def weighted_share_interval(weight: Column, hit: Column, *, discount: float = 1.0) -> Interval:
    """Return the weighted share of hits (1, not 0) with its 95 % interval; all weights must be positive.

    The modified Jeffreys interval (Brown, Cai and DasGupta, Statistical Science 16, 2001) at the number of equally
    weighted trials that these are worth. With at most one hit or miss its bound on that side is Clopper-Pearson's,
    since there Jeffreys' would miss too often. ``discount`` (above 0 to 1) cuts that number where the weights are known
    to be more even than those they stand for.
    """
    share = float(weight @ hit / weight.sum())
    worth = _worth(weight, hit, share, kish(weight) * discount)
    return Interval(share, _jeffreys_low(share, worth), 1 - _jeffreys_low(1 - share, worth))


def weighted_cost_interval(
    weight: Column, cost: Column, gained: Column, *, possible: Column, seed: int, resamples: int
) -> Interval:
    """Return weighted cost per weighted gain; Student's t has as many useful calls as ``told_by`` says of them.

    ``possible`` is what each call would gain if it were useful. Without a gain the value is None, ``high`` infinite and
    ``low`` that of ``low_without_useful``; without a row, or with unknown (NaN) figures, all is unknown.
    """
    if not weight.any() or np.isnan(cost @ weight) or np.isnan(gained @ weight):
        return UNKNOWN_INTERVAL
    if not gained.any():
        most = float(weight @ possible)
        low = low_without_useful(float(weight @ cost), None if np.isnan(most) else most, int(kish(weight)))
        return Interval(None, low, float("inf"))
    if not cost.any():
        return Interval(0.0, 0.0, 0.0)
    scaled = weight / weight.sum()
    useful = told_by(weight[gained > 0])
    return ratio_interval([scaled * cost], [scaled * gained], useful=useful, seed=seed, resamples=resamples)


def kish(weight: Column) -> float:
    """Return how many equally weighted calls these are worth: (sum w)^2 / sum w^2; 0 without weight."""
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def told_by(weight: Column) -> int:
    """Return how many equally weighted calls tell as much of the variance of a weighted sum; 1 or more.

    That is (sum w^2)^2 / sum w^4 (Owen, Monte Carlo theory, 2013, sec. 9.3): fewer than Kish's number where a few calls
    have most of the weight, since then these few alone show how much it varies.
    """
    squares = (weight / weight.max()) ** 2 if weight.any() else weight
    return max(1, int(kish(squares) + 1e-9))


def _worth(weight: Column, hit: Column, share: float, independent: float) -> float:
    """Return how many equally weighted trials have the variance of this share.

    Kish's number, ``independent``, holds where hits and weights have nothing to do with one another; where they have,
    it is up to half too wide. Korn and Graubard's (Survey Methodology 24, 1998) measures the variance, and with few
    hits or misses covers 91 to 94 %. So the measured one counts as much as there are of the rarer kind, Kish's as 30.
    """
    even = share * (1 - share) / independent
    measured = float(np.sum((weight * (hit - share)) ** 2)) / float(weight.sum()) ** 2
    rarer = min(np.count_nonzero(hit), np.count_nonzero(hit == 0))
    variance = (rarer * measured + _KISH_COUNTS * even) / (rarer + _KISH_COUNTS)
    return share * (1 - share) / variance if variance > 0 else independent


def _jeffreys_low(share: float, worth: float) -> float:
    hits = share * worth
    if hits < 1e-9:
        return 0.0
    misses = worth - hits
    if hits < _FEW or misses < _NONE:
        return min(share, float(special.betaincinv(hits, misses + 1, TAIL)))
    return min(share, float(special.betaincinv(hits + 0.5, misses + 0.5, TAIL)))
