"""A remote engine that carries a client's own request on, and an upstream's own words back.

``Call`` holds what every engine understands. An upstream that speaks OpenAI's dialect understands more: tools, vision,
several choices, fields that came up last week. A ``Carried`` call has the client's body beside the call's fields, and
``Forward`` sends that body, with the model, streaming and the usage count put right; what comes back are ``Said``
pieces with the upstream's choices, closed by a ``Closed`` ending with its usage and reasons. To the meter and to every
other wrapper they are a call, pieces and an ending like all others. What a wrapper changed in the call (a retry's
temperature, a shorter prompt) wins over the client's body.
"""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from cput.engines.openai import OpenAI
from cput.engines.openai.body import request_body
from cput.engines.openai.embeddings import Hearing
from cput.engines.openai.progress import Progress
from cput.engines.openai.refusal import refusal
from cput.errors import EngineUnavailable, UpstreamError
from cput.protocols import Answer
from cput.records import Call, Ending, Piece

OURS = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
"""Fields of a chunk that are made anew for the client; the padding against listeners is pointless after a change."""
CHANGEABLE = ("temperature", "top_p", "seed")
"""Sampling that wrappers vary between legs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(Call):
    """A call with the request it was read from."""

    body: Mapping[str, Any] = field(default_factory=dict)
    """The client's fields in OpenAI's dialect, as they came."""
    read: Call
    """The call as it was read from ``body``; what differs from it now was changed on purpose."""
    request_id: str | None = None
    """Sent on as ``X-Request-Id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Piece):
    """A piece with the upstream's own choice."""

    index: int = 0
    """Which of the ``n`` choices."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """The choice as it came, without index and finish reason: ``delta`` (chat) or ``text``, ``logprobs``, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Ending):
    """An ending with the upstream's own words."""

    reasons: Mapping[int, str] = field(default_factory=dict)
    """Finish reason of each choice (``tool_calls``, ``content_filter``), as it came."""
    usage_said: Mapping[str, Any] | None = None
    """The usage object as it came; None where none did."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the chunks (``system_fingerprint``), the last of each."""


class Forward(OpenAI):
    """An OpenAI-compatible upstream that is sent ``Carried`` calls as the client wrote them.

    ``any_model`` sends each call's own model name on, in place of the one model of ``OpenAI``.
    """

    def __init__(self, model: str, base_url: str, *, any_model: bool = False, **options: Any) -> None:
        super().__init__(model, base_url, **options)
        self._any_model = any_model
        if any_model:
            self.name = f"openai:{URL(self.base_url).host}"

    def answer(self, call: Call) -> Answer:
        """Answer a call; see ``OpenAI.answer``. Plain calls are sent as that engine sends them."""
        if not isinstance(call, Carried) or call.embed:
            return super().answer(call)
        heard = Heard(call, self.provider)
        return Answer(self._carry(call, heard), heard.so_far)

    async def models(self, within_s: float = 10.0) -> list[dict[str, Any]]:
        """Return the upstream's ``GET /models`` entries.

        Raises:
            EngineUnavailable, UpstreamError: it does not answer, or with an error, or with something else.
        """
        timeout = aiohttp.ClientTimeout(total=within_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.get(f"{self.base_url}/models", headers=self._headers(None)) as response,
            ):
                status, text = response.status, await response.text(errors="replace")
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            raise EngineUnavailable(f"{self._server} can't be reached: {self._safe(str(error))}") from error
        if status >= 400:
            raise refusal(self._server, status, self._safe(text, len(text)), None)
        listed = self._chunk(text.encode()).get("data")
        if not isinstance(listed, list):
            raise UpstreamError(f"{self._server} gave no list of models")
        return [entry for entry in listed if isinstance(entry, dict)]

    async def _carry(self, call: Carried, heard: "Heard") -> AsyncGenerator[Piece | Ending, None]:
        async with contextlib.aclosing(self._stream(call, heard)) as parts:  # a hang-up must reach the connection
            async for part in parts:
                yield heard.closed(part) if isinstance(part, Ending) else part

    def _hearing(self, call: Call) -> Hearing:
        return Passing(call, self.provider) if isinstance(call, Carried) else super()._hearing(call)

    def _headers(self, call: Call | None) -> dict[str, str]:
        request_id = call.request_id if isinstance(call, Carried) else None
        return super()._headers(call) | ({"X-Request-Id": request_id} if request_id else {})

    def _body(self, call: Call) -> dict[str, Any]:
        """Return the client's body with the model, streaming and usage put right, and a wrapper's changes."""
        if not isinstance(call, Carried):
            return super()._body(call)
        body = {**call.body, **({} if call.embed else {"stream": True})}
        if not self._any_model:
            body["model"] = self.model
        if call.embed:
            return body | ({"input": list(call.embed)} if call.embed != call.read.embed else {}) | self._extra
        if self._ask_usage:
            body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
        else:
            body.pop("stream_options", None)
        if call.sampling != call.read.sampling:
            ours = request_body(call, self.model, ask_usage=False, extra={})
            body |= {name: ours[name] for name in CHANGEABLE if name in ours}
        if call.messages != call.read.messages:
            body["messages"] = [{"role": turn.role, "content": turn.content} for turn in call.messages]
        if call.prompt != call.read.prompt:
            body["prompt"] = call.prompt
        return body | self._extra


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed(Piece):
    """An upstream's whole response, where nothing in it has to be understood: embeddings."""

    fields: Mapping[str, msgspec.Raw] = field(default_factory=dict)
    """Its fields as they came, undecoded: millions of digits cost nothing."""


