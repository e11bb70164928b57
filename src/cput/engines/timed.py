"""Timed: hangs up on an answer that is not whole in time. The other phases' limits are the remote engine's own.

engine = Metered(Timed(remote, total_s=120), ledger)
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from cput.engines.retry import Stalled
from cput.errors import InputError
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Piece, Usage


class Timed:
    """Answers as ``engine`` does, for at most ``total_s`` seconds from sending; then it raises ``Stalled``.

    Below the meter: an attempt that ran out of time is on record as an error, with what it used until then.
    """

    def __init__(self, engine: Engine, total_s: float) -> None:
        """``total_s`` bounds the whole answer, its pauses in the reader included."""
        if not total_s > 0:
            raise InputError(f"total_s is {total_s}; allowed: more than 0 seconds")
        self._engine = engine
        self._total_s = total_s

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer in time."""
        inner = self._engine.answer(call)

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            due_at = asyncio.get_running_loop().time() + self._total_s
            pieces = aiter(inner)
            try:
                while (piece := await self._next(pieces, due_at)) is not None:
                    yield piece
                yield inner.ending
            finally:
                await inner.aclose()

        return Answer(stream(), lambda: inner.ending.usage if inner.ended else Usage())

    async def _next(self, pieces: AsyncIterator[Piece], due_at: float) -> Piece | None:
        timer = asyncio.timeout_at(due_at)
        try:
            async with timer:
                return await anext(pieces, None)
        except TimeoutError as error:
            if not timer.expired():
                raise  # somebody else's
            raise Stalled(f"{self.name} had not answered in full after {self._total_s:g} s") from error

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()
