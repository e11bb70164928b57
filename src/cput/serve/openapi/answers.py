"""Shapes of what the door answers, whole and event by event. They say what clients may rely on.

An upstream's own words come through (further fields, its usage object), so that every object may have more fields.
"""

from typing import Any, Literal

import msgspec

from cput.serve.openapi.requests import Json, schemas

Usage = dict[str, Any] | None


class GroundsOption(msgspec.Struct):
    """One engine that might have been asked. Of one that a threshold is not held against, that is null."""

    engine: str
    asked: bool
    score: float | None
    threshold: float | None


class Grounds(msgspec.Struct):
    """Why this engine answered, where a policy chose."""

    engine: str
    reason: str
    options: list[GroundsOption]
    policy: str | None
    propensity: float | None
    source_call: str | None


_MayHaveGrounds = Grounds | msgspec.UnsetType


class _ErrorFields(msgspec.Struct):
    message: str
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "rate_limit_error",
        "server_error",
    ]
    param: str | None
    code: str | None


class Error(msgspec.Struct):
    """An error as OpenAI says it."""

    error: _ErrorFields


class _MessagesErrorFields(msgspec.Struct):
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "overloaded_error",
        "timeout_error",
        "api_error",
    ]
    message: str


class MessagesError(msgspec.Struct):
    """An error as Anthropic says it."""

    type: Literal["error"]
    error: _MessagesErrorFields


class _ChatMessage(msgspec.Struct):
    role: str
    content: str | list[Any] | None


class _ChatChoice(msgspec.Struct):
    index: int
    message: _ChatMessage
    logprobs: dict[str, Any] | None
    finish_reason: str | None


class ChatCompletion(msgspec.Struct):
    """A whole chat completion; ``id`` without its prefix is the call's. ``usage`` is null where it is not known."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[_ChatChoice]
    usage: Usage
    cput: _MayHaveGrounds = msgspec.UNSET


class _ChatDelta(msgspec.Struct):
    index: int
    delta: dict[str, Any]
    finish_reason: str | None


class ChatChunk(msgspec.Struct):
    """One event of a streamed chat completion; ``[DONE]`` is the last. An ``Error`` in its place breaks off."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[_ChatDelta]
    cput: _MayHaveGrounds = msgspec.UNSET


class _TextChoice(msgspec.Struct):
    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: str | None


class TextCompletion(msgspec.Struct):
    """A whole text completion."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[_TextChoice]
    usage: Usage
    cput: _MayHaveGrounds = msgspec.UNSET


class TextChunk(msgspec.Struct):
    """One event of a streamed text completion; ``[DONE]`` is the last. An ``Error`` in its place breaks off."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[_TextChoice]
    cput: _MayHaveGrounds = msgspec.UNSET


class Response(msgspec.Struct):
    """A response; one that ended at its bound is ``incomplete`` and says why."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    model: str
    output: list[dict[str, Any]]
    incomplete_details: dict[str, Any] | None
    usage: Usage
    cput: _MayHaveGrounds = msgspec.UNSET


class ResponseEvent(msgspec.Struct):
    """One event of a streamed response; ``error`` breaks off, ``response.completed`` or ``.incomplete`` is the last."""

    type: str
    sequence_number: int


class Message(msgspec.Struct):
    """A message as Anthropic says it."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "tool_use", "refusal"]
    stop_sequence: str | None
    usage: dict[str, Any]
    cput: _MayHaveGrounds = msgspec.UNSET


class MessageEvent(msgspec.Struct):
    """One event of a streamed message; ``error`` breaks off, ``message_stop`` is the last."""

    type: str
    cput: _MayHaveGrounds = msgspec.UNSET


class _Vector(msgspec.Struct):
    index: int
    object: Literal["embedding"]
    embedding: list[float] | str


class Embeddings(msgspec.Struct):
    """A vector for each text: numbers, or their bytes in base64 where those were asked for."""

    object: Literal["list"]
    model: str
    data: list[_Vector]
    usage: Usage
    cput: _MayHaveGrounds = msgspec.UNSET


class ModelEntry(msgspec.Struct):
    """A model, as OpenAI and Anthropic both list it."""

    id: str
    object: str
    created: int
    owned_by: str
    type: str
    display_name: str
    created_at: str


class ModelList(msgspec.Struct):
    """The models that the caller may use."""

    object: Literal["list"]
    data: list[ModelEntry]
    has_more: bool
    first_id: str | None
    last_id: str | None


class OutcomesAdded(msgspec.Struct):
    """What became of outcomes; ``differing`` names those whose id stands for something else already."""

    object: Literal["outcomes"]
    new: int
    repeated: int
    differing: list[str]
    waiting_for_their_call: int
    ids: list[str]
    request_id: str


class Status(msgspec.Struct):
    """One word on how it goes."""

    status: str


class Document(msgspec.Struct):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


ANSWERS = (
    Error,
    MessagesError,
    ChatCompletion,
    ChatChunk,
    TextCompletion,
    TextChunk,
    Response,
    ResponseEvent,
    Message,
    MessageEvent,
    Embeddings,
    ModelEntry,
    ModelList,
    OutcomesAdded,
    Status,
    Document,
)


def answer_schemas() -> dict[str, Json]:
    """Return the schemas of all answers by name."""
    return schemas(ANSWERS)
