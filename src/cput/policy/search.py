"""Successive halving: many policies on few items, then the better half on twice as many, and so on.

Jamieson and Talwalkar 2016 (arXiv 1502.07943). Two things make it a search for *useful* tokens:

* a policy whose useful rate is below the floor with 95 % confidence (exact binomial) is dropped, however cheap it is;
* policies are ranked by their cost per useful token with the useful rate shrunk towards that of all policies with the
  same number of attempts (eight calls' worth): a handful of items says much about cost and little about quality.

The winner is then confirmed on items that the search never saw (``expected_bound`` says which policy is worth that).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from scipy import special

from cput.ledger.compare import tango_bound
from cput.ledger.facts import Fact
from cput.measure.result import Measurement
from cput.policy.policy import Policy
from cput.records import Verdict
from cput.workloads import Item

SHRINKAGE_CALLS = 8
ONE_SIDED = 0.05


@dataclass(slots=True, kw_only=True)
class Contestant:
    """One policy in the race."""

    policy: Policy
    """What it serves."""
    facts: tuple[Fact, ...] = ()
    """Its calls so far."""
    measurement: Measurement | None = None
    """Its last measurement."""
    rung: int = 0
    """The last round that it entered."""
    dropped: str | None = None
    """Why it is out; None while it races."""
    useful: int = field(default=0)
    """Useful calls."""
    judged: int = field(default=0)
    """Calls with a verdict."""
    replayed: bool = False
    """Whether its facts are put together from other contestants' recorded answers, and nothing was asked for it."""
    ttft_s: dict[str, float | None] = field(default_factory=dict)
    """Seconds from sending to the first token that the caller saw, by item; None is unknown."""
    e2e_s: dict[str, float | None] = field(default_factory=dict)
    """Seconds from sending to the end, by item."""

    def take(self, measured: Measurement | None, facts: tuple[Fact, ...], rung: int) -> None:
        """Take in what a round found."""
        self.measurement, self.facts, self.rung = measured, facts, rung
        self.judged = sum(fact.verdict is not Verdict.PENDING for fact in facts)
        self.useful = sum(fact.verdict is Verdict.USEFUL for fact in facts)
        if measured is not None:
            self.ttft_s = {row.item: row.ttft_s for row in measured.rows}
            self.e2e_s = {row.item: row.e2e_s for row in measured.rows}

    @property
    def ttft_p50_s(self) -> float | None:
        """Median seconds to the first token, over its items with a known one."""
        known = [said for fact in self.facts if (said := self.ttft_s.get(fact.item or "")) is not None]
        return median(known) if known else None


Try = Callable[[Policy, Sequence[Item]], Awaitable[tuple[Measurement, tuple[Fact, ...]]]]
"""Runs a policy on items; a policy that has answered some of them before is only asked the others."""


async def halve(
    policies: Sequence[Policy],
    items: Sequence[Item],
    run_policy: Try,
    *,
    first_rung: int,
    floor: float | None,
    told: Callable[[str], None],
) -> list[Contestant]:
    """Race ``policies`` over ``items``; returns all contestants, those still racing without a ``dropped`` reason."""
    race = [Contestant(policy=policy) for policy in policies]
    size, rung = min(first_rung, len(items)), 0
    while True:
        running = [one for one in race if one.dropped is None]
        for number, one in enumerate(running, 1):
            told(f"round {rung + 1}, {size} items, policy {number} of {len(running)}: {one.policy.words}")
            one.take(*await run_policy(one.policy, items[:size]), rung)
        drop_below_floor(running, floor)
        running = [one for one in running if one.dropped is None]
        if size == len(items) or (len(running) <= 2 and len({one.policy.model for one in race}) == 1):
            return race
        drop_slower_half(running)
        size, rung = min(size * 2, len(items)), rung + 1


def drop_below_floor(race: Sequence[Contestant], floor: float | None) -> None:
    """Drop policies whose useful rate is below ``floor`` with 95 % confidence."""
    for one in race:
        if floor is not None and one.judged and upper_bound(one.useful, one.judged) < floor:
            one.dropped = (
                f"useful rate {one.useful}/{one.judged}: at most {upper_bound(one.useful, one.judged):.1%} with 95 % "
                f"confidence, below the floor of {floor:.1%}"
            )


