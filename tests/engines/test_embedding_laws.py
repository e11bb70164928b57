"""The contract of embedding engines: a good one keeps every law, and each law catches the engine that breaks it."""

import asyncio
import dataclasses
import hashlib

import numpy as np
import pytest

from cput.errors import InputError, PromptTooLong
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, Piece, Usage, Vectors
from cput.testing import EMBEDDING_LAWS, BrokenLaw, EchoEngine, check_engine

LONG_TEXT = "word " * 1000


class Hashed:
    """Vectors of a text's digest, four texts a piece."""

    name = "hashed"

    def __init__(self, *, piece_s=0.0002, context_length=500):
        self.piece_s, self.context_length = piece_s, context_length
        self.busy_s = 0.0

    def vector(self, text):
        return np.random.default_rng(list(hashlib.sha256(text.encode()).digest()[:4])).normal(size=8)

    def used(self, texts, *, complete=False):
        count = sum(len(text.split()) for text in texts)
        return Usage(input_uncached=count, output=0, complete=complete, counted_by=CountedBy.ENGINE)

    def answer(self, call):
        done = []

        async def stream():
            if not call.embed or not all(call.embed):
                raise InputError("no texts")
            if any(len(text.split()) >= self.context_length for text in call.embed):
                raise PromptTooLong("too long")
            for first in range(0, len(call.embed), 4):
                part = call.embed[first : first + 4]
                await asyncio.sleep(self.piece_s)
                self.busy_s += self.piece_s
                done.extend(part)
                values = np.stack([self.vector(text) for text in part]).astype(np.float32)
                yield Vectors(places=tuple(range(first, first + len(part))), values=values)
            yield Ending(finish=Finish.STOP, usage=self.used(call.embed, complete=True))

        return Answer(stream(), lambda: self.used(done))

    async def aclose(self):
        pass


class Altered(Hashed):
    """Changes the calls it gets, or the parts it gives."""

    def __init__(self, *, call=lambda call: call, part=lambda part: part):
        super().__init__()
        self.change_call, self.change_part = call, part

    def answer(self, call):
        inner = super().answer(self.change_call(call))

        async def stream():
            async for part in inner._stream:
                yield self.change_part(part)

        return Answer(stream(), inner._usage_so_far)


def of_vectors(change):
    return lambda part: change(part) if isinstance(part, Vectors) else part


def ending(**changes):
    return lambda part: dataclasses.replace(part, **changes) if isinstance(part, Ending) else part


class Mixed(Hashed):
    """Gives a call its neighbour's vectors when several are under way."""

    live = 0

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            self.live += 1
            await asyncio.sleep(0.005)
            crowd = self.live > 1
            async for part in inner._stream:
                yield (
                    dataclasses.replace(part, values=part.values[:, ::-1])
                    if crowd and isinstance(part, Vectors)
                    else part
                )
            self.live -= 1

        return Answer(stream(), inner._usage_so_far)


class Queue(Hashed):
    """One call after the other."""

    def __init__(self):
        super().__init__(piece_s=0.003)
        self.turn = asyncio.Lock()

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            async with self.turn:
                async for part in inner._stream:
                    yield part

        return Answer(stream(), inner._usage_so_far)


class Stubborn(Hashed):
    """Takes its time to stop."""

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            try:
                async for part in inner._stream:
                    yield part
            except GeneratorExit:
                await asyncio.sleep(3)
                raise

        return Answer(stream(), inner._usage_so_far)


class Boasts(Hashed):
    def answer(self, call):
        return Answer(super().answer(call)._stream, lambda: Usage(input_uncached=9, output=0))


class OneTask(Hashed):
    """An answer that only the task that reads it may hang up on."""

    def answer(self, call):
        class Bare(Answer):
            async def aclose(self):
                await self._stream.aclose()
                self._ending = self._ending or Ending(finish=Finish.CANCELLED, usage=Usage())

        return Bare(super().answer(call)._stream)


class Restarts(Hashed):
    def answer(self, call):
        class Endless(Answer):
            def __aiter__(self):
                self._stream = Hashed().answer(call)._stream
                return self._pieces()

        return Endless(Hashed().answer(call)._stream)


class TalksToo(Hashed):
    """Answers a chat with a word, as if nothing were wrong."""

    def answer(self, call):
        return super().answer(call) if call.embed else EchoEngine().answer(call)


class Ascii(Hashed):
    def vector(self, text):
        return super().vector(text if text.isascii() else "?")


class Greedy(Hashed):
    """Works when it is asked, and not when it is read."""

    def answer(self, call):
        self.busy_s += 1
        return super().answer(call)


class ClosedForGood(Hashed):
    closed = False

    async def aclose(self):
        if self.closed:
            raise RuntimeError("closed twice")
        self.closed = True


class Hangs(Hashed):
    closed = False

    async def aclose(self):
        self.closed = True

    def answer(self, call):
        inner = super().answer(call)

        async def stream():
            async for part in inner._stream:
                if self.closed:
                    await asyncio.Event().wait()
                yield part

        return Answer(stream(), inner._usage_so_far)


MUTANTS = {
    "stream": lambda: Altered(part=of_vectors(lambda part: dataclasses.replace(part, tokens=1))),
    "vectors": lambda: Altered(part=of_vectors(lambda part: dataclasses.replace(part, values=part.values[::-1]))),
    "usage": lambda: Altered(part=ending(usage=Usage(input_uncached=5, complete=True, counted_by=CountedBy.ENGINE))),
    "company": Mixed,
    "late_joiner": Queue,
    "hang_up": Stubborn,
    "hang_up_early": Boasts,
    "hang_up_elsewhere": OneTask,
    "again": Restarts,
    "too_long": lambda: Hashed(context_length=10_000),
    "no_texts": TalksToo,
    "characters": Ascii,
    "unread": Greedy,
    "aclose": ClosedForGood,
    "after_aclose": Hangs,
    "aclose_under_way": Hangs,
}


async def test_a_good_embedding_engine_keeps_every_law():
    kept = await check_engine(Hashed, embeds=True, too_long=LONG_TEXT)
    assert kept == tuple(law.name for law in EMBEDDING_LAWS)


@pytest.mark.parametrize("law", EMBEDDING_LAWS, ids=str)
async def test_an_embedding_engine_that_breaks_a_law_is_told_which(law):
    with pytest.raises(BrokenLaw) as broken:
        await check_engine(
            MUTANTS[law.name], embeds=True, laws=[law], too_long=LONG_TEXT, timeout_s=1.5 if law.closes else 10
        )
    assert broken.value.law == law.name
    assert law.says in str(broken.value)


async def test_a_law_of_answering_engines_is_none_of_an_embedding_one():
    with pytest.raises(InputError, match="unknown law 'max_new_tokens'"):
        await check_engine(Hashed, embeds=True, laws=["max_new_tokens"])


async def test_vectors_come_in_the_order_of_the_texts_however_they_came():
    rows = np.eye(3, dtype=np.float32)

    async def stream():
        yield Vectors(places=(2, 0), values=rows[[2, 0]])
        yield Piece()
        yield Vectors(places=(1,), values=rows[[1]])
        yield Ending(finish=Finish.STOP, usage=Usage())

    np.testing.assert_array_equal(await Answer(stream()).vectors(), rows)


async def test_an_answer_without_a_vector_of_each_text_is_an_error():
    with pytest.raises(Exception, match="gave 0 vectors"):
        await EchoEngine().answer(Call(prompt="a")).vectors()
