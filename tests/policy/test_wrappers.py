"""Giving up lost answers and asking again."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.engines.echo import Echo
from cput.errors import EngineError
from cput.policy import Abandoned, Persistent, repeats_itself
from cput.protocols import Answer
from cput.records import Call, Ending, Finish, Message, Piece, Sampling, Usage

LONG = " ".join(f"w{i}" for i in range(200))


def ask(text):
    return Call(messages=(Message(role="user", content=text),))


async def read(answer):
    return await answer.text(), answer.ending


async def test_a_lost_answer_is_hung_up_with_what_it_used():
    engine = Abandoned(Echo(), lambda _, text: "lost" if "w10" in text else None, every=4)
    text, ending = await read(engine.answer(ask(LONG)))
    assert ending.finish is Finish.CANCELLED
    assert "w10" in text
    assert 11 <= ending.usage.output <= 16
    assert not ending.usage.complete


async def test_an_answer_that_is_never_lost_is_given_whole():
    engine = Abandoned(Echo(), lambda *_: None)
    text, ending = await read(engine.answer(ask(LONG)))
    assert (text, ending.finish) == (LONG, Finish.STOP)


class Counting(Echo):
    def __init__(self):
        super().__init__()
        self.calls = []

    def answer(self, call):
        self.calls.append(call)
        return super().answer(call)


async def test_a_useless_answer_is_asked_again_warmer_and_with_its_own_seed():
    engine = Counting()
    text, _ = await read(Persistent(engine, lambda *_: False, attempts=3, temperature=0.7).answer(ask("a b")))
    assert text == "a b"
    assert [call.sampling.temperature for call in engine.calls] == [0.0, 0.7, 0.7]
    assert len({call.sampling.seed for call in engine.calls}) == 3
    assert len({call.id for call in engine.calls}) == 1


async def test_the_first_useful_answer_is_given_and_nobody_is_asked_again():
    engine = Counting()
    await read(Persistent(engine, lambda *_: True, attempts=3).answer(ask("a b")))
    assert len(engine.calls) == 1


class Speaking(Echo):
    """Says what its script holds for the seed of the call, as slowly as that says; None is an engine's error."""

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.begun, self.hung_up = [], []
        self.all_begun = asyncio.Event()

    def answer(self, call):
        seed = call.sampling.seed or 0

        async def stream():
            self.begun.append(seed)
            if len(self.begun) == len(self.script):
                self.all_begun.set()
            words = self.script[seed]
            if words is None:
                raise EngineError("broken")
            try:
                for word in words:
                    await asyncio.sleep(0.005)
                    yield Piece(text=word, tokens=1)
            except (GeneratorExit, asyncio.CancelledError):
                self.hung_up.append(seed)
                raise
            yield Ending(finish=Finish.STOP, usage=Usage(output=len(words)), attempt=seed)

        return Answer(stream())


def good(_, text):
    return "good" in text


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("script", "given"),
    [
        (["bad", ["bad", "bad"], ["x", "good"], ["bad"]], 2),
        ([["good"], ["x"], ["x"], ["x"]], 0),
        ([["the", "first"], ["x"], ["x"], ["x"]], 0),
        ([["bad"], None, ["x"], ["good"]], 3),
        ([["bad"], None, None, None], 0),
    ],
)
async def test_the_answer_that_passes_is_given_or_else_the_first(script, given, together):
    engine = Speaking(script)
    text, ending = await read(Persistent(engine, good, attempts=4, together=together).answer(ask("a")))
    assert (text, ending.attempt, ending.usage.output) == ("".join(script[given]), given, len(script[given]))


async def test_retries_together_race_and_the_losers_are_hung_up():
    engine = Speaking([["bad"], ["x"] * 400, ["x", "good"], ["x"] * 400])
    text, _ = await read(Persistent(engine, good, attempts=4, together=True).answer(ask("a")))
    assert text == "xgood"
    assert engine.begun == [0, 1, 2, 3]
    assert sorted(engine.hung_up) == [1, 3]


async def test_a_caller_that_leaves_the_race_hangs_up_on_every_leg():
    engine = Speaking([["bad"], *[["x"] * 400] * 3])
    reading = asyncio.create_task(Persistent(engine, good, attempts=4, together=True).answer(ask("a")).text())
    await engine.all_begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert sorted(engine.hung_up) == [1, 2, 3]


async def test_an_error_of_the_first_leg_is_the_callers():
    with pytest.raises(EngineError):
        await read(Persistent(Speaking([None, ["good"]]), good, attempts=2).answer(ask("a")))


async def test_hanging_up_on_either_wrapper_leaves_nothing_open():
    for engine in (Abandoned(Echo(token_s=0.01), lambda *_: None), Persistent(Echo(), lambda *_: True, attempts=2)):
        answer = engine.answer(Call(prompt=LONG, sampling=Sampling(max_new_tokens=50)))
        async for _ in answer:
            break
        await answer.aclose()
        assert answer.ended


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("the cat sat on the mat. " * 10, True),
        ("😀" * 200, True),
        ("-" * 80, False),
        (LONG, False),
        ("Dear Sir, " + "thank you. " * 5, False),
        ("I will not. " * 30 + "But in the end I did, and here is why it mattered to me then.", False),
    ],
)
def test_a_loop_is_a_passage_repeated_to_the_end(text, loops):
    assert repeats_itself(text) is loops


@given(st.text(max_size=119))
def test_a_short_text_never_counts_as_a_loop(text):
    assert not repeats_itself(text)
