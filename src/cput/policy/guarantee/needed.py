"""How many more outcomes would show a saving, if the effect is as seen.

Where the mean margin is mu above the floor with standard deviation s, a test at level a passes in four cases of five at
about n = ((z_a + z_0.8) s / mu)^2 prompts. Where margins hardly vary, that is too hopeful: a bet cannot grow faster
than its largest stake lets it, so that n is at least log(1/a) / log(1 + stake * mu).
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from cput.policy.guarantee.mean_tests import MOST_STAKED

Floats = npt.NDArray[np.float64]

POWER = 0.8
_LOST_TO_BETTING = 1.1
"""Prompts that a test by bets needs for each one of a z-test, as measured (docs/design/guarantee.md)."""


def prompts_for(margins: Floats, *, lowest: float, level: float) -> float:
    """Return the prompts (of this slice) that one test needs; infinity where the mean seen is not above 0."""
    mean, deviation = float(margins.mean()), float(margins.std())
    if not mean > 0:
        return math.inf
    by_error = ((norm.isf(level) + norm.isf(1 - POWER)) * deviation / mean) ** 2 * _LOST_TO_BETTING
    by_stake = math.log(1 / level) / math.log1p(MOST_STAKED / lowest * mean)
    return max(float(by_error), by_stake)


def cheapest_way(needs: Sequence[float], own: Sequence[float], saves: Sequence[bool]) -> float:
    """Return the fewest prompts with which a saving candidate passes, by any starting point; infinity if by none.

    ``needs`` are the prompts that each candidate's hardest test takes: all from a starting point on have to pass.
    """
    best, so_far = math.inf, math.inf
    for need, part, saving in zip(needs, own, saves, strict=True):
        so_far = need if part > 0 else max(so_far, need)  # a run may begin here
        if saving:
            best = min(best, so_far)
    return best
