"""The table of what the door serves. A new endpoint is one more row; a test finds a route that has none."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from cput.serve.openapi import answers

WHY = {
    200: "It went well.",
    400: "The request is wrong, or asks for what the engine has no way to honour; `param` names the field.",
    401: "No valid key.",
    403: "Not with this key.",
    404: "There is no such thing here.",
    408: "The body did not come in time.",
    409: "It contradicts what is there.",
    413: "The body is too large.",
    415: "The upstream does not take this kind of body.",
    422: "The upstream understands the request and does not take it.",
    429: "Too much or too many; `Retry-After` says when it may go better, where waiting helps.",
    500: "The gateway failed; its log says why under the request's id.",
    502: "The upstream failed, or refuses the gateway's own credentials.",
    503: "The engine, its upstream or the ledger is not there or busy, or the gateway is about to go.",
    504: "The answer was not ready by the deadline.",
}
_BODY = (400, 401, 408, 413, 500, 503)
_ASKED = (*_BODY, 403, 404, 409, 415, 422, 429, 502, 504)
_LISTED = (400, 401, 404, 409, 413, 415, 422, 429, 500, 502, 503)
_ASKING = (
    "X-Cput-Workload",
    "X-Cput-External-Key",
    "X-Cput-Episode",
    "X-Cput-Priority",
    "X-Cput-Deadline-S",
    "X-Cput-Cache",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    path: str
    """As OpenAPI writes it; a ``{name}`` may hold slashes."""
    method: str
    """In small letters."""
    name: str
    """``operationId``."""
    summary: str
    """One sentence."""
    body: str | None = None
    """Schema of the request's body."""
    answer: type[msgspec.Struct] | None = None
    """The answer as JSON; None where it is a text."""
    events: type[msgspec.Struct] | None = None
    """An event of the answer, where it may be streamed."""
    refusals: tuple[int, ...] = ()
    """Statuses with an error."""
    also: Mapping[int, type[msgspec.Struct]] = field(default_factory=dict)
    """Statuses with another answer."""
    error: type[msgspec.Struct] = answers.Error
    """How an error is said."""
    headers: tuple[str, ...] = ()
    """Headers that it reads, besides those that all do."""
    security: tuple[str, ...] = ("bearer", "key")
    """How a caller may say who it is; none for everybody's."""


OPERATIONS = (
    Operation(
        path="/v1/chat/completions",
        method="post",
        name="chat",
        summary="Answer a conversation.",
        body="ChatBody",
        answer=answers.ChatCompletion,
        events=answers.ChatChunk,
        refusals=_ASKED,
        headers=_ASKING,
    ),
    Operation(
        path="/v1/completions",
        method="post",
        name="complete",
        summary="Continue a raw text.",
        body="TextBody",
        answer=answers.TextCompletion,
        events=answers.TextChunk,
        refusals=_ASKED,
        headers=_ASKING,
    ),
    Operation(
        path="/v1/responses",
        method="post",
        name="respond",
        summary="Answer, as OpenAI's Responses API does; nothing is stored.",
        body="ResponsesBody",
        answer=answers.Response,
        events=answers.ResponseEvent,
        refusals=_ASKED,
        headers=_ASKING,
    ),
    Operation(
        path="/v1/messages",
        method="post",
        name="message",
        summary="Answer a conversation, as Anthropic's Messages API does.",
        body="MessagesBody",
        answer=answers.Message,
        events=answers.MessageEvent,
        refusals=_ASKED,
        error=answers.MessagesError,
        headers=_ASKING,
    ),
    Operation(
        path="/v1/embeddings",
        method="post",
        name="embed",
        summary="Make vectors of texts, or of token ids.",
        body="EmbeddingBody",
        answer=answers.Embeddings,
        refusals=_ASKED,
        headers=_ASKING,
    ),
    Operation(
        path="/v1/models",
        method="get",
        name="list_models",
        summary="List the models that the caller may use.",
        answer=answers.ModelList,
        refusals=_LISTED,
    ),
    Operation(
        path="/v1/models/{model}",
        method="get",
        name="show_model",
        summary="Show one model.",
        answer=answers.ModelEntry,
        refusals=_LISTED,
    ),
    Operation(
        path="/v1/outcomes",
        method="post",
        name="add_outcomes",
        summary="Say what became of calls: one outcome, a list, or an object with a list; all of them or none.",
        body="OutcomesBody",
        answer=answers.OutcomesAdded,
        refusals=(*_BODY, 404),
        also={409: answers.OutcomesAdded},
        headers=("Idempotency-Key",),
    ),
    Operation(
        path="/v1/outcomes",
        method="delete",
        name="retract_outcomes",
        summary="Take back what the same source said under the same name.",
        body="OutcomesBody",
        answer=answers.OutcomesAdded,
        refusals=(*_BODY, 404),
        also={409: answers.OutcomesAdded},
        headers=("Idempotency-Key",),
    ),
    Operation(
        path="/v1/outcomes/{id}",
        method="delete",
        name="retract_outcome",
        summary="Take one outcome back; it stays on record, with its retraction.",
        answer=answers.OutcomesAdded,
        refusals=(400, 401, 404, 500, 503),
        also={409: answers.OutcomesAdded},
    ),
    Operation(
        path="/healthz",
        method="get",
        name="healthz",
        summary="Say that the process answers.",
        answer=answers.Status,
        refusals=(500,),
        security=(),
    ),
    Operation(
        path="/readyz",
        method="get",
        name="readyz",
        summary="Say whether new calls should come here.",
        answer=answers.Status,
        refusals=(500,),
        also={503: answers.Status},
        security=(),
    ),
    Operation(
        path="/metrics",
        method="get",
        name="metrics",
        summary="Show the counters in Prometheus' text format.",
        refusals=(401, 500),
        security=("admin",),
    ),
    Operation(
        path="/openapi.json",
        method="get",
        name="openapi",
        summary="Show this document.",
        answer=answers.Document,
        refusals=(500,),
        security=(),
    ),
)
