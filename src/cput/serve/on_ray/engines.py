"""An engine replica: holds an engine, answers the gateways' calls with it, and says how much there is still to do.

A call names what it is to be answered with (its *recipe*: a model and how it is run). So the replicas follow a policy
file without watching one: when the gateways turn to another recipe, the new engine is opened beside the old one, which
closes when nobody has asked for it for a while.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cput.errors import CputError, EngineError
from cput.protocols import Answer
from cput.records import Call, Ending
from cput.serve.on_ray.autoscale import TOKENS
from cput.serve.on_ray.parts import Broke, Described, Leaf, Part

KEEP_S = 60.0
"""How long an engine that a newer one has taken the place of stays open after its last call."""
CHARS_PER_TOKEN = 4.0
"""An estimate for prompts that no piece has come of yet (OpenAI's rule of thumb for English); for scaling only."""


@dataclass(slots=True)
class _Held:
    """An engine that is open."""

    leaf: Leaf
    under_way: int = 0
    left_s: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def taken(self) -> Iterator[Leaf]:
        """Keep it open for one use."""
        self.under_way += 1
        try:
            yield self.leaf
        finally:
            self.under_way -= 1
            self.left_s = time.monotonic()


class Engines:
    """The class that Ray deploys. ``opens`` makes an engine of a recipe."""

    def __init__(self, opens: Callable[[Hashable], Leaf], recipe: Hashable, keep_s: float = KEEP_S) -> None:
        self._opens = opens
        self._first = recipe
        self._newest = recipe
        self._keep_s = keep_s
        self._held: dict[Hashable, _Held] = {}
        self._opening: dict[Hashable, asyncio.Lock] = {}
        self._to_do: dict[int, float] = {}
        self._closer: asyncio.Task[None] | None = None

    async def answer(self, recipe: Hashable, call: Call) -> AsyncGenerator[Part | Ending | Broke, None]:
        """Answer a call: a part for each piece, then its ending, or why there is none."""
        number = id(call)
        self._to_do[number] = estimated(call)
        answer: Answer | None = None
        try:
            with (await self._open(recipe)).taken() as leaf:
                answer = leaf.answer(call)
                async for piece in answer:
                    part = Part(piece, answer.so_far)
                    self._to_do[number] = left_to_do(call, part)
                    yield part
                yield answer.ending
        except EngineError as error:
            yield Broke(error, "")
        except CputError as error:
            yield Broke(None, str(error))
        finally:
            del self._to_do[number]
            if answer is not None:
                await answer.aclose()  # where the gateway hung up, the engine stops working on it

    async def describe(self, recipe: Hashable) -> Described:
        """Open what a gateway is about to send calls for, and say what it is."""
        with (await self._open(recipe)).taken() as leaf:
            folder = getattr(leaf, "folder", None)
            tokenizer = None if folder is None else await asyncio.to_thread(_read, Path(folder) / "tokenizer.json")
            return Described(leaf.name, tokenizer)

    async def ready(self) -> None:
        """Load the first engine; Ray calls the replica ready after that."""
        await self._open(self._first)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Say how many tokens there are still to do; Ray asks every few seconds."""
        return {TOKENS: sum(self._to_do.values())}

    async def aclose(self) -> None:
        """Close every engine."""
        if self._closer is not None:
            self._closer.cancel()
        for held in self._held.values():
            await held.leaf.aclose()
        self._held.clear()

    async def _open(self, recipe: Hashable) -> _Held:
        async with self._opening.setdefault(recipe, asyncio.Lock()):
            held = self._held.get(recipe)
            if held is None:
                leaf = await asyncio.to_thread(self._opens, recipe)
                await leaf.start()
                held = self._held[recipe] = _Held(leaf)
                self._newest = recipe
                if len(self._held) > 1 and self._closer is None:
                    self._closer = asyncio.create_task(self._close_old())
            return held

    async def _close_old(self) -> None:
        """Close what nobody asks for any more, until only the newest is left."""
        while len(self._held) > 1:
            await asyncio.sleep(self._keep_s / 4)
            now = time.monotonic()
            for recipe, held in list(self._held.items()):
                if recipe != self._newest and not held.under_way and now - held.left_s > self._keep_s:
                    del self._held[recipe]
                    await held.leaf.aclose()
        self._closer = None


def estimated(call: Call) -> float:
    """Return an estimate of the tokens of a call that has not begun: its prompt, and all that it may generate."""
    chars = len(call.prompt or "") + sum(len(turn.content) for turn in call.messages)
    return chars / CHARS_PER_TOKEN + call.sampling.max_new_tokens


def left_to_do(call: Call, part: Part) -> float:
    """Return the tokens that a call under way may still take; its prompt is done once a piece has come."""
    return float(max(0, call.sampling.max_new_tokens - (part.used.output or 0)))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
