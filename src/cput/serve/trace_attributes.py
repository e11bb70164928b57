"""What a request's own span says, and the text of prompts and answers in the form of the GenAI conventions."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.routing import Route
from starlette.types import Scope

from cput.records import Attempt, Call, Finish, Message
from cput.serve.exchange import HUNG_UP, Exchange
from cput.units import NANO

OPERATIONS: Mapping[str, str] = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
"""The convention's word for what an endpoint is asked, by the endpoint's name in logs."""
_encode = msgspec.json.Encoder().encode


def request_name(scope: Scope, exchange: Exchange) -> str:
    """Return a request's span name: the method and the route, never a path of the client's making."""
    return " ".join(filter(None, (scope["method"], _route(scope, exchange))))


def request_attributes(scope: Scope, exchange: Exchange) -> dict[str, Any]:
    """Return what the span of an ended request says: HTTP's conventions, then what its call used in all."""
    facts = exchange.facts
    server, client = scope.get("server") or (None, None), scope.get("client") or (None, None)
    failed = exchange.status >= 500
    nano_usd = facts.get("nano_usd")
    finish = facts.get("finish")
    return {
        "http.request.method": scope["method"],
        "http.response.status_code": exchange.status or None,
        "http.route": _route(scope, exchange),
        "url.scheme": scope.get("scheme"),
        "url.path": exchange.path[:256],
        "server.address": server[0],
        "server.port": server[1],
        "client.address": client[0],
        "network.protocol.version": scope.get("http_version"),
        "error.type": str(facts.get("code") or exchange.status) if failed else None,
        "gen_ai.operation.name": OPERATIONS.get(exchange.endpoint),
        "gen_ai.request.model": facts.get("model"),
        "gen_ai.request.stream": facts.get("stream"),
        "gen_ai.response.id": facts.get("call_id"),
        "gen_ai.response.finish_reasons": None if finish is None else [finish],
        "gen_ai.usage.input_tokens": facts.get("input_tokens"),
        "gen_ai.usage.output_tokens": facts.get("output_tokens"),
        "cput.call.id": facts.get("call_id"),
        "cput.tenant": facts.get("tenant"),
        "cput.key.id": facts.get("key_id"),
        "cput.request.id": exchange.request_id,
        "cput.attempts": facts.get("attempts"),
        "cput.code": facts.get("code"),
        "cput.hung_up": True if exchange.status == HUNG_UP else None,
        "cput.charge.incremental_nano_usd": nano_usd,
        "cput.charge.incremental_usd": None if nano_usd is None else nano_usd / float(NANO),
    }


def content(call: Call, attempt: Attempt) -> dict[str, Any]:
    """Return prompt and answer as ``gen_ai.input.messages`` and ``gen_ai.output.messages``: JSON texts."""
    turns: Sequence[Message] = call.messages
    if call.prompt is not None:
        turns = (Message(role="user", content=call.prompt),)
    asked = [{"role": turn.role, "parts": [{"type": "text", "content": turn.content}]} for turn in turns]
    parts = [{"type": "text", "content": attempt.text}]
    reason = attempt.finish.value if attempt.finish in {Finish.STOP, Finish.LENGTH} else "error"
    said = [{"role": "assistant", "parts": parts, "finish_reason": reason}]
    return {
        "gen_ai.input.messages": _encode(asked).decode() if asked else None,
        "gen_ai.output.messages": None if attempt.text is None else _encode(said).decode(),
    }


def _route(scope: Scope, exchange: Exchange) -> str | None:
    """Return the route; None where the path led nowhere. What answers calls has one path, with or without a router."""
    if exchange.endpoint in OPERATIONS:
        return exchange.path
    route = scope.get("route")
    return str(route.path) if isinstance(route, Route) else None
