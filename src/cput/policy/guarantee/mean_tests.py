"""Is a mean at least 0? P-values that hold at every sample size, for margins such as ``quality - floor``.

Three tests, each used where it was measured to be the stronger one (docs/design/guarantee.md has the figures):

* *binomial*: margins that take two values, the useful rate against a number. Exact (Clopper and Pearson 1934).
* *signs*: margins of -1, 0 and 1, a useful rate against another's on the same prompts. Given how often they differ, the
  better one wins a fair coin's share or more: exact (McNemar's exact test).
* *betting*: anything else that is bounded from below, such as ``quality - 0.95 * reference``, which takes four values
  of which most are tiny. One starts with 1 and bets on each margin in turn that the mean is above 0; where it is not,
  no strategy multiplies its stake by 1/p with more than probability p (Waudby-Smith and Ramdas 2024, after Ville 1939).
  The stake is recalculated from what is still missing and how many margins are still to come (STaR bets, Voracek and
  Orabona 2025), which comes within two to four points of the power of a z-test, and needs no large sample to be valid.

    p = betting(np.array([[0.05], [0.05], [-0.95], [1.0]]), lowest=0.95, level=0.05)
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

Floats = npt.NDArray[np.float64]

MOST_STAKED = 0.9
"""Of what would lose everything at the lowest margin: the most that is staked."""


def binomial(useful: npt.NDArray[np.int64] | int, n: int, floor: Floats | float) -> Floats:
    """Return the exact p-value of "the rate is below ``floor``" for each count of ``n`` answers."""
    return np.asarray(binom.sf(np.asarray(useful) - 1, n, floor), dtype=float)


def signs(better: npt.NDArray[np.int64] | int, worse: npt.NDArray[np.int64] | int) -> Floats:
    """Return the exact p-value of "no better than the other one" for each pair of counts."""
    wins = np.asarray(better)
    return np.asarray(binom.sf(wins - 1, wins + np.asarray(worse), 0.5), dtype=float)


def betting(margins: Floats, *, lowest: float, level: float, seed: int = 0) -> Floats:
    """Return the p-value of "the mean is below 0" for each column of ``margins``.

    Args:
        margins: (n, c), each at least ``-lowest``; rows are drawn independently, or exchangeably.
        lowest: how far below 0 a margin can lie, known beforehand.
        level: the stakes aim at this p-value and stop where it is reached: no smaller one is returned.
        seed: of the order in which the rows are read, so that no sorting of a file (by subject, say) steers the bets.
    """
    n, columns = margins.shape
    rows = margins[np.random.default_rng(seed).permutation(n)]
    target = -np.log(level)
    log_capital, best = np.zeros(columns), np.zeros(columns)
    squares = np.full(columns, ((1 + lowest) / 2) ** 2)  # as if one widest possible margin had been seen
    for seen in range(n):
        missing = np.maximum(target - log_capital, 0.0)
        stake = np.sqrt(2 * missing * (seen + 1) / ((n - seen) * squares))
        stake = np.where(best >= target, 0.0, np.minimum(stake, MOST_STAKED / lowest))
        log_capital += np.log1p(stake * rows[seen])
        np.maximum(best, log_capital, out=best)
        squares += rows[seen] ** 2
    reached = np.minimum(best, target)
    return np.where(best >= target, level, np.exp(-reached))
