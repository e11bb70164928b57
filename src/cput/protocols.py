"""The seams. ``Engine.answer(call)`` returns an ``Answer``: a stream of pieces that closes with its ``Ending``.

Streamed and whole replies, and a caller that hangs up halfway, are one path:

    answer = engine.answer(call)
    async for piece in answer:
        print(piece.text, end="")
    print(answer.ending.usage)

    text = await engine.answer(call).text()      # whole
    rows = await engine.answer(Call(embed=("a", "b"))).vectors()      # an embedding engine: one row a text
    await answer.aclose()                        # hang up: the engine stops working on it
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from cput.errors import EngineError
from cput.records import Call, Ending, Finish, Piece, Usage, Vectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Answer:
    """An answer under way. Iterate it, or await ``text()``; then ``ending`` says how it closed.

    Leaving the iteration early and calling ``aclose()`` cancels the work upstream; ``ending`` is then an
    ``Ending`` with finish ``cancelled`` and the usage so far. Any task may hang up, also while another one reads: its
    iteration then ends.
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
        self._reading = _Reading()
        self._closing = asyncio.Lock()

    def __aiter__(self) -> Self:
        """Yield the pieces in order."""
        return self

    async def __anext__(self) -> Piece:
        """Return the next piece. Not a generator: the loop would keep a book of each, at every layer of wrappers."""
        while True:
            part = None
            if self._closing.locked():
                await self.aclose()  # another task is at it: wait for the ending
            with self._reading:
                part = await anext(self._stream, None)
            if self._reading.hung_up:
                await self.aclose()
                raise StopAsyncIteration
            if part is None:
                raise StopAsyncIteration
            if not isinstance(part, Ending):
                return part
            self._ending = part

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

    @property
    def so_far(self) -> Usage:
        """What it has used up to now; once it has closed, what it used."""
        return self._usage_so_far() if self._ending is None else self._ending.usage

    async def text(self) -> str:
        """Read to the end and return the whole text."""
        return "".join([piece.text async for piece in self])

    async def vectors(self) -> "npt.NDArray[np.float32]":
        """Read to the end and return the vectors of ``Call.embed``, one row a text, in the order of the texts.

        Raises:
            EngineError: the engine ended without a vector of each text.
        """
        import numpy as np

        pieces = [piece async for piece in self if isinstance(piece, Vectors)]
        places = [place for piece in pieces for place in piece.places]
        if not places or sorted(places) != list(range(len(places))):
            raise EngineError(f"the engine gave {len(places)} vectors, and not one for each text")
        rows = np.concatenate([piece.values for piece in pieces])
        return rows[np.argsort(places)]

    async def aclose(self) -> None:
        """Hang up. Safe to call twice, after the end, and while another task reads or hangs up."""
        await self._reading.end()
        async with self._closing:
            await self._stream.aclose()
            if self._ending is None:
                self._ending = Ending(finish=Finish.CANCELLED, usage=self._usage_so_far(), attempt=self._attempt())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Reading:
    """The wait for an answer's next part, which may be ended from another task than the one that waits.

    A generator that runs can't be closed, so that the task is cancelled, and the cancellation taken back when it has
    come through. It is counted, as in ``asyncio.timeout``: one that came from elsewhere meanwhile stands.
    """

    __slots__ = ("_before", "_ours", "_over", "_task", "hung_up")

    def __init__(self) -> None:
        self.hung_up = False
        """Whether a wait was ended so; nobody reads on after that."""
        self._task: asyncio.Task[Any] | None = None
        """Who waits now."""
        self._before = 0
        """Cancellations that this task had behind it when the wait began."""
        self._ours = False
        """Whether one came from here since."""
        self._over: asyncio.Event | None = None
        """Set when the task has left the wait."""

    def __enter__(self) -> None:
        if self._task is not None:
            raise RuntimeError("another task is reading this answer: one at a time may")
        self._task = asyncio.current_task()
        assert self._task is not None, "an answer is read in a task of asyncio"
        self._before = self._task.cancelling()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """Take our cancellation back and swallow it, unless there is another one."""
        task, over, ours = self._task, self._over, self._ours
        self._task, self._over, self._ours = None, None, False
        if over is not None:
            over.set()
        if not ours or task is None:
            return False
        return task.uncancel() <= self._before and kind is not None and issubclass(kind, asyncio.CancelledError)

    async def end(self) -> None:
        """End the wait, where there is one, and return when its task has left it."""
        while self._task is not None:
            if self._task is asyncio.current_task():
                raise RuntimeError("an answer can't hang up on itself while it is being made")
            if self._task.cancelling() == self._before:  # else it is on its way out already
                self.hung_up = self._ours = self._task.cancel()
            self._over = self._over or asyncio.Event()
            await self._over.wait()


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
