"""The ledger keeps what it acknowledged, once, and gives it back as it was."""

import asyncio
import math
import sqlite3
import time

import pytest
from backends import ON_SQLITE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cput.errors import InputError, SetupError
from cput.ledger import schema
from cput.ledger.database import sentences
from cput.ledger.numbering import AttemptNumbers
from cput.ledger.store import Ledger, Run, Window
from cput.records import (
    Attempt,
    Call,
    Charge,
    CountedBy,
    Finish,
    Grammar,
    GrammarKind,
    Message,
    Outcome,
    Role,
    Sampling,
    Source,
    Usage,
    new_id,
)


def leg(call: Call, seq: int = 0, **changes) -> Attempt:
    fields = {"engine": "echo", "usage": Usage(output=3), "started_s": 5.0, "finish": Finish.STOP}
    return Attempt(call_id=call.id, seq=seq, **(fields | changes))


def full_call() -> Call:
    return Call(
        messages=(Message(role="user", content="你好 🌍\x00"), Message(role="assistant", content="")),
        sampling=Sampling(seed=7, stop=("a", "b"), grammar=Grammar(kind=GrammarKind.CHOICE, value=("x", "y"))),
        workload="w",
        item="i1",
        tenant="t",
        external_key="order-1",
        tags={"lang": "zh"},
    )


async def test_a_record_is_read_back_as_it_was(ledger, run):
    call = full_call()
    attempts = [
        leg(call, 0, finish=Finish.ERROR, error="boom", usage=Usage()),
        leg(
            call,
            1,
            role=Role.HEDGE,
            model="m",
            ttft_s=0.1,
            e2e_s=0.3,
            text="héllo",
            gaps_s=(0.1, 1 / 3, 1e-9),
            usage=Usage(
                input_uncached=1,
                input_cache_read=2,
                input_cache_write=0,
                output=4,
                reasoning=1,
                engine_s=0.25,
                complete=True,
                counted_by=CountedBy.ENGINE,
            ),
        ),
    ]
    charge = Charge(call_id=call.id, seq=1, incremental_nano_usd=12, price_version="p1", basis="usage")
    outcome = Outcome(
        call_id=call.id, name="c", value=0.5, source=Source.CHECK, observed_s=9.0, detail={"why": ["a", 1]}
    )
    await ledger.record(call, attempts, [charge], [outcome], run=run.id)
    (record,) = ledger.calls(run=run.id)
    assert record.call == call
    assert record.run == run.id
    assert record.attempts == tuple(attempts)
    assert record.charges == (charge,)
    assert record.outcomes == (outcome,)


def test_the_same_record_twice_is_one(ledger):
    call = full_call()
    charge = Charge(call_id=call.id, seq=0, incremental_nano_usd=12, price_version="p1", basis="usage")
    flat = Charge(call_id=call.id, seq=None, incremental_nano_usd=1, price_version="p1", basis="flat")
    outcome = Outcome(call_id=call.id, name="c", value=1.0, source=Source.CHECK)
    for _ in range(2):
        ledger.record_sync(call, [leg(call)], [charge, flat], [outcome])
    ledger.record_sync(call, [leg(call, 0, engine="another")])
    (record,) = ledger.calls()
    assert (len(record.attempts), len(record.charges), len(record.outcomes)) == (1, 2, 1)
    assert record.attempts[0].engine == "echo"


def test_outcomes_may_come_before_their_call_and_by_external_key(ledger):
    call = full_call()
    early = Outcome(call_id=call.id, name="c", value=1.0, source=Source.CHECK, observed_s=2.0)
    by_key = Outcome(external_key="order-1", name="refund", value=0.0, source=Source.BUSINESS, observed_s=3.0)
    both = Outcome(call_id=call.id, external_key="order-1", name="u", value=1.0, source=Source.USER, observed_s=1.0)
    stranger = Outcome(external_key="order-2", name="refund", value=0.0, source=Source.BUSINESS)
    ledger.add_outcomes([early, by_key, both, stranger])
    ledger.record_sync(call, [leg(call)])
    (record,) = ledger.calls()
    assert record.outcomes == (both, early, by_key)


def test_a_call_without_a_key_gets_no_outcome_by_key(ledger):
    call = Call(prompt="p")
    ledger.record_sync(call, [leg(call)])
    ledger.add_outcomes([Outcome(external_key="k", name="n", value=1.0, source=Source.USER)])
    assert ledger.calls()[0].outcomes == ()


def test_a_later_price_version_replaces_an_earlier_one(ledger, run):
    call = full_call()
    prices = [
        Charge(call_id=call.id, seq=0, incremental_nano_usd=n, price_version=f"p{n}", basis="usage") for n in (1, 2)
    ]
    ledger.record_sync(call, [leg(call)], prices[:1], run=run.id)
    ledger.add_charges(prices[1:])
    assert ledger.calls()[0].charges == (prices[1],)


