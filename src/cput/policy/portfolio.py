"""Portfolio: who answers what, where no check can judge at serving time.

It is fitted on one half of recorded answers and certified on the other.

    found = propose(table, ways, floor=Floor(share_of_baseline=0.99), seed=0)
    if found.policy is not None: ...

Two families are tried. *By confidence* one engine answers first, and its answer stands from some confidence on
(``Cascade``). *By a router* one engine is chosen from the request (``Routed``). Engines, router and family are chosen
on the first half, by what they would cost where they keep the floor there; only the chosen family's settings are
certified on the second, from the safest to the cheapest. The safest lets the best single engine of the first half
answer nearly everything; by confidence it pays for the first engine besides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from cput.policy.cascade.thresholds import NEVER, cascaded
from cput.policy.guarantee import Certificate, certify
from cput.policy.policy import Policy
from cput.policy.recorded import Floats, Recorded
from cput.policy.router import Estimator, fit, thresholds
from cput.workloads import Floor

SETTINGS = 20
"""Settings that are tried; more of them share the same error rate."""
LEAST = 20
"""Fewest recorded answers of which half is fitted on and half is certified on."""
LEAST_OF_A_ROUTER = 400
"""A router has to learn which prompts are hard; of fewer it learns less than a threshold gains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What was found, and what is proven of it."""

    policy: Policy | None = None
    """Who answers what; None where nothing cheaper than the best single engine is certified."""
    certificate: Certificate | None = None
    """On the held-out half; None where nothing promised a saving on the other."""
    why: str
    """In a sentence."""
    estimator: Estimator | None = None
    """The router, where the policy has one; it is to be saved to the folder that the policy is to name."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Whom the router chooses, by item of the table."""


class _Outcome(NamedTuple):
    """A family's settings on recorded answers, from the safest to the cheapest: (n, c) each."""

    quality: Floats
    cost_usd: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Policies that differ in one setting."""

    seen: _Outcome
    """On the half that it was fitted on; a router's estimates there are out of fold."""
    held: Callable[[Recorded], _Outcome]
    """On answers that it has not seen."""
    names: Sequence[str]
    """Of the settings."""
    proposal: Callable[[int], Proposal]
    """What a setting is served as."""


def propose(
    table: Recorded, ways: Mapping[str, Policy], *, floor: Floor, delta: float = 0.05, seed: int = 0
) -> Proposal:
    """Choose who answers what, and certify it.

    ``ways`` says how each engine of ``table`` is run. Prompts with an unknown quality or cost are left out.
    """
    known = ~(np.isnan(table.quality) | np.isnan(table.cost_usd)).any(axis=1)
    table = table.rows(np.flatnonzero(known))
    if len(table) < LEAST:
        return Proposal(why=f"Nothing was fitted: only {len(table)} answers of all engines are on record.")
    train, held = table.split(0.5, seed=seed)
    strong = int(np.argmax(train.quality.mean(axis=0)))
    families = [*_by_confidence(train, strong, ways), *_by_router(train, strong, ways, seed)]
    best = _cheapest(families, train.quality[:, strong], float(train.cost_usd[:, strong].mean()), floor)
    if best is None:
        lacks = " (no confidence is on record)" if table.confidence is None else ""
        return Proposal(why=f"Nothing promises to be cheaper than {table.engines[strong]} at this floor{lacks}.")
    quality, cost_usd = best.held(held)
    reference = held.quality[:, strong]
    certified = certify(
        quality, cost_usd, floor=floor, reference=reference, delta=delta, names=best.names, data=table.source
    )
    said, choice = certified.certificate, certified.choice
    if choice is None or said.candidates[choice].cost_usd >= float(held.cost_usd[:, strong].mean()):
        return Proposal(certificate=said, why=said.words)
    found = best.proposal(choice)
    chosen = {} if found.estimator is None else _chosen(found, table)
    return replace(found, certificate=said, why=said.words, chosen=chosen)


def in_turn(table: Recorded, first: int, last: int, bars: Floats) -> _Outcome:
    """Return quality and cost (n, c) of asking ``first``, and ``last`` too where its confidence is below each bar.

    An unknown confidence is below all of them.
    """
    assert table.confidence is not None
    scores, legs = table.confidence[:, [first, last]], [first, last]
    each = [cascaded(table.quality[:, legs], table.cost_usd[:, legs], scores, (float(bar), NEVER)) for bar in bars]
    return _Outcome(np.stack([one.quality for one in each], axis=1), np.stack([one.cost_usd for one in each], axis=1))


