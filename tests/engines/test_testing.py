"""The battery lets a good engine through and names the law that a bad one breaks."""

import asyncio
import dataclasses

import pytest

from cput.errors import InputError
from cput.protocols import Answer
from cput.records import Ending, Finish, Piece, Usage
from cput.testing import LAWS, PROMPTS, BrokenLaw, EchoEngine, FakeClock, check_engine

LONG_TEXT = "word " * 300


def good():
    return EchoEngine(token_s=0.0005, context_length=250)


class Altered(EchoEngine):
    """Echo whose calls, pieces or ending go through a function."""

    def __init__(self, call=lambda call: call, part=lambda part: part):
        super().__init__(token_s=0.0005, context_length=250)
        self._call, self._part = call, part

    def answer(self, call):
        inner = super().answer(self._call(call))

        async def stream():
            async for piece in inner:
                yield self._part(piece)
            yield self._part(inner.ending)

        return Answer(stream(), inner._usage_so_far)


def sampling(call, **changes):
    return dataclasses.replace(call, sampling=dataclasses.replace(call.sampling, **changes))


def ending(**changes):
    return lambda part: dataclasses.replace(part, **changes) if isinstance(part, Ending) else part


class Stubborn(EchoEngine):
    """Goes on for three seconds when somebody hangs up."""

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            try:
                async for piece in inner:
                    yield piece
                yield inner.ending
            finally:
                if not inner.ended:
                    await asyncio.sleep(3)

        return Answer(stream(), inner._usage_so_far)


class Greedy(EchoEngine):
    """Works before anybody reads."""

    busy_s = 0.0

    def answer(self, call):
        self.busy_s += 1
        return super().answer(call)


class Queue(EchoEngine):
    """One call after another, whole."""

    def __init__(self):
        super().__init__(token_s=0.002)
        self._turn = asyncio.Lock()

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            async with self._turn:
                async for piece in inner:
                    yield piece
                yield inner.ending

        return Answer(stream(), inner._usage_so_far)


class Mixed(EchoEngine):
    """Gives a call the text of the call after it, when several are under way."""

    def __init__(self):
        super().__init__(token_s=0.0005)
        self._live = []

    def answer(self, call):
        async def stream():
            self._live.append(call)
            await asyncio.sleep(0.005)
            other = self._live[(self._live.index(call) + 1) % len(self._live)]
            async for piece in (inner := EchoEngine().answer(other)):
                yield piece
            self._live.remove(call)
            yield inner.ending

        return Answer(stream())


class ClosedForGood(EchoEngine):
    """Hangs after aclose, and refuses the second one."""

    closed = False

    async def aclose(self):
        if self.closed:
            raise RuntimeError("closed twice")
        self.closed = True


class Hangs(EchoEngine):
    closed = False

    async def aclose(self):
        self.closed = True

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            async for piece in inner:
                if self.closed:
                    await asyncio.Event().wait()
                yield piece
            yield inner.ending

        return Answer(stream(), inner._usage_so_far)


class Boasts(EchoEngine):
    """Says that it used what it never made."""

    def answer(self, call):
        return Answer(super().answer(call)._stream, lambda: Usage(output=9))


class Restarts(EchoEngine):
    """An answer that begins anew whenever somebody iterates it."""

    def answer(self, call):
        class Endless(Answer):
            def __aiter__(self):
                self._stream = EchoEngine().answer(call)._stream
                return self._pieces()

        return Endless(EchoEngine().answer(call)._stream)


class OneTask(EchoEngine):
    """An answer that only the task that reads it may hang up on."""

    def answer(self, call):
        class Bare(Answer):
            async def aclose(self):
                await self._stream.aclose()
                self._ending = self._ending or Ending(finish=Finish.CANCELLED, usage=Usage())

        return Bare(super().answer(call)._stream)


class Crashes(EchoEngine):
    def answer(self, call):
        call.messages[-1]
        return super().answer(call)


def split(part):
    """Break the emoji's bytes, as a bad detokenizer does."""
    return dataclasses.replace(part, text=part.text.replace("😀", "\ufffd\ufffd")) if isinstance(part, Piece) else part


MUTANTS = {
    "stream": lambda: Altered(part=ending(finish=Finish.ERROR)),
    "text": lambda: Altered(
        part=lambda part: dataclasses.replace(part, text=part.text.upper()) if isinstance(part, Piece) else part
    ),
    "usage": lambda: Altered(part=ending(usage=Usage(input_uncached=1, output=1))),
    "max_new_tokens": lambda: Altered(call=lambda call: sampling(call, max_new_tokens=10_000)),
    "stop": lambda: Altered(call=lambda call: sampling(call, stop=())),
    "company": Mixed,
    "late_joiner": Queue,
    "hang_up": Stubborn,
    "hang_up_early": Boasts,
    "hang_up_elsewhere": OneTask,
    "again": Restarts,
    "too_long": lambda: EchoEngine(token_s=0.0005),
    "no_messages": Crashes,
    "characters": lambda: Altered(part=split),
    "unread": Greedy,
    "aclose": ClosedForGood,
    "after_aclose": Hangs,
    "aclose_under_way": Hangs,
}


async def test_a_good_engine_keeps_every_law():
    assert await check_engine(good, too_long=LONG_TEXT) == tuple(law.name for law in LAWS)


@pytest.mark.parametrize("law", LAWS, ids=str)
async def test_an_engine_that_breaks_a_law_is_told_which(law):
    with pytest.raises(BrokenLaw) as broken:
        await check_engine(MUTANTS[law.name], laws=[law], too_long=LONG_TEXT, timeout_s=1.5 if law.closes else 10)
    assert broken.value.law == law.name
    assert law.says in str(broken.value)


async def test_all_broken_laws_are_told_at_once():
    with pytest.raises(BrokenLaw) as broken:
        await check_engine(lambda: Altered(part=ending(usage=Usage())), laws=["stream", "usage", "max_new_tokens"])
    assert broken.value.law == "usage, max_new_tokens"


async def test_laws_that_an_engine_cannot_know_are_left_out():
    assert await check_engine(MUTANTS["stop"], laws=["stop", "text"], without=["stop"]) == ("text",)


async def test_a_law_without_a_prompt_that_is_too_long_is_not_claimed():
    assert await check_engine(good, laws=["too_long", "again"]) == ("again",)


async def test_an_unknown_law_is_named_with_its_neighbour():
    with pytest.raises(InputError, match="unknown law 'streem'; did you mean 'stream'"):
        await check_engine(good, laws=["streem"])


async def test_an_engine_that_hangs_breaks_the_law_and_is_closed():
    class Never(EchoEngine):
        closed = 0

        def answer(self, call):
            async def stream():
                await asyncio.Event().wait()
                yield Piece()

            return Answer(stream())

        async def aclose(self):
            Never.closed += 1

    with pytest.raises(BrokenLaw, match=r"nothing came within 0\.1 s"):
        await check_engine(Never, laws=["text"], timeout_s=0.1)
    assert Never.closed == 1


def test_every_text_that_the_battery_sends_is_in_prompts():
    assert len(set(PROMPTS)) == len(PROMPTS) == 19


def test_a_fake_clock_moves_only_when_told_and_only_forward():
    clock = FakeClock(5.0)
    clock.advance(0.25)
    assert (clock(), clock()) == (5.25, 5.25)
    with pytest.raises(InputError, match="can't advance by -1"):
        clock.advance(-1)
