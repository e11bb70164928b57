"""Outcomes that were seen only for the routed arm, weighted by the chance with which it was routed."""

import itertools
import math

import numpy as np
import pytest

from cput.errors import InputError
from cput.ledger.cput import Fact, cost_per_useful_answer, cput, fact_of, useful_rate
from cput.ledger.propensity import Guess, Guesses, Method, always, off_policy
from cput.records import Attempt, Call, Finish, Outcome, Source, Usage, Verdict

SMALL, LARGE = always(model="small"), always(model="large")
COST = {"small": 1.0, "large": 6.0}


def fact(number=0, useful=True, model="small", propensity=0.5, *, cost=1.0, tokens=10) -> Fact:
    verdict = {True: Verdict.USEFUL, False: Verdict.USELESS, None: Verdict.PENDING}[useful]
    return Fact(
        id=str(number),
        cost=cost,
        output_tokens=tokens,
        useful_tokens={Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[verdict],
        verdict=verdict,
        model=model,
        engine=f"e-{model}",
        propensity=propensity,
    )


def log(calls, seed=0) -> list[Fact]:
    """Hard calls (half) go to the large model with 0.8, easy ones with 0.2; it is right in 0.9, the small one in 0.8
    of the easy and 0.3 of the hard ones: 0.55 if all went to it."""
    rng, facts = np.random.default_rng(seed), []
    for number in range(calls):
        hard = rng.random() < 0.5
        large = rng.random() < (0.8 if hard else 0.2)
        right = 0.9 if large else 0.3 if hard else 0.8
        model = "large" if large else "small"
        facts.append(
            fact(number, bool(rng.random() < right), model, 0.8 if large == hard else 0.2, cost=COST[model], tokens=10)
        )
    return facts


def test_the_policy_that_was_logged_has_the_figures_that_were_seen():
    facts = [*log(300), *(fact(1000 + i, None, "large", 0.2, cost=6.0) for i in range(20))]
    found = off_policy(facts, lambda fact: fact.propensity)
    assert found.cput == pytest.approx(cput(facts))
    assert found.cost_per_useful_answer == pytest.approx(cost_per_useful_answer(facts))
    assert found.useful_rate.value == pytest.approx(useful_rate(facts).value)
    assert (found.effective_calls, found.mean_weight, found.notes) == (pytest.approx(320), pytest.approx(1.0), ())
    assert found.coverage == pytest.approx(300 / 320)


def test_the_seen_share_would_flatter_the_small_model_and_the_weighted_one_does_not():
    facts = log(4000)
    routed_to_it = [fact for fact in facts if fact.model == "small"]
    assert useful_rate(routed_to_it).low > 0.6
    for method in (Method.IPS, Method.SELF_NORMALISED):
        found = off_policy(facts, SMALL, method=method, resamples=200)
        assert found.useful_rate.low < 0.55 < found.useful_rate.high
        assert found.cput.low < 1.0 / 5.5 < found.cput.high
        assert found.cost_per_useful_answer.low < 1.0 / 0.55 < found.cost_per_useful_answer.high


def test_the_inverse_propensity_estimate_is_right_on_average_over_every_way_to_route():
    """Four calls with a known answer of either arm; each of the 16 routings has its probability."""
    right = {"small": (1, 0, 0, 1), "large": (1, 1, 0, 1)}
    chance_of_large = (0.2, 0.8, 0.5, 0.4)
    mean = 0.0
    for routing in itertools.product(("small", "large"), repeat=4):
        chances = [p if arm == "large" else 1 - p for arm, p in zip(routing, chance_of_large, strict=True)]
        facts = [fact(i, bool(right[arm][i]), arm, chances[i]) for i, arm in enumerate(routing)]
        found = off_policy(facts, lambda fact: 0.5, method=Method.IPS, least_effective=2, resamples=20)
        mean += math.prod(chances) * found.useful_rate.value
    assert mean == pytest.approx((sum(right["small"]) + sum(right["large"])) / 8)


def test_on_an_arm_routed_with_one_chance_it_is_that_arms_own_calls():
    facts = [fact(i, i % 3 == 0, "large" if i % 2 else "small", 0.5, cost=1.0 + i % 5) for i in range(100)]
    own = [fact for fact in facts if fact.model == "small"]
    found = off_policy(facts, SMALL)
    assert found.matched == len(own)
    assert found.cput == pytest.approx(cput(own))
    assert found.useful_rate.value == pytest.approx(useful_rate(own).value)


def model_of(right_small, right_large):
    by_arm = {"small": right_small, "large": right_large}

    def predict(fact):
        routed, small = by_arm[fact.model], by_arm["small"]
        return Guesses(Guess(COST[fact.model], routed, 10 * routed), Guess(COST["small"], small, 10 * small))

    return predict


@pytest.mark.parametrize("predict", [model_of(0.55, 0.9), model_of(0.1, 0.2)], ids=["a good model", "a bad one"])
def test_doubly_robust_is_right_whatever_the_model_where_the_propensities_are(predict):
    found = off_policy(log(4000), SMALL, method=Method.DOUBLY_ROBUST, predict=predict, resamples=200)
    assert found.useful_rate.low < 0.55 < found.useful_rate.high
    assert found.cput.low < 1.0 / 5.5 < found.cput.high
    assert found.cost_per_useful_answer.low < 1.0 / 0.55 < found.cost_per_useful_answer.high


def test_a_model_that_knows_what_is_easy_narrows_it():
    """Every answer is as predicted: nothing is left to weigh."""
    facts = [fact(i, i % 2 == 0, "small" if i % 3 else "large", 0.5, cost=1.0) for i in range(200)]

    def predict(fact):
        known = Guess(1.0, float(fact.verdict is Verdict.USEFUL), 10.0 * (fact.verdict is Verdict.USEFUL))
        return Guesses(known, known)

    plain = off_policy(facts, SMALL, resamples=200)
    robust = off_policy(facts, SMALL, method=Method.DOUBLY_ROBUST, predict=predict, resamples=200)
    assert robust.useful_rate.value == pytest.approx(0.5)
    width = [found.useful_rate.high - found.useful_rate.low for found in (robust, plain)]
    assert width[0] < 0.95 * width[1]


def test_a_model_too_far_off_for_so_few_calls_gives_no_figure_and_says_so():
    facts = [fact(i, i == 0, "small" if i % 2 == 0 else "large", 0.5) for i in range(40)]
    found = off_policy(facts, LARGE, method=Method.DOUBLY_ROBUST, predict=_far_too_hopeful, resamples=50)
    assert found.notes == ()  # no matched call was useful: the model is not used
    found = off_policy(facts, SMALL, method=Method.DOUBLY_ROBUST, predict=_far_too_hopeful, resamples=50)
    assert found.cput == found.useful_rate == (None, None, None)
    assert found.notes == (
        "the model's errors outweigh what was seen: a figure is unknown; log more calls or mend the model",
    )


def _far_too_hopeful(fact):
    return Guesses(Guess(1.0, 0.9, 9.0), Guess(1.0, 0.5, 5.0))


def test_without_a_useful_call_only_a_lower_bound_is_known():
    facts = [fact(i, False, "small" if i % 2 else "large") for i in range(60)]
    for method, predict in ((Method.SELF_NORMALISED, None), (Method.IPS, None), (Method.DOUBLY_ROBUST, model_of(0, 0))):
        found = off_policy(facts, SMALL, method=method, predict=predict)
        assert (found.cput.value, found.cput.high) == (None, math.inf)
        assert found.cput.low > 0.1
        assert (found.useful_rate.value, found.useful_rate.low) == (0.0, 0.0)
        assert 0 < found.useful_rate.high < 0.2


def test_clipping_says_how_much_it_cut():
    facts = [*log(400), fact(999, True, "small", 0.01)]
    whole, clipped = off_policy(facts, SMALL), off_policy(facts, SMALL, clip=5.0)
    assert (whole.clipped, whole.clipped_share, whole.largest_weight) == (0, 0.0, pytest.approx(100.0))
    assert (clipped.clipped, clipped.largest_weight) == (1, 5.0)
    assert 0.1 < clipped.clipped_share < 0.3
    assert clipped.effective_calls > whole.effective_calls


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ([fact(7, propensity=None)], "1 of 1 calls have no propensity, the first is '7'"),
        ([fact(7, propensity=0.0)], r"the propensity of call '7' is 0.0; allowed: above 0 up to 1"),
        ([fact(7, propensity=1.2)], "the propensity of call '7' is 1.2"),
        ([fact(7, propensity=math.nan)], "the propensity of call '7' is nan"),
        ([fact(i) for i in range(9)], "9 calls are worth 9.0 calls of the policy asked about; allowed: at least 10"),
        ([fact(i, model="large") for i in range(99)], "99 calls are worth 0.0 calls"),
        ([], "0 calls are worth 0.0"),
    ],
)
def test_what_cannot_be_weighted_is_refused(facts, says):
    with pytest.raises(InputError, match=says):
        off_policy(facts, SMALL)


