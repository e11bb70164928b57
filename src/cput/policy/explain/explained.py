"""Explained: writes down why a call was answered as it was, before the caller sees the end of the answer.

engine = Explained(Cascade(...), ledger)      # cput why CALL_ID
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from cput.policy.explain.decided import Decided
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Grounds, Piece


class Explainer(Protocol):
    """Where grounds go; a ``Ledger`` is one."""

    async def explain(self, call_id: str, grounds: Grounds) -> None:
        """Return when they are durable."""
        ...


class Explained:
    """Answers as ``engine`` does; where that ends with grounds, they are on disk when the end is let through.

    They are written while the answer is streamed, where the policy had decided by its first piece.

    Also those of an answer that was hung up, or that failed, after the policy had decided. It stands around the
    outermost policy: what other wrappers make of an answer that is hung up has no grounds.
    """

    def __init__(self, engine: Engine, ledger: Explainer) -> None:
        self._engine = engine
        self._ledger = ledger

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer as the engine does."""
        inner = self._engine.answer(call)

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            writing: asyncio.Task[None] | None = None
            try:
                async for piece in inner:
                    if writing is None and isinstance(inner, Decided) and inner.grounds is not None:
                        writing = asyncio.create_task(self._ledger.explain(call.id, inner.grounds))
                    yield piece
            finally:
                await inner.aclose()
                if writing is not None:
                    await writing
                elif inner.ending.grounds is not None:
                    await self._ledger.explain(call.id, inner.ending.grounds)
            yield inner.ending

        return Answer(
            stream(),
            lambda: inner.so_far,
            lambda: inner.ending.attempt if inner.ended else None,
        )

    async def aclose(self) -> None:
        """Close the wrapped engine; the ledger stays open."""
        await self._engine.aclose()
