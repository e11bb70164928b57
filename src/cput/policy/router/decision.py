"""The dial of a router, and the ordered settings of it from which one is certified.

    settings = thresholds(estimator.estimate(held.prompts), held, reference="gpt-4-1106-preview")
    found = certify(settings.quality, settings.cost_usd, reference=settings.reference, floor=floor)

The dial is what a useful answer is worth in US dollars: whoever maximises ``usd_per_useful * quality - cost`` answers.
``None`` is the safe end: the reference (the best single engine) answers everything. ``thresholds`` gives the settings
from the safe end to the cheap one, with what each would have cost and given on recorded answers, as ``certify`` takes
them; a setting is a number that may be carried to another sample, since it says nothing of the sample it came from.
``Routed`` serves one: ``Worth(usd=1 / usd_per_useful)``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cput.errors import unknown
from cput.policy.choice import choose, dial
from cput.policy.estimates import Expected as Estimates
from cput.policy.recorded import Floats, Recorded


class Thresholds(NamedTuple):
    """Candidate settings of a router on recorded answers, from the safest to the riskiest."""

    usd_per_useful: tuple[float | None, ...]
    """The dial of each of ``c`` candidates; None: the reference answers everything."""
    quality: Floats
    """(n, c): quality of the answer that each would have given."""
    cost_usd: Floats
    """(n, c): what it would have cost."""
    reference: Floats
    """(n,): quality of the reference's answers."""


def settle(estimates: Estimates, usd_per_useful: float | None, reference: int) -> npt.NDArray[np.intp]:
    """Return (n,) columns: who answers at a setting of the dial. Without a known cost, only the reference is asked."""
    if usd_per_useful is None:
        return np.full(len(estimates.quality), reference, dtype=np.intp)
    priced = np.flatnonzero(~np.isnan(estimates.cost_usd).any(axis=0))
    if reference not in priced:
        return np.full(len(estimates.quality), reference, dtype=np.intp)
    return priced[choose(estimates.quality[:, priced], estimates.cost_usd[:, priced], usd_per_useful)]


def thresholds(estimates: Estimates, table: Recorded, *, reference: str, count: int = 30) -> Thresholds:
    """Return ``count`` candidate settings, from the reference alone to the cheapest, on recorded answers.

    The settings in between are spread so that each changes about as many choices as the next.

    Raises:
        InputError: the reference is none of the engines.
    """
    place = place_of(table.engines, reference)
    priced = ~np.isnan(estimates.cost_usd).any(axis=0)
    marks = dial(estimates.quality[:, priced], estimates.cost_usd[:, priced], count=max(count - 3, 1))
    settings: list[float | None] = [None, *sorted(marks, reverse=True)]
    rows = np.arange(len(table))
    chosen = [settle(estimates, setting, place) for setting in settings]
    return Thresholds(
        tuple(settings),
        np.stack([table.quality[rows, each] for each in chosen], axis=1),
        np.stack([table.cost_usd[rows, each] for each in chosen], axis=1),
        table.quality[:, place],
    )


def place_of(engines: Sequence[str], name: str) -> int:
    """Return an engine's column.

    Raises:
        InputError: there is no such engine.
    """
    if name not in engines:
        raise unknown("engine of the router", name, engines)
    return list(engines).index(name)
