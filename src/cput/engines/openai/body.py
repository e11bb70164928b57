"""Request bodies and finish reasons of the OpenAI wire format (platform.openai.com/docs/api-reference)."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from cput.errors import InputError
from cput.records import Call, Finish, Grammar, GrammarKind, Sampling

FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "abort": Finish.CANCELLED,
    "error": Finish.ERROR,
}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON; msgspec has no whole numbers beyond 64 bits, which a client may have sent."""
    try:
        return _encode(body)
    except OverflowError:
        return json.dumps(body).encode()


def from_json(data: bytes) -> Any:
    """Return what a server's JSON says, also where it is Python's (``NaN``, ``-Infinity`` among log-probabilities).

    Raises:
        ValueError, RecursionError: it is no JSON.
    """
    try:
        return _decode(data)
    except msgspec.DecodeError:
        return json.loads(data)


def request_body(call: Call, model: str, *, ask_usage: bool, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON body for ``/chat/completions`` (messages) or ``/completions`` (a raw prompt).

    An echo is asked for whole: only then is it plain which log-probabilities are the prompt's.

    Raises:
        InputError: a grammar that is not JSON where it must be.
    """
    sampling = call.sampling
    stream = not sampling.echo
    body: dict[str, Any] = {"model": model, "stream": stream, "max_tokens": sampling.max_new_tokens}
    if ask_usage and stream:
        body["stream_options"] = {"include_usage": True}
    body["temperature"] = sampling.temperature
    body |= {name: value for name, value in _optional(sampling).items() if value is not None}
    if call.prompt is not None:
        body["prompt"] = call.prompt
        if sampling.logprobs or sampling.echo:
            body["logprobs"] = 1
        if sampling.echo:
            body["echo"] = True
    else:
        body["messages"] = [{"role": turn.role, "content": turn.content} for turn in call.messages]
        if sampling.logprobs:
            body["logprobs"] = True
    if sampling.grammar is not None:
        body |= _grammar(sampling.grammar)
    return body | dict(extra)


def _optional(sampling: Sampling) -> dict[str, Any]:
    return {
        "top_p": sampling.top_p if sampling.top_p != 1.0 else None,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "repetition_penalty": sampling.repetition_penalty if sampling.repetition_penalty != 1.0 else None,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "ignore_eos": sampling.ignore_eos or None,
    }


def _grammar(grammar: Grammar) -> dict[str, Any]:
    """JSON schema as OpenAI spells it; the rest as vLLM's ``structured_outputs``, which others ignore or refuse."""
    if grammar.kind is GrammarKind.JSON_SCHEMA:
        try:
            parsed = json.loads(str(grammar.value))
        except ValueError as error:
            raise InputError(f"the JSON schema is not JSON: {error}") from error
        schema = {"name": "answer", "schema": parsed, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if grammar.kind is GrammarKind.CHOICE:
        choices = [grammar.value] if isinstance(grammar.value, str) else list(grammar.value)
        return {"structured_outputs": {"choice": choices}}
    kind = "regex" if grammar.kind is GrammarKind.REGEX else "grammar"
    return {"structured_outputs": {kind: grammar.value}}


def finish_of(reason: str | None) -> Finish:
    """Return why an answer ended; tool calls and content filters are stops."""
    return FINISHES.get(reason or "stop", Finish.STOP)
