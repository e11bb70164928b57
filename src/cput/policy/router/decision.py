"""A router's decision: who answers, by one dial, and the ordered settings from which one is certified.

    router = Router(estimator=estimator, usd_per_useful=0.004, reference="gpt-4-1106-preview")
    decision = router.decide(["What is 7 * 8?"])[0]
    decision.engine, decision.grounds

The dial is what a useful answer is worth in US dollars: whoever maximises ``usd_per_useful * quality - cost`` answers.
``None`` is the safe end: the reference (the best single engine) answers everything. ``thresholds`` gives the settings
from the safe end to the cheap one, with what each would have cost and given on recorded answers, as ``certify`` takes
them; a setting is a number that may be carried to another sample, since it says nothing of the sample it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cput.errors import unknown
from cput.policy.choice import choose, dial
from cput.policy.recorded import Floats, Recorded
from cput.policy.router.estimates import Estimates, Estimator, Tags
from cput.records import Grounds, Option

REASON = "router"


class Decision(NamedTuple):
    """Who answers a request, and why."""

    engine: str
    """Name of the engine to ask."""
    place: int
    """Its column."""
    grounds: Grounds
    """The estimates it was chosen by."""


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


@dataclass(frozen=True, kw_only=True)
class Router:
    """Chooses one engine up front, from the request."""

    estimator: Estimator
    """Who estimates quality and cost."""
    usd_per_useful: float | None
    """The dial; None: the reference answers everything."""
    reference: str
    """The best single engine."""
    name: str = "router"
    """Name of the policy in the ledger."""

    def decide(self, prompts: Sequence[str], tags: Tags | None = None) -> list[Decision]:
        """Choose for every prompt.

        Raises:
            InputError: the reference is none of the engines.
        """
        estimates = self.estimator.estimate(prompts, tags)
        chosen = settle(estimates, self.usd_per_useful, place_of(self.estimator.engines, self.reference))
        return [self._decision(estimates, row, int(place)) for row, place in enumerate(chosen)]

    def _decision(self, estimates: Estimates, row: int, place: int) -> Decision:
        engines = self.estimator.engines
        options = tuple(
            Option(
                engine=engine,
                asked=column == place,
                score=float(estimates.quality[row, column]),
                cost_usd=_known(estimates.cost_usd[row, column]),
            )
            for column, engine in enumerate(engines)
        )
        return Decision(
            engines[place], place, Grounds(chosen=engines[place], reason=REASON, options=options, policy=self.name)
        )


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


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
