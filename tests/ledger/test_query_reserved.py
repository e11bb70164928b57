"""A reserved window is paid for whole: to calls by engine share, and what nobody used is shown, or shared out."""

from decimal import Decimal

import numpy as np
import pytest
from costs_by_hand import expect_the_same
from hypothesis import given
from hypothesis import strategies as st

from cput.ledger.allocate import allocate
from cput.ledger.query import Question, costs
from cput.ledger.query.reserved import split
from cput.ledger.store import Ledger, Run, Window
from cput.records import Attempt, Call, Charge, Finish, Outcome, Source, Usage

RATE = Decimal("3.6")  # USD/h: a second is 1,000,000 nano-dollars
SECOND = 1_000_000
USAGE, RESERVATION = Question(basis="usage"), Question(basis="reservation")


def start(ledger: Ledger, name: str = "r", workload: str = "w") -> Run:
    run = Run(id=name, kind="measure", workload=workload, workload_digest="d", engine="e", started_s=0.0)
    ledger.start_run(run)
    return run


def reserve(
    ledger: Ledger, run: Run, began: float, length_s: float, engine_s: list[float | None], **call
) -> list[Call]:
    """Do as a measurement does: a window, its calls, its charges by engine share, its idle charge."""
    window = Window(run=run.id, started_s=began, ended_s=began + length_s, rate_nano_usd_per_h=1, price_version="rate")
    ledger.add_window(window)
    calls = []
    for place, seconds in enumerate(engine_s):
        calls.append(Call(**({"workload": run.workload} | call)))
        leg = Attempt(
            call_id=calls[-1].id,
            seq=0,
            engine="e",
            usage=Usage(output=10, engine_s=seconds),
            started_s=began + 0.1 + place * 0.01,
            finish=Finish.STOP,
        )
        said = Outcome(call_id=calls[-1].id, name="c", value=1.0, source=Source.CHECK)
        ledger.record_sync(calls[-1], [leg], outcomes=[said], run=run.id)
    found = allocate(length_s, RATE, engine_s)
    charges = [
        Charge(call_id=call.id, seq=0, incremental_nano_usd=nano, price_version="rate", basis="usage")
        for call, nano in zip(calls, found.usage_nano_usd, strict=True)
    ]
    ledger.add_charges(charges, run=run.id)
    ledger.add_charges([idle(found.idle_nano_usd)], run=run.id, window=window.id)
    return calls


def idle(nano_usd: int | None, version: str = "rate") -> Charge:
    return Charge(call_id=None, seq=None, incremental_nano_usd=nano_usd, price_version=version, basis="idle")


def test_idle_time_is_shown_on_both_bases_and_charged_on_one(ledger):
    reserve(ledger, start(ledger), 100.0, 10.0, [1.0, 3.0])
    for question, cost in ((USAGE, 4 * SECOND), (RESERVATION, 10 * SECOND)):
        total = costs(ledger, question).total
        assert (total.sums.incremental_nano_usd, total.sums.idle_nano_usd) == (4 * SECOND, 6 * SECOND)
        assert total.sums.cost_nano_usd == cost
        assert total.cput.value == pytest.approx(cost / 1e9 / 20)
    expect_the_same(costs(ledger, USAGE), ledger.calls())


def test_idle_time_goes_to_calls_by_their_device_seconds(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 4.0, [1.0], workload="a")
    reserve(ledger, run, 200.0, 10.0, [1.0, 3.0], workload="b")
    by_workload = {group.key["workload"]: group.sums for group in costs(ledger, Question(by=("workload",))).groups}
    assert by_workload["a"].idle_nano_usd == 3 * SECOND
    assert by_workload["b"].idle_nano_usd == 6 * SECOND


def test_a_filter_does_not_change_a_calls_share(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 10.0, [1.0, 3.0])
    (mine, _) = ledger.calls()
    ledger.record_sync(Call(id="other", workload="x"), [], run=run.id)
    assert (
        costs(ledger, Question(until_s=mine.attempts[0].started_s + 0.005)).total.sums.idle_nano_usd == 6 * SECOND // 4
    )


def test_the_whole_window_is_charged_where_shares_do_not_divide(ledger):
    reserve(ledger, start(ledger), 100.0, 1.0 + 1e-6, [0.1, 0.2, 0.3, None])
    total = costs(ledger, RESERVATION).total
    assert total.sums.cost_nano_usd == allocate(1.0 + 1e-6, RATE, []).total_nano_usd


def test_an_attempt_without_device_seconds_is_unpriced_by_usage_and_covered_by_its_window(ledger):
    reserve(ledger, start(ledger), 100.0, 10.0, [2.0, None])
    assert costs(ledger, USAGE).total.unpriced == 1
    total = costs(ledger, RESERVATION).total
    assert (total.unpriced, total.sums.cost_nano_usd) == (0, 10 * SECOND)


