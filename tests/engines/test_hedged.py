"""A slow engine gets company within a budget: the first to speak wins, the other is hung up, both are attempts."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Kept, Scripted, ask

from cput.engines.budget import Budget
from cput.engines.fallback import Fallback
from cput.engines.hedged import Hedged
from cput.engines.patience import ENOUGH, Patience
from cput.errors import EngineError, EngineUnavailable, InputError, UpstreamError
from cput.ledger.meter import Metered
from cput.protocols import Answer
from cput.records import Finish, Role
from cput.testing import EchoEngine, check_engine

SOON = Patience(after_s=0.01)


def plenty():
    return Budget(share=1, reserve=1000)


def hedged(first, second, kept, *, patience=SOON, budget=None):
    return Hedged(Metered(first, kept), Metered(second, kept, role=Role.HEDGE), patience, budget or plenty())


async def test_a_hedged_engine_keeps_the_contract():
    slow, quick = lambda: EchoEngine(token_s=0.004), lambda: EchoEngine(token_s=0.0005)
    await check_engine(lambda: Hedged(slow(), quick(), Patience(after_s=0.001), plenty()))
    await check_engine(lambda: Hedged(quick(), slow(), Patience(after_s=1.0), plenty()))


async def test_a_quick_first_engine_is_alone():
    kept, second, call = Kept(), Scripted("b"), ask()
    assert await hedged(Scripted("a"), second, kept).answer(call).text() == "a0 a1 "
    assert (second.sent, kept.of(call)) == (0, [(0, "a", "serve", "stop")])


async def test_a_slow_first_engine_loses_and_both_are_on_record_when_the_end_is_told():
    kept, first, call = Kept(), Scripted("a", "hangs"), ask()
    answer = hedged(first, Scripted("b"), kept).answer(call)
    assert await answer.text() == "b0 b1 "
    assert kept.of(call) == [(0, "a", "serve", "cancelled"), (1, "b", "hedge", "stop")]
    assert (first.hung_up, answer.ending.attempt) == (1, 1)


async def test_a_first_engine_that_still_comes_sooner_wins():
    kept, second, call = Kept(), Scripted("b", "hangs"), ask()
    assert await hedged(Scripted("a", "slow"), second, kept).answer(call).text() == "a0 a1 "
    assert kept.of(call) == [(0, "a", "serve", "stop"), (1, "b", "hedge", "cancelled")]
    assert second.hung_up == 1


async def test_one_that_fails_leaves_it_to_the_other():
    kept, call = Kept(), ask()
    assert await hedged(Scripted("a", "slow"), Scripted("b", "500"), kept).answer(call).text() == "a0 a1 "
    assert kept.of(call) == [(0, "a", "serve", "stop"), (1, "b", "hedge", "error")]


async def test_when_both_fail_both_are_told():
    kept, call = Kept(), ask()
    with pytest.raises(EngineUnavailable, match=r"b: can't be reached; a: gone at last"):
        await hedged(Scripted("a", "late"), Scripted("b", "gone"), kept).answer(call).text()
    assert [leg[2:] for leg in kept.of(call)] == [("serve", "error"), ("hedge", "error")]


async def test_what_the_first_says_about_the_request_ends_the_race():
    class Wrong(Scripted):
        def answer(self, call):
            inner = super().answer(call)

            async def stream():
                await asyncio.sleep(0.03)
                async for piece in inner:
                    yield piece

            return Answer(stream())

    kept, second = Kept(), Scripted("b", "hangs")
    with pytest.raises(UpstreamError, match="answered 400"):
        await hedged(Wrong("a", "400"), second, kept).answer(ask()).text()
    assert (second.sent, second.hung_up) == (1, 1)


async def test_before_the_hedge_an_error_is_the_firsts_and_a_fallback_takes_it():
    kept, call = Kept(), ask()
    first, second = Scripted("a", "500"), Scripted("b")
    with pytest.raises(UpstreamError):
        await hedged(first, second, kept).answer(ask()).text()
    assert second.sent == 0
    first.script = ["500"]
    line = Fallback([hedged(first, second, kept), Metered(second, kept)])
    assert await line.answer(call).text() == "b0 b1 "
    assert kept.of(call) == [(0, "a", "serve", "error"), (1, "b", "serve", "stop")]


async def test_after_the_first_piece_a_broken_answer_is_broken():
    kept, call = Kept(), ask()
    with pytest.raises(EngineUnavailable, match="broke off"):
        await hedged(Scripted("a", "hangs"), Scripted("b", "broken"), kept).answer(call).text()
    assert kept.of(call) == [(0, "a", "serve", "cancelled"), (1, "b", "hedge", "error")]


async def test_an_empty_answer_is_an_answer():
    kept, call = Kept(), ask()
    answer = hedged(Scripted("a", "empty"), Scripted("b"), kept).answer(call)
    assert (await answer.text(), answer.ending.finish) == ("", Finish.STOP)


@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_a_hang_up_reaches_both_legs_at_once(how):
    kept, call = Kept(), ask()
    legs = Scripted("a", "hangs"), Scripted("b", "hangs")
    answer = hedged(*legs, kept).answer(call)
    task = asyncio.create_task(answer.text())
    await asyncio.sleep(0.05)
    assert [leg.sent for leg in legs] == [1, 1]
    began = time.perf_counter()
    if how == "aclose":
        await answer.aclose()
        assert await task == ""
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert time.perf_counter() - began < 1
    assert [leg.hung_up for leg in legs] == [1, 1]
    assert kept.of(call) == [(0, "a", "serve", "cancelled"), (1, "b", "hedge", "cancelled")]


def test_patience_is_a_running_quantile_once_there_is_enough():
    patience = Patience(quantile=0.9)
    for at in range(ENOUGH - 1):
        patience.saw(at / 10)
    assert patience.after_s is None
    patience.saw(3.1)
    assert 2.7 < patience.after_s < 2.9
    for _ in range(600):
        patience.saw(0.5)
    assert patience.after_s == 0.5


@pytest.mark.parametrize("wrong", [{"after_s": -1}, {"quantile": 0}, {"quantile": 1}])
def test_impatience_is_one_sentence(wrong):
    with pytest.raises(InputError, match="allowed"):
        Patience(**wrong)


WORDS = ("ok", "slow", "500", "gone", "400", "broken", "empty")
script = st.lists(st.sampled_from(WORDS), max_size=12)


@settings(max_examples=40, deadline=None)
@given(first=script, second=script, share=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
async def test_the_budget_holds_and_attempts_are_the_legs_that_were_sent(first, second, share):
    kept, calls = Kept(), 12
    a, b = Scripted("a", *first, slow_s=0.004), Scripted("b", *second, slow_s=0.004)
    engine = hedged(a, b, kept, patience=Patience(after_s=0.001), budget=Budget(share=share))
    for _ in range(calls):
        call, said = ask(), []
        try:
            async for piece in engine.answer(call):
                said.append(piece.text[0])  # noqa: PERF401  # what came before an error counts
        except EngineError:
            pass
        legs = kept.of(call)
        assert len(set(said)) <= 1  # the first piece decides
        assert [leg[0] for leg in legs] == list(range(len(legs)))
        assert sum(leg[3] == "stop" for leg in legs) <= 1 or "empty" in first + second
    assert b.sent <= share * calls + 1e-9
    assert len(kept.attempts) == a.sent + b.sent
