"""OpenAI's ``/v1/responses`` on the same engines (platform.openai.com/docs/api-reference/responses).

A request is read as the chat completion that asks the same. Nothing is stored: what needs an earlier response on the
server is refused by name.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from cput.records import Ending, Piece
from cput.serve.dialects.base import Asking, Defaults, Takes
from cput.serve.dialects.blocks import Block, Blocks, Did, Step
from cput.serve.dialects.chat import Chat, envelope, named_model
from cput.serve.dialects.counts import reasons_of
from cput.serve.dialects.from_responses import chat_body
from cput.serve.dialects.grounds import with_grounds
from cput.serve.fault import Fault
from cput.serve.head import Head

PREFIX = "resp_"
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
ECHOED = ("instructions", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice", "text", "metadata")
_encode = msgspec.json.Encoder().encode


class Responses:
    """OpenAI's newer dialect."""

    name = "responses"

    def __init__(self) -> None:
        self._chat = Chat()

    def model_of(self, body: Mapping[str, Any]) -> str:
        """Return the model that a body names."""
        return named_model(body)

    def read(self, body: Mapping[str, Any], head: Head, takes: Takes, defaults: Defaults) -> Asking:
        """Return what a body asks for; see ``Dialect.read``."""
        asking = self._chat.read(chat_body(body), head, takes, defaults)
        return replace(asking, voice=ResponsesVoice(asking.call.id, asking.model, body))

    def fault(self, fault: Fault) -> bytes:
        """Return OpenAI's error envelope."""
        return _encode(envelope(fault))


class ResponsesVoice:
    """Says one answer as events, or whole."""

    def __init__(self, call_id: str, model: str, body: Mapping[str, Any]) -> None:
        self._id = call_id
        defaults = {"temperature": 1.0, "top_p": 1.0, "tools": [], "tool_choice": "auto", "metadata": {}}
        given = {name: body[name] for name in ECHOED if body.get(name) is not None}
        self._response: dict[str, Any] = {
            "id": PREFIX + call_id,
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "model": model,
            "output": [],
            "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "store": False,
            "text": {"format": {"type": "text"}},
            "truncation": "disabled",
            "usage": None,
            **defaults,
            **given,
        }
        self._blocks = Blocks()
        self._number = 0

    def piece(self, piece: Piece) -> bytes:
        """Return a piece as its events."""
        return self._opening() + self._changes(self._blocks.feed(piece))

    def end(self, ending: Ending) -> bytes:
        """Return the events that close the response: its last item, then ``completed`` or ``incomplete``."""
        closing = self._opening() + self._changes(self._blocks.finish())
        response = self._ended(ending)
        return closing + self._event(f"response.{response['status']}", response=response)

    def broken(self, fault: Fault) -> bytes:
        """Return the event that breaks the stream off."""
        return self._event("error", code=fault.code, message=fault.message, param=fault.param)

    def whole(self, pieces: Sequence[Piece], ending: Ending) -> bytes:
        """Return the response."""
        for piece in pieces:
            for _ in self._blocks.feed(piece):
                pass
        return _encode(self._ended(ending))

    def _opening(self) -> bytes:
        if self._number:
            return b""
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def _ended(self, ending: Ending) -> dict[str, Any]:
        why = INCOMPLETE.get(next(iter(reasons_of(ending).values())))
        said = {
            "status": "incomplete" if why else "completed",
            "incomplete_details": {"reason": why} if why else None,
            "output": [self._item(at, block, "completed") for at, block in enumerate(self._blocks.blocks)],
            "usage": _usage(ending),
        }
        return self._response | said | with_grounds(ending)

    def _changes(self, steps: Iterator[Step]) -> bytes:
        return b"".join(self._tool(step) if step.block.tool else self._text(step) for step in steps)

    def _text(self, step: Step) -> bytes:
        at = {"item_id": self._item_id(step.at, tool=False), "output_index": step.at, "content_index": 0}
        if step.did is Did.GREW:
            return self._event("response.output_text.delta", **at, delta=step.part, logprobs=[])
        part = _part(step.block.text)
        if step.did is Did.OPENED:
            added = self._added(step)
            return added + self._event("response.content_part.added", **at, part=_part(""))
        done = self._event("response.output_text.done", **at, text=step.block.text, logprobs=[])
        return done + self._event("response.content_part.done", **at, part=part) + self._done(step)

    def _tool(self, step: Step) -> bytes:
        at = {"item_id": self._item_id(step.at, tool=True), "output_index": step.at}
        if step.did is Did.GREW:
            return self._event("response.function_call_arguments.delta", **at, delta=step.part)
        if step.did is Did.OPENED:
            return self._added(step)
        arguments, name = step.block.text, step.block.name
        done = self._event("response.function_call_arguments.done", **at, name=name, arguments=arguments)
        return done + self._done(step)

    def _added(self, step: Step) -> bytes:
        item = self._item(step.at, Block(tool=step.block.tool, id=step.block.id, name=step.block.name), "in_progress")
        if not step.block.tool:
            item["content"] = []
        return self._event("response.output_item.added", output_index=step.at, item=item)

    def _done(self, step: Step) -> bytes:
        item = self._item(step.at, step.block, "completed")
        return self._event("response.output_item.done", output_index=step.at, item=item)

    def _item(self, at: int, block: Block, status: str) -> dict[str, Any]:
        item: dict[str, Any] = {"id": self._item_id(at, tool=block.tool), "status": status}
        if block.tool:
            call = {"call_id": block.id, "name": block.name, "arguments": block.text}
            return item | {"type": "function_call", **call}
        return item | {"type": "message", "role": "assistant", "content": [_part(block.text)]}

    def _item_id(self, at: int, *, tool: bool) -> str:
        return f"{'fc' if tool else 'msg'}_{self._id}_{at}"

    def _event(self, kind: str, **facts: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **facts}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + _encode(data) + b"\n\n"


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(ending: Ending) -> dict[str, Any] | None:
    usage = ending.usage
    if usage.input is None or usage.output is None:
        return None
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.input_cache_read},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
