"""Routed: chooses one engine up front, from the request alone.

Routed(estimator, {"small": small, "large": large}, Worth(usd=2_000.0))
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

import numpy as np

from cput.engines.faults import Blame, blame
from cput.errors import EngineError, InputError, PromptTooLong, unknown
from cput.policy.cascade.way import Way
from cput.policy.decide import Decide
from cput.policy.estimates import Estimator, Expected, asked_text, expected, in_order
from cput.policy.explain import Decided
from cput.policy.recorded import Recorded
from cput.policy.replayed import Replayed, paid
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Option, Piece


class Routed:
    """Answers with the engine that ``decide`` chooses from what ``estimator`` expects of each.

    An engine that fails before its first piece leaves it to the next choice among the others; what one says about the
    request itself ends the call, but for a prompt that is too long for it. All calls are routed, those with tools too:
    the choice reads the request and no answer.
    """

    def __init__(
        self,
        estimator: Estimator,
        engines: Mapping[str, Engine],
        decide: Decide,
        *,
        policy: str | None = None,
        in_thread: bool = True,
        text: Callable[[Call], str] = asked_text,
    ) -> None:
        """``engines`` by the estimator's names; ``in_thread``: estimating takes long enough to hold others up.

        ``text`` is what the estimator reads of a call.

        Raises:
            InputError: there is no engine, or one that the estimator knows nothing of.
        """
        if not engines:
            raise InputError("a router has no engine to choose from; allowed: 1 or more")
        for name in engines:
            if name not in estimator.engines:
                raise unknown("engine of the estimator", name, estimator.engines)
        self._names = tuple(engines)
        self._engines = tuple(engines.values())
        self._estimator = estimator
        self._decide = decide
        self._policy = policy
        self._in_thread = in_thread
        self._text = text

    @property
    def name(self) -> str:
        """The engines' names."""
        return ", or ".join(engine.name for engine in self._engines)

    def answer(self, call: Call) -> Answer:
        """Answer with the engine that is chosen."""
        options = [Option(engine=engine.name, threshold=self._decide.threshold) for engine in self._engines]
        way = Way(options, self._policy)
        return Decided(self._stream(call, way), way.so_far, way.attempt, way.grounds)

    def replayed(self, table: Recorded) -> Replayed:
        """Return what it gives and pays on recorded answers; see ``Replayable``."""
        known = table.only(self._names)
        found = in_order(self._estimator, self._estimator.estimate(known.prompts, known.tags), self._names)
        chosen = self._decide(found.quality, found.cost_usd)
        return paid(known.quality, known.cost_usd, np.arange(len(self._names)) == chosen[:, None], chosen)

    async def aclose(self) -> None:
        """Close all engines."""
        async with contextlib.AsyncExitStack() as closing:
            for engine in self._engines:
                closing.push_async_callback(engine.aclose)

    async def _stream(self, call: Call, way: Way) -> AsyncGenerator[Piece | Ending, None]:
        ahead = await self._expected(call)
        for at in range(len(self._engines)):
            way.expect(at, float(ahead.quality[0, at]), float(ahead.cost_usd[0, at]))
        left = list(range(len(self._engines)))
        while left:
            at = left.pop(int(self._decide(ahead.quality[:, left], ahead.cost_usd[:, left])[0]))
            begun = False
            way.redecide(at, "router")
            try:
                async for piece in way.ask(at, self._engines[at], call):
                    begun = True
                    yield piece
                yield way.closed()
            except (EngineError, InputError) as error:
                too_long = isinstance(error, PromptTooLong)
                if begun or (blame(error) is Blame.CALLER and not too_long and not way.has_failed):
                    raise
                way.failed(at, self._engines[at].name, error)
            else:
                return
            finally:
                await way.hang_up()
        raise way.error()

    async def _expected(self, call: Call) -> Expected:
        text = self._text(call)
        if self._in_thread:
            found = await asyncio.to_thread(expected, self._estimator, text, call)
        else:
            found = expected(self._estimator, text, call)
        return in_order(self._estimator, found, self._names)
