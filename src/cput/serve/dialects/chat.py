"""``/v1/chat/completions`` (platform.openai.com/docs/api-reference/chat)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from cput.records import Call, Ending, Piece
from cput.serve.body import fields_of, shown
from cput.serve.dialects.base import Asking, Defaults, Takes
from cput.serve.dialects.counts import openai_usage, reasons_of, token_logprobs
from cput.serve.dialects.grounds import with_grounds
from cput.serve.dialects.text import Wanted, grammar_of, refuse_unhonoured, sampling_of, turns_of
from cput.serve.fault import BadRequest, Fault
from cput.serve.forward import Carried, Closed, Said
from cput.serve.head import NAME, Head
from cput.serve.merge import choices_of

PREFIX = "chatcmpl-"
DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


class ChatBody(Wanted, kw_only=True):
    """The fields of a chat completion that the door itself reads."""

    messages: Annotated[list[Any], msgspec.Meta(min_length=1)]
    logprobs: bool = False


class Chat:
    """OpenAI's chat dialect."""

    name = "chat"

    def model_of(self, body: Mapping[str, Any]) -> str:
        """Return the model that a body names."""
        return named_model(body)

    def read(self, body: Mapping[str, Any], head: Head, takes: Takes, defaults: Defaults) -> Asking:
        """Return what a body asks for; see ``Dialect.read``."""
        wanted = fields_of(body, ChatBody)
        strict = takes is Takes.TEXT
        if strict:
            refuse_unhonoured(body, ChatBody)
        sampling = sampling_of(wanted, defaults, logprobs=wanted.logprobs, carried=not strict)
        if strict:
            sampling = replace(sampling, grammar=grammar_of(wanted.response_format))
        call = call_of(wanted, head, defaults, messages=turns_of(wanted.messages, strict=strict), sampling=sampling)
        voice = ChatVoice(call.id, wanted.model, include_usage=wanted.include_usage)
        carried = call if strict else carry(call, body, head)
        return Asking(call=carried, model=wanted.model, stream=wanted.stream, choices=wanted.n, voice=voice)

    def fault(self, fault: Fault) -> bytes:
        """Return OpenAI's error envelope."""
        return _encode(envelope(fault))


def named_model(body: Mapping[str, Any]) -> str:
    """Return the model that a body names; BadRequest where it names none."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        code = "missing_required_parameter" if model is None else "invalid_type"
        raise BadRequest(f"'model' is {shown(model)}; allowed: a model's name", param="model", code=code)
    if NAME.match(model) is None:  # it goes into rows, logs and counters
        raise BadRequest(f"'model' is {shown(model)}; allowed: 1 to 256 characters", param="model")
    return model


def call_of(wanted: Wanted, head: Head, defaults: Defaults, **asked: Any) -> Call:
    """Return the call that asks for ``asked``, with what headers and metadata say about it."""
    return Call(
        **asked,
        stream=wanted.stream,
        workload=head.workload or defaults.workload,
        external_key=head.external_key,
        episode=head.episode,
        tags=wanted.metadata,
    )


def carry(call: Call, body: Mapping[str, Any], head: Head) -> Carried:
    """Return the call with the body that it was read from, for an upstream that speaks the dialect."""
    return Carried(
        id=call.id,
        stream=call.stream,
        messages=call.messages,
        prompt=call.prompt,
        sampling=call.sampling,
        workload=call.workload,
        external_key=call.external_key,
        episode=call.episode,
        tags=call.tags,
        body=body,
        read=call,
        request_id=head.request_id,
    )


def envelope(fault: Fault) -> dict[str, Any]:
    """Return OpenAI's error object."""
    kind = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    default = "invalid_request_error" if fault.status < 500 else "server_error"
    said = {"message": fault.message, "type": kind.get(fault.status, default), "param": fault.param, "code": fault.code}
    return {"error": said}


