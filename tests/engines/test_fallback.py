"""Another engine answers when one fails before its first piece; what is the caller's own fault ends it."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ERRORS, Kept, Scripted, ask, status

from cput.engines.breaker import Breaker
from cput.engines.budget import Budget
from cput.engines.circuit import Circuit
from cput.engines.fallback import Fallback
from cput.engines.faults import Rested, Unsuited, together
from cput.engines.retry import Retried, Stalled, Throttled
from cput.engines.timed import Timed
from cput.errors import EngineError, EngineUnavailable, InputError, PromptTooLong, UpstreamError
from cput.ledger.meter import Metered
from cput.testing import EchoEngine, FakeClock, check_engine


async def test_a_fallback_keeps_the_contract():
    await check_engine(lambda: Fallback([EchoEngine(token_s=0.0005), EchoEngine()]))


@pytest.mark.parametrize("word", ["500", "429", "gone", "stalled"])
async def test_the_next_one_answers_and_each_leg_is_an_attempt(word):
    kept, call = Kept(), ask()
    engine = Fallback([Metered(Scripted("a", word), kept), Metered(Scripted("b"), kept)])
    assert await engine.answer(call).text() == "b0 b1 "
    assert kept.of(call) == [(0, "a", "serve", "error"), (1, "b", "serve", "stop")]


@pytest.mark.parametrize("word", ["400", "too long"])
async def test_what_the_first_says_about_the_request_ends_it(word):
    second = Scripted("b")
    with pytest.raises((UpstreamError, PromptTooLong), match=str(ERRORS[word]())):
        await Fallback([Scripted("a", word), second]).answer(ask()).text()
    assert second.sent == 0


async def test_what_a_later_one_says_about_the_request_is_not_the_clients_mistake():
    engines = [Scripted("a", "500"), Scripted("b", "400"), Scripted("c", "gone")]
    with pytest.raises(EngineUnavailable) as error:
        await Fallback(engines).answer(ask()).text()
    said = "none of 3 upstreams answered: a: answered 500; b: answered 400; c: can't be reached"
    assert str(error.value) == said
    with pytest.raises(UpstreamError, match="a: answered 500; b: answered 400") as upstream:
        await Fallback([Scripted("a", "500"), Scripted("b", "400")]).answer(ask()).text()
    assert upstream.value.status == 500


async def test_after_the_first_piece_nobody_else_is_asked():
    second, kept, call = Scripted("b"), Kept(), ask()
    with pytest.raises(EngineUnavailable, match="broke off"):
        await Fallback([Metered(Scripted("a", "broken"), kept), second]).answer(call).text()
    assert (second.sent, kept.of(call)) == (0, [(0, "a", "serve", "error")])


async def test_one_that_rests_is_skipped_without_an_attempt():
    kept, call, resting = Kept(), ask(), Scripted("a", "gone")
    circuit = Circuit(failures=1, clock=FakeClock())
    engine = Fallback([Breaker(Metered(resting, kept), circuit), Metered(Scripted("b"), kept)])
    await engine.answer(ask()).text()
    assert await engine.answer(call).text() == "b0 b1 "
    assert (kept.of(call), resting.sent) == ([(0, "b", "serve", "stop")], 1)


def test_the_least_wait_is_the_wait():
    one, other = Rested("a rests", retry_after_s=9.0), Rested("b rests", retry_after_s=4.0)
    assert together([("a", one), ("b", other)]).retry_after_s == 4.0
    busy = Throttled("busy", status=429, body="", retry_after_s=2.0)
    found = together([("a", busy), ("b", one)])
    assert (type(found), found.retry_after_s) == (Rested, 2.0)
    found = together([("a", one), ("b", busy)])
    assert (type(found), found.status, found.retry_after_s) == (Throttled, 429, 2.0)
    assert together([("a", one)]) is one
    assert together([("a", status(404)), ("b", Unsuited("no tools"))]).args == ("no tools",)


async def test_a_hang_up_reaches_the_leg_under_way():
    first, second = Scripted("a", "gone"), Scripted("b", "hangs")
    answer = Fallback([first, second]).answer(ask())
    task = asyncio.create_task(answer.text())
    await asyncio.sleep(0.01)
    await answer.aclose()
    assert await task == ""
    assert second.hung_up == 1


async def test_closing_closes_all():
    engines = [Scripted("a"), Scripted("b")]
    await Fallback(engines).aclose()
    assert [engine.closed for engine in engines] == [1, 1]
    with pytest.raises(InputError, match="1 or more"):
        Fallback([])


async def test_a_server_that_may_be_at_work_is_not_sent_the_call_again():
    engine = Scripted("a", "stalled")
    with pytest.raises(Stalled):
        await Retried(engine, attempts=5, backoff_s=0.0).answer(ask()).text()
    assert engine.sent == 1


async def test_an_answer_that_is_not_whole_in_time_is_an_error_with_what_was_used():
    kept, call, slow = Kept(), ask(), Scripted("a", "hangs")
    with pytest.raises(Stalled, match=r"a had not answered in full after 0\.02 s"):
        await Metered(Timed(slow, 0.02), kept).answer(call).text()
    assert (kept.of(call), slow.hung_up) == ([(0, "a", "serve", "error")], 1)
    with pytest.raises(InputError, match="total_s is 0"):
        Timed(slow, 0)


async def test_a_timed_engine_keeps_the_contract():
    await check_engine(lambda: Timed(EchoEngine(token_s=0.0005), 30))


WORDS = ("ok", "500", "429", "400", "gone", "stalled", "too long", "broken", "empty")
scripts = st.lists(st.lists(st.sampled_from(WORDS), max_size=6), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(scripts=scripts, attempts=st.integers(1, 4), failures=st.integers(1, 4), calls=st.integers(1, 8))
async def test_attempts_are_the_legs_that_were_sent_whatever_fails(scripts, attempts, failures, calls):
    kept, clock = Kept(), FakeClock()
    leaves = [Scripted(f"e{at}", *script) for at, script in enumerate(scripts)]
    line = [Breaker(Metered(leaf, kept), Circuit(failures=failures, clock=clock)) for leaf in leaves]
    budget = Budget(share=0.5, reserve=2, clock=clock)
    engine = Fallback([Retried(each, attempts=attempts, backoff_s=0.0, budget=budget) for each in line])
    for _ in range(calls):
        call, said, whole = ask(), [], True
        try:
            async for piece in engine.answer(call):
                said.append(piece.text)  # noqa: PERF401  # what came before an error counts
        except EngineError:
            whole = False
        legs = kept.of(call)
        assert [leg[0] for leg in legs] == list(range(len(legs)))
        assert all(finish == "error" for *_, finish in legs[:-1])  # whoever spoke or ended was the last
        assert whole == (bool(legs) and legs[-1][3] == "stop")
        assert {text[:2] for text in said} <= {legs[-1][1]} if legs else not said
        clock.advance(1)
    assert len(kept.attempts) == sum(leaf.sent for leaf in leaves)


events = st.lists(st.one_of(st.just("earn"), st.just("spend"), st.floats(0, 5)), max_size=200)


@given(share=st.floats(0, 1), reserve=st.floats(0, 10), per_s=st.floats(0, 3), events=events)
def test_the_budget_holds_in_every_window(share, reserve, per_s, events):
    clock = FakeClock()
    budget = Budget(share=share, reserve=reserve, per_s=per_s, clock=clock)
    seen = [(0, 0, 0.0)]  # calls, legs, seconds
    for event in events:
        calls, legs, _ = seen[-1]
        if event == "earn":
            budget.earn()
            calls += 1
        elif event == "spend":
            legs += budget.spend()
        else:
            clock.advance(event)
        seen.append((calls, legs, clock()))
    last = seen[-1]
    for calls, legs, now in seen:
        allowed = max(reserve, 1.0) + share * (last[0] - calls) + per_s * (last[2] - now)
        assert last[1] - legs <= allowed + 1e-6
    assert last[1] <= reserve + share * last[0] + per_s * last[2] + 1e-6


async def test_retries_over_budget_are_not_made():
    engine = Scripted("a", *["500"] * 100)
    retried = Retried(engine, attempts=3, backoff_s=0.0, budget=Budget(share=0.2, reserve=2, clock=FakeClock()))
    for _ in range(50):
        with pytest.raises(UpstreamError):
            await retried.answer(ask()).text()
    assert 50 < engine.sent <= 50 + 2 + 10


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"share": 0.1, "reserve": -1}, {"share": 0.1, "per_s": -1}])
def test_a_wrong_budget_is_one_sentence(wrong):
    with pytest.raises(InputError, match="allowed"):
        Budget(**wrong)
