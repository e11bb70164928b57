"""The metric's laws."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.ledger.cput import (
    Fact,
    cost_per_useful_answer,
    coverage,
    cput,
    fact_of,
    useful_rate,
    waterfall,
)
from cput.ledger.runs import CallRecord
from cput.records import Attempt, Call, Finish, Outcome, Role, Source, Usage, Verdict


def fact(number=0, *, cost=1.0, tokens=10, verdict=Verdict.USEFUL, output=None, slo_met=None) -> Fact:
    useful = {Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[verdict]
    return Fact(
        id=str(number),
        cost=cost,
        output_tokens=tokens if output is None else output,
        useful_tokens=useful,
        verdict=verdict,
        slo_met=slo_met,
    )


verdicts = st.sampled_from(list(Verdict))
facts_lists = st.lists(
    st.builds(fact, cost=st.floats(0.01, 100), tokens=st.integers(1, 500), verdict=verdicts), min_size=1, max_size=40
)


@settings(max_examples=50, deadline=None)
@given(facts=facts_lists)
def test_cput_is_all_cost_over_useful_tokens(facts):
    useful = sum(fact.useful_tokens or 0 for fact in facts)
    value, low, high = cput(facts, resamples=50)
    if useful:
        assert value == pytest.approx(sum(fact.cost for fact in facts) / useful)
        assert low <= value * (1 + 1e-9)
        assert high >= value * (1 - 1e-9)
    else:
        assert value is None


@settings(max_examples=30, deadline=None)
@given(facts=facts_lists)
def test_more_money_for_the_same_answers_never_lowers_cput(facts):
    before = cput(facts, resamples=50).value
    after = cput([*facts, fact(cost=5.0, verdict=Verdict.USELESS)], resamples=50).value
    assert (before is None and after is None) or after > before


def test_pending_costs_money_and_is_not_useless():
    facts = [fact(), fact(verdict=Verdict.PENDING), fact(verdict=Verdict.USELESS), fact()]
    assert cput(facts).value == pytest.approx(4 / 20)
    assert useful_rate(facts).value == pytest.approx(2 / 3)
    assert coverage(facts) == 0.75
    assert coverage([]) == 0.0


def test_cost_per_useful_answer_counts_answers_and_not_tokens():
    facts = [fact(tokens=1000), fact(tokens=1), fact(verdict=Verdict.USELESS)]
    assert cost_per_useful_answer(facts).value == pytest.approx(3 / 2)


def test_without_a_useful_token_only_a_lower_bound_is_known():
    facts = [fact(number, verdict=Verdict.USELESS) for number in range(20)]
    value, low, high = cput(facts)
    assert (value, high) == (None, math.inf)
    assert low == pytest.approx(20 / ((1 - 0.025 ** (1 / 20)) * 200))
    assert cost_per_useful_answer(facts).low == pytest.approx(1 / (1 - 0.025 ** (1 / 20)))


def test_unknown_cost_or_unknown_tokens_make_it_unknown_and_not_zero():
    assert cput([fact(), fact(cost=None)]) == (None, None, None)
    uncounted = Fact(id="u", cost=1.0, output_tokens=None, useful_tokens=None, verdict=Verdict.USEFUL)
    assert cput([fact(), uncounted]) == (None, None, None)
    assert cost_per_useful_answer([fact(), uncounted]).value == 1.0
    assert cput([]) == (None, None, None)
    assert cput([fact(verdict=Verdict.PENDING)]).value is None


def test_answers_that_cost_nothing_cost_nothing():
    assert cput([fact(cost=0.0), fact(cost=0.0)]) == (0.0, 0.0, 0.0)


def test_the_waterfall_divides_one_cost_by_fewer_and_fewer_tokens():
    facts = [
        fact(slo_met=True, output=15),
        fact(slo_met=False),
        fact(verdict=Verdict.USELESS, slo_met=True),
        fact(verdict=Verdict.PENDING, slo_met=True),
    ]
    generated, within, useful, both = waterfall(facts)
    assert (generated.label, generated.calls, generated.output_tokens) == ("generated", 4, 45)
    assert generated.cost_per_m == pytest.approx(4 / 45 * 1e6)
    assert (within.calls, within.output_tokens) == (3, 35)
    assert (useful.label, useful.calls, useful.output_tokens) == ("useful", 2, 20)
    assert useful.cost_per_m == pytest.approx(cput(facts).value * 1e6)
    assert (both.label, both.calls, both.output_tokens) == ("useful within SLO", 1, 10)


def test_a_workload_without_an_slo_has_no_slo_levels():
    assert [level.label for level in waterfall([fact()])] == ["generated", "useful"]
    (_, useful) = waterfall([fact(verdict=Verdict.USELESS)])
    assert (useful.output_tokens, useful.cost_per_m) == (0, None)


def record(*legs: tuple[Role, Finish, int | None], value: float | None = 1.0, judged: int | None = None) -> CallRecord:
    call = Call(prompt="p", item="i", tags={"a": "b"})
    attempts = tuple(
        Attempt(call_id=call.id, seq=seq, role=role, engine="e", usage=Usage(output=out), started_s=1.0, finish=finish)
        for seq, (role, finish, out) in enumerate(legs)
    )
    outcome = Outcome(call_id=call.id, attempt=judged, name="c", value=value or 0.0, source=Source.CHECK)
    return CallRecord(
        call=call,
        run=None,
        recorded_s=1.0,
        attempts=attempts,
        charges=(),
        outcomes=() if value is None else (outcome,),
    )


def test_a_fact_counts_all_attempts_and_only_the_answer_given_as_useful():
    legs = ((Role.SERVE, Finish.ERROR, 5), (Role.SERVE, Finish.STOP, 20), (Role.VERIFY, Finish.STOP, 3))
    found = fact_of(record(*legs), cost=2.0, slo_met=True)
    assert (found.output_tokens, found.useful_tokens, found.verdict, found.cost) == (28, 20, Verdict.USEFUL, 2.0)
    assert (found.item, found.tags, found.slo_met) == ("i", {"a": "b"}, True)


def test_of_racing_legs_the_one_that_was_judged_gave_the_useful_tokens():
    legs = ((Role.SERVE, Finish.STOP, 5), (Role.SERVE, Finish.CANCELLED, 20), (Role.SERVE, Finish.CANCELLED, 9))
    assert fact_of(record(*legs, judged=1), cost=1.0).useful_tokens == 20
    assert fact_of(record(*legs, judged=0), cost=1.0).useful_tokens == 5
    assert fact_of(record(*legs), cost=1.0).useful_tokens == 9
    assert fact_of(record(*legs, judged=7), cost=1.0).useful_tokens == 9, "no such leg: as if nobody had said"


def test_a_fact_keeps_unknown_pending_and_useless_apart():
    serve = (Role.SERVE, Finish.STOP, 20)
    assert fact_of(record(serve, value=None), cost=1.0).useful_tokens is None
    assert fact_of(record(serve, value=0.0), cost=1.0).useful_tokens == 0
    assert fact_of(record(serve, value=0.5), cost=1.0, threshold=0.5).useful_tokens == 20
    assert fact_of(record((Role.SERVE, Finish.STOP, None)), cost=1.0).output_tokens is None
