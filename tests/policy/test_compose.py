"""Several engines in turn, from what each was recorded to answer alone."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.ledger.facts import Fact
from cput.policy import Policy
from cput.policy.compose import PER_MODEL, compose
from cput.policy.search import Contestant
from cput.records import Verdict

ITEMS = 12


def contestant(model, cost, useful, attempts=1):
    found = Contestant(policy=Policy(model=model, attempts=attempts))
    facts = [
        Fact(
            id=f"{model}{place}",
            item=f"q{place}",
            cost=cost,
            output_tokens=10,
            useful_tokens=10 if place in useful else 0,
            verdict=Verdict.USEFUL if place in useful else Verdict.USELESS,
        )
        for place in range(ITEMS)
    ]
    found.take(None, tuple(facts), 0)
    return found


def by_order(race):
    return {tuple(leg.model for leg in one.policy.legs): one for one in compose(race)}


def test_the_second_is_paid_only_where_the_first_failed():
    """The first answer that passes stands; all legs up to it are paid."""
    race = [contestant("small", 1.0, {0, 1, 2}), contestant("large", 10.0, {0, 3})]
    found = by_order(race)["small", "large"]
    assert found.replayed
    assert found.useful == 4
    assert [fact.cost for fact in found.facts[:5]] == [1.0, 1.0, 1.0, 11.0, 11.0]
    assert found.facts[3].output_tokens == 20
    assert found.facts[3].useful_tokens == 10


def test_one_model_has_nobody_to_be_composed_with():
    """Two ways to run one model are asked again, not in turn: that is a retry."""
    assert compose([contestant("m", 1.0, {0}), contestant("m", 2.0, {1}, attempts=4)]) == []


def test_an_item_that_one_leg_was_not_asked_does_not_count():
    """What a leg would have answered is not guessed."""
    half = contestant("b", 1.0, {0})
    half.take(None, half.facts[:5], 0)
    found = by_order([contestant("a", 1.0, set()), half])["a", "b"]
    assert found.judged == 5


def test_an_unknown_cost_of_an_asked_leg_makes_the_cost_unknown():
    """Unknown is not 0."""
    found = by_order([contestant("a", None, {0}), contestant("b", 1.0, {1})])
    assert all(fact.cost is None for fact in found["a", "b"].facts)
    assert found["b", "a"].facts[1].cost == 1.0
    assert found["b", "a"].facts[0].cost is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 9), st.sets(st.integers(0, ITEMS - 1))), max_size=9))
def test_whoever_is_asked_in_turn_is_useful_wherever_one_of_them_is(specs):
    """Order changes what it costs and never what is useful; no order costs more than all legs together."""
    race = [contestant(model, cost, useful, attempts) for attempts, (model, cost, useful) in enumerate(specs, 1)]
    models = {model for model, _, _ in specs}
    composed = compose(race)
    assert len(composed) <= sum(PER_MODEL**n * len(list(permutations(models, n))) for n in (2, 3))
    legs = {(one.policy.model, one.policy.attempts): one for one in race}
    for one in composed:
        asked = [legs[leg.model, leg.attempts] for leg in one.policy.legs]
        useful = {fact.item for leg in asked for fact in leg.facts if fact.verdict is Verdict.USEFUL}
        assert {fact.item for fact in one.facts if fact.verdict is Verdict.USEFUL} == useful
        together = sum(leg.facts[0].cost for leg in asked)
        assert all(fact.cost <= together + 1e-9 for fact in one.facts)
        assert [leg.stop for leg in one.policy.legs] == ["check"] * (len(asked) - 1) + [None]


def test_a_composed_policy_says_who_is_asked_where():
    """The words name every engine and what lets its answer stand."""
    both = Policy(model="small", concurrency=64).followed_by(Policy(model="x/large"), stop="check")
    assert both.named == "small F16, 64 at once; where its check fails, large F16"
    unsure = Policy(model="s", engine="classifier").followed_by(Policy(model="l"), stop="confidence", thresholds=[0.9])
    assert unsure.words == "classifier, one at a time; where it is unsure, l F16"
    assert [leg.threshold for leg in unsure.legs] == [0.9, None]


@pytest.mark.parametrize("count", [2, 3])
def test_policies_of_several_legs_keep_their_order(count):
    """Every leg but the last says what lets its answer stand."""
    legs = [Policy(model=str(place)) for place in range(count)]
    found = legs[0].followed_by(*legs[1:], stop="confidence", thresholds=[0.1 * place for place in range(count - 1)])
    assert [leg.model for leg in found.legs] == [str(place) for place in range(count)]
    assert [leg.stop for leg in found.legs] == ["confidence"] * (count - 1) + [None]
    assert [leg.threshold for leg in found.legs][:-1] == [0.1 * place for place in range(count - 1)]
