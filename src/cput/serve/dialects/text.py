"""What OpenAI's two older dialects share: how a body becomes sampling, and what an engine of text can't honour."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from cput.records import Grammar, GrammarKind, Message, Sampling
from cput.serve.body import shown
from cput.serve.dialects.base import Defaults
from cput.serve.dialects.schemas import require_small
from cput.serve.fault import BadRequest, unsupported

Count = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
Tags = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
    msgspec.Meta(max_length=16),
]
"""OpenAI's bounds on metadata; they are kept with the call."""

NO_EFFECT = frozenset(
    {"metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls"}
)
"""Fields that change nothing about the answer of an engine of plain text; metadata become the call's tags."""
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "store": (False,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
}
"""Values that ask for what is done anyway."""


class Wanted(msgspec.Struct, kw_only=True):
    """The fields that chat and text completions share."""

    model: str
    stream: bool = False
    stream_options: dict[str, Any] = {}
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] = 1
    best_of: Annotated[int, msgspec.Meta(ge=1, le=128)] = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: Count | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=64)] = []
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    ignore_eos: bool = False
    response_format: dict[str, Any] = {}
    metadata: Tags = {}

    @property
    def include_usage(self) -> bool:
        """Whether the client wants the chunk with the usage."""
        return self.stream_options.get("include_usage") is True

    def most_new_tokens(self, defaults: Defaults) -> int:
        """Return the bound on one answer's tokens. Negative ones (no bound, at some servers) get the default's."""
        given = self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens
        return defaults.max_new_tokens if given is None or given < 0 else given


def sampling_of(wanted: Wanted, defaults: Defaults, *, logprobs: bool, carried: bool) -> Sampling:
    """Return how the answer is drawn; what is not said has OpenAI's defaults (temperature 1, not greedy).

    Of a call that is ``carried`` on whole, the upstream goes by one of two bounds; money is held for the larger.
    """
    given = wanted.max_tokens, wanted.max_completion_tokens
    larger = max(*given) if carried and None not in given else 0  # type: ignore[type-var]
    return Sampling(
        max_new_tokens=max(larger or 0, wanted.most_new_tokens(defaults)),
        temperature=wanted.temperature,
        top_p=wanted.top_p,
        top_k=wanted.top_k if wanted.top_k is None or wanted.top_k > 0 else None,
        seed=wanted.seed,
        stop=(wanted.stop,) if isinstance(wanted.stop, str) else tuple(wanted.stop),
        repetition_penalty=wanted.repetition_penalty,
        presence_penalty=wanted.presence_penalty,
        frequency_penalty=wanted.frequency_penalty,
        logprobs=logprobs,
        ignore_eos=wanted.ignore_eos,
    )


def grammar_of(response_format: Mapping[str, Any]) -> Grammar | None:
    """Return the grammar of a ``response_format``; None for plain text.

    Raises:
        BadRequest: it is of an unknown kind, or has no schema.
    """
    kind = response_format.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return _schema({"type": "object"})
    if kind != "json_schema":
        allowed = "allowed: text, json_object, json_schema"
        raise BadRequest(f"'response_format.type' is {shown(kind)}; {allowed}", param="response_format.type")
    named = response_format.get("json_schema")
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict):
        field = "response_format.json_schema.schema"
        raise BadRequest(f"'{field}' is {shown(schema)}; it must be a JSON schema", param=field)
    require_small(schema, "response_format.json_schema.schema")
    return _schema(schema)


def refuse_unhonoured(body: Mapping[str, Any], kind: type[Wanted], honoured: frozenset[str] = frozenset()) -> None:
    """Refuse fields that an engine of plain text has no way to honour; nothing that was asked for is ignored.

    Raises:
        BadRequest: names the first of them.
    """
    known = {*kind.__struct_fields__, *honoured, *NO_EFFECT} - NEUTRAL.keys()
    for name, value in body.items():
        if name in known or value is None or value in NEUTRAL.get(name, ()):
            continue
        if name in NEUTRAL:
            allowed = ", ".join(shown(each) for each in NEUTRAL[name])
            raise unsupported(name, f"it is {shown(value)}, and this model's engine takes {allowed} only")
        raise unsupported(name, "this model's engine has no such setting")
    for name, value in (body.get("stream_options") or {}).items():
        if name != "include_usage" and value:
            raise unsupported(f"stream_options.{name}", "this model's engine has no such setting")
    given = body.get("max_completion_tokens", body.get("max_tokens"))
    if isinstance(given, int) and given < 1:
        raise BadRequest(f"'max_tokens' is {given}; allowed: 1 or more", param="max_tokens")


def turns_of(messages: list[Any], *, strict: bool) -> tuple[Message, ...]:
    """Return the turns of a conversation as text; ``strict`` refuses what text can't say.

    A turn's parts that are no text (pictures, tool calls) stand in a call that is carried on whole anyway.

    Raises:
        BadRequest: a turn is no turn, or ``strict`` and it has more than text.
    """
    return tuple(_turn(f"messages[{at}]", turn, strict=strict) for at, turn in enumerate(messages))


def _turn(where: str, turn: Any, *, strict: bool) -> Message:
    role = turn.get("role") if isinstance(turn, dict) else None
    if not isinstance(role, str) or not role:
        raise BadRequest(f"'{where}.role' is {shown(role)}; allowed: system, user, assistant, tool", param=where)
    if strict:
        _refuse_more_than_text(where, role, turn)
    return Message(role="system" if role == "developer" else role, content=_text(where, turn, strict=strict))


def _refuse_more_than_text(where: str, role: str, turn: Mapping[str, Any]) -> None:
    if role not in {"system", "developer", "user", "assistant"}:
        raise unsupported(f"{where}.role", f"it is '{role}', and this model's engine knows no tools")
    for name, value in turn.items():
        if name not in {"role", "content"} and value:
            raise unsupported(f"{where}.{name}", "this model's engine reads role and content only")
    if turn.get("content") is None:
        raise BadRequest(f"'{where}.content' is missing", param=f"{where}.content")


def _text(where: str, turn: Mapping[str, Any], *, strict: bool) -> str:
    content = turn.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise BadRequest(f"'{where}.content' is {shown(content)}; allowed: a text or a list of parts", param=where)
    texts = []
    for at, part in enumerate(content):
        text = part.get("text") if isinstance(part, dict) and part.get("type") in {"text", "input_text"} else None
        if isinstance(text, str):
            texts.append(text)
        elif strict:
            raise unsupported(f"{where}.content[{at}]", "this model's engine reads parts of type text only")
    return "\n".join(texts)


def _schema(schema: Mapping[str, Any]) -> Grammar:
    return Grammar(kind=GrammarKind.JSON_SCHEMA, value=msgspec.json.encode(schema).decode())