def drop_slower_half(race: Sequence[Contestant]) -> None:
    """Keep the half with the lowest shrunk cost per useful token, at least two, and one of each model."""
    keep = max(2, (len(race) + 1) // 2)
    places = ranked(race)
    best = {one.policy.model: one for one in reversed(places)}  # a dear model may be the one that others fall back on
    for place, one in enumerate(places, 1):
        if place > keep and best[one.policy.model] is not one:
            one.dropped = f"place {place} of {len(race)} by cost per useful token in round {one.rung + 1}"


def ranked(race: Sequence[Contestant]) -> list[Contestant]:
    """Return contestants, cheapest shrunk cost per useful token first."""
    return sorted(race, key=lambda one: shrunk_cost(one, race))


def shrunk_cost(one: Contestant, race: Sequence[Contestant]) -> float:
    """Return cost per useful token with the useful rate shrunk towards its peers' (see ``_kind``).

    Where somebody's useful tokens are not known (a label that was never counted), per useful answer, for all.
    """
    peers = [other for other in race if _kind(other.policy) == _kind(one.policy)]
    judged = sum(other.judged for other in peers)
    useful = sum(other.useful for other in peers)
    counted = all(fact.useful_tokens is not None for other in race for fact in other.facts if _useful(fact))
    tokens = sum(fact.useful_tokens or 0 for other in peers for fact in other.facts) if counted else useful
    if not useful or not one.judged or any(fact.cost is None for fact in one.facts):
        return float("inf")
    rate = (one.useful + SHRINKAGE_CALLS * useful / judged) / (one.judged + SHRINKAGE_CALLS)
    cost_per_call = sum(fact.cost or 0.0 for fact in one.facts) / one.judged
    return cost_per_call / (rate * tokens / useful)


def _useful(fact: Fact) -> bool:
    return fact.verdict is Verdict.USEFUL


def _kind(policy: Policy) -> tuple[tuple[str, int, bool], ...]:
    """Return what moves the useful rate: the same models, attempts and constraints."""
    return tuple((leg.model, leg.attempts, leg.constrain) for leg in policy.legs)


def expected_bound(
    one: Contestant, against: Contestant, confirm_items: int, margin: float, absolute: float | None = None
) -> float:
    """Return by how much a confirmation on so many items is likely to succeed; above 0 it is.

    It scales the search's answers to the confirmation's size. Where the floor is ``absolute`` the confirmation is a
    binomial test, and without a margin a sign test (``certify``): this is what its p-value would lie below 5 %. With a
    margin it is Tango's one-sided 95 % lower bound plus the margin.
    """
    if absolute is not None:
        useful = round(one.useful / one.judged * confirm_items) if one.judged else 0
        reached = ONE_SIDED - float(special.bdtrc(useful - 1, confirm_items, absolute) if useful else 1.0)
        return reached if margin == 0 else min(reached, expected_bound(one, against, confirm_items, margin))
    theirs = {fact.item: fact.verdict is Verdict.USEFUL for fact in against.facts}
    pairs = [(theirs[fact.item], fact.verdict is Verdict.USEFUL) for fact in one.facts if fact.item in theirs]
    if not pairs:
        return -1.0
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    scale = confirm_items / len(pairs)
    if margin == 0:
        wins, losses = round(gained * scale), round(lost * scale)
        return ONE_SIDED - float(special.bdtr(losses, wins + losses, 0.5))
    z = float(special.ndtri(1 - ONE_SIDED))
    return tango_bound(round(gained * scale), round(lost * scale), confirm_items, z) + margin


def choose(
    race: Sequence[Contestant],
    against: Contestant,
    confirm_items: int,
    margin: float,
    absolute: float | None = None,
) -> Contestant:
    """Return the cheapest policy whose confirmation is likely to succeed; the likeliest where none is."""
    running = [one for one in ranked(race) if one.dropped is None] or list(race)
    bounds = [(expected_bound(one, against, confirm_items, margin, absolute), one) for one in running]
    return next((one for bound, one in bounds if bound > 0), max(bounds, key=lambda pair: pair[0])[1])


def upper_bound(successes: int, trials: int) -> float:
    """Return the exact one-sided 95 % upper bound of a share (Clopper and Pearson 1934)."""
    return 1.0 if successes >= trials else float(special.betaincinv(successes + 1, trials - successes, 1 - ONE_SIDED))
