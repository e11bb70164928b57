"""The metric: cost per useful token, with its interval, the share of calls that are judged, and the waterfall.

    CPUT = all money spent on a workload in a window / output tokens of the answers that proved useful

Pure functions of facts. Costs are US dollars or device seconds, as the facts say; ``None`` is unknown. A pending call's
money counts and its tokens do not yet, so a CPUT is always shown with its coverage.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cput.ledger.allocate import Allocation, allocate
from cput.ledger.compare import Comparison, compare
from cput.ledger.facts import Fact, fact_of
from cput.ledger.interval import UNKNOWN_INTERVAL, Interval, low_without_useful, ratio_interval, share_interval
from cput.ledger.verdict import verdict
from cput.records import Verdict

__all__ = [
    "Allocation",
    "Comparison",
    "Fact",
    "Interval",
    "Level",
    "allocate",
    "compare",
    "cost_per_useful_answer",
    "coverage",
    "cput",
    "fact_of",
    "useful_rate",
    "verdict",
    "waterfall",
]


class Level(NamedTuple):
    """One step of the waterfall."""

    label: str
    """generated, within SLO, useful, useful within SLO."""
    calls: int
    """Calls left at this level."""
    output_tokens: int | None
    """Their output tokens; None where one is unknown."""
    cost_per_m: float | None
    """All cost of the window per million of these tokens; None where it is unknown or no token is left."""


def cput(facts: Sequence[Fact], *, seed: int = 0, resamples: int = 4000) -> Interval:
    """Return the cost per useful token, in the unit of the facts' cost, with its 95 % interval (see ``interval``).

    Without a useful token the value is None, ``high`` is infinite and ``low`` is what the cost would be at the exact
    upper 97.5 % bound of the useful rate, with useful answers as long as the others. Unknown cost, or a useful answer
    whose tokens nobody counted, makes it unknown.
    """
    return _cost_per(facts, _useful_tokens, seed, resamples)


def cost_per_useful_answer(facts: Sequence[Fact], *, seed: int = 0, resamples: int = 4000) -> Interval:
    """Return all cost per useful answer, with its 95 % interval by the same method."""
    return _cost_per(facts, lambda fact: float(fact.verdict is Verdict.USEFUL), seed, resamples, unit=lambda _: 1.0)


def useful_rate(facts: Sequence[Fact]) -> Interval:
    """Return the share of judged calls that were useful, with its exact (Clopper-Pearson) 95 % interval."""
    verdicts = [fact.verdict for fact in facts if fact.verdict is not Verdict.PENDING]
    return share_interval(verdicts.count(Verdict.USEFUL), len(verdicts))


def coverage(facts: Sequence[Fact]) -> float:
    """Return the share of calls that have a verdict; 0 without calls."""
    return sum(fact.verdict is not Verdict.PENDING for fact in facts) / len(facts) if facts else 0.0


def waterfall(facts: Sequence[Fact]) -> tuple[Level, ...]:
    """Return what a million tokens cost as useless ones are taken out; the SLO's levels only where there is one."""
    timed = [fact for fact in facts if fact.slo_met is not None]
    useful = [fact for fact in facts if fact.verdict is Verdict.USEFUL]
    cost = _total_cost(facts)
    levels = [_level("generated", facts, _output_tokens, cost)]
    if timed:
        levels.append(_level("within SLO", [fact for fact in timed if fact.slo_met], _output_tokens, cost))
    levels.append(_level("useful", useful, _useful_tokens, cost))
    if timed:
        levels.append(_level("useful within SLO", [fact for fact in useful if fact.slo_met], _useful_tokens, cost))
    return tuple(levels)


def _cost_per(
    facts: Sequence[Fact],
    gain: Callable[[Fact], float | None],
    seed: int,
    resamples: int,
    unit: Callable[[Fact], float | None] | None = None,
) -> Interval:
    total = _total_cost(facts)
    gains = [gain(fact) for fact in facts]
    if total is None or None in gains or not facts:
        return UNKNOWN_INTERVAL
    costs, gained = np.array([fact.cost for fact in facts], float), np.array(gains, float)
    if not gained.any():
        return Interval(None, _low_without_useful(facts, total, unit or _output_tokens), float("inf"))
    if total == 0:
        return Interval(0.0, 0.0, 0.0)
    return ratio_interval([costs], [gained], useful=int((gained > 0).sum()), seed=seed, resamples=resamples)


def _low_without_useful(facts: Sequence[Fact], total: float, unit: Callable[[Fact], float | None]) -> float | None:
    judged = sum(fact.verdict is not Verdict.PENDING for fact in facts)
    units = [unit(fact) for fact in facts]
    return low_without_useful(total, None if None in units else sum(value or 0.0 for value in units), judged)


def _level(label: str, facts: Sequence[Fact], tokens: Callable[[Fact], float | None], cost: float | None) -> Level:
    counts = [tokens(fact) for fact in facts]
    total = None if None in counts else int(sum(count or 0 for count in counts))
    return Level(label, len(facts), total, None if cost is None or not total else cost / total * 1e6)


def _total_cost(facts: Sequence[Fact]) -> float | None:
    costs = [fact.cost for fact in facts]
    return None if None in costs else float(sum(cost or 0.0 for cost in costs))


def _output_tokens(fact: Fact) -> float | None:
    return fact.output_tokens


def _useful_tokens(fact: Fact) -> float | None:
    """Return the tokens that proved useful so far: none while pending; None where nobody counted them."""
    return fact.useful_tokens if fact.verdict is Verdict.USEFUL else 0.0
