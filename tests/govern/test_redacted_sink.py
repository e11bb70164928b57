"""The sink in front of the ledger: nothing that is personal or secret reaches the file, and no attempt is lost."""

import asyncio
import threading
import time
from dataclasses import replace

import ids
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_server import until

from cput.govern.redact import Redacted, Redactor
from cput.govern.redact.records import NOTE, WITHHELD, redacted_outcome
from cput.ledger.store import Ledger
from cput.records import (
    Attempt,
    Call,
    Charge,
    Finish,
    Grammar,
    GrammarKind,
    Message,
    Outcome,
    Sampling,
    Source,
    Usage,
)

MOBILE = "13800138000"
KEY = b"0123456789abcdef"


class Kept:
    """A ledger that remembers."""

    def __init__(self, slow_s=0.0):
        self.rows = []
        self.slow_s = slow_s

    def next_seq(self, call_id):
        return 7

    async def record(self, call, attempts, charges=(), *, run=None):
        self.rows.append((call, list(attempts), list(charges), run))
        await asyncio.sleep(self.slow_s)


class Broken(Redactor):
    def find(self, text, **_):
        raise ValueError(f"a bug that quotes {text}")


class Slow(Redactor):
    """Takes its time in whatever thread it runs in."""

    def __init__(self, seconds, **more):
        super().__init__(**more)
        self.seconds = seconds
        self.threads = set()

    def find(self, text, **more):
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        return super().find(text, **more)


def attempt(call, **more):
    usage = Usage(input_uncached=3, output=5, complete=True)
    return Attempt(call_id=call.id, seq=0, engine="e", usage=usage, started_s=1.0, finish=Finish.STOP, **more)


def charge(call):
    return Charge(call_id=call.id, seq=0, incremental_nano_usd=17, price_version="p", basis="usage")


def said(text, **more):
    return Call(messages=(Message(role="user", content=text),), **more)


async def test_every_text_of_a_call_is_redacted_and_nothing_else_changes():
    grammar = Grammar(kind=GrammarKind.CHOICE, value=("yes", MOBILE))
    call = said(
        f"电话{MOBILE}。", prompt=f"p {MOBILE}", tags={"user": MOBILE, "team": "a"}, workload="w", tenant="t",
        sampling=Sampling(stop=(MOBILE, "END"), grammar=grammar, seed=3), external_key=MOBILE, episode="e",
    )  # fmt: skip
    leg, money, ledger = attempt(call, text=f"ok {MOBILE}", error=f"no {MOBILE}", ttft_s=0.5), charge(call), Kept()
    await Redacted(ledger, Redactor()).record(call, [leg], [money], run="r")
    ((kept, (kept_leg,), charges, run),) = ledger.rows
    assert kept == replace(
        call,
        messages=(Message(role="user", content="电话<CN_MOBILE>。"),),
        prompt="p <CN_MOBILE>",
        tags={"user": "<CN_MOBILE>", "team": "a"},
        sampling=replace(
            call.sampling, stop=("<CN_MOBILE>", "END"), grammar=replace(grammar, value=("yes", "<CN_MOBILE>"))
        ),
    )
    assert kept_leg == replace(leg, text="ok <CN_MOBILE>", error="no <CN_MOBILE>")
    assert (charges, run) == ([money], "r")


async def test_without_anything_to_find_the_records_are_equal():
    call = said("nothing", tags={"a": "b"}, external_key="order-17", episode="x")
    leg, ledger = attempt(call, text="no"), Kept()
    await Redacted(ledger, Redactor(key=KEY)).record(call, [leg])
    assert ledger.rows == [(call, [leg], [], None)]


@pytest.mark.parametrize("length", [10, 100_000])
async def test_a_redactor_that_fails_costs_the_text_and_not_the_attempt(length):
    told, ledger = [], Kept()
    call = said(MOBILE + "x" * length, tags={"phone": MOBILE}, external_key="order-17", sampling=Sampling(stop=("s",)))
    leg, money = attempt(call, text="secret", error="secret"), charge(call)
    sink = Redacted(ledger, Broken(), lambda call, error: told.append((call.id, type(error))))
    await sink.record(call, [leg], [money])
    ((kept, (kept_leg,), charges, _),) = ledger.rows
    assert kept == replace(call, messages=(), tags={NOTE: "failed: ValueError"}, sampling=Sampling())
    assert kept_leg == replace(leg, text=None, error=WITHHELD)
    assert (charges, told) == ([money], [(call.id, ValueError)])


