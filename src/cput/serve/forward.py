"""A remote engine that carries a client's own request on, and an upstream's own words back.

``Call`` holds what every engine understands. An upstream that speaks OpenAI's dialect understands more: tools, vision,
several choices, fields that came up last week. A ``Carried`` call has the client's body beside the call's fields, and
``Forward`` sends that body, with the model and the asking for usage put right; what comes back are ``Said`` pieces with
the upstream's choices, closed by a ``Closed`` ending with its usage and reasons. Who asks for a whole answer is given
the upstream's whole answer: some upstreams stream less than they can say, or not at all. To the meter and to every
other wrapper they are a call, pieces and an ending like all others. What a wrapper changed in the call (a retry's
temperature, a shorter prompt) wins over the client's body.
"""

from collections.abc import Mapping
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
from cput.serve.trace_context import LEG

OURS = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
"""Fields of a chunk that are made anew for the client; the padding against listeners is pointless after a change."""
NOT_SAID = frozenset({"index", "finish_reason", "usage", "message"})
"""Fields of a choice that are kept apart."""
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

    ``any_model`` sends each call's own model name on, in place of the one model of ``OpenAI``. ``always_stream`` asks
    for a stream also where the client wants a whole answer.
    """

    def __init__(
        self, model: str, base_url: str, *, any_model: bool = False, always_stream: bool = False, **options: Any
    ) -> None:
        super().__init__(model, base_url, **options)
        self._any_model = any_model
        self._always_stream = always_stream
        if any_model:
            self.name = f"openai:{URL(self.base_url).host}"

    def answer(self, call: Call) -> Answer:
        """Answer a call; see ``OpenAI.answer``. Plain calls are sent as that engine sends them."""
        if not isinstance(call, Carried) or call.embed:
            return super().answer(call)
        heard = Heard(call, self.provider)
        return Answer(self._stream(call, heard), heard.so_far)

    async def models(self, within_s: float = 10.0) -> list[dict[str, Any]]:
        """Return the upstream's ``GET /models`` entries.

        Raises:
            EngineUnavailable, UpstreamError: it does not answer, or with an error, or with something else.
        """
        timeout = aiohttp.ClientTimeout(total=within_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.get(f"{self.base_url}/models", headers=self._headers(None), allow_redirects=False) as response,
            ):
                status, text = response.status, await response.text(errors="replace")
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            raise EngineUnavailable(f"{self._server} can't be reached: {self._safe(str(error))}") from error
        if status >= 300:
            raise refusal(self._server, status, self._safe(text, len(text)), None)
        listed = self._chunk(text.encode()).get("data")
        if not isinstance(listed, list):
            raise UpstreamError(f"{self._server} gave no list of models")
        return [entry for entry in listed if isinstance(entry, dict)]

    def _hearing(self, call: Call) -> Hearing:
        return Passing(call, self.provider) if isinstance(call, Carried) else super()._hearing(call)

    def _headers(self, call: Call | None) -> dict[str, str]:
        request_id = call.request_id if isinstance(call, Carried) else None
        mine = {"X-Request-Id": request_id} if request_id else {}
        leg = LEG.get() if call is not None else None
        return super()._headers(call) | mine | ({} if leg is None else leg.sent_to(self.base_url))

    def _streams(self, call: Call) -> bool:
        return (call.stream or self._always_stream) and not call.embed

    def _body(self, call: Call) -> dict[str, Any]:
        """Return the client's body with the model and the asking for usage put right, and a wrapper's changes."""
        if not isinstance(call, Carried):
            return super()._body(call)
        body = dict(call.body)
        if not self._any_model:
            body["model"] = self.model
        if call.embed:
            return body | ({"input": list(call.embed)} if call.embed != call.read.embed else {}) | self._extra
        if self._streams(call):
            body["stream"] = True
            body.pop("stream_options", None)
            if self._ask_usage:
                body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
        if call.sampling != call.read.sampling:
            ours = request_body(call, self.model, ask_usage=False, extra={})
            body |= {name: ours[name] for name in CHANGEABLE if name in ours}
            if call.sampling.logprobs and not call.read.sampling.logprobs:
                body["logprobs"] = ours["logprobs"]
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
        for_wrapper = call.sampling.logprobs and not call.read.sampling.logprobs
        self._not_said = NOT_SAID | {"logprobs"} if for_wrapper else NOT_SAID
        self._reasons: dict[int, str] = {}
        self._usage_said: Mapping[str, Any] | None = None
        self._more: dict[str, Any] = {}

    def take(self, chunk: Mapping[str, Any]) -> list[Piece]:
        """Return the chunk's choices as pieces; one that only says why it ended is none.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: the chunk is not of the wire format's shape.
        """
        self._note(chunk)
        usage = chunk.get("usage")
        if usage:
            self._usage_said = usage
        for name, value in chunk.items():
            if name not in OURS and value is not None:
                self._more[name] = value
        pieces: list[Piece] = []
        for choice in chunk.get("choices") or []:
            index = int(choice.get("index") or 0)
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                self._reasons[index] = reason
                self._reason = (self._reason or reason) if index else reason
            if (piece := self._said(index, choice)) is not None:
                self._tokens += piece.tokens  # of all choices, and of tool calls too
                pieces.append(piece)
        return pieces

    def ending(self, server: str) -> Closed:
        """Return how the answer closed, with the upstream's words; see ``Progress.ending``."""
        ending = super().ending(server)
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

    def _said(self, index: int, choice: Mapping[str, Any]) -> Said | None:
        """Return a choice as a piece; None where it says nothing."""
        delta = choice.get("delta") or choice.get("message") or {}
        _require_sound(delta, choice.get("text"))
        spoken = any(name != "role" and value not in (None, "", []) for name, value in delta.items())
        if not spoken and not choice.get("text") and not choice.get("logprobs"):
            return None
        kept = ((name, value) for name, value in choice.items() if name not in self._not_said)
        said = {name: value for name, value in kept if value or name != "logprobs"}
        if "message" in choice:  # an upstream that does not stream
            said["delta"] = _numbered(delta)
        read = self._piece(choice)
        tokens = read.tokens or (0 if read.whole else 1)
        return Said(text=read.text, tokens=tokens, logprobs=read.logprobs, whole=read.whole, index=index, said=said)


def _numbered(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a whole message as a delta: in a stream, each tool call says which one it is."""
    if not message.get("tool_calls"):
        return message
    return {**message, "tool_calls": [{"index": at, **call} for at, call in enumerate(message["tool_calls"])]}


def _require_sound(delta: Mapping[str, Any], text: Any) -> None:
    """Refuse what no dialect could say; raises AttributeError, TypeError or ValueError."""
    words = [text, delta.get("role"), delta.get("content"), delta.get("refusal")]
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        int(call.get("index") or 0)
        words += [call.get("id"), function.get("name"), function.get("arguments")]
    if not all(word is None or isinstance(word, str) for word in words):
        raise TypeError("a part of a chunk is not a text")
