"""The wrappers that answer, replaceable while they run: new calls take the new ones, calls under way end on the old.

serving = Serving(Stack(engine_for=lambda model: Metered(...), close=engine.aclose, policy="chat-int8"))
with serving.taken() as stack:
    answer = stack.engine_for("smollm2").answer(call)
serving.replace(Stack(...))             # the old one is closed when its last call has ended
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from cput.protocols import Engine
from cput.records import Call


async def nothing() -> None:
    """Load nothing: the engine is ready, or loads with its first call."""


def uncounted(_: Call) -> int | None:
    """Count nobody's prompt: it stays unknown."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An engine with its wrappers."""

    engine_for: Callable[[str], Engine]
    """The wrapped engine for a model's name; wrappers are light and may be made per call, the leaf is shared."""
    close: Callable[[], Awaitable[None]]
    """Releases the leaf's processes and connections."""
    load: Callable[[], Awaitable[object]] = nothing
    """Loads the leaf, in the loop that serves; without it, the first call does."""
    policy: str | None = None
    """Name of the policy, for the calls' rows."""
    words: str = ""
    """What it is, for people."""
    bound_prompt: Callable[[Call], int | None] = uncounted
    """The most tokens that a call's prompt can have, where nobody here can count them; None where nothing bounds it."""
    count_prompt: Callable[[Call], int | None] = uncounted
    """Counts a call's prompt tokens before it is sent; None where that can't be known."""


class Serving:
    """The stack in use, and how many calls each stack still serves. For one event loop."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._under_way: dict[int, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def stack(self) -> Stack:
        """What new calls take."""
        return self._stack

    @contextlib.contextmanager
    def taken(self) -> Iterator[Stack]:
        """Take the present stack for one call; it stays open that long."""
        stack = self._stack
        self._under_way[id(stack)] = self._under_way.get(id(stack), 0) + 1
        try:
            yield stack
        finally:
            self._under_way[id(stack)] -= 1
            if not self._under_way[id(stack)]:
                del self._under_way[id(stack)]
                if stack is not self._stack:
                    self._close(stack)

    def replace(self, stack: Stack) -> None:
        """Let new calls take ``stack``; the old one closes when nobody uses it any more."""
        old, self._stack = self._stack, stack
        if id(old) not in self._under_way:
            self._close(old)

    async def aclose(self) -> None:
        """Close the present stack, and wait for those that are closing."""
        await self._stack.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _close(self, stack: Stack) -> None:
        async def close() -> None:
            await stack.close()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
