"""An engine that does what it is told, leg by leg, and a sink that keeps what the meters write, in memory."""

import asyncio
from collections import defaultdict

from cput.engines.retry import Stalled
from cput.errors import EngineUnavailable, PromptTooLong, UpstreamError
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, Message, Piece, Usage


def status(code):
    return UpstreamError(f"answered {code}", status=code)


ERRORS = {
    "500": lambda: status(500),
    "429": lambda: status(429),
    "400": lambda: status(400),
    "gone": lambda: EngineUnavailable("can't be reached"),
    "stalled": lambda: Stalled("sent nothing"),
    "too long": lambda: PromptTooLong("too long"),
}


class Scripted:
    """Each leg takes the next word: ``ok``, an error's name, ``broken`` (after a piece), ``hangs``, ``slow``, ``empty``.

    ``slow`` is an answer that begins after ``slow_s``, ``late`` an error at that time. When the words are used up, ``ok``.
    """

    def __init__(self, name="engine", *script, slow_s=0.05, pieces=2):
        self.name = name
        self.script = list(script)
        self.slow_s = slow_s
        self.pieces = pieces
        self.sent = 0
        self.hung_up = 0
        self.closed = 0

    def answer(self, call):
        came = 0

        def used(*, complete=False):
            return Usage(input_uncached=1, output=came, complete=complete, counted_by=CountedBy.ENGINE)

        async def stream():
            nonlocal came
            self.sent += 1
            word = self.script.pop(0) if self.script else "ok"
            try:
                if word in ERRORS:
                    error = ERRORS[word]()
                    raise error
                if word == "hangs":
                    await asyncio.sleep(30)
                if word in {"slow", "late"}:
                    await asyncio.sleep(self.slow_s)
                if word == "late":
                    raise EngineUnavailable("gone at last")
                for at in range(0 if word == "empty" else self.pieces):
                    came += 1
                    yield Piece(text=f"{self.name}{at} ", tokens=1)
                    await asyncio.sleep(0)
                    if word == "broken":
                        raise EngineUnavailable("broke off in the middle")
                yield Ending(finish=Finish.STOP, usage=used(complete=True))
            except (GeneratorExit, asyncio.CancelledError):
                self.hung_up += 1
                raise

        return Answer(stream(), used)

    async def aclose(self):
        self.closed += 1


class Kept:
    """A ``Sink`` in memory."""

    def __init__(self):
        self.attempts = []
        self._next = defaultdict(int)

    def next_seq(self, call_id):
        self._next[call_id] += 1
        return self._next[call_id] - 1

    async def record(self, call, attempts, charges=(), *, run=None):
        await asyncio.sleep(0)
        self.attempts.extend(attempts)

    def of(self, call):
        return [
            (a.seq, a.engine, a.role.value, a.finish.value)
            for a in sorted(self.attempts, key=lambda a: a.seq)
            if a.call_id == call.id
        ]


def ask(text="hello"):
    return Call(messages=(Message(role="user", content=text),))
