"""What stands between one client's request and upstreams that differ: other model names, or text only.

A request that falls back from one upstream to another is said to each in its own words.
"""

from collections.abc import AsyncGenerator
from dataclasses import replace

from cput.engines.faults import Unsuited
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Piece
from cput.serve.dialects.base import Defaults, Dialect, Takes
from cput.serve.dialects.chat import Chat
from cput.serve.dialects.completions import Completions
from cput.serve.fault import BadRequest
from cput.serve.forward import Carried
from cput.serve.head import Head

_CHAT, _COMPLETIONS = Chat(), Completions()


class CannotHonour(BadRequest, Unsuited):
    """What was asked for is more than this engine understands; an upstream that speaks the wire format may."""


class Renamed:
    """Asks ``engine`` for a model by the name that it knows it by."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self._model = model

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer a call; one that was not carried here names no model."""
        if isinstance(call, Carried):
            call = replace(call, body={**call.body, "model": self._model})
        return self._engine.answer(call)

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()


class TextOnly:
    """Lets an engine of text stand among upstreams that speak the wire format.

    The client's body is read again, strictly: what the engine has no way to honour is refused by name, so that the next
    upstream is asked, and nothing is ignored in silence.
    """

    def __init__(self, engine: Engine, defaults: Defaults) -> None:
        self._engine = engine
        self._defaults = defaults

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer a call; ``CannotHonour`` comes from the stream where the body asks for more than text."""
        try:
            return self._engine.answer(self._text(call) if isinstance(call, Carried) else call)
        except CannotHonour as error:
            return Answer(_refused(error))

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()

    def _text(self, call: Carried) -> Call:
        dialect: Dialect = _CHAT if "messages" in call.body else _COMPLETIONS
        head = Head(key=None, request_id=call.request_id or call.id)
        try:
            read = dialect.read(call.body, head, Takes.TEXT, self._defaults).call
        except BadRequest as error:
            raise CannotHonour(str(error), param=error.param, code=error.code, status=error.status) from error
        sampling = read.sampling
        if call.sampling != call.read.sampling:  # a wrapper's change wins
            sampling = replace(call.sampling, grammar=read.sampling.grammar)
        return Call(
            id=call.id,
            messages=read.messages if call.messages == call.read.messages else call.messages,
            prompt=read.prompt if call.prompt == call.read.prompt else call.prompt,
            sampling=sampling,
            workload=call.workload,
            item=call.item,
            tenant=call.tenant,
            external_key=call.external_key,
            policy=call.policy,
            episode=call.episode,
            tags=call.tags,
        )


async def _refused(error: CannotHonour) -> AsyncGenerator[Piece | Ending, None]:
    raise error
    yield  # what makes it a stream
