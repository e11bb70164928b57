"""What a fact keeps of a call, read from a real ledger."""

import math

import pytest

from cput.ledger.facts import fact_of
from cput.records import Attempt, Call, Finish, Outcome, Role, Source, Usage, Verdict


def leg(call, seq=0, *, role=Role.SERVE, finish=Finish.STOP, output=20, engine="e", **more) -> Attempt:
    return Attempt(
        call_id=call.id,
        seq=seq,
        role=role,
        engine=engine,
        usage=Usage(output=output),
        started_s=100.0 + seq,
        finish=finish,
        **more,
    )


def read(ledger, call, legs, *outcomes: Outcome, **how):
    ledger.record_sync(call, legs, outcomes=list(outcomes))
    return fact_of(ledger.calls()[0], cost=1.0, **how)


def says(call, source, value, at=1.0, **detail) -> Outcome:
    return Outcome(call_id=call.id, name="n", value=value, source=source, observed_s=at, detail=detail)


def test_trusted_and_cheap_words_are_read_apart_and_together(ledger):
    call = Call(prompt="p")
    fact = read(ledger, call, [leg(call)], says(call, Source.CHECK, 1.0), says(call, Source.HUMAN, 0.0))
    assert (fact.verdict, fact.trusted, fact.cheap) == (Verdict.USELESS, Verdict.USELESS, Verdict.USEFUL)


def test_who_is_trusted_may_be_narrowed(ledger):
    call = Call(prompt="p")
    fact = read(ledger, call, [leg(call)], says(call, Source.USER, 1.0), trusted={Source.HUMAN})
    assert (fact.verdict, fact.trusted, fact.cheap) == (Verdict.USEFUL, Verdict.PENDING, Verdict.USEFUL)


def test_the_answers_length_is_known_whatever_its_verdict(ledger):
    call = Call(prompt="p")
    fact = read(ledger, call, [leg(call)])
    assert (fact.useful_tokens, fact.answer_tokens) == (None, 20)


def test_a_call_that_failed_gave_0_tokens_and_an_uncounted_one_an_unknown_number(ledger):
    failed, uncounted = Call(prompt="p"), Call(prompt="p")
    assert read(ledger, failed, [leg(failed, finish=Finish.ERROR, output=None)]).answer_tokens == 0
    ledger.record_sync(uncounted, [leg(uncounted, output=None)], outcomes=[])
    assert fact_of(ledger.calls()[1], cost=1.0).answer_tokens is None


def test_an_embedding_is_the_answer_of_a_call_that_asked_for_nothing_else(ledger):
    asked = Call(embed=("a", (1, 2)), dimensions=64)
    fact = read(ledger, asked, [leg(asked, role=Role.EMBED, output=0, engine="x")], says(asked, Source.USER, 1.0))
    assert (fact.verdict, fact.useful_tokens, fact.answer_tokens, fact.output_tokens) == (Verdict.USEFUL, 0, 0, 0)
    assert fact.engine == "x"
    assert ledger.calls()[0].call == asked


def test_an_embedding_leg_beside_an_answer_is_not_the_answer(ledger):
    call = Call(prompt="p")
    legs = [leg(call, 0), leg(call, 1, role=Role.EMBED, output=0, engine="x")]
    fact = read(ledger, call, legs, says(call, Source.USER, 1.0))
    assert (fact.useful_tokens, fact.engine) == (20, "e")


def test_it_names_where_it_belongs_and_the_leg_that_answered(ledger):
    call = Call(prompt="p", workload="w", policy="p1", tenant="t")
    legs = [leg(call, 0, engine="small", model="s", propensity=0.9, finish=Finish.ERROR)]
    legs.append(leg(call, 1, engine="large", model="l", propensity=0.25))
    legs.append(leg(call, 2, role=Role.JUDGE, engine="judge", model="j"))
    fact = read(ledger, call, legs)
    assert (fact.workload, fact.policy, fact.tenant, fact.started_s) == ("w", "p1", "t", 100.0)
    assert (fact.engine, fact.model, fact.propensity) == ("large", "l", 0.25)


def test_where_no_leg_answered_the_last_serving_one_is_named(ledger):
    call = Call(prompt="p")
    legs = [leg(call, seq, engine=name, finish=Finish.ERROR) for seq, name in enumerate(("small", "large"))]
    assert read(ledger, call, legs).engine == "large"


def test_the_chance_of_being_judged_comes_with_the_trusted_outcome(ledger):
    call = Call(prompt="p")
    drawn = says(call, Source.HUMAN, 1.0, inclusion_probability=0.1)
    checked = says(call, Source.CHECK, 1.0, inclusion_probability=0.5)
    assert read(ledger, call, [leg(call)], drawn, checked).inclusion == 0.1


def test_a_later_word_brings_a_later_chance_and_a_retracted_one_none(ledger):
    call = Call(prompt="p")
    first = says(call, Source.HUMAN, 1.0, 1.0, inclusion_probability=0.1)
    second = says(call, Source.USER, 1.0, 2.0, inclusion_probability=0.2)
    retracted = says(call, Source.USER, 1.0, 3.0, inclusion_probability=0.2, retracted=True)
    assert read(ledger, call, [leg(call)], first, second).inclusion == 0.2
    ledger.add_outcomes([retracted])
    assert fact_of(ledger.calls()[0], cost=1.0).inclusion == 0.1


@pytest.mark.parametrize("value", ["a tenth", True, [0.1]])
def test_a_chance_that_is_no_number_is_not_taken_for_unknown(ledger, value):
    call = Call(prompt="p")
    fact = read(ledger, call, [leg(call)], says(call, Source.HUMAN, 1.0, inclusion_probability=value))
    assert math.isnan(fact.inclusion)
