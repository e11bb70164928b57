"""Abandoned: hangs up on an answer as soon as it is certain that it can't become useful.

Most tokens of a weak model are useless, and many answers are lost long before their end: a comma where commas were
forbidden, a text that has begun to repeat itself. Every token after that point is money for nothing. ``hopeless`` must
be certain: a rule that no continuation can mend.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Finish, Piece, Usage

Hopeless = Callable[[Call, str], str | None]
"""Reads the call and the answer so far; returns why it is lost, or None."""


class Abandoned:
    """Answers as ``engine`` does until the answer is hopeless.

    The leg is then hung up (its attempt is recorded as cancelled, with what it used) and the answer ends with finish
    ``cancelled`` and the text so far.

    Args:
        engine: the engine to ask, usually a ``Metered`` one.
        hopeless: the rule.
        every: tokens between two looks.
    """

    def __init__(self, engine: Engine, hopeless: Hopeless, *, every: int = 8) -> None:
        self._engine = engine
        self._hopeless = hopeless
        self._every = every

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer, or give up."""
        inner = self._engine.answer(call)

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            text, unseen = "", 0
            try:
                async for piece in inner:
                    yield piece
                    text += piece.text
                    unseen += piece.tokens
                    if unseen >= self._every:
                        unseen = 0
                        if self._hopeless(call, text) is not None:
                            break
                if inner.ended:
                    yield inner.ending
                    return
                await inner.aclose()
                yield replace(inner.ending, finish=Finish.CANCELLED)
            finally:
                await inner.aclose()

        return Answer(stream(), lambda: inner.ending.usage if inner.ended else Usage())

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()
