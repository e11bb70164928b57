"""Puts the table, the shapes and the headers together into one OpenAPI 3.1 document (spec.openapis.org/oas/v3.1.1).

An answer that may be streamed has a media type ``text/event-stream`` whose ``x-event`` is the schema of one event's
data; OpenAPI has no word of its own for it before 3.2.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cput import __version__
from cput.serve.exchange import exchange_of
from cput.serve.openapi.answers import answer_schemas
from cput.serve.openapi.operations import OPERATIONS, WHY, Operation
from cput.serve.openapi.requests import REF, Json, request_schemas

_EMPTY: Json = {"const": "", "description": "As good as absent."}
_NAME: Json = {"type": "string", "maxLength": 256}
HEADERS: Mapping[str, tuple[str, Json]] = {
    "X-Request-Id": (
        "Comes back, and goes on to the upstream; one that is not 1 to 128 printable ASCII characters is replaced.",
        {"type": "string"},
    ),
    "X-Cput-Workload": ("The workload that the call is written down under.", _NAME),
    "X-Cput-External-Key": ("A key of the caller's by which outcomes may arrive.", _NAME),
    "X-Cput-Episode": ("An id that several calls share.", _NAME),
    "X-Cput-Priority": (
        "Higher is sooner.",
        {"anyOf": [{"type": "integer", "exclusiveMinimum": -(10**9), "exclusiveMaximum": 10**9}, _EMPTY]},
    ),
    "X-Cput-Deadline-S": (
        "Seconds after which the answer is of no use.",
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**9}, _EMPTY]},
    ),
    "X-Cput-Cache": (
        "Whether a cached answer will do, and this one be kept; Cache-Control's no-store is off, no-cache is fresh.",
        {"enum": ["auto", "on", "off", "fresh", ""]},
    ),
    "Idempotency-Key": ("Makes a repeated request one outcome.", {"type": "string"}),
}
_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the gateway wants one."},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same."},
    "admin": {"type": "http", "scheme": "bearer", "description": "The admin token, where one is set."},
}
_ANSWERED: Json = {
    "X-Request-Id": {"description": "The request's id.", "required": True, "schema": {"type": "string"}},
    "Request-Id": {"description": "The same, by Anthropic's name.", "required": True, "schema": {"type": "string"}},
}
_CALL_ID: Json = {"X-Cput-Call-Id": {"description": "The call's id.", "required": True, "schema": {"type": "string"}}}
_RETRY: Json = {"Retry-After": {"description": "Whole seconds.", "schema": {"type": "integer", "minimum": 1}}}


async def openapi(request: Request) -> Response:
    """Show the document."""
    exchange_of(request.scope).endpoint = "openapi"
    return Response(_encoded(), media_type="application/json")


def document() -> Json:
    """Return the document, made anew."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "cput serve",
            "version": __version__,
            "summary": "An OpenAI-compatible door that meters every token.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": request_schemas() | answer_schemas(), "securitySchemes": _SECURITY},
    }


@functools.cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def _described(operation: Operation) -> Json:
    body = {} if operation.body is None else {"requestBody": {"required": True, "content": _json(operation.body)}}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_in_path(operation.path), *(_header(name) for name in ("X-Request-Id", *operation.headers))],
        **body,
        "responses": _responses(operation),
        "security": [{}, *({scheme: []} for scheme in operation.security)],
    }


def _responses(operation: Operation) -> Json:
    found = {200: _response(200, _content(operation), _CALL_ID if operation.events is not None else {})}
    found |= {status: _response(status, _json(operation.error.__name__)) for status in operation.refusals}
    found |= {status: _response(status, _json(kind.__name__)) for status, kind in operation.also.items()}
    return {str(status): found[status] for status in sorted(found)}


def _response(status: int, content: Json, headers: Json | None = None) -> Json:
    more = _RETRY if status in {429, 503} else {}
    return {"description": WHY[status], "headers": _ANSWERED | more | (headers or {}), "content": content}


def _content(operation: Operation) -> Json:
    if operation.answer is None:
        return {"text/plain": {"schema": {"type": "string"}}}
    if operation.events is None:
        return _json(operation.answer.__name__)
    return _json(operation.answer.__name__) | {"text/event-stream": {"x-event": _ref(operation.events.__name__)}}


def _json(name: str) -> Json:
    return {"application/json": {"schema": _ref(name)}}


def _ref(name: str) -> Json:
    return {"$ref": REF.format(name=name)}


def _in_path(path: str) -> list[Json]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", path)]


def _header(name: str) -> Json:
    about, schema = HEADERS[name]
    return {"name": name, "in": "header", "description": about, "schema": dict[str, Any](schema)}
