"""Fallback: asks the next engine when one fails before its first piece, and never after it.

engine = Fallback([Retried(Breaker(Metered(first, ledger))), Retried(Breaker(Metered(second, ledger)))])
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence

from cput.engines.faults import Blame, blame, together
from cput.errors import EngineError, InputError
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Piece, Usage


class Fallback:
    """Answers with the first engine that does, in their order.

    What the first engine says about the request itself (a wrong field, a prompt that is too long) is the caller's and
    ends it there. The same word from a later one does not: the request may be right for the first, which is down. When
    none is left, one error says what each of them said (see ``faults.together``).
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        """``engines`` in order of preference.

        Raises:
            InputError: there is none.
        """
        if not engines:
            raise InputError("no engine is given to fall back on; allowed: 1 or more")
        self._engines = tuple(engines)

    @property
    def name(self) -> str:
        """The engines' names."""
        return ", else ".join(engine.name for engine in self._engines)

    def answer(self, call: Call) -> Answer:
        """Answer with the first engine that can."""
        leg: list[Answer] = []

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            failed: list[tuple[str, Exception]] = []
            for engine in self._engines:
                leg[:] = [engine.answer(call)]
                begun = False
                try:
                    async for piece in leg[0]:
                        begun = True
                        yield piece
                    yield leg[0].ending
                except (EngineError, InputError) as error:
                    if begun or (not failed and blame(error) is Blame.CALLER):
                        raise
                    failed.append((engine.name, error))
                else:
                    return
                finally:
                    await leg[0].aclose()
            raise together(failed) from failed[-1][1]

        return Answer(stream(), lambda: leg[0].ending.usage if leg and leg[0].ended else Usage())

    async def aclose(self) -> None:
        """Close all engines."""
        async with contextlib.AsyncExitStack() as closing:
            for engine in self._engines:
                closing.push_async_callback(engine.aclose)
