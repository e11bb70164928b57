"""Reads a request's body: bounded in bytes, in time and in depth, then as JSON, then as the fields of a dialect."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.types import Receive, Scope

from cput.serve.crowded import CONTAINERS, VALUES, is_crowded
from cput.serve.fault import BadRequest

Fields = TypeVar("Fields", bound=msgspec.Struct)
SHOWN = 60
_AT = re.compile(r"^(?P<why>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


class ClientGone(Exception):  # noqa: N818  # reads as the sentence it stands for
    """The client hung up before it had sent its request."""


async def read_body(scope: Scope, receive: Receive, *, max_bytes: int, within_s: float) -> bytes:
    """Return the whole body.

    Raises:
        BadRequest: more than ``max_bytes`` (413), or not there ``within_s`` seconds after the head (408).
        ClientGone: the client hung up.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise too_large(int(value), max_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > max_bytes:
                    raise too_large(size, max_bytes)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError as error:
        sentence = f"the body had not arrived after {within_s:g} s"
        raise BadRequest(sentence, code="request_timeout", status=408) from error


def too_large(size: int, most: int) -> BadRequest:
    """Return the refusal of a body that is too long."""
    return BadRequest(f"the body has {size:,} bytes or more; allowed: {most:,}", code="request_too_large", status=413)


def json_of(body: bytes, *, max_depth: int) -> Any:
    """Return a body's JSON.

    Raises:
        BadRequest: no JSON, not UTF-8, of too many values, or nested deeper than ``max_depth``.
    """
    if is_crowded(body):
        sentence = f"the body has too many values; allowed: {CONTAINERS:,} objects and lists, {VALUES:,} values in all"
        raise BadRequest(sentence, code="request_too_large", status=413)
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON: {error}", code="invalid_json") from error
    except RecursionError as error:
        raise _too_deep(max_depth) from error
    level = [found]
    for _ in range(max_depth + 1):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return found
    raise _too_deep(max_depth)


def object_of(body: bytes, *, max_depth: int) -> dict[str, Any]:
    """Return a body that must be a JSON object; BadRequest otherwise."""
    found = json_of(body, max_depth=max_depth)
    if not isinstance(found, dict):
        raise BadRequest(f"the body is {shown(found)}; it must be a JSON object", code="invalid_json")
    return found


def fields_of(body: Mapping[str, Any], kind: type[Fields]) -> Fields:
    """Return the fields of ``body`` that ``kind`` names; ``null`` is as good as absent.

    Raises:
        BadRequest: one is missing or of a wrong type; names it, its value and what is allowed.
    """
    given = {name: value for name, value in body.items() if value is not None}
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise _wrong(given, str(error)) from error


def shown(value: Any) -> str:
    """Return a value as it may stand in a message, cut where it is long."""
    try:
        text = msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, OverflowError, ValueError):  # a whole number beyond 64 bits
        text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _children(parent: Any) -> Any:
    return parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ()


def _too_deep(most: int) -> BadRequest:
    return BadRequest(f"the body is nested deeper than {most} levels, which is the most allowed", code="invalid_json")


def _wrong(given: Mapping[str, Any], said: str) -> BadRequest:
    """Turn msgspec's sentence ("Expected `int`, got `str` - at `$.n`") into ours, with the value."""
    match = _AT.match(said)
    why, path = (match["why"], match["path"] or "") if match else (said, "")
    missing = re.match(r"Object missing required field `(.+)`", why)
    if missing:
        name = f"{path}.{missing[1]}".lstrip(".")
        return BadRequest(f"'{name}' is missing", param=name, code="missing_required_parameter")
    name = path.lstrip(".")
    allowed = re.sub(r", got `[^`]*`$", "", why).replace("Expected", "allowed:").replace("`", "").replace(" | null", "")
    return BadRequest(f"'{name}' is {shown(_value_at(given, path))}; {allowed}", param=name, code="invalid_type")


def _value_at(value: Any, path: str) -> Any:
    for name, index in _STEP.findall(path):
        if name and isinstance(value, dict):
            value = value.get(name)
        elif index.isdigit() and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return value  # ``[...]`` is any entry of a mapping
    return value
