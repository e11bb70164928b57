"""Front: which contestants no other beats in cost per useful token, useful rate and time to first token together.

on = front(race)      # indices of the contestants on it
"""

from collections.abc import Sequence

from cput.ledger.cput import cput, useful_rate
from cput.policy.search import Contestant

Figures = tuple[float, float, float]


def front(race: Sequence[Contestant]) -> frozenset[int]:
    """Return the places of those that none beats, among those that were judged on the most items.

    An unknown time to first token is the longest; one whose cost or useful rate is unknown is not on it.
    """
    most = max((one.judged for one in race), default=0)
    known = {at: said for at, one in enumerate(race) if one.judged == most and (said := _figures(one)) is not None}
    return frozenset(at for at, mine in known.items() if not any(_beats(other, mine) for other in known.values()))


def _figures(one: Contestant) -> Figures | None:
    """Return three figures of which less is better."""
    cost, rate, ttft_s = cput(one.facts).value, useful_rate(one.facts).value, one.ttft_p50_s
    if cost is None or rate is None:
        return None
    return cost, -rate, float("inf") if ttft_s is None else ttft_s


def _beats(one: Figures, other: Figures) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
