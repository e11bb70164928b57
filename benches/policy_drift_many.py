"""Many watches at once: the arithmetic of ``Wealth`` over runs instead of outcomes, for false alarm rates.

A test holds it to the same numbers as ``cput.policy.guarantee.Watch``.
"""

from collections.abc import Sequence

import numpy as np
from policy_drift_world import Flags, Floats

from cput.policy.guarantee import Level
from cput.policy.guarantee.wealth import FRACTIONS


def highest(levels: Sequence[Level], quality: Floats, counted: Flags, *, horizon: int, heaviest: float) -> Floats:
    """Return the largest e-value that each run ever had.

    Args:
        levels: one a run.
        quality: (runs, outcomes).
        counted: (runs, outcomes): whether an outcome is one of those watched here.
        horizon: as ``Wealth``'s.
        heaviest: as ``Wealth``'s.
    """
    level, evidence = _steps(levels)
    fractions = np.array(FRACTIONS)
    pots = np.zeros((*level.shape, len(fractions)))
    seen, best = np.zeros(len(levels)), np.zeros(len(levels))
    for outcome in range(quality.shape[1]):
        now = counted[:, outcome]
        seen += now
        begins = horizon / ((horizon + seen - 1) * (horizon + seen)) / len(fractions)
        shortfall = (level - quality[:, outcome, None]) / ((1 - level) * heaviest)
        grown = (pots + begins[:, None, None]) * (1 + fractions * shortfall[:, :, None])
        pots = np.where(now[:, None, None], grown, pots)
        lying = horizon / (horizon + seen)
        best = np.maximum(best, (evidence * (pots.sum(axis=2) + lying[:, None])).min(axis=1))
    return best


def _steps(levels: Sequence[Level]) -> tuple[Floats, Floats]:
    """Return levels and evidence, (runs, steps); a shorter list repeats its last step, which changes no minimum."""
    most = max(len(level.steps) for level in levels)
    filled = np.array([[*each.steps, *[each.steps[-1]] * (most - len(each.steps))] for each in levels])
    return filled[:, :, 0], filled[:, :, 1]