def _by_confidence(train: Recorded, strong: int, ways: Mapping[str, Policy]) -> list[_Family]:
    """Return one family for each engine that can be asked before the strong one."""
    if train.confidence is None:
        return []
    sure = [place for place in range(len(train.engines)) if not np.isnan(train.confidence[:, place]).all()]
    return [_asked_first(train, place, strong, ways) for place in sure if place != strong]


def _asked_first(train: Recorded, first: int, strong: int, ways: Mapping[str, Policy]) -> _Family:
    assert train.confidence is not None
    bars = np.unique(np.nanquantile(train.confidence[:, first], np.linspace(0, 1, SETTINGS)))[::-1]

    def proposal(place: int) -> Proposal:
        behind = ways[train.engines[strong]]
        alone = ways[train.engines[first]]
        return Proposal(policy=alone.followed_by(behind, stop="confidence", thresholds=[float(bars[place])]), why="")

    return _Family(
        seen=in_turn(train, first, strong, bars),
        held=lambda table: in_turn(table, first, strong, bars),
        names=[f"{train.engines[first]} first, its answers standing from a confidence of {bar:.3f}" for bar in bars],
        proposal=proposal,
    )


def _by_router(train: Recorded, strong: int, ways: Mapping[str, Policy], seed: int) -> list[_Family]:
    if len(train) < LEAST_OF_A_ROUTER // 2 or len(set(train.prompts)) < LEAST:
        return []
    estimator = fit(train, members=("linear",), seed=seed)
    assert estimator.left_out is not None
    seen = thresholds(estimator.left_out, train, reference=train.engines[strong], count=SETTINGS)
    dials = seen.usd_per_useful

    def held(table: Recorded) -> _Outcome:
        from cput.policy.router import settle

        estimates, rows = estimator.estimate(table.prompts), np.arange(len(table))
        places = [settle(estimates, setting, strong) for setting in dials]
        return _Outcome(*(np.stack([of[rows, at] for at in places], axis=1) for of in (table.quality, table.cost_usd)))

    def proposal(place: int) -> Proposal:
        setting = dials[place]
        if not setting:  # everything to the strong engine, or everything to the cheapest
            only = strong if setting is None else int(np.argmin(train.cost_usd.mean(axis=0)))
            return Proposal(policy=ways[train.engines[only]], why="")
        policy = routed([ways[name] for name in train.engines], worth_per_usd=1 / setting)
        return Proposal(policy=policy, why="", estimator=estimator)

    alone = f"{train.engines[strong]} alone"
    worth = "a router that takes a useful answer to be worth ${:.3g}"
    names = [alone if setting is None else worth.format(setting) for setting in dials]
    return [_Family(seen=_Outcome(seen.quality, seen.cost_usd), held=held, names=names, proposal=proposal)]


def routed(ways: Sequence[Policy], *, worth_per_usd: float) -> Policy:
    """Return the policy of a router between engines; its folder is still to be named."""
    return replace(ways[0], router="", worth_per_usd=worth_per_usd, then=tuple(ways[1:]))


def _cheapest(families: Sequence[_Family], strong: Floats, alone_usd: float, floor: Floor) -> _Family | None:
    """Return the family with the cheapest setting that keeps the floor on what it was fitted on, if that saves."""
    least = max(floor.useful_rate or 0.0, (floor.share_of_baseline or 0.0) * float(strong.mean()))
    best, least_usd = None, alone_usd
    for family in families:
        quality, cost_usd = (figure.mean(axis=0) for figure in family.seen)
        cheapest = float(np.where(quality >= least, cost_usd, np.inf).min())
        if cheapest < least_usd:
            best, least_usd = family, cheapest
    return best


def _chosen(found: Proposal, table: Recorded) -> dict[str, str]:
    """Return whom the router chooses for each item."""
    from cput.policy.decide import Worth

    assert found.policy is not None
    assert found.policy.worth_per_usd is not None
    assert found.estimator is not None
    estimates = found.estimator.estimate(table.prompts)
    places = Worth(usd=found.policy.worth_per_usd)(estimates.quality, estimates.cost_usd)
    return {item: table.engines[place] for item, place in zip(table.items, places, strict=True)}
