"""``RayEngine``: an engine for a gateway whose work is done by engine replicas.

    engine = RayEngine(recipe)
    await engine.start()                     # once, where the gateway loads: asks an engine replica what it is
    text = await engine.answer(call).text()

A piece comes when the engine made it. Who hangs up cancels the work in the engine replica. A replica that dies is
``EngineUnavailable``, which may be retried before the first piece: Ray sends the next leg to another one.
"""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException, RequestCancelledError
from tokenizers import Tokenizer

from cput.errors import EngineError, EngineUnavailable, InputError
from cput.protocols import Answer
from cput.records import Call, Ending, Piece, Usage
from cput.serve.on_ray.parts import Broke, Described
from cput.serve.on_ray.plan import ENGINES


class RayEngine:
    """Answers by the engine replicas of this application. To be used inside one of its replicas."""

    def __init__(self, recipe: Hashable) -> None:
        self._recipe = recipe
        self._streaming: Any = None
        self._described: Described | None = None
        self._tokenizer: Any = None

    @property
    def name(self) -> str:
        """The name of the engine in the replicas; ``ray`` as long as none has said it."""
        return self._described.name if self._described is not None else "ray"

    async def start(self) -> Described:
        """Open the engine in the replicas, and ask one what it is.

        Raises:
            EngineUnavailable: none answers, or it can't be opened there.
        """
        handle = _replicas()
        try:
            found: Described = await handle.describe.remote(self._recipe)  # waits until there is a replica
            # Each replica opens it now, and not with its first call. One that can't would say so to that call.
            await handle.broadcast("describe", self._recipe).results_async(return_exceptions=True)
        except (RayError, RayServeException) as error:
            raise EngineUnavailable(f"no engine replica could open the engine: {_reason(error)}") from error
        if found.tokenizer is not None:
            self._tokenizer = Tokenizer.from_str(found.tokenizer.decode())
        self._described = found
        return found

    def count_tokens(self, text: str) -> int | None:
        """Return how many tokens the engine makes of a raw text; None where its tokenizer is not known."""
        if self._tokenizer is None:
            return None
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def answer(self, call: Call) -> Answer:
        """Answer a call; see ``cput.protocols.Answer``."""
        so_far = [Usage()]
        return Answer(self._stream(call, so_far), lambda: so_far[0])

    async def aclose(self) -> None:
        """Release nothing: the replicas are Ray's to end."""

    async def _stream(self, call: Call, so_far: list[Usage]) -> AsyncGenerator[Piece | Ending, None]:
        if self._streaming is None:
            self._streaming = _replicas().options(method_name="answer", stream=True)
        parts = self._streaming.remote(self._recipe, call)
        ended = False
        try:
            while True:
                part = await _next(parts)
                if isinstance(part, Broke):
                    ended = True
                    raise part.error if part.error is not None else InputError(part.mistake)
                if isinstance(part, Ending):
                    ended = True
                    yield part
                    return
                so_far[0] = part.used
                yield part.piece
        finally:
            if not ended:
                parts.cancel()


def _replicas() -> Any:
    """Return the handle to the engine replicas of the application that this process is a replica of."""
    return serve.get_deployment_handle(ENGINES, serve.get_replica_context().app_name)


async def _next(parts: Any) -> Any:
    """Return the next part; whatever may befall a replica becomes one of our own errors."""
    try:
        return await anext(parts)
    except StopAsyncIteration as error:
        raise EngineUnavailable("the engine replica ended in mid-answer") from error
    except RayTaskError as error:
        raise EngineError(f"the engine replica failed: {_reason(error)}") from error
    except RequestCancelledError as error:
        raise EngineUnavailable("the engine replica broke the call off") from error
    except (RayError, RayServeException) as error:
        raise EngineUnavailable(f"the engine replica is gone: {_reason(error)}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise EngineUnavailable("the engine replica is stopping") from error


def _reason(error: BaseException) -> str:
    """Return one line of what Ray says: the last of a traceback, the first of a sentence."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1] if str(cause).strip() else ''}"
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__
