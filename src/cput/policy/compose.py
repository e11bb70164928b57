"""Compose: several engines in turn, from what each was recorded to answer alone; nothing is asked again.

A check that needs no reference lets the first answer that passes stand, so that what two engines in turn would have
cost and given is known item by item once each has been measured: the cost of the first, and of the second where the
first failed. The order is tried both ways; which is cheaper depends on cost and useful rate together.

    race += compose(race)
    race.append(in_turn(singles(race), policy, sure))     # by the answers' own confidence
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import TypeVar

from cput.ledger.facts import Fact
from cput.policy.policy import Policy
from cput.policy.search import Contestant, ranked
from cput.records import Verdict

Number = TypeVar("Number", int, float)

PER_MODEL = 2
"""Ways to run each model that are put together with others'."""
MOST_LEGS = 3


def compose(race: Sequence[Contestant]) -> list[Contestant]:
    """Return the policies that ask models of the race in turn, as contestants; none where there is only one model.

    Of each model the cheapest ways take part. Only items that every leg was asked count.
    """
    models = list(dict.fromkeys(one.policy.model for one in race))
    ways = {model: _best([one for one in race if one.policy.model == model]) for model in models}
    composed = []
    for count in range(2, min(MOST_LEGS, len(models)) + 1):
        for order in permutations(models, count):
            composed += [_by_check(legs) for legs in product(*(ways[model] for model in order))]
    return [one for one in composed if one.facts]


def in_turn(alone: Sequence[Contestant], policy: Policy, sure: Mapping[tuple[Policy, str], float]) -> Contestant:
    """Return a policy that goes by confidence as a contestant, from its engines' answers alone."""
    ways = {one.policy.model: one for one in alone}
    legs = [ways[leg.model] for leg in policy.legs]
    bars = {legs[place].policy: leg.threshold for place, leg in enumerate(policy.legs)}

    def stands(leg: Contestant, fact: Fact) -> bool:
        bar, said = bars[leg.policy], sure.get((leg.policy, fact.item or ""))
        return bar is not None and said is not None and said >= bar

    return _replayed(policy, legs, stands)


def routed(alone: Sequence[Contestant], policy: Policy, chosen: Mapping[str, str]) -> Contestant:
    """Return a policy that goes by a router as a contestant; ``chosen`` is whom it takes, by item."""
    ways = {one.policy.model: one for one in alone}
    by_model = {model: {fact.item: fact for fact in one.facts} for model, one in ways.items()}
    found = Contestant(policy=policy, replayed=True)
    known = {item: model for item, model in chosen.items() if item in by_model[model]}
    found.ttft_s = {item: ways[model].ttft_s.get(item) for item, model in known.items()}
    facts = [replace(by_model[model][item], slo_met=None) for item, model in known.items()]
    found.take(None, tuple(facts), max(one.rung for one in alone))
    return found


def _best(race: Sequence[Contestant]) -> list[Contestant]:
    asked = max((one.judged for one in race), default=0)
    return ranked([one for one in race if one.judged == asked])[:PER_MODEL]


def _by_check(legs: Sequence[Contestant]) -> Contestant:
    policy = legs[0].policy.followed_by(*(leg.policy for leg in legs[1:]), stop="check")
    return _replayed(policy, legs, lambda _, fact: fact.verdict is Verdict.USEFUL)


def _replayed(policy: Policy, legs: Sequence[Contestant], stands: Callable[[Contestant, Fact], bool]) -> Contestant:
    """Return what asking ``legs`` in turn gives, for the items that all of them were asked."""
    by_item = [{fact.item: fact for fact in leg.facts} for leg in legs]
    items = [item for item in by_item[0] if item is not None and all(item in facts for facts in by_item)]
    found = Contestant(policy=policy, replayed=True)
    facts = []
    for item in items:
        said = [leg_facts[item] for leg_facts in by_item]
        last = next((at for at, fact in enumerate(said[:-1]) if stands(legs[at], fact)), len(said) - 1)
        facts.append(_given(said[: last + 1]))
        found.ttft_s[item] = _sum([leg.e2e_s.get(item) for leg in legs[:last]] + [_heard(legs, last, item)])
    found.take(None, tuple(facts), legs[0].rung)
    return found


def _heard(legs: Sequence[Contestant], at: int, item: str) -> float | None:
    """Return when an answer's first token is let through: of one that may not stand, when it has ended."""
    times = legs[at].ttft_s if at == len(legs) - 1 else legs[at].e2e_s
    return times.get(item)


def _given(asked: Sequence[Fact]) -> Fact:
    """Return the last answer at the cost of all that were asked."""
    return replace(
        asked[-1],
        cost=_sum([fact.cost for fact in asked]),
        output_tokens=_sum([fact.output_tokens for fact in asked]),
        slo_met=None,
    )


def _sum(parts: Sequence[Number | None]) -> Number | None:
    known = [part for part in parts if part is not None]
    return None if len(known) < len(parts) else sum(known[1:], known[0])