def test_an_unpriced_hosted_model_is_not_covered_by_the_window_it_was_asked_in(ledger):
    run = start(ledger)
    (call,) = reserve(ledger, run, 100.0, 10.0, [2.0])
    leg = Attempt(call_id=call.id, seq=1, engine="hosted", usage=Usage(), started_s=101.0, finish=Finish.STOP)
    ledger.record_sync(call, [leg], run=run.id)
    lacking = Charge(call_id=call.id, seq=1, incremental_nano_usd=None, price_version="unpriced", basis="usage")
    ledger.add_charges([lacking])
    assert costs(ledger, RESERVATION).total.unpriced == 1


def test_where_no_device_second_is_known_the_window_is_shared_evenly(ledger):
    reserve(ledger, start(ledger), 100.0, 10.0, [None, None], workload="a")
    assert costs(ledger, RESERVATION).total.sums.cost_nano_usd == 10 * SECOND
    (one, other) = (costs(ledger, Question(since_s=at)).total.sums.idle_nano_usd for at in (100.1, 100.105))
    assert one - other == 5 * SECOND


def test_each_window_of_a_resumed_run_is_shared_among_its_own_calls(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 10.0, [1.0], tags={"part": "first"})
    reserve(ledger, run, 200.0, 100.0, [1.0], tags={"part": "second"})
    parts = costs(ledger, Question(by=("tag:part",))).groups
    assert [group.sums.idle_nano_usd for group in parts] == [9 * SECOND, 99 * SECOND]


def test_a_call_that_begins_with_a_window_belongs_to_it(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 10.0, [1.0], tags={"part": "first"})
    reserve(ledger, run, 200.0, 10.0, [], tags={"part": "second"})
    call = Call(tags={"part": "second"})
    usage = Usage(output=1, engine_s=1.0)
    leg = Attempt(call_id=call.id, seq=0, engine="e", usage=usage, started_s=200.0, finish=Finish.STOP)
    ledger.record_sync(call, [leg], run=run.id)
    parts = costs(ledger, Question(by=("tag:part",))).groups
    assert [group.sums.idle_nano_usd for group in parts] == [9 * SECOND, 10 * SECOND]


def test_a_repriced_idle_charge_replaces_the_earlier_one(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 10.0, [4.0])
    window = ledger.windows(run.id)[0].id
    ledger.add_charges([idle(60 * SECOND, "dearer")], run=run.id, window=window)
    assert costs(ledger, RESERVATION).total.sums.idle_nano_usd == 60 * SECOND
    ledger.add_charges([idle(6 * SECOND, "rate")], run=run.id, window=window, repricing="back")
    assert costs(ledger, RESERVATION).total.sums.idle_nano_usd == 6 * SECOND


def test_an_idle_charge_without_a_window_is_shared_among_the_whole_run(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 10.0, [4.0])
    reserve(ledger, run, 200.0, 10.0, [4.0])
    ledger.add_charges([idle(8 * SECOND)], run=run.id)
    assert [group.sums.idle_nano_usd for group in costs(ledger, Question(period="hour")).groups] == [20 * SECOND]


def test_an_idle_charge_that_nobody_knows_makes_its_calls_unpriced_when_it_counts(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 10.0, [4.0])
    ledger.add_charges([idle(None)], run=run.id)
    assert (costs(ledger, USAGE).total.unpriced, costs(ledger, RESERVATION).total.unpriced) == (0, 1)


def test_a_window_in_which_nothing_was_asked_is_left_over_and_not_lost(ledger):
    reserve(ledger, start(ledger, "a", "wa"), 100.0, 10.0, [4.0])
    reserve(ledger, start(ledger, "b", "wb"), 200.0, 10.0, [])

    def left(**asked) -> list[int | None]:
        return [each.nano_usd for each in costs(ledger, Question(**asked)).left]

    assert left() == [10 * SECOND]
    assert left(since_s=150.0) == left(since_s=200.0, until_s=201.0) == [10 * SECOND]
    assert left(workload="wa") == left(until_s=200.0) == left(since_s=201.0) == left(engine="e") == []
    assert costs(ledger, Question()).as_json()["idle_without_calls_nano_usd"] == 10 * SECOND


def test_windows_that_are_still_open_are_counted(ledger):
    run = start(ledger)
    reserve(ledger, run, 100.0, 10.0, [4.0])
    ledger.add_window(Window(run=run.id, started_s=300.0))
    ledger.add_window(Window(run=start(ledger, "nobody").id, started_s=300.0))
    assert costs(ledger, RESERVATION).uncharged_windows == 1


@given(total=st.integers(0, 10**15), weights=st.lists(st.integers(0, 10**12), min_size=1, max_size=50))
def test_parts_add_up_and_each_is_within_two_of_its_due(total, weights):
    parts = split(total, np.array(weights, np.int64))
    assert sum(parts.tolist()) == total
    assert (parts >= 0).all()
    whole = sum(weights)
    for part, weight in zip(parts.tolist(), weights, strict=True):
        due = total * weight / whole if whole else total / len(weights)
        assert abs(part - due) <= 2