def test_idle_charges_add_up_over_windows_and_are_repriced_within_one(ledger, run):
    def idle(nano: int, version: str) -> Charge:
        return Charge(call_id=None, seq=None, incremental_nano_usd=nano, price_version=version, basis="idle")

    ledger.add_charges([idle(5, "p1")], run=run.id, window="w1")
    ledger.add_charges([idle(5, "p1")], run=run.id, window="w1")
    ledger.add_charges([idle(5, "p1")], run=run.id, window="w2")
    ledger.add_charges([idle(9, "p2")], run=run.id, window="w2")
    assert [charge.incremental_nano_usd for charge in ledger.idle_charges(run.id)] == [5, 9]


def test_calls_are_chosen_by_run_and_workload(ledger, run):
    for workload, owner in (("a", run.id), ("b", run.id), ("a", None)):
        call = Call(prompt="p", workload=workload)
        ledger.record_sync(call, [leg(call)], run=owner)
    assert len(ledger.calls()) == 3
    assert len(ledger.calls(run=run.id)) == 2
    assert len(ledger.calls(workload="a")) == 2
    assert len(ledger.calls(run=run.id, workload="a")) == 1


def test_a_hung_up_item_is_not_recorded_for_resume_and_a_failed_one_is(ledger, run):
    for item, finish in (
        ("done", Finish.STOP),
        ("cut", Finish.LENGTH),
        ("bad", Finish.ERROR),
        ("left", Finish.CANCELLED),
    ):
        call = Call(prompt="p", item=item)
        ledger.record_sync(call, [leg(call, finish=finish)], run=run.id)
    judged = Call(prompt="p", item="judged only")
    ledger.record_sync(judged, [leg(judged, role=Role.JUDGE)], run=run.id)
    assert ledger.recorded_items(run.id) == {"done", "cut", "bad"}
    assert ledger.recorded_items("another") == set()


def test_runs_end_again_when_they_are_resumed(ledger):
    run = Run(kind="measure", workload="w", workload_digest="d", engine="e", config={"n": [1, None]}, started_s=1.0)
    ledger.start_run(run)
    assert ledger.run(run.id) == run
    ledger.end_run(run.id, 2.0)
    ledger.start_run(run)
    ledger.end_run(run.id, 9.0)
    assert ledger.run(run.id).ended_s == 9.0
    assert len(ledger.runs()) == 1


def test_a_run_is_found_by_a_unique_prefix(ledger):
    for number, name in enumerate(("aa1", "aa2", "b")):
        ledger.start_run(Run(id=name, kind="measure", workload="w", workload_digest="d", engine="e", started_s=number))
    assert ledger.find_run("b").id == "b"
    assert ledger.find_run("aa2").id == "aa2"
    assert ledger.find_run("latest").id == "b"
    with pytest.raises(InputError, match="2 runs start with 'aa': aa1, aa2"):
        ledger.find_run("aa")
    with pytest.raises(InputError, match=r"no run in the ledger .* starts with 'x'; the latest are aa1, aa2, b"):
        ledger.find_run("x")
    with pytest.raises(InputError, match="there is no run 'zz'"):
        ledger.run("zz")


def test_a_windows_end_only_moves_forward(ledger, run):
    window = Window(id="w", run=run.id, started_s=1.0, rate_nano_usd_per_h=80_000_000, price_version="p", device="d")
    ledger.add_window(window)
    assert ledger.windows(run.id) == (window,)
    for end in (5.0, 9.0, 7.0, None):
        ledger.add_window(Window(id="w", run=run.id, started_s=1.0, ended_s=end))
    (found,) = ledger.windows(run.id)
    assert (found.ended_s, found.rate_nano_usd_per_h) == (9.0, 80_000_000)


def test_a_window_of_a_run_that_does_not_exist_is_refused(ledger):
    with pytest.raises(InputError, match=r"refused a record: .*(?i:foreign key)"):
        ledger.add_window(Window(run="nobody", started_s=1.0))


def test_last_seen_is_the_end_of_the_last_attempt(ledger, run):
    assert ledger.last_seen_s(run.id) is None
    for started_s, e2e_s in ((5.0, 10.0), (12.0, None)):
        call = Call(prompt="p")
        ledger.record_sync(call, [leg(call, started_s=started_s, e2e_s=e2e_s)], run=run.id)
    assert ledger.last_seen_s(run.id) == 15.0


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.5, math.inf])
def test_an_outcome_value_outside_0_to_1_is_refused(ledger, value):
    with pytest.raises(InputError, match="allowed: 0"):
        ledger.add_outcomes([Outcome(call_id="c", name="n", value=value, source=Source.CHECK)])


def test_an_outcome_about_nothing_is_refused(ledger):
    with pytest.raises(InputError, match="neither a call_id nor an external_key"):
        ledger.add_outcomes([Outcome(name="n", value=1.0, source=Source.CHECK)])


def test_an_attempt_of_another_call_is_refused_and_nothing_is_written(ledger):
    call = Call(prompt="p")
    with pytest.raises(InputError, match="recorded under call"):
        ledger.record_sync(call, [leg(Call(prompt="q"))])
    assert ledger.calls() == ()