class Passing(Hearing):
    """Reads an upstream's embeddings and keeps its own words."""

    def take(self, raw: bytes) -> Piece:
        """Return the response; see ``Hearing.take``."""
        return Passed(fields=self._fields(raw))


class Heard(Progress):
    """Reads an upstream's chunks in order and keeps its own words."""

    def __init__(self, call: Carried, provider: str | None) -> None:
        super().__init__(call, provider)
        self._reasons: dict[int, str] = {}
        self._usage_said: Mapping[str, Any] | None = None
        self._more: dict[str, Any] = {}

    def take(self, chunk: Mapping[str, Any]) -> list[Piece]:
        """Return the chunk's choices as pieces; one that only says why it ended is none.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: the chunk is not of the wire format's shape.
        """
        choices = chunk.get("choices") or []
        tokens = self._tokens
        super().take(chunk)
        if isinstance(chunk.get("usage"), Mapping):
            self._usage_said = chunk["usage"]
        for name, value in chunk.items():
            if name not in OURS and value is not None:
                self._more[name] = value
        pieces: list[Piece] = []
        for choice in choices:
            index = int(choice.get("index") or 0)
            if reason := choice.get("finish_reason"):
                self._reasons[index] = str(reason)
            pieces.extend(self._said(index, choice))
        self._tokens = tokens + sum(piece.tokens for piece in pieces)  # of all choices, and of tool calls too
        return pieces

    def closed(self, ending: Ending) -> Closed:
        """Return the ending with the upstream's words."""
        return Closed(
            finish=ending.finish,
            usage=ending.usage,
            model=ending.model,
            attempt=ending.attempt,
            provider=ending.provider,
            service_tier=ending.service_tier,
            reasons=self._reasons,
            usage_said=self._usage_said,
            more=self._more,
        )

    def _said(self, index: int, choice: Mapping[str, Any]) -> list[Piece]:
        delta = choice.get("delta") or choice.get("message") or {}
        spoken = {name: value for name, value in delta.items() if name != "role" and value not in (None, "", [])}
        if not spoken and not choice.get("text") and not choice.get("logprobs"):
            return []
        said = {name: value for name, value in choice.items() if name not in {"index", "finish_reason", "usage"}}
        if "message" in said:  # an upstream that does not stream
            said["delta"] = said.pop("message")
        read = self._piece(choice)
        return [Said(text=read.text, tokens=read.tokens or 1, logprobs=read.logprobs, index=index, said=said)]
