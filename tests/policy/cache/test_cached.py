"""Equal calls are answered once: what is kept, who waits for whom, what it costs, and what evicts it."""

import asyncio
import contextlib
from pathlib import Path

import numpy as np
import pytest

from cput.engines.echo import Echo
from cput.errors import EngineError, EngineUnavailable
from cput.ledger.charged import avoided, charged
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy.cache import TAG, Bills, Cache, Cached, FileStore, MemoryStore
from cput.protocols import Answer
from cput.records import (
    Call,
    Charge,
    CountedBy,
    Ending,
    Finish,
    Message,
    Outcome,
    Piece,
    Role,
    Sampling,
    Source,
    Usage,
    Vectors,
    changed,
)
from cput.testing import check_engine


class Flat:
    """Every attempt costs the same."""

    def charge(self, attempt):
        return Charge(
            call_id=attempt.call_id, seq=attempt.seq, incremental_nano_usd=700, price_version="flat", basis="usage"
        )


class Counting(Echo):
    """An echo that counts who asks it, and may be held back, fail, or end otherwise."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = []
        self.began = asyncio.Event()
        self.hung_up = 0
        self.gate = None
        self.error = None
        self.ends = {}

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            self.asked.append(call)
            self.began.set()
            try:
                async for piece in inner:
                    yield piece
                    if self.gate is not None:
                        await self.gate.wait()
                    if self.error is not None:
                        raise self.error
                yield changed(inner.ending, **self.ends)
            except (GeneratorExit, asyncio.CancelledError):
                self.hung_up += 1
                raise

        return Answer(stream(), lambda: inner.so_far)


class Line:
    """An engine behind a cache, in front of a ledger."""

    def __init__(self, ledger, store=None, **options):
        self.ledger = ledger
        self.unsettled = []
        self.leaf = Counting(token_s=0.0)
        self.bills = Bills(ledger, self.unsettled.append)
        self.cache = Cache(store or MemoryStore(), ttl_s=3600)
        self.engine = Cached(
            Metered(self.leaf, self.bills, prices=Flat()), self.cache, self.bills, model="m", **options
        )

    async def ask(self, text="one two three", **more):
        call = asking(text, **more)
        answer = self.engine.answer(call)
        said = await answer.text()
        return said, answer.ending, call

    def record(self, call):
        (record,) = [each for each in self.ledger.calls() if each.call.id == call.id]
        return record


def asking(text="one two three", *, sampling=None, **more):
    return Call(messages=(Message(role="user", content=text),), sampling=sampling or Sampling(), **more)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def line(ledger):
    return Line(ledger)


async def test_the_same_call_is_answered_once_and_says_why(line):
    said, _, first = await line.ask()
    again, ending, call = await line.ask()
    assert (said, again, len(line.leaf.asked)) == ("one two three", "one two three", 1)
    assert (ending.grounds.reason, ending.grounds.chosen, ending.grounds.source_call) == (
        "cache_exact",
        "cache",
        first.id,
    )
    assert (ending.model, ending.finish) == ("echo", Finish.STOP)
    assert line.cache.counts.hits == {"cache_exact": 1, "cache_semantic": 0}
    assert (line.cache.counts.misses, line.cache.counts.avoided_nano_usd) == (1, 700)
    record = line.record(call)
    (attempt,) = record.attempts
    assert (attempt.engine, attempt.role, attempt.seq, ending.attempt) == ("cache", Role.SERVE, 0, 0)
    assert (attempt.usage.output, attempt.usage.engine_s, attempt.usage.input_uncached) == (3, 0.0, 0)
    assert attempt.usage.complete
    assert (charged(record), int(avoided(record) * 10**9)) == (0, 700)
    assert charged(line.record(first)) == 700


async def test_a_stream_is_given_again_piece_by_piece(line):
    await line.ask()
    pieces = [piece.text async for piece in line.engine.answer(asking())]
    assert pieces == ["one ", "two ", "three"]


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "b"},
        {"tenant": None},
        {"policy": "p"},
        {"sampling": Sampling(max_new_tokens=9)},
        {"text": "one two three "},
    ],
)
async def test_another_tenant_policy_or_sampling_is_another_call(line, other):
    await line.ask(tenant="a")
    await line.ask(**{"tenant": "a", **other})
    assert len(line.leaf.asked) == 2


async def test_a_sampled_call_is_kept_only_where_its_caller_says_so(line):
    drawn = Sampling(temperature=0.7, seed=4)
    for _ in range(2):
        await line.ask(sampling=drawn)
    assert len(line.leaf.asked) == 2
    for _ in range(2):
        await line.ask(sampling=drawn, tags={TAG: "on"})
    assert len(line.leaf.asked) == 3


@pytest.mark.parametrize(("word", "asked", "after"), [("off", 2, 2), ("fresh", 2, 2), ("ON!", 2, 2), ("auto", 1, 1)])
async def test_a_caller_may_pass_the_cache_by(line, word, asked, after):
    await line.ask()
    await line.ask(tags={TAG: word})
    assert len(line.leaf.asked) == asked
    await line.ask()
    assert len(line.leaf.asked) == after


async def test_fresh_takes_the_place_of_what_was_kept_and_off_keeps_nothing(line):
    await line.ask()
    _, _, second = await line.ask(tags={TAG: "fresh"})
    assert (await line.ask())[1].grounds.source_call == second.id
    await line.ask("other", tags={TAG: "off"})
    await line.ask("other")
    assert len(line.leaf.asked) == 4


@pytest.mark.parametrize(
    "ends",
    [
        {"finish": Finish.CANCELLED},
        {"finish": Finish.ERROR},
        {"finish": Finish.LENGTH},
        {"usage": Usage(output=3)},
        {"usage": Usage(complete=True, counted_by=CountedBy.ENGINE)},
    ],
)
async def test_an_answer_that_did_not_end_well_is_not_kept(line, ends):
    line.leaf.ends = ends
    await line.ask()
    line.leaf.ends = {}
    await line.ask()
    assert len(line.leaf.asked) == 2


async def test_an_answer_that_its_own_bound_cut_is_kept_and_an_empty_one_is_not(line):
    for _ in range(2):
        said, ending, _ = await line.ask(sampling=Sampling(max_new_tokens=2))
        assert (said, ending.finish) == ("one two ", Finish.LENGTH)
    assert len(line.leaf.asked) == 1
    for _ in range(2):
        await line.ask(" ")
    assert len(line.leaf.asked) == 3


async def test_a_failed_call_is_asked_again(line):
    line.leaf.error = EngineUnavailable("gone")
    with pytest.raises(EngineUnavailable):
        await line.ask()
    line.leaf.error = None
    assert (await line.ask())[0] == "one two three"
    assert len(line.leaf.asked) == 2


async def waiting(line, count):
    """Begin many equal calls, the first of them at the engine."""
    line.leaf.gate = asyncio.Event()
    calls = [asking() for _ in range(count)]
    answers = [line.engine.answer(call) for call in calls]
    tasks = [asyncio.create_task(answer.text()) for answer in answers]
    await line.leaf.began.wait()
    await asyncio.sleep(0.01)
    return calls, answers, tasks


async def test_many_equal_calls_at_once_are_one_call_upstream(line):
    calls, answers, tasks = await waiting(line, 50)
    line.leaf.gate.set()
    assert set(await asyncio.gather(*tasks)) == {"one two three"}
    assert len(line.leaf.asked) == 1
    reasons = [answer.ending.grounds and answer.ending.grounds.reason for answer in answers]
    assert reasons == [None, *["cache_exact"] * 49]
    records = {record.call.id: record for record in line.ledger.calls()}
    assert charged(records[calls[0].id]) == 700
    assert {(charged(records[call.id]), int(avoided(records[call.id]) * 10**9)) for call in calls[1:]} == {(0, 700)}
    assert (line.cache.counts.misses, line.cache.counts.hits["cache_exact"]) == (1, 49)


async def test_who_asked_first_may_hang_up_and_the_others_get_the_answer(line):
    calls, answers, tasks = await waiting(line, 3)
    await answers[0].aclose()
    assert line.unsettled == [calls[0].id]
    line.leaf.gate.set()
    assert await asyncio.gather(*tasks[1:]) == ["one two three"] * 2
    assert (len(line.leaf.asked), line.leaf.hung_up) == (1, 0)
    assert charged(line.record(calls[0])) == 700  # it was made at the first one's cost, and is on record as that
    await line.ask()
    assert len(line.leaf.asked) == 1


async def test_when_all_hang_up_the_engine_stops_and_it_is_on_record(line):
    calls, answers, tasks = await waiting(line, 3)
    for answer in answers:
        await answer.aclose()
    assert line.leaf.hung_up == 1
    assert line.unsettled == calls_of(calls[:1])
    finishes = {record.call.id: record.attempts[0].finish for record in line.ledger.calls()}
    assert finishes == {call.id: Finish.CANCELLED for call in calls}
    line.leaf.gate.set()
    assert (await line.ask())[0] == "one two three"
    assert len(line.leaf.asked) == 2
    await asyncio.gather(*tasks)


def calls_of(calls):
    return [call.id for call in calls]


async def test_one_who_asks_alone_and_hangs_up_is_settled(line):
    line.leaf.gate = asyncio.Event()
    answer = line.engine.answer(asking())
    await anext(aiter(answer))
    await answer.aclose()
    assert (line.leaf.hung_up, line.unsettled, answer.ending.finish) == (1, [], Finish.CANCELLED)
    assert (answer.ending.usage.output, answer.ending.attempt) == (1, 0)
    assert line.cache.flights == {}


async def test_an_error_reaches_all_who_wait_and_none_asks_again(line):
    line.leaf.error = EngineError("no")
    _, _, tasks = await waiting(line, 10)
    line.leaf.gate.set()
    failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in failed} == {EngineError}
    assert len(line.leaf.asked) == 1
    assert len(line.ledger.calls()) == 1  # nothing was sent for the others
    assert line.cache.flights == {}


async def test_who_comes_while_an_answer_is_under_way_gets_it_from_its_beginning(line):
    line.leaf.gate = asyncio.Event()
    first, second = line.engine.answer(asking()), line.engine.answer(asking())
    assert [(await anext(aiter(each))).text for each in (first, second)] == ["one ", "one "]
    line.leaf.gate.set()
    assert [await each.text() for each in (second, first)] == ["two three", "two three"]


async def test_a_hit_that_is_hung_up_on_avoided_nothing(line):
    await line.ask()
    call = asking()
    answer = line.engine.answer(call)
    await anext(aiter(answer))
    await answer.aclose()
    record = line.record(call)
    assert (record.attempts[0].finish, record.attempts[0].usage.output) == (Finish.CANCELLED, 1)
    assert (charged(record), avoided(record)) == (0, 0)


def said(value, **about):
    return Outcome(name="thumbs", value=value, source=Source.USER, **about)


@pytest.mark.parametrize("kind", ["original", "hit", "external_key", "episode"])
async def test_a_negative_outcome_of_any_call_served_from_an_entry_evicts_it(line, kind):
    _, _, first = await line.ask(tenant="a")
    _, _, second = await line.ask(tenant="a", external_key="order-1", episode="talk-1")
    about = {
        "original": {"call_id": first.id},
        "hit": {"call_id": second.id},
        "external_key": {"external_key": "order-1"},
        "episode": {"episode": "talk-1"},
    }[kind]
    assert await line.cache.judged([said(1, **about)], tenant="a") == 0
    assert await line.cache.judged([said(0, **about, detail={"retracted": True})], tenant="a") == 0
    assert await line.cache.judged([said(0, **about)], tenant="b") == 0
    assert await line.cache.judged([said(0, **about)], tenant="a") == 1
    await line.ask(tenant="a")
    assert (len(line.leaf.asked), line.cache.counts.evicted) == (2, 1)


async def test_an_entry_outlives_the_process_in_a_file(ledger, tmp_path):
    path = tmp_path / "cache.db"
    for asked in (1, 0):
        line = Line(ledger, FileStore(Path(path)))
        assert (await line.ask())[0] == "one two three"
        assert len(line.leaf.asked) == asked
        await line.cache.aclose()


async def test_bytes_that_are_no_entry_are_a_miss(ledger):
    class Broken(MemoryStore):
        async def get(self, key):
            return b'["", null, "", "", [["os.system", "x"]]]'

    line = Line(ledger, Broken())
    assert (await line.ask())[0] == "one two three"


async def test_vectors_are_given_again_bit_by_bit(ledger):
    class Vectorising(Counting):
        def answer(self, call):
            async def stream():
                self.asked.append(call)
                rows = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
                yield Vectors(places=(1, 0), values=rows, cut=(1,))
                usage = Usage(input_uncached=2, output=0, complete=True, counted_by=CountedBy.ENGINE)
                yield Ending(finish=Finish.STOP, usage=usage)

            return Answer(stream())

    line = Line(ledger)
    line.leaf = Vectorising()
    line.engine = Cached(Metered(line.leaf, line.bills, prices=Flat()), line.cache, line.bills, model="m")
    calls = [Call(embed=("a", "b")) for _ in range(2)]
    rows = [await line.engine.answer(call).vectors() for call in calls]
    assert np.array_equal(*rows)
    assert len(line.leaf.asked) == 1


async def test_a_piece_of_an_unknown_kind_is_not_kept(line):
    class Strange(Piece):
        pass

    kept = line.cache.codec
    assert kept._packed(Strange(text="x")) is None


async def test_an_unknown_cost_is_not_claimed_as_avoided(line):
    line.engine = Cached(Metered(line.leaf, line.bills), line.cache, line.bills, model="m")
    await line.ask()
    _, _, call = await line.ask()
    (charge,) = line.record(call).charges
    assert (charge.incremental_nano_usd, charge.avoided_nano_usd, charge.price_version) == (0, 0, "avoided unpriced")


async def test_a_cancelled_task_takes_nothing_from_the_others(line):
    _, _, tasks = await waiting(line, 3)
    tasks[0].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await tasks[0]
    line.leaf.gate.set()
    assert await asyncio.gather(*tasks[1:]) == ["one two three"] * 2


async def test_a_cached_engine_keeps_the_laws_of_engines(ledger):
    def make():
        bills = Bills(ledger)
        return Cached(Metered(Echo(token_s=0.001), bills), Cache(MemoryStore()), bills, model="m")

    assert len(await check_engine(make)) > 10


async def test_text_of_hits_is_kept_only_where_asked_for(ledger):
    for keep in (False, True):
        line = Line(ledger, keep_text=keep)
        await line.ask(f"text {keep}")
        _, _, call = await line.ask(f"text {keep}")
        assert line.record(call).attempts[0].text == (f"text {keep}" if keep else None)
        assert bool(line.record(call).call.messages) is keep
