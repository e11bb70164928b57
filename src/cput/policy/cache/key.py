"""The key of a call: a digest of everything that can change its answer.

    key_of(call, model="gpt-4o", version="3f2a...")      # 32 bytes; equal for calls that must get equal answers

Every field of the call counts but the few in ``NOT_ASKED``, which say who asks, under which ids, and how the answer is
read. A field that a later version of ``Call``, or a subclass of it, brings counts by itself. A subclass that carries a
client's own request has it in ``body``; all of it counts but ``NOT_IN_BODY``. The text that is hashed is unambiguous:
each part says its kind and its length, so that no two calls are written alike (no field ends where the next begins).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from cput.records import Call, changed

NOT_ASKED = frozenset({"id", "item", "external_key", "episode", "tags", "stream", "request_id", "read", "propensity"})
"""Fields of a call that change nothing about its answer: ids, slices, its way here, how it is read."""
NOT_IN_BODY = frozenset({"stream", "stream_options", "metadata"})
"""Likewise of a client's request. ``user`` counts: what one end user was told is not told to another."""
_PERSON = b"cput-cache-1"


def key_of(call: Call, *, model: str, version: str = "") -> bytes:
    """Return the key of a call for a model, under a version of whatever answers (policy, weights, chat template)."""
    return _digest(b"call", model, version, asked(call))


def scope_of(call: Call, *, model: str, version: str = "") -> tuple[bytes, str] | None:
    """Return the scope within which only the last user turn may differ, and that turn; None where there is none.

    The scope covers all that ``key_of`` does: tenant, model, policy, sampling, tools, system prompt, earlier turns. A
    call has none whose last turn is more than plain text (a picture, a tool's result), or that has no turns.
    """
    if not call.messages or call.messages[-1].role != "user" or call.prompt is not None or call.embed:
        return None
    text = call.messages[-1].content
    rest = dict(asked(changed(call, messages=(*call.messages[:-1], changed(call.messages[-1], content="")))))
    body = getattr(call, "body", None)
    if body is not None:
        turns = body.get("messages")
        if not isinstance(turns, list) or turns[-1] != {"role": "user", "content": text}:
            return None
        rest["body"] = dict(_of_body(body)) | {"messages": turns[:-1]}
    return _digest(b"scope", model, version, rest), text


def asked(call: Call) -> Mapping[str, Any]:
    """Return what of a call counts, by name."""
    counted = {field.name: getattr(call, field.name) for field in fields(call) if field.name not in NOT_ASKED}
    if isinstance(counted.get("body"), Mapping):
        counted["body"] = _of_body(counted["body"])
    return counted


def canonical(value: Any) -> bytes:
    """Return a value as bytes that no other value has.

    Raises:
        TypeError: it is of a kind that a call does not hold.
    """
    match value:
        case None:
            return b"n"
        case Enum():
            return _wrapped(b"e", canonical(value.value))
        case bool():
            return b"t" if value else b"f"
        case int():
            return _wrapped(b"i", str(value).encode())
        case float():
            return _wrapped(b"d", value.hex().encode())
        case str():
            return _wrapped(b"s", value.encode("utf-8", "surrogatepass"))
        case bytes():
            return _wrapped(b"b", value)
        case list() | tuple():
            return _wrapped(b"l", b"".join(map(canonical, value)))
        case Mapping():
            pairs = sorted((canonical(name), canonical(held)) for name, held in value.items())
            return _wrapped(b"m", b"".join(part for pair in pairs for part in pair))
    if is_dataclass(value) and not isinstance(value, type):
        return _wrapped(b"r", canonical({field.name: getattr(value, field.name) for field in fields(value)}))
    raise TypeError(f"a {type(value).__name__} has no canonical form")


def _of_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in body.items() if name not in NOT_IN_BODY}


def _wrapped(kind: bytes, held: bytes) -> bytes:
    return b"%b%d:%b" % (kind, len(held), held)


def _digest(kind: bytes, *parts: Any) -> bytes:
    return hashlib.blake2b(kind + canonical(parts), digest_size=32, person=_PERSON).digest()