async def test_keys_that_join_outcomes_become_pseudonyms_that_join_as_well():
    ledger, redactor = Kept(), Redactor(key=KEY)
    call = said("x", tenant="t", external_key=f"t/{MOBILE}", episode=f"t/chat-{MOBILE}")
    await Redacted(ledger, redactor).record(call, [attempt(call)])
    kept = ledger.rows[0][0]
    outcome = Outcome(
        external_key=f"t/{MOBILE}", episode=f"t/chat-{MOBILE}", name="n", value=1.0, source=Source.USER,
        detail={"why": f"call {MOBILE}", "more": [{"phone": int(MOBILE), "ok": True, "n": 4.5, "none": None}]},
    )  # fmt: skip
    found = redacted_outcome(outcome, redactor, "t")
    assert (found.external_key, found.episode) == (kept.external_key, kept.episode)
    assert MOBILE not in f"{kept}{found}"
    assert found.detail["more"][0]["ok"] is True
    assert redacted_outcome(outcome, Redactor(), "t").external_key == f"t/{MOBILE}"  # else all would be one
    assert redacted_outcome(outcome, Redactor(), "t").detail["why"] == "call <CN_MOBILE>"


def test_an_outcome_whose_detail_can_t_be_redacted_counts_without_it():
    outcome = Outcome(call_id="c", name="n", value=1.0, source=Source.USER, detail={"why": MOBILE})
    assert redacted_outcome(outcome, Broken(), None) == replace(outcome, detail={NOTE: "failed: ValueError"})


async def test_short_texts_are_redacted_where_they_are_and_long_ones_in_a_thread():
    redactor = Slow(0.0)
    sink = Redacted(Kept(), redactor)
    await sink.record(call := said("short"), [attempt(call)])
    assert redactor.threads == {threading.get_ident()}
    await sink.record(call := said("long " * 10_000), [attempt(call)])
    assert len(redactor.threads) == 2


async def test_the_loop_runs_on_while_a_long_text_is_redacted():
    """A megabyte takes a while; a task that wants to run every millisecond is never kept waiting for anything like it."""
    text = ("这是一段很长的文字，电话13800138000。The quick brown fox 12345 jumps.\n" * 20_000)[:1_000_000]
    ledger, waits = Kept(), []

    async def tick():
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            waits.append(time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    began = time.perf_counter()
    await Redacted(ledger, Redactor()).record(call := said(text), [attempt(call)])
    took = time.perf_counter() - began
    ticking.cancel()
    assert MOBILE not in ledger.rows[0][0].messages[0].content
    assert len(waits) > 5
    assert max(waits) < max(0.25, took / 4)


async def test_a_caller_that_is_cancelled_meanwhile_is_stored_all_the_same():
    ledger = Kept()
    sink = Redacted(ledger, Slow(0.1))
    call = said("long " * 10_000 + MOBILE)
    task = asyncio.create_task(sink.record(call, [attempt(call)], [charge(call)]))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ledger.rows
    await until(lambda: ledger.rows)
    assert ledger.rows[0][0].messages[0].content.endswith("<CN_MOBILE>")


def test_a_loop_that_ends_meanwhile_stores_the_attempt_without_its_text():
    ledger, call = Kept(), said("long " * 10_000 + MOBILE)

    async def go():
        sink = Redacted(ledger, Slow(0.3))
        task = asyncio.create_task(sink.record(call, [attempt(call, text="a")], [charge(call)]))
        await asyncio.sleep(0.02)
        task.cancel()

    asyncio.run(go())
    ((kept, (leg,), charges, _),) = ledger.rows
    assert (kept.messages, leg.text, len(charges)) == ((), None, 1)
    assert kept.tags == {NOTE: "cancelled"}


async def test_an_error_of_the_ledger_goes_to_the_caller():
    class Full(Kept):
        async def record(self, *_, **__):
            raise OSError("the disk is full")

    for text in ("short", "long " * 10_000):
        with pytest.raises(OSError, match="full"):
            await Redacted(Full(), Redactor()).record(call := said(text), [attempt(call)])


@settings(max_examples=20, deadline=None)
@given(st.lists(ids.values, min_size=1, max_size=3), ids.prose)
def test_no_byte_of_it_reaches_the_ledger_s_files(tmp_path_factory, found, prose):
    folder = tmp_path_factory.mktemp("ledger")
    text = f"{prose}，{'，'.join(value for _, value in found)}。"
    call = said(text, tags={"t": text})
    with Ledger.open(folder / "l.db") as ledger:
        asyncio.run(Redacted(ledger, Redactor()).record(call, [attempt(call, text=text, error=text)]))
        raw = b"".join(path.read_bytes() for path in folder.iterdir())  # the write-ahead log too
        assert call.id.encode() in raw
        assert not [value for _, value in found if value.encode() in raw]
