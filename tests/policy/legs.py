"""Engines of the tests of policies: each says what it is told, with the log-probabilities and errors it is told."""

import asyncio
import math
from collections import defaultdict

from cput.errors import Abstained
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, Message, Piece, Usage


class Says:
    """Answers every call with ``words``, one a piece, each with probability ``p`` where it is asked for that.

    ``error`` is raised before the first piece (or after ``fails_after`` pieces); ``waits_at`` is the piece before which
    it waits for ever; ``answers`` are words by item in place of ``words``, ``by_item`` probabilities by item.
    """

    def __init__(
        self, name, words="yes", *, p=1.0, error=None, fails_after=0, waits_at=None, by_item=None, answers=None
    ):
        self.name = name
        self.words, self.p, self.error = words, p, error
        self.fails_after, self.waits_at = fails_after, waits_at
        self.by_item, self.answers = by_item or {}, answers or {}
        self.calls = []
        self.hung_up = 0
        self.closed = 0

    def answer(self, call):
        came = 0
        words = self.answers.get(call.item, self.words).split(" ")
        logprob = math.log(self.by_item.get(call.item, self.p))

        def used(*, complete=False):
            return Usage(input_uncached=1, output=came, complete=complete, counted_by=CountedBy.ENGINE)

        async def stream():
            nonlocal came
            self.calls.append(call)
            try:
                for at, word in enumerate(words):
                    if self.error is not None and at >= self.fails_after:
                        raise self.error
                    if at == self.waits_at:
                        await asyncio.sleep(30)
                    came += 1
                    text = word if at == len(words) - 1 else word + " "
                    yield Piece(text=text, tokens=1, logprobs=(logprob,) if call.sampling.logprobs else ())
                    await asyncio.sleep(0)
                yield Ending(finish=Finish.STOP, usage=used(complete=True), model=self.name)
            except (GeneratorExit, asyncio.CancelledError):
                self.hung_up += 1
                raise

        return Answer(stream(), used)

    async def aclose(self):
        self.closed += 1


def unsure(message):
    """What an unsure student says: how sure it was, and how sure it would have to be."""
    return Abstained(message, probability=0.4, threshold=0.9, label="a label")


class Kept:
    """A sink in memory, for attempts and grounds."""

    def __init__(self):
        self.attempts = []
        self.grounds = []
        self._next = defaultdict(int)

    def next_seq(self, call_id):
        self._next[call_id] += 1
        return self._next[call_id] - 1

    async def record(self, call, attempts, charges=(), *, run=None):
        await asyncio.sleep(0)
        self.attempts.extend(attempts)

    async def explain(self, call_id, grounds):
        await asyncio.sleep(0)
        self.grounds.append((call_id, grounds))

    @property
    def legs(self):
        return [(a.seq, a.engine, a.finish.value) for a in sorted(self.attempts, key=lambda a: a.seq)]


def ask(text="is it so?", **fields):
    return Call(messages=(Message(role="user", content=text),), **fields)


async def heard(engine, call):
    """The pieces and the ending of one answer."""
    answer = engine.answer(call)
    pieces = [piece async for piece in answer]
    return pieces, answer.ending


def text_of(pieces):
    return "".join(piece.text for piece in pieces)
