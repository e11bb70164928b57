"""Choosing by one dial: what a useful answer is worth, in US dollars.

    places = choose(quality, cost_usd, usd_per_useful=0.01)

Whoever maximises ``usd_per_useful * quality - cost_usd`` answers. At 0 only cost counts, at infinity only quality; the
mean estimated cost never falls while the dial is turned up. Qualities and costs are (n, m): prompts by engines.
"""

import numpy as np
import numpy.typing as npt

from cput.policy.decide import Worth
from cput.policy.recorded import Floats


def dial(quality: Floats, cost_usd: Floats, count: int = 100) -> list[float]:
    """Return prices of quality, in US dollars for a useful answer, from 0 (only cost) to beyond what changes anything.

    They are quantiles of the prices at which some prompt's choice turns from one engine to another.
    """
    turns: list[Floats] = []
    for one in range(quality.shape[1]):
        for other in range(one):
            more = quality[:, one] - quality[:, other]
            dearer = cost_usd[:, one] - cost_usd[:, other]
            with np.errstate(divide="ignore", invalid="ignore"):
                price = dearer / more
            turns.append(price[np.isfinite(price) & (price > 0)])
    found = np.concatenate(turns) if turns else np.array([])
    if not len(found):
        return [0.0]
    marks = np.quantile(found, np.linspace(0, 1, count))
    return [0.0, *(float(mark) for mark in np.unique(marks)), float(marks[-1]) * 1.001]


def choose(quality: Floats, cost_usd: Floats, usd_per_useful: float) -> npt.NDArray[np.intp]:
    """Return (n,) columns: who is worth most when a useful answer is worth ``usd_per_useful``; of equals the cheapest.

    ``inf`` asks for the highest quality at any cost.
    """
    if usd_per_useful == 0:
        return np.asarray(np.argmin(cost_usd, axis=1), dtype=np.intp)
    return np.asarray(Worth(usd=1 / usd_per_useful)(quality, cost_usd), dtype=np.intp)
