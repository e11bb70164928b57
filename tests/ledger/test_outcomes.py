"""Feedback is never lost: not before its call, not a month later, not by another key, not twice, not taken back."""

import pytest

from cput.errors import InputError
from cput.ledger.outcomes import NONE_ADDED, Added, add, retraction
from cput.ledger.query import Question, costs
from cput.ledger.store import Ledger
from cput.ledger.verdict import verdict
from cput.records import Attempt, Call, Charge, Finish, Outcome, Source, Usage, Verdict

DAY_S = 86_400.0
NOW_S = 1_762_000_000.0


def flush(ledger: Ledger, call: Call) -> None:
    leg = Attempt(call_id=call.id, seq=0, engine="e", usage=Usage(output=10), started_s=NOW_S, finish=Finish.STOP)
    paid = Charge(call_id=call.id, seq=0, incremental_nano_usd=40, price_version="v", basis="usage")
    ledger.record_sync(call, [leg], [paid])


def thumbs(value: float, *, at: float = NOW_S, **fields) -> Outcome:
    return Outcome(name="thumbs", value=value, source=Source.USER, observed_s=at, **fields)


def reading(ledger: Ledger) -> list[Verdict]:
    """Return the verdict of each call, read one by one, after holding the sums against it."""
    verdicts = [verdict(record.outcomes) for record in ledger.calls()]
    moments = costs(ledger, Question()).total.sums.moments
    assert moments.useful == verdicts.count(Verdict.USEFUL)
    assert moments.judged == len(verdicts) - verdicts.count(Verdict.PENDING)
    return verdicts


def test_feedback_before_the_call_row_is_flushed_counts_once_it_is(ledger):
    call = Call()
    assert add(ledger, [thumbs(1.0, call_id=call.id)]) == Added(new=1, repeated=0, differing=(), waiting=1)
    assert reading(ledger) == []
    flush(ledger, call)
    assert reading(ledger) == [Verdict.USEFUL]


def test_feedback_thirty_days_later_counts(ledger):
    call = Call()
    flush(ledger, call)
    assert reading(ledger) == [Verdict.PENDING]
    assert add(ledger, [thumbs(0.0, call_id=call.id, at=NOW_S + 30 * DAY_S)]).waiting == 0
    assert reading(ledger) == [Verdict.USELESS]


def test_feedback_by_order_number_finds_every_call_with_it_early_or_late(ledger):
    first, second = Call(external_key="order-17"), Call(external_key="order-17")
    flush(ledger, first)
    flush(ledger, Call(external_key="order-18"))
    add(ledger, [thumbs(1.0, external_key="order-17")])
    assert reading(ledger) == [Verdict.USEFUL, Verdict.PENDING]
    flush(ledger, second)
    assert reading(ledger) == [Verdict.USEFUL, Verdict.PENDING, Verdict.USEFUL]


def test_feedback_twice_is_one_word(ledger):
    call = Call()
    flush(ledger, call)
    said = thumbs(1.0, call_id=call.id)
    assert add(ledger, [said, said]) == Added(new=1, repeated=1, differing=(), waiting=0)
    assert add(ledger, [said]) == Added(new=0, repeated=1, differing=(), waiting=0)
    assert len(ledger.calls()[0].outcomes) == 1
    assert reading(ledger) == [Verdict.USEFUL]


def test_feedback_that_is_taken_back_was_never_given(ledger):
    call = Call()
    flush(ledger, call)
    add(ledger, [thumbs(1.0, call_id=call.id)])
    assert reading(ledger) == [Verdict.USEFUL]
    add(ledger, [retraction(thumbs(0.0, call_id=call.id, at=NOW_S + 1))])
    assert reading(ledger) == [Verdict.PENDING]
    add(ledger, [thumbs(0.0, call_id=call.id, at=NOW_S + 2)])
    assert reading(ledger) == [Verdict.USELESS]
    assert len(ledger.calls()[0].outcomes) == 3