async def test_one_bad_record_fails_alone(ledger):
    good, bad = [Call(prompt="p") for _ in range(20)], Call(prompt="p")
    results = await asyncio.gather(
        *(ledger.record(call, [leg(call)]) for call in good[:10]),
        ledger.record(bad, [leg(bad, usage=Usage(output=2**70))]),
        *(ledger.record(call, [leg(call)]) for call in good[10:]),
        return_exceptions=True,
    )
    assert [type(result) for result in results if result is not None] == [InputError]
    assert {record.call.id for record in ledger.calls()} == {call.id for call in good}


async def test_a_lone_surrogate_costs_no_record(ledger):
    call = Call(prompt="p")
    await ledger.record(call, [leg(call, text="a\ud83d", error="\udc80")])
    (record,) = ledger.calls()
    assert record.attempts[0].text == "a\\ud83d"


async def test_a_nul_character_costs_no_record_nor_those_beside_it(ledger, backend):
    """PostgreSQL's texts have no NUL: it is escaped there, and kept as it is by SQLite."""
    calls = [Call(prompt="p") for _ in range(20)]
    calls[7] = bad = Call(prompt="p\x00")
    legs = {call.id: leg(call, text="a\x00b\ud83d", error="\x00") if call is bad else leg(call) for call in calls}
    await asyncio.gather(*(ledger.record(call, [legs[call.id]]) for call in calls))
    found = {record.call.id: record for record in ledger.calls()}
    assert found.keys() == {call.id for call in calls}
    nul = "\x00" if backend == "sqlite" else "\\x00"
    (attempt,) = found[bad.id].attempts
    assert (found[bad.id].call.prompt, attempt.text, attempt.error) == (f"p{nul}", f"a{nul}b\\ud83d", nul)


def test_a_call_id_that_cannot_be_stored_as_it_is_is_numbered_all_the_same(ledger):
    call = Call(id="a\x00b\ud83d", prompt="p")
    ledger.record_sync(call, [leg(call, ledger.next_seq(call.id)), leg(call, ledger.next_seq(call.id))])
    forgetful = AttemptNumbers(ledger._free_seq)
    assert forgetful.take(call.id) == 2


async def test_a_cancelled_caller_loses_no_record(ledger):
    call = Call(prompt="p")
    task = asyncio.create_task(ledger.record(call, [leg(call)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ledger.record_sync(other := Call(prompt="q"), [leg(other)])  # commits behind it
    assert {record.call.id for record in ledger.calls()} == {call.id, other.id}


async def test_a_thousand_callers_share_commits_and_all_are_kept(ledger):
    calls = [Call(prompt="p") for _ in range(1000)]
    await asyncio.gather(*(ledger.record(call, [leg(call), leg(call, 1)]) for call in calls))
    records = ledger.calls()
    assert [record.call.id for record in records] == sorted(call.id for call in calls)
    assert all([attempt.seq for attempt in record.attempts] == [0, 1] for record in records)


async def test_an_event_loop_that_is_never_idle_does_not_keep_the_writer_waiting_for_ever(ledger):
    """Without ``turns`` this takes minutes: every poll of the loop begins the writer's wait for its turn anew."""
    waiting = iter([Call(prompt="p") for _ in range(2000)])

    async def record_some():
        for call in waiting:
            await ledger.record(call, [leg(call)])

    async def work_without_a_pause():
        while True:
            until = time.perf_counter() + 0.001
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    busy = asyncio.create_task(work_without_a_pause())
    async with asyncio.timeout(60):
        await asyncio.gather(*(record_some() for _ in range(512)))
    busy.cancel()
    assert len(ledger.calls()) == 2000


def test_a_closed_ledger_says_so_and_kept_what_waited(place):
    ledger = Ledger.open(place)
    call = Call(prompt="p")
    ledger.record_sync(call, [leg(call)])
    ledger.close()
    ledger.close()
    with pytest.raises(SetupError, match="is closed"):
        ledger.record_sync(call, [leg(call)])
    with Ledger.open(ledger.path) as again:
        assert len(again.calls()) == 1


def test_readers_cannot_write(ledger):
    reading = ledger._database.reading
    with pytest.raises(SetupError, match="is read-only"), sentences(ledger.path), reading.begin() as connection:
        connection.execute(schema.runs.delete())


@ON_SQLITE
def test_commits_are_synchronous_and_the_log_is_write_ahead(ledger):
    with ledger._database.writing.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with sqlite3.connect(ledger.path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


money = st.integers(min_value=-(2**62), max_value=2**62)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amounts=st.lists(money, min_size=1, max_size=8))
def test_money_is_exact_in_the_store(ledger, amounts):
    call = Call(prompt="p", workload=new_id())  # by which it is told from the calls of other examples
    charges = [
        Charge(
            call_id=call.id,
            seq=seq,
            incremental_nano_usd=nano,
            avoided_nano_usd=nano,
            price_version="p",
            basis="usage",
        )
        for seq, nano in enumerate(amounts)
    ]
    ledger.record_sync(call, [], charges)
    (record,) = ledger.calls(workload=call.workload)
    assert sum(charge.incremental_nano_usd for charge in record.charges) == sum(amounts)
    assert record.charges == tuple(charges)