def test_wrong_arguments_are_refused():
    facts = log(50)
    with pytest.raises(InputError, match="clip is 0; allowed: a weight above 0"):
        off_policy(facts, SMALL, clip=0)
    with pytest.raises(InputError, match=r"target policy's probability for call '0' is 1.5; allowed: 0 to 1"):
        off_policy(facts, lambda _: 1.5)
    with pytest.raises(InputError, match="method is 'ips' and predict is given"):
        off_policy(facts, SMALL, method=Method.IPS, predict=model_of(0.5, 0.5))
    with pytest.raises(InputError, match="method is 'doubly robust' and predict is missing"):
        off_policy(facts, SMALL, method=Method.DOUBLY_ROBUST)
    with pytest.raises(InputError, match="least_effective is 0; allowed: 2 or more"):
        off_policy(facts, SMALL, least_effective=0)
    with pytest.raises(InputError, match=r"the prediction for call '0' is .*nan.*; allowed: finite numbers"):
        off_policy(facts, SMALL, method=Method.DOUBLY_ROBUST, predict=model_of(math.nan, 0.5))
    with pytest.raises(InputError, match="unknown arm 'modle'; did you mean 'model'"):
        always(modle="small")
    with pytest.raises(InputError, match="no arm was named"):
        always()


def test_arms_that_the_logged_policy_never_chose_are_noticed():
    facts = [fact(i, True, "large", 0.2) if i % 2 else fact(i, True, "small", 0.8) for i in range(200)]
    (note,) = off_policy(facts, LARGE).notes
    assert note.startswith("the weights average 2.5 and not 1")


