"""Shapes of request bodies: JSON schemas of the structs that the dialects decode, and what those leave to others.

A struct of a dialect says which fields the door itself reads. Two things are added here. ``null`` is as good as absent
wherever a field may be absent (``fields_of``). And the two dialects that are read as a chat completion take the chat
fields that they do not spell otherwise (``from_messages``, ``from_responses``).
"""

from collections.abc import Collection, Iterable
from typing import Annotated, Any

import msgspec

from cput.records import Source
from cput.serve.dialects import from_messages, from_responses
from cput.serve.dialects.chat import ChatBody
from cput.serve.dialects.completions import TextBody
from cput.serve.dialects.embeddings import EmbeddingBody
from cput.serve.dialects.text import Wanted

Json = dict[str, Any]
REF = "#/components/schemas/{name}"
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Key = _Text | int


class Turn(msgspec.Struct):
    """One turn of a conversation. An upstream is sent all of it; an engine of text reads role and content."""

    role: _Text
    content: str | list[Any] | None = None


class OutcomeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Evidence about a call: one of ``response_id``, ``call_id``, ``external_key`` and ``episode`` says about which.

    ``value`` is 0 (useless) to 1 (useful); it may be left out where an outcome is taken back.
    """

    name: _Key
    source: Source
    value: Annotated[float, msgspec.Meta(ge=0, le=1)] | bool | str | None = None
    response_id: _Key | None = None
    call_id: _Key | None = None
    external_key: _Key | None = None
    episode: _Key | None = None
    id: _Key | None = None
    attempt: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | str | None = None
    observed_s: float | str | None = None
    observed: float | str | None = None
    detail: dict[str, Any] | str | None = None
    retracted: bool | str | None = None


def request_schemas() -> dict[str, Json]:
    """Return the schemas of all request bodies by name."""
    found = schemas([ChatBody, TextBody, from_messages.MessagesBody, from_responses.ResponsesBody, Turn, OutcomeBody])
    found |= schemas([EmbeddingBody, Wanted])
    shared = found.pop("Wanted")
    found["ChatBody"]["properties"]["messages"]["items"] = {"$ref": REF.format(name="Turn")}
    for name, otherwise in (
        ("MessagesBody", {*from_messages.RENAMED, *from_messages.WITHOUT}),
        ("ResponsesBody", {*from_responses.RENAMED, *from_responses.STATELESS}),
    ):
        found[name] = _read_as_chat(found[name], shared, otherwise)
    for name in ("ChatBody", "TextBody", "MessagesBody", "ResponsesBody", "EmbeddingBody", "Turn"):
        _null_is_absent(found[name])
    one = {"$ref": REF.format(name="OutcomeBody")}
    several = {"type": "array", "items": one, "minItems": 1}
    wrapped = {"type": "object", "properties": {"outcomes": several}, "required": ["outcomes"]}
    return found | {"OutcomesBody": {"anyOf": [one, several, wrapped]}}


def schemas(kinds: Iterable[Any]) -> dict[str, Json]:
    """Return the JSON schemas of structs, and of what they hold, by name."""
    return msgspec.json.schema_components(kinds, ref_template=REF)[1]


def _read_as_chat(own: Json, shared: Json, otherwise: Collection[str]) -> Json:
    """Return the schema of a dialect's own fields together with the chat fields that it does not spell otherwise."""
    kept = {name: field for name, field in shared["properties"].items() if name not in otherwise}
    required = [*shared["required"], *own["required"]]
    return {**own, "properties": kept | own["properties"], "required": required}


def _null_is_absent(schema: Json) -> None:
    for name, field in schema["properties"].items():
        if name not in schema.get("required", ()) and {"type": "null"} not in field.get("anyOf", ()):
            default = {"default": field.pop("default")} if "default" in field else {}
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}], **default}
