"""Levels: the numbers that outcomes are watched against, from held-out outcomes.

A floor that is a share of the best engine's quality is a number only as far as that quality is known; while the policy
serves, nobody sees what the best engine would have answered. So a level is taken of a lower bound: too low by a little,
never too high by luck, and an alarm is never the sampling error of the certificate.

    watch = Watch(certificate.levels, engines=engine_levels(answered_by, quality, slack=0.05))
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cput.errors import InputError
from cput.policy.guarantee.claims import lower_bound
from cput.workloads import Floor

Floats = npt.NDArray[np.float64]


def levels_of(
    floor: Floor, reference: Floats | None, within: Mapping[str, npt.NDArray[np.bool_]], error: float
) -> dict[str, float]:
    """Return each slice's level; with probability 1 - error none is above its true floor."""
    each = error / len(within)
    absolute = floor.useful_rate or 0.0
    if floor.share_of_baseline is None or reference is None:
        return dict.fromkeys(within, absolute)
    given = np.asarray(reference, dtype=float)
    share = floor.share_of_baseline
    return {name: max(absolute, share * lower_bound(given[members], each)) for name, members in within.items()}


def engine_levels(
    answered_by: Sequence[str], quality: Floats, *, slack: float, error: float = 0.005, least: int = 30
) -> dict[str, float]:
    """Return each engine's level, from the calls that the policy gave to it on held-out prompts.

    Args:
        answered_by: (n,) the engine that the policy chose.
        quality: (n,) of its answers.
        slack: how much worse an engine may become before that matters, such as what the floor gives away.
        error: probability with which any level may be above its engine's true quality less ``slack``.
        least: engines with fewer held-out answers are left out: too little is known of them.

    Raises:
        InputError: the lengths differ, or ``slack`` is negative.
    """
    values, by = np.asarray(quality, dtype=float), np.asarray(answered_by)
    if values.shape != by.shape or values.ndim != 1:
        raise InputError(
            f"quality has shape {values.shape} and answered_by {by.shape}; allowed: one value for each call"
        )
    if not slack >= 0:
        raise InputError(f"slack is {slack}; allowed: 0 or more")
    names = [str(name) for name, count in zip(*np.unique(by, return_counts=True), strict=True) if count >= least]
    found = {name: lower_bound(values[by == name], error / len(names)) - slack for name in names}
    return {name: level for name, level in found.items() if 0 < level < 1}