def test_only_what_is_unknown_of_matched_calls_makes_it_unknown():
    facts = [*log(100), fact(1, True, "large", 0.5, cost=None, tokens=None)]
    assert off_policy(facts, SMALL).cput.value is not None
    found = off_policy([*facts, fact(2, True, "small", 0.5, cost=None, tokens=None)], SMALL)
    assert found.cput == found.cost_per_useful_answer == (None, None, None)
    assert found.useful_rate.value is not None
    assert found.notes == (
        "the cost of 1 matched calls is unknown",
        "the tokens of 1 matched useful answers are unknown",
    )
    robust = off_policy(
        [*facts, fact(2, cost=None)], SMALL, method=Method.DOUBLY_ROBUST, predict=model_of(0.5, 0.9), resamples=50
    )
    assert robust.cput == (None, None, None)


def test_pending_money_counts_and_pending_tokens_do_not_yet():
    facts = [*(fact(i, i % 2 == 0) for i in range(40)), *(fact(i, None) for i in range(40, 60))]
    found = off_policy(facts, SMALL)
    assert found.cput.value == pytest.approx(60 / 200)
    assert found.useful_rate.value == pytest.approx(0.5)
    assert found.coverage == pytest.approx(2 / 3)


def test_it_is_read_from_a_ledger_where_the_router_wrote_down_its_chance(ledger):
    for number in range(60):
        call, large = Call(prompt="p"), number % 3 == 0
        leg = Attempt(
            call_id=call.id,
            seq=0,
            engine="large" if large else "small",
            model="large" if large else "small",
            usage=Usage(output=10),
            started_s=float(number),
            finish=Finish.STOP,
            propensity=1 / 3 if large else 2 / 3,
        )
        useful = Outcome(call_id=call.id, name="thumbs", value=float(number % 2), source=Source.USER)
        ledger.record_sync(call, [leg], outcomes=[useful])
    facts = [fact_of(record, cost=6.0 if record.attempts[0].model == "large" else 1.0) for record in ledger.calls()]
    found = off_policy(facts, always(engine="large"))
    assert (found.calls, found.matched, found.notes) == (60, 20, ())
    assert found.cput.value == pytest.approx(20 * 6.0 / (10 * 10))
