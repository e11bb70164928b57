"""The honest baselines: what a policy must beat to be worth its name, all of them, always together.

    for baseline in baselines(train, test, tag="subject"):
        print(baseline.name, baseline.words, baseline.point)

Every choice is made on ``train`` and paid for on ``test``; the oracle alone looks at the answers it is judged by, and
says how much is there to be had.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cput.errors import InputError
from cput.policy.choice import choose, dial
from cput.policy.frontier import Point, hull_of, point_of
from cput.policy.recorded import Floats, Recorded

WITHIN = 0.01
"""One point: how much quality the cheapest single engine may give away."""


class Singles(NamedTuple):
    """The single engines that stand for all, by their columns."""

    best: int
    """The one of highest quality; of equal ones the cheapest."""
    cheapest_near: int
    """The cheapest within one point of it."""
    cheapest_not_worse: int
    """The cheapest whose paired difference from it may be none: its two-sided 95 % interval reaches 0. That is a hint
    and no proof: few prompts show nothing of anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """One way of answering without a router."""

    name: str
    """best_single, cheapest_within_1_point, by_category, random_mix or oracle."""
    words: str
    """What it did, for people."""
    points: tuple[Point, ...]
    """What it costs and gives on the test prompts; several where it has a dial."""
    engine: str | None = None
    """The single engine, where it is one."""

    @property
    def point(self) -> Point:
        """Its point of highest quality; of equal ones the cheapest."""
        return max(self.points, key=lambda each: (each.quality, -each.cost_usd))


def singles(train: Recorded, *, within: float = WITHIN) -> Singles:
    """Return the best single engine and the cheapest one near it, as ``train`` has them.

    Raises:
        InputError: no engine has both a known quality and a known cost.
    """
    quality, cost = means(train)
    known = _known_places(train)
    if not known:
        raise InputError("no recorded engine has both quality and cost; a baseline needs an engine with both")
    best = min(known, key=lambda place: (-quality[place], cost[place]))
    near = [place for place in known if quality[place] >= quality[best] - within - 1e-12]
    even = [place for place in known if not _shown_worse(train.quality[:, place], train.quality[:, best])]
    return Singles(best, *(min(places, key=lambda place: float(cost[place])) for places in (near, even)))


def baselines(train: Recorded, test: Recorded, *, tag: str | None = None) -> tuple[Baseline, ...]:
    """Return every baseline on ``test``; by category only where ``tag`` names a slice of both.

    Prompts of which an engine's quality or cost is unknown are left out of that test.
    """
    test = known_rows(test)
    found = singles(train)
    best, near = (_single(test, name, place) for name, place in _named(found))
    table = [] if tag is None else [_by_category(train, test, tag)]
    return (best, near, *table, _random_mix(train, test), _oracle(test))


def known_rows(table: Recorded) -> Recorded:
    """Return the prompts of which every engine's quality and cost are known."""
    whole = ~(np.isnan(table.quality) | np.isnan(table.cost_usd)).any(axis=1)
    return table if whole.all() else table.rows(np.flatnonzero(whole))


def means(table: Recorded) -> tuple[Floats, Floats]:
    """Return each engine's mean quality and cost over what is known of it; NaN where nothing is."""
    return _mean(table.quality), _mean(table.cost_usd)


def category_scores(train: Recorded, test: Recorded, tag: str, *, weight: float = 5.0) -> Floats:
    """Return (n, m): each engine's mean quality on the training prompts of the same category.

    A category is drawn towards the overall mean as if it had ``weight`` more prompts of that quality; one that was
    never seen has the overall mean.

    Raises:
        InputError: a table has no such tag.
    """
    for table in (train, test):
        if tag not in table.tags:
            raise InputError(f"unknown tag '{tag}'; allowed: {', '.join(sorted(table.tags)) or 'none is recorded'}")
    overall = _mean(train.quality)
    rows: dict[str, Floats] = {}
    labels = np.array(train.tags[tag])
    for label in set(train.tags[tag]):
        scores = train.quality[labels == label]
        counts = (~np.isnan(scores)).sum(axis=0)
        rows[label] = (np.nansum(scores, axis=0) + weight * overall) / (counts + weight)
    return np.array([rows.get(label, overall) for label in test.tags[tag]]).reshape(len(test), len(overall))


def _shown_worse(one: Floats, best: Floats) -> bool:
    """Whether the mean of the paired differences is below 0 with 95 % confidence, two-sided.

    By the sign test of the prompts on which they differ where qualities are 0 or 1 (McNemar's exact test), and by
    Student's t of the differences where they are graded.
    """
    from scipy.stats import binomtest, ttest_1samp

    lost = best - one
    lost = lost[~np.isnan(lost)]
    if not lost.any():
        return False
    if set(np.unique(lost)) <= {-1.0, 0.0, 1.0}:
        worse, differ = int((lost > 0).sum()), int((lost != 0).sum())
        return 2 * worse > differ and binomtest(worse, differ).pvalue < 0.05
    if np.ptp(lost) == 0:
        return bool(lost[0] > 0)
    return bool(lost.mean() > 0 and ttest_1samp(lost, 0.0).pvalue < 0.05)


def _known_places(table: Recorded) -> list[int]:
    quality, cost = means(table)
    return [int(place) for place in np.flatnonzero(~np.isnan(quality) & ~np.isnan(cost))]


def _named(found: Singles) -> Sequence[tuple[str, int]]:
    return (("best_single", found.best), ("cheapest_within_1_point", found.cheapest_near))


def _single(test: Recorded, name: str, place: int) -> Baseline:
    point = point_of(test.quality, test.cost_usd, np.full(len(test), place))
    engine = test.engines[place]
    return Baseline(name=name, words=f"{engine} answers everything", points=(point,), engine=engine)


def _by_category(train: Recorded, test: Recorded, tag: str) -> Baseline:
    scores = category_scores(train, test, tag)
    costs = np.broadcast_to(_mean(train.cost_usd), scores.shape)
    points = [point_of(test.quality, test.cost_usd, choose(scores, costs, price)) for price in dial(scores, costs)]
    words = f"the engine that was worth most on the training prompts of the same {tag}"
    return Baseline(name="by_category", words=words, points=tuple(points))


def _random_mix(train: Recorded, test: Recorded) -> Baseline:
    """Mix the engines on the hull of the training points: RouterBench's zero router."""
    quality, cost = means(train)
    known = {place: Point(float(cost[place]), float(quality[place])) for place in _known_places(train)}
    on_hull = set(hull_of(list(known.values())))
    places = sorted((place for place in known if known[place] in on_hull), key=lambda place: cost[place])
    points = [point_of(test.quality, test.cost_usd, np.full(len(test), place)) for place in places]
    names = ", ".join(test.engines[place] for place in places)
    return Baseline(name="random_mix", words=f"a coin between {names}", points=tuple(points))


def _oracle(test: Recorded) -> Baseline:
    chosen = choose(test.quality, test.cost_usd, np.inf)
    prices = dial(test.quality, test.cost_usd)
    points = [point_of(test.quality, test.cost_usd, choose(test.quality, test.cost_usd, price)) for price in prices]
    points.append(point_of(test.quality, test.cost_usd, chosen))
    return Baseline(name="oracle", words="the cheapest of the best answers, known beforehand", points=tuple(points))


def _mean(values: Floats) -> Floats:
    counts = (~np.isnan(values)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counts > 0, np.nansum(values, axis=0) / counts, np.nan), dtype=np.float64)
