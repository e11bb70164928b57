"""A trusted sample and a cheap check of all calls: unbiased whatever the check, tighter where it knows something."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError
from cput.ledger.cput import Fact, cput, fact_of
from cput.ledger.ppi import Sampling, powered_cost_per_useful_answer, powered_cput, powered_useful_rate
from cput.records import Attempt, Call, Finish, Outcome, Source, Usage, Verdict

POWERED = (powered_useful_rate, powered_cput, powered_cost_per_useful_answer)


def fact(number=0, trusted=None, cheap=None, *, cost=1.0, tokens=10, inclusion=None) -> Fact:
    spoken = {True: Verdict.USEFUL, False: Verdict.USELESS, None: Verdict.PENDING}
    verdict = spoken[cheap if trusted is None else trusted]
    return Fact(
        id=str(number),
        cost=cost,
        output_tokens=tokens,
        answer_tokens=tokens,
        useful_tokens={Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[verdict],
        verdict=verdict,
        trusted=spoken[trusted],
        cheap=spoken[cheap],
        inclusion=inclusion,
    )


def window(calls, judged, rate=0.3, right=0.9, seed=0) -> list[Fact]:
    """The first calls were judged: the calls come in no order."""
    rng = np.random.default_rng(seed)
    useful = rng.random(calls) < rate
    passed = np.where(rng.random(calls) < right, useful, ~useful)
    tokens = np.ceil(np.exp(rng.normal(0, 0.6, calls)) * 100)
    return [
        fact(i, bool(useful[i]) if i < judged else None, bool(passed[i]), cost=18.0 + tokens[i], tokens=int(tokens[i]))
        for i in range(calls)
    ]


def test_with_one_yes_or_no_check_it_is_the_power_tuned_estimator():
    facts = window(400, 80)
    y = np.array([fact.trusted is Verdict.USEFUL for fact in facts[:80]], dtype=float)
    f = np.array([fact.cheap is Verdict.USEFUL for fact in facts], dtype=float)
    power = np.cov(y, f[:80])[0, 1] / np.var(f[:80], ddof=1)
    assert powered_useful_rate(facts).interval.value == pytest.approx((y - power * f[:80]).mean() + power * f.mean())


def test_a_check_that_is_wrong_half_the_time_it_passes_does_not_bias_the_rate():
    passed = [fact(i, i % 2 == 0 if i < 40 else None, True) for i in range(200)]
    failed = [fact(i, False if i < 160 else None, False) for i in range(800)]
    assert powered_useful_rate([*passed, *failed]).interval.value == pytest.approx(0.5 * 0.2)


def test_each_class_of_the_check_counts_by_the_tokens_it_has_among_all_calls():
    passed = [fact(i, True if i < 10 else None, True, tokens=20) for i in range(100)]
    failed = [fact(i, i < 2 if i < 10 else None, False, tokens=10, cost=3.0) for i in range(100)]
    found = powered_cput([*passed, *failed]).interval
    assert found.value == pytest.approx((100 + 300) / (100 * 20 * 1.0 + 100 * 10 * 0.2))
    answers = powered_cost_per_useful_answer([*passed, *failed]).interval
    assert answers.value == pytest.approx((100 + 300) / (100 * 1.0 + 100 * 0.2))


@pytest.mark.parametrize("powered", POWERED)
def test_a_check_that_knows_much_narrows_the_interval(powered):
    assert powered(window(2000, 200, right=0.95)).width_ratio < 0.7


@pytest.mark.parametrize("powered", POWERED)
def test_a_check_that_knows_nothing_widens_it_by_no_more_than_a_hair(powered):
    ratios = [powered(window(2000, 200, right=0.5, seed=seed), **quick(powered)).width_ratio for seed in range(30)]
    assert np.median(ratios) < 1.02


def quick(powered) -> dict:
    return {} if powered is powered_useful_rate else {"resamples": 200}


@pytest.mark.parametrize("powered", POWERED)
def test_a_check_that_is_always_wrong_is_as_good_as_one_that_is_always_right(powered):
    right, wrong = powered(window(500, 100, right=1.0)), powered(window(500, 100, right=0.0))
    assert right.interval == pytest.approx(wrong.interval)
    assert (right.agreement, wrong.agreement) == (1.0, 0.0)


def test_the_drawn_calls_need_not_have_been_equally_likely():
    """Of 100 passed calls 10 were drawn and of 100 failed ones 50; half of either is useful, lengths 30 and 10."""
    facts = [fact(i, i % 2 == 0 if i < 10 else None, None, tokens=30, inclusion=0.1) for i in range(100)]
    facts += [fact(i, i % 2 == 0 if i < 50 else None, None, tokens=10, inclusion=0.5) for i in range(100)]
    assert powered_cput(facts).interval.value == pytest.approx(200 / (50 * 30 + 50 * 10))
    assert powered_cput(facts).alone.value == pytest.approx(200 / (50 * 30 + 50 * 10))


def test_where_all_calls_were_judged_it_is_the_metrics_own_value():
    facts = window(300, 300)
    assert powered_cput(facts).interval.value == pytest.approx(cput(facts).value)
    assert powered_cput(facts).interval == pytest.approx(cput(facts), rel=0.1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), unit=st.floats(1e-9, 1e6), judged=st.integers(1, 40), right=st.floats(0, 1))
def test_the_interval_holds_its_value_and_scales_with_the_unit_of_money(seed, unit, judged, right):
    facts = window(60, judged, right=right, seed=seed)
    plain = powered_cput(facts, resamples=20).interval
    scaled = powered_cput([replace(f, cost=f.cost * unit) for f in facts], resamples=20).interval
    if plain.value is not None:
        assert plain.low <= plain.value <= plain.high
        assert scaled == pytest.approx([bound * unit for bound in plain], rel=1e-6)
    rate = powered_useful_rate(facts).interval
    assert 0 <= rate.low <= rate.value <= rate.high <= 1


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(40)))
def test_the_order_of_calls_does_not_matter(order):
    facts = window(40, 15)
    assert powered_cput([facts[i] for i in order], resamples=20).interval == pytest.approx(
        powered_cput(facts, resamples=20).interval
    )


def test_a_sample_without_a_useful_call_bounds_the_cost_from_below_only():
    facts = [fact(i, False if i < 50 else None, i % 2 == 0) for i in range(500)]
    found = powered_cput(facts).interval
    assert (found.value, found.high) == (None, math.inf)
    assert 0.1 < found.low < 0.1 / (1 - 0.025 ** (1 / 50))  # never above what 50 useless calls alone would say
    rate = powered_useful_rate(facts).interval
    assert (rate.value, rate.low) == (0.0, 0.0)
    assert rate.high < 0.2
    assert powered_cput(facts).alone.high == math.inf
    assert powered_cput(facts).width_ratio is None


def test_a_sample_that_is_all_useful_still_leaves_doubt():
    facts = [fact(i, True if i < 50 else None, i % 2 == 0) for i in range(500)]
    rate, per_token = powered_useful_rate(facts).interval, powered_cput(facts).interval
    assert (rate.value, rate.high) == (1.0, 1.0)
    assert rate.low <= 0.025 ** (1 / 50)
    assert per_token.value == pytest.approx(0.1)
    assert per_token.high >= 0.1 / 0.025 ** (1 / 50)


@pytest.mark.parametrize("trusted", [True, False])
def test_one_single_verdict_says_as_little_as_it_is_worth(trusted):
    found = powered_useful_rate([fact(0, trusted, True), *(fact(i, None, True) for i in range(1, 100))])
    assert found.interval.high - found.interval.low == pytest.approx(0.975)
    assert any("only 1 calls" in note for note in found.notes)


@pytest.mark.parametrize("powered", POWERED)
def test_without_a_trusted_verdict_it_is_unknown_and_says_why(powered):
    for facts in ([], [fact(i, None, True) for i in range(5)]):
        found = powered(facts)
        assert found.interval == found.alone == (None, None, None)
        assert (found.agreement, found.width_ratio, found.drawn) == (None, None, 0)
        assert "no call has a trusted verdict" in found.notes


def test_a_draw_that_nobody_wrote_down_is_said_to_be_assumed():
    found = powered_useful_rate(window(100, 20))
    assert found.sampling is Sampling.ASSUMED
    assert found.notes == (
        "how the 20 calls with a trusted verdict were chosen is unknown; they are read as drawn at random",
    )
    known = powered_useful_rate(window(100, 20), inclusion=0.2)
    assert (known.sampling, known.notes, known.interval) == (Sampling.KNOWN, (), found.interval)


def test_volunteered_verdicts_are_no_part_of_a_known_draw():
    drawn = [replace(f, inclusion=0.2) if f.trusted is not Verdict.PENDING else f for f in window(100, 20)]
    angry = [fact(1000 + i, False, True) for i in range(30)]
    found = powered_useful_rate([*drawn, *angry])
    assert (found.drawn, found.left_out, found.calls, found.sampling) == (20, 30, 130, Sampling.KNOWN)
    unjudged = [replace(f, trusted=Verdict.PENDING) for f in angry]
    assert found.interval == pytest.approx(powered_useful_rate([*drawn, *unjudged]).interval)
    assert powered_useful_rate([*drawn, *angry], inclusion=0.2).left_out == 0


def test_a_draw_that_cannot_have_been_as_stated_is_doubted():
    (note,) = powered_useful_rate(window(1000, 400), inclusion=0.1).notes
    assert note == (
        "the 400 calls with a trusted verdict stand for 4,000 calls by their inclusion probabilities, but there"
        " are 1,000: the draw was not as stated"
    )


@pytest.mark.parametrize("chance", [0.0, -0.1, 1.5, math.nan])
def test_a_chance_that_is_none_is_refused(chance):
    with pytest.raises(InputError, match=r"the inclusion probability is .*; allowed: above 0 up to 1"):
        powered_cput(window(10, 5), inclusion=chance)
    with pytest.raises(InputError, match="the inclusion probability of call '0' is"):
        powered_cput([fact(0, True, True, inclusion=chance)])


def test_unknown_cost_or_tokens_make_it_unknown_and_say_how_many():
    facts = [*window(50, 20), fact(50, None, True, cost=None), fact(51, None, True, tokens=None)]
    found = powered_cput(facts)
    assert found.interval == (None, None, None)
    assert found.notes[1:] == (
        "the cost of 1 of 52 calls is unknown",
        "the number of the answer's tokens of 1 of 52 calls is unknown",
    )
    assert powered_useful_rate(facts).interval.value is not None
    assert powered_cost_per_useful_answer([f for f in facts if f.cost is not None]).interval.value is not None


def test_a_sample_of_failed_calls_says_so():
    facts = [*(fact(i, False, False, tokens=0) for i in range(12)), *(fact(i, None, True) for i in range(12, 100))]
    found = powered_cput(facts)
    assert found.interval == (None, None, None)
    assert "no call with a trusted verdict has an answer with tokens" in found.notes


def test_answers_that_cost_nothing_cost_nothing():
    assert powered_cput([replace(f, cost=0.0) for f in window(100, 50)]).interval == (0.0, 0.0, 0.0)


def test_it_counts_what_it_stands_on():
    facts = [*window(100, 20), fact(100, True, None)]
    found = powered_useful_rate(facts)
    assert (found.calls, found.checked, found.drawn) == (101, 100, 21)
    assert found.drawn_useful == sum(f.trusted is Verdict.USEFUL for f in facts)
    assert found.agreement == sum(f.trusted is f.cheap for f in facts[:20]) / 20


def test_it_is_read_from_a_ledger_where_a_check_saw_all_calls_and_a_human_a_drawn_sample(ledger):
    rng = np.random.default_rng(4)
    for number in range(120):
        call, useful, drawn = Call(prompt="p"), bool(rng.random() < 0.5), number % 4 == 0
        usage = Usage(output=10 + number % 7)
        leg = Attempt(call_id=call.id, seq=0, engine="e", usage=usage, started_s=float(number), finish=Finish.STOP)
        passed = useful if rng.random() < 0.9 else not useful
        said = [Outcome(call_id=call.id, name="json", value=float(passed), source=Source.CHECK)]
        if drawn:
            chance = {"inclusion_probability": 0.25}
            said.append(
                Outcome(call_id=call.id, name="review", value=float(useful), source=Source.HUMAN, detail=chance)
            )
        ledger.record_sync(call, [leg], outcomes=said)
    facts = [fact_of(record, cost=1.0) for record in ledger.calls()]
    found = powered_cput(facts)
    assert (found.calls, found.checked, found.drawn, found.sampling) == (120, 120, 30, Sampling.KNOWN)
    assert found.notes == ()
    assert found.width_ratio < 1.0
    share = {
        cheap: _share_useful([f for f in facts if f.cheap is cheap]) for cheap in (Verdict.USEFUL, Verdict.USELESS)
    }
    assert found.interval.value == pytest.approx(120 / sum(share[f.cheap] * f.answer_tokens for f in facts), rel=0.05)


def _share_useful(facts: list[Fact]) -> float:
    """Return the share of tokens of the drawn calls that a human found useful."""
    drawn = [f for f in facts if f.trusted is not Verdict.PENDING]
    useful = sum(f.answer_tokens for f in drawn if f.trusted is Verdict.USEFUL)
    return useful / sum(f.answer_tokens for f in drawn)
