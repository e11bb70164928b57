"""Levels from held-out outcomes: for a floor that is a share of the best engine's quality, and for single engines.

watch = Watch(certificate.levels, engines=engine_levels(answered_by, quality, slack=0.05))
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cput.errors import InputError
from cput.policy.guarantee.level import Level
from cput.workloads import Floor

Floats = npt.NDArray[np.float64]

ENOUGH = 5e3
"""Held-out evidence beyond which a quality is ruled out; this adds at most 1 in 5,000 to a watch's error rate."""
_APART = 1.0
"""Standard errors between two steps."""
_STAKES = (2.0, 4.0, 8.0)
"""Over the root of the sample size: the bets of the held-out evidence."""


def levels_of(floor: Floor, reference: Floats | None, within: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, Level]:
    """Return what is still good enough on each slice: the number, or the share of what ``reference`` shows."""
    absolute = floor.useful_rate or 0.0
    if floor.share_of_baseline is None or reference is None:
        return dict.fromkeys(within, Level.known(absolute))
    given, share = np.asarray(reference, dtype=float), floor.share_of_baseline
    return {
        name: level_of(given[members], lambda quality: max(absolute, share * quality))
        for name, members in within.items()
    }


def engine_levels(
    answered_by: Sequence[str] | npt.NDArray[np.str_], quality: Floats, *, slack: float, least: int = 30
) -> dict[str, Level]:
    """Return each engine's level, from the calls that the policy gave to it on held-out prompts.

    Args:
        answered_by: (n,) the engine that the policy chose.
        quality: (n,) of its answers.
        slack: how much worse an engine may become before that matters, such as what the floor gives away.
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
    found = {name: level_of(values[by == name], lambda quality: quality - slack) for name in names}
    return {name: level for name, level in found.items() if level.value > 0}


def level_of(quality: Floats, level: Callable[[float], float]) -> Level:
    """Return the level ``level(true mean)`` as far as a sample of ``quality``, each in [0, 1], tells that mean."""
    mean = float(quality.mean())
    error = float(np.sqrt((mean * (1 - mean) + 0.25 / len(quality)) / len(quality)))
    steps: list[tuple[float, float]] = [(level(mean), 1.0)]
    upper = mean
    while (evidence := _evidence_above(quality, upper)) < ENOUGH and upper > _APART * error:
        lower = upper - _APART * error
        steps.append((level(lower), evidence))
        upper = lower
    return Level(value=level(mean), steps=tuple(step for step in steps if 0 < step[0] < 1))


def _evidence_above(quality: Floats, mean: float) -> float:
    """Return an e-value of "the mean is at most ``mean``", from bets that it is more; it falls as ``mean`` grows."""
    if mean <= 0:
        return float("inf")
    stakes = np.minimum(np.array(_STAKES) / np.sqrt(len(quality)), 0.9)
    values, counts = np.unique(quality, return_counts=True)
    grown = counts @ np.log1p(stakes * ((values - mean) / mean)[:, None])
    return float(0.5 + 0.5 * np.exp(np.minimum(grown, 700.0)).mean())
