"""Hedged: asks a second engine too when the first is slow to speak; the first to speak wins, the other is hung up.

    engine = Hedged(first, Metered(second, ledger, role=Role.HEDGE), Patience(quantile=0.95), Budget(share=0.05))

Dean and Barroso, The Tail at Scale, CACM 56(2), 2013: waiting for the 95th percentile before the second request bounds
the load that it adds to about 5 %. It bounds it as long as the engines are as quick as they were; the budget bounds it
when they are not. Both legs are attempts of the call, and both are charged.

A call that is not streamed is never hedged: its first piece is its whole answer, and a long one is not a slow one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from cput.engines.budget import Budget
from cput.engines.faults import Blame, blame, together
from cput.engines.patience import Patience
from cput.errors import EngineError, InputError
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Piece, Usage


class Hedged:
    """Answers as ``first`` does, or as ``second`` where that speaks first.

    Args:
        first: the engine of choice.
        second: asked too when ``first`` has no piece in time, and only then: when ``first`` fails sooner, its error is
            raised. Once both are asked, one that fails leaves it to the other.
        patience: how long to wait for ``first``.
        budget: the most hedges for so many calls.
        clock: gives seconds, for the times that ``patience`` learns from.
    """

    def __init__(
        self,
        first: Engine,
        second: Engine,
        patience: Patience,
        budget: Budget,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._first, self._second = first, second
        self._patience, self._budget = patience, budget
        self._clock = clock

    @property
    def name(self) -> str:
        """The first engine's name."""
        return self._first.name

    def answer(self, call: Call) -> Answer:
        """Answer with whichever speaks first."""
        winner: list[_Leg] = []

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            began = self._clock()
            if call.stream:
                self._budget.earn()
            first = _Leg(self._first, call)
            legs, losers = [first], None
            try:
                wait_s = self._patience.after_s if call.stream else None
                if not await first.speaks_within(wait_s) and self._budget.spend():
                    legs.append(_Leg(self._second, call))
                won = await _first_to_speak(legs)
                winner[:] = [won]
                if call.stream:
                    self._patience.saw(self._clock() - began)
                losers = asyncio.create_task(_hang_up([leg for leg in legs if leg is not won]))
                async with contextlib.aclosing(won.said()) as said:
                    async for piece in said:
                        yield piece
                await losers  # before the end is let through, every attempt is on record
                yield won.answer.ending
            finally:
                await _hang_up(legs)
                if losers is not None:
                    await losers

        return Answer(stream(), lambda: _used(winner))

    async def aclose(self) -> None:
        """Close both engines."""
        async with contextlib.AsyncExitStack() as closing:
            closing.push_async_callback(self._second.aclose)
            closing.push_async_callback(self._first.aclose)


class _Leg:
    """One of the answers that race. Its first piece is awaited in a task of its own."""

    def __init__(self, engine: Engine, call: Call) -> None:
        self.name = engine.name
        self.answer = engine.answer(call)
        self._pieces = aiter(self.answer)
        self.first = asyncio.create_task(self._speak())

    async def _speak(self) -> Piece | None:
        return await anext(self._pieces, None)

    async def speaks_within(self, seconds: float | None) -> bool:
        """Wait; return whether it has spoken, ended or failed by then."""
        done, _ = await asyncio.wait([self.first], timeout=seconds)
        return bool(done)

    async def said(self) -> AsyncGenerator[Piece, None]:
        """Yield the pieces, from the first on."""
        if (piece := self.first.result()) is None:
            return  # an answer without a piece
        yield piece
        async for piece in self._pieces:
            yield piece

    async def hang_up(self) -> None:
        """End it, and return when what it used is on record."""
        await self.answer.aclose()
        self.first.cancel()
        await asyncio.gather(self.first, return_exceptions=True)


async def _first_to_speak(legs: Sequence[_Leg]) -> _Leg:
    """Return the leg that speaks first; of two at the same time, the first engine's.

    Raises:
        Exception: all failed, or the first engine says that the request itself is wrong.
    """
    failed: list[tuple[str, Exception]] = []
    waiting = list(legs)
    while waiting:
        await asyncio.wait([leg.first for leg in waiting], return_when=asyncio.FIRST_COMPLETED)
        for leg in [leg for leg in waiting if leg.first.done()]:
            error = leg.first.exception()
            if error is None:
                return leg
            if not isinstance(error, EngineError | InputError) or (leg is legs[0] and blame(error) is Blame.CALLER):
                raise error
            waiting.remove(leg)
            failed.append((leg.name, error))
    raise together(failed)


async def _hang_up(legs: Sequence[_Leg]) -> None:
    """Hang up on all at the same time."""
    await asyncio.gather(*(leg.hang_up() for leg in legs))


def _used(winner: Sequence[_Leg]) -> Usage:
    return winner[0].answer.ending.usage if winner and winner[0].answer.ended else Usage()
