"""Anthropic's ``/v1/messages`` on the same engines (docs.claude.com/en/api/messages).

A request is read as the chat completion that asks the same, so that every engine and every upstream behind this door
serves it. Prompt-cache marks (``cache_control``) change nothing here; thinking is not offered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from cput.records import Ending, Piece, Usage
from cput.serve.dialects.base import Asking, Defaults, Takes
from cput.serve.dialects.blocks import Block, Blocks, Did, Step
from cput.serve.dialects.chat import Chat, named_model
from cput.serve.dialects.counts import reasons_of
from cput.serve.dialects.from_messages import chat_body
from cput.serve.dialects.grounds import with_grounds
from cput.serve.fault import Fault
from cput.serve.head import Head

PREFIX = "msg_"
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_encode = msgspec.json.Encoder().encode


class Messages:
    """Anthropic's dialect."""

    name = "messages"

    def __init__(self) -> None:
        self._chat = Chat()

    def model_of(self, body: Mapping[str, Any]) -> str:
        """Return the model that a body names."""
        return named_model(body)

    def read(self, body: Mapping[str, Any], head: Head, takes: Takes, defaults: Defaults) -> Asking:
        """Return what a body asks for; see ``Dialect.read``."""
        asking = self._chat.read(chat_body(body), head, takes, defaults)
        return replace(asking, voice=MessagesVoice(asking.call.id, asking.model))

    def fault(self, fault: Fault) -> bytes:
        """Return Anthropic's error envelope."""
        return _encode(envelope(fault))


def envelope(fault: Fault) -> dict[str, Any]:
    """Return Anthropic's error object."""
    default = "invalid_request_error" if fault.status < 500 else "api_error"
    return {"type": "error", "error": {"type": ERROR_TYPES.get(fault.status, default), "message": fault.message}}


class MessagesVoice:
    """Says one answer as events, or whole."""

    def __init__(self, call_id: str, model: str) -> None:
        self._message: dict[str, Any] = {
            "id": PREFIX + call_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        self._begun = False
        self._blocks = Blocks()

    def piece(self, piece: Piece) -> bytes:
        """Return a piece as its events."""
        return self._opening() + b"".join(_event(_change(step)) for step in self._blocks.feed(piece))

    def end(self, ending: Ending) -> bytes:
        """Return the events that close the message: its last block, its reason and usage, the end."""
        closing = [_event(_change(step)) for step in self._blocks.finish()]
        delta = {"stop_reason": _stop_reason(ending), "stop_sequence": None}
        last = {"type": "message_delta", "delta": delta, "usage": _usage(ending.usage)} | with_grounds(ending)
        return b"".join([self._opening(), *closing, _event(last), _event({"type": "message_stop"})])

    def broken(self, fault: Fault) -> bytes:
        """Return the event that breaks the stream off."""
        return _event(envelope(fault))

    def whole(self, pieces: Sequence[Piece], ending: Ending) -> bytes:
        """Return the message."""
        for piece in pieces:
            for _ in self._blocks.feed(piece):
                pass
        content = [_content(block) for block in self._blocks.blocks]
        said = {"content": content, "stop_reason": _stop_reason(ending), "usage": _usage(ending.usage)}
        return _encode(self._message | said | with_grounds(ending))

    def _opening(self) -> bytes:
        """Return the first event. Nobody knows the prompt's count yet: it comes with the last but one (0 till then)."""
        if self._begun:
            return b""
        self._begun = True
        usage = {"input_tokens": 0, "output_tokens": 0}
        return _event({"type": "message_start", "message": self._message | {"usage": usage}})


def _change(step: Step) -> dict[str, Any]:
    at = {"index": step.at}
    if step.did is Did.CLOSED:
        return {"type": "content_block_stop", **at}
    if step.did is Did.OPENED:
        empty = Block(tool=step.block.tool, id=step.block.id, name=step.block.name)
        return {"type": "content_block_start", **at, "content_block": _content(empty)}
    kind = "input_json_delta" if step.block.tool else "text_delta"
    field = "partial_json" if step.block.tool else "text"
    return {"type": "content_block_delta", **at, "delta": {"type": kind, field: step.part}}


def _content(block: Block) -> dict[str, Any]:
    if not block.tool:
        return {"type": "text", "text": block.text}
    try:
        given = msgspec.json.decode(block.text or "{}")
    except msgspec.DecodeError:
        given = {"arguments": block.text}  # cut short: what came is shown as it came
    return {"type": "tool_use", "id": block.id, "name": block.name, "input": given}


def _stop_reason(ending: Ending) -> str:
    reason = next(iter(reasons_of(ending).values()))
    return STOP_REASONS.get(reason, "end_turn")


def _usage(usage: Usage) -> dict[str, Any]:
    """Return Anthropic's usage, whose input leaves out what came from a cache or went into one."""
    said: dict[str, Any] = {"input_tokens": usage.input_uncached, "output_tokens": usage.output}
    if usage.input_cache_read is not None:
        said["cache_read_input_tokens"] = usage.input_cache_read
    if usage.input_cache_write is not None:
        said["cache_creation_input_tokens"] = usage.input_cache_write
    return said


def _event(data: Mapping[str, Any]) -> bytes:
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + _encode(data) + b"\n\n"
