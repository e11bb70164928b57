"""The seams. ``Engine.answer(call)`` returns an ``Answer``: a stream of pieces that closes with its ``Ending``.

Streamed and whole replies, and a caller that hangs up halfway, are one path:

    answer = engine.answer(call)
    async for piece in answer:
        print(piece.text, end="")
    print(answer.ending.usage)

    text = await engine.answer(call).text()      # whole
    await answer.aclose()                        # hang up: the engine stops working on it
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol, Self, runtime_checkable

from cput.records import Call, Ending, Finish, Piece, Usage


class Answer:
    """An answer under way. Iterate it, or await ``text()``; then ``ending`` says how it closed.

    Leaving the iteration early and calling ``aclose()`` cancels the work upstream; ``ending`` is then an
    ``Ending`` with finish ``cancelled`` and the usage so far.
    """

    def __init__(
        self,
        stream: AsyncGenerator[Piece | Ending, None],
        usage_so_far: Callable[[], Usage] = Usage,
        attempt: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Wrap a generator that yields pieces and, last, one Ending.

        ``usage_so_far`` and ``attempt`` (its number) are asked when the caller hangs up before the Ending.
        """
        self._stream = stream
        self._usage_so_far = usage_so_far
        self._attempt = attempt
        self._ending: Ending | None = None

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Yield the pieces in order."""
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        async for part in self._stream:
            if isinstance(part, Ending):
                self._ending = part
            else:
                yield part

    @property
    def ended(self) -> bool:
        """True once the answer has closed by itself or was hung up."""
        return self._ending is not None

    @property
    def ending(self) -> Ending:
        """How the answer closed; raises RuntimeError while it is still under way."""
        if self._ending is None:
            raise RuntimeError("the answer is still under way: iterate it to its end or call aclose() first")
        return self._ending

    async def text(self) -> str:
        """Read to the end and return the whole text."""
        return "".join([piece.text async for piece in self])

    async def aclose(self) -> None:
        """Hang up. Safe to call twice and after the end."""
        await self._stream.aclose()
        if self._ending is None:
            self._ending = Ending(finish=Finish.CANCELLED, usage=self._usage_so_far(), attempt=self._attempt())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@runtime_checkable
class Engine(Protocol):
    """Anything that answers calls: a local model, a hosted API, recorded answers, a cache, a cascade."""

    @property
    def name(self) -> str:
        """Short name for the ledger and the reports."""
        ...

    def answer(self, call: Call) -> Answer:
        """Start answering; errors are raised from the returned stream as ``EngineError``."""
        ...

    async def aclose(self) -> None:
        """Release processes and connections."""
        ...
