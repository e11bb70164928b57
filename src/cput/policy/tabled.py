"""Tabled: what a race has measured, as one table of recorded answers; each engine in the cheapest way it was run.

table = tabled(race, workload)
for baseline in baselines(train, test): ...
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cput.ledger.facts import Fact
from cput.policy.policy import Policy
from cput.policy.recorded import Floats, Recorded
from cput.policy.search import Contestant, ranked
from cput.records import Verdict
from cput.workloads import Item, Workload

_QUALITY = {Verdict.USEFUL: 1.0, Verdict.USELESS: 0.0, Verdict.PENDING: float("nan")}


def singles(race: Sequence[Contestant]) -> tuple[Contestant, ...]:
    """Return the cheapest way to run each model alone, of those that were asked the most items."""
    alone = [one for one in race if not one.policy.then and one.judged]
    models = dict.fromkeys(one.policy.model for one in alone)
    return tuple(_cheapest([one for one in alone if one.policy.model == model]) for model in models)


def tabled(
    race: Sequence[Contestant], workload: Workload, confidences: Mapping[tuple[Policy, str], float] | None = None
) -> Recorded:
    """Return the answers of each model, alone, to the items that all of them were asked.

    ``confidences`` are the answers' own, by policy and item; where one is missing it is NaN.
    """
    columns = singles(race)
    by_item = [{fact.item: fact for fact in one.facts} for one in columns]
    shared = [item for item in workload.items if all(item.id in facts for facts in by_item)]
    facts = [[column[item.id] for column in by_item] for item in shared]
    names = sorted({name for item in shared for name in item.tags})
    return Recorded(
        engines=tuple(one.policy.model for one in columns),
        items=tuple(item.id for item in shared),
        prompts=tuple(item.text for item in shared),
        quality=_array(facts, lambda fact: _QUALITY[fact.verdict], len(columns)),
        cost_usd=_array(facts, lambda fact: float("nan") if fact.cost is None else fact.cost, len(columns)),
        tags={name: tuple(item.tags.get(name, "") for item in shared) for name in names},
        confidence=_confidence(columns, shared, confidences) if confidences else None,
        source=f"workload {workload.name}",
    )


def _cheapest(ways: Sequence[Contestant]) -> Contestant:
    most = max(one.judged for one in ways)
    return ranked([one for one in ways if one.judged == most])[0]


def _array(facts: Sequence[Sequence[Fact]], figure: Callable[[Fact], float], engines: int) -> Floats:
    return np.array([[figure(fact) for fact in row] for row in facts], dtype=float).reshape(len(facts), engines)


def _confidence(
    columns: Sequence[Contestant], items: Sequence[Item], known: Mapping[tuple[Policy, str], float]
) -> Floats:
    rows = [[known.get((one.policy, item.id), float("nan")) for one in columns] for item in items]
    return np.array(rows, dtype=float).reshape(len(items), len(columns))
