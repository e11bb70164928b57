"""How many more outcomes would show a saving, if the effect is as seen.

Where the mean margin is mu above the floor and its mean square s2, a z-test at level a passes in four cases of five at
n = (z_a + z_0.8)^2 s2 / mu^2 prompts. A bet needs more: it begins as if one widest possible margin had been seen, and
it cannot grow faster than its largest stake lets it, which takes log(1/a) / log(1 + stake * mu) prompts. Both are
added: where margins hardly vary the second decides, elsewhere it is small.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from cput.policy.guarantee.mean_tests import MOST_STAKED

Floats = npt.NDArray[np.float64]

POWER = 0.8


def prompts_for(margins: Floats, *, lowest: float, level: float) -> float:
    """Return the prompts (of this slice) that one test needs; infinity where the mean seen is not above 0."""
    mean, square = float(margins.mean()), float((margins**2).mean())
    if not mean > 0:
        return math.inf
    errors = ((NormalDist().inv_cdf(1 - level) + NormalDist().inv_cdf(POWER)) / mean) ** 2
    first = ((1 + lowest) / 2) ** 2
    by_error = (errors * square + math.sqrt((errors * square) ** 2 + 4 * errors * first)) / 2
    return by_error + math.log(1 / level) / math.log1p(MOST_STAKED / lowest * mean)


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