class ChatVoice:
    """Says one answer as chunks, or whole."""

    def __init__(self, call_id: str, model: str, *, include_usage: bool) -> None:
        self._head = {
            "id": PREFIX + call_id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._include_usage = include_usage
        self._begun: set[int] = set()
        # The part of a plain chunk before and after its text, so that a token costs one small encoding.
        usage = b',"usage":null' if include_usage else b""
        self._before = b"data: " + _encode(self._head)[:-1] + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"

    def piece(self, piece: Piece) -> bytes:
        """Return a piece as one chunk, after the chunk with the role where it is the first."""
        if isinstance(piece, Said):
            return self._said(piece)
        opening = b"" if self._begun else self._opening()
        if piece.logprobs:
            choice = {"index": 0, "delta": {"content": piece.text}, "logprobs": _logprobs([piece])}
            return opening + self._chunk({**choice, "finish_reason": None})
        return opening + self._before + _encode(piece.text) + self._after

    def end(self, ending: Ending) -> bytes:
        """Return the chunks with the finish reasons, the one with the usage where it was asked for, and the mark."""
        more = dict(ending.more) if isinstance(ending, Closed) else {}
        chunks = [
            self._fields({"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}, more)
            for index, reason in reasons_of(ending).items()
        ]
        if self._include_usage:
            chunks.append(self._head | more | {"choices": [], "usage": openai_usage(ending)})
        chunks[-1] |= with_grounds(ending)
        return b"".join([b"" if self._begun else self._opening(), *map(_event, chunks), DONE])

    def broken(self, fault: Fault) -> bytes:
        """Return the event that breaks the stream off."""
        return _event(envelope(fault))

    def whole(self, pieces: Sequence[Piece], ending: Ending) -> bytes:
        """Return the completion."""
        reasons = reasons_of(ending)
        spoken = choices_of(pieces)
        if spoken or isinstance(ending, Closed):
            indices = sorted({*spoken, *reasons})
            choices = [_carried_choice(index, spoken.get(index, {}), reasons.get(index)) for index in indices]
        else:
            choices = [_plain_choice(pieces, reasons[0])]
        more = dict(ending.more) if isinstance(ending, Closed) else {}
        said = self._head | more | {"object": "chat.completion", "choices": choices, "usage": openai_usage(ending)}
        return _encode(said | with_grounds(ending))

    def _opening(self) -> bytes:
        self._begun.add(0)
        delta = {"role": "assistant", "content": ""}
        return self._chunk({"index": 0, "delta": delta, "logprobs": None, "finish_reason": None})

    def _said(self, piece: Said) -> bytes:
        said = dict(piece.said)
        if piece.index not in self._begun:
            self._begun.add(piece.index)
            said["delta"] = {"role": "assistant"} | dict(said.get("delta") or {})
        return self._chunk({"index": piece.index, "delta": {}, **said, "finish_reason": None})

    def _chunk(self, choice: Mapping[str, Any]) -> bytes:
        return _event(self._fields(choice, {}))

    def _fields(self, choice: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        usage = {"usage": None} if self._include_usage else {}
        return self._head | dict(more) | {"choices": [choice]} | usage


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"


def _plain_choice(pieces: Sequence[Piece], reason: str) -> dict[str, Any]:
    text = "".join(piece.text for piece in pieces)
    said = [piece for piece in pieces if piece.logprobs]
    return {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": _logprobs(said) if said else None,
        "finish_reason": reason,
    }


def _carried_choice(index: int, said: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, **(said.get("delta") or {})}
    if isinstance(message.get("tool_calls"), list):
        message["tool_calls"] = [_without_index(entry) for entry in message["tool_calls"]]
    rest = {name: value for name, value in said.items() if name != "delta"}
    return {"index": index, "message": message, "logprobs": None, **rest, "finish_reason": reason}


def _without_index(entry: Any) -> Any:
    return {name: value for name, value in entry.items() if name != "index"} if isinstance(entry, dict) else entry


def _logprobs(pieces: Sequence[Piece]) -> dict[str, Any]:
    tokens = [token for piece in pieces for token in token_logprobs(piece)]
    content = [
        {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []} for text, value in tokens
    ]
    return {"content": content, "refusal": None}
