"""Persistent: asks again, in another way, when a check that needs no reference says that an answer is useless.

Only where usefulness can be seen at serving time (a schema, a verifiable instruction). The answer is held back until
it passes or the attempts are used up, so its first token comes when its last one does; the last attempt is given as it
is. All legs are attempts of one call, and all are charged.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Piece, Usage

Useful = Callable[[Call, str], bool]
"""Reads the call and a whole answer; True where the answer is useful."""


class Persistent:
    """Answers with the first answer that passes.

    Args:
        engine: the engine to ask.
        useful: the check.
        attempts: most legs for one call, the first included.
        temperature: of the second and later legs (the first is drawn as the call says); each has its own seed.
        top_p: nucleus of the second and later legs.
    """

    def __init__(
        self, engine: Engine, useful: Useful, *, attempts: int, temperature: float = 0.7, top_p: float = 0.95
    ) -> None:
        self._engine = engine
        self._useful = useful
        self._attempts = attempts
        self._temperature = temperature
        self._top_p = top_p

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer with up to ``attempts`` legs."""
        leg: list[Answer] = []

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            for attempt in range(self._attempts):
                leg[:] = [self._engine.answer(self._varied(call, attempt))]
                try:
                    pieces = [piece async for piece in leg[0]]
                finally:
                    await leg[0].aclose()
                if self._useful(call, "".join(piece.text for piece in pieces)):
                    break
            for piece in pieces:
                yield piece
            yield leg[0].ending

        return Answer(stream(), lambda: leg[0].ending.usage if leg and leg[0].ended else Usage())

    def _varied(self, call: Call, attempt: int) -> Call:
        if attempt == 0:
            return call
        seed = (call.sampling.seed or 0) + attempt
        warmer = replace(call.sampling, temperature=self._temperature, top_p=self._top_p, seed=seed)
        return replace(call, sampling=warmer)

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()