def test_feedback_that_is_revised_counts_by_when_it_was_given_and_not_when_it_came(ledger):
    call = Call()
    flush(ledger, call)
    add(ledger, [thumbs(0.0, call_id=call.id, at=NOW_S + 5)])
    add(ledger, [thumbs(1.0, call_id=call.id, at=NOW_S + 1)])
    assert reading(ledger) == [Verdict.USELESS]


def test_an_episodes_outcome_speaks_for_each_of_its_calls_early_or_late(ledger):
    flush(ledger, Call(episode="chat-9"))
    add(ledger, [thumbs(1.0, episode="chat-9"), thumbs(1.0, episode="chat-10")])
    flush(ledger, Call(episode="chat-9"))
    flush(ledger, Call(episode="chat-11"))
    assert reading(ledger) == [Verdict.USEFUL, Verdict.USEFUL, Verdict.PENDING]
    assert costs(ledger, Question()).total.sums.useful_tokens == 20


def test_an_episodes_outcome_is_revised_and_taken_back_for_all_its_calls(ledger):
    first, second = Call(episode="chat-9"), Call(episode="chat-9")
    for call in (first, second):
        flush(ledger, call)
    add(ledger, [thumbs(1.0, episode="chat-9"), thumbs(0.0, call_id=second.id, at=NOW_S + 1)])
    assert reading(ledger) == [Verdict.USEFUL, Verdict.USELESS]
    add(ledger, [retraction(thumbs(1.0, episode="chat-9", at=NOW_S + 2))])
    assert reading(ledger) == [Verdict.PENDING, Verdict.PENDING]


def test_an_outcome_is_read_back_as_it_was(ledger):
    call = Call(episode="e", external_key="k")
    flush(ledger, call)
    said = thumbs(0.25, call_id=call.id, external_key="k", episode="e", attempt=0, detail={"why": ["slow", 1]})
    add(ledger, [said])
    assert ledger.calls()[0].outcomes == (said,)


def test_an_id_that_is_there_and_says_something_else_is_named_and_the_first_stands(ledger):
    call = Call()
    flush(ledger, call)
    assert add(ledger, [thumbs(1.0, id="x", call_id=call.id)]).new == 1
    later = thumbs(1.0, id="x", call_id=call.id, at=NOW_S + 9)
    assert add(ledger, [later]) == Added(new=0, repeated=1, differing=(), waiting=0)  # only its moment is another
    for other in (thumbs(0.0, id="x", call_id=call.id), thumbs(1.0, id="x", call_id="another"), retraction(later)):
        assert add(ledger, [other]).differing == ("x",)
    assert reading(ledger) == [Verdict.USEFUL]


def test_a_dry_run_writes_nothing_and_says_what_it_would(ledger):
    call = Call()
    flush(ledger, call)
    said = [thumbs(1.0, call_id=call.id), thumbs(1.0, call_id="nobody")]
    assert add(ledger, said, dry_run=True) == Added(new=2, repeated=0, differing=(), waiting=1)
    assert reading(ledger) == [Verdict.PENDING]


def test_of_a_batch_with_one_that_is_not_allowed_none_is_written(ledger):
    good, bad = thumbs(1.0, call_id="c"), thumbs(2.0, call_id="c")
    with pytest.raises(InputError, match="allowed: 0"):
        add(ledger, [good, bad])
    assert add(ledger, [good]).new == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (thumbs(1.0), "neither a call_id nor an external_key nor an episode"),
        (thumbs(1.0, call_id="c", attempt=-1), "names attempt -1; allowed: 0, 1, 2"),
    ],
)
def test_an_outcome_about_nothing_or_no_attempt_is_refused(ledger, wrong, says):
    with pytest.raises(InputError, match=says):
        add(ledger, [wrong])


def test_thousands_are_added_in_batches(ledger):
    said = [thumbs(1.0, id=f"o{number % 1200}", call_id=f"c{number % 1200}") for number in range(1300)]
    assert add(ledger, said) == Added(new=1200, repeated=100, differing=(), waiting=1200)
    assert add(ledger, []) == NONE_ADDED


def test_finding_an_episodes_outcomes_uses_an_index(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as ledger, ledger._database.reading.begin() as connection:
        for table in ("outcomes", "calls"):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE episode = 'e'").all()
            assert f"{table}_episode" in str(plan)
