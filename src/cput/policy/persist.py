"""Persistent: asks again, in another way, when a check that needs no reference says that an answer is useless.

Only where usefulness can be seen at serving time (a schema, a verifiable instruction). The answer is held back until
one passes or the attempts are used up, so its first token comes when its last one does. All legs are attempts of one
call, and all are charged.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import NamedTuple

from cput.errors import EngineError
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Piece, Usage

Useful = Callable[[Call, str], bool]
"""Reads the call and a whole answer; True where the answer is useful."""


class Persistent:
    """Answers with the first answer that passes; where none does, with the first: the call as it was asked.

    Args:
        engine: the engine to ask.
        useful: the check.
        attempts: most legs for one call, the first included.
        together: send the second and later legs at the same time, take the first that passes and hang up on the
            others. That costs more tokens than one after the other and less time: it fills a batch that would run
            half empty, and halves its tail.
        temperature: of the second and later legs (the first is drawn as the call says); each has its own seed.
        top_p: nucleus of the second and later legs.

    An engine's error on a second or later leg loses nothing: that leg has not passed.
    """

    def __init__(
        self,
        engine: Engine,
        useful: Useful,
        *,
        attempts: int,
        together: bool = False,
        temperature: float = 0.7,
        top_p: float = 0.95,
    ) -> None:
        self._engine = engine
        self._useful = useful
        self._attempts = attempts
        self._together = together
        self._temperature = temperature
        self._top_p = top_p

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer with up to ``attempts`` legs."""
        used = Usage()

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            nonlocal used
            heard = await self._hear(call)
            used = heard.ending.usage
            if not self._passes(call, heard) and self._attempts > 1:
                again = [self._varied(call, attempt) for attempt in range(1, self._attempts)]
                heard = await (self._race(again) if self._together else self._in_turn(again)) or heard
                used = heard.ending.usage
            for piece in heard.pieces:
                yield piece
            yield heard.ending

        return Answer(stream(), lambda: used)

    async def _in_turn(self, calls: list[Call]) -> "_Heard | None":
        for call in calls:
            if (passed := await self._passing(call)) is not None:
                return passed
        return None

    async def _race(self, calls: list[Call]) -> "_Heard | None":
        legs = [asyncio.create_task(self._passing(call)) for call in calls]
        try:
            for leg in asyncio.as_completed(legs):
                if (passed := await leg) is not None:
                    return passed
            return None
        finally:
            for leg in legs:
                leg.cancel()
            await asyncio.gather(*legs, return_exceptions=True)

    async def _passing(self, call: Call) -> "_Heard | None":
        try:
            heard = await self._hear(call)
        except EngineError:
            return None
        return heard if self._passes(call, heard) else None

    async def _hear(self, call: Call) -> "_Heard":
        answer = self._engine.answer(call)
        try:
            pieces = [piece async for piece in answer]
        finally:
            await answer.aclose()
        return _Heard(pieces, answer.ending)

    def _passes(self, call: Call, heard: "_Heard") -> bool:
        return self._useful(call, "".join(piece.text for piece in heard.pieces))

    def _varied(self, call: Call, attempt: int) -> Call:
        seed = (call.sampling.seed or 0) + attempt
        warmer = replace(call.sampling, temperature=self._temperature, top_p=self._top_p, seed=seed)
        return replace(call, sampling=warmer)

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()


class _Heard(NamedTuple):
    """A whole answer, not given yet."""

    pieces: list[Piece]
    ending: Ending
