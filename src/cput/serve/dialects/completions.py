"""``/v1/completions``: a raw text to continue (platform.openai.com/docs/api-reference/completions)."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from cput.records import Ending, Piece
from cput.serve.body import fields_of, shown
from cput.serve.dialects.base import Asking, Defaults, Takes
from cput.serve.dialects.chat import DONE, call_of, carry, envelope, named_model
from cput.serve.dialects.counts import openai_usage, reasons_of, token_logprobs
from cput.serve.dialects.grounds import with_grounds
from cput.serve.dialects.text import Wanted, refuse_unhonoured, sampling_of
from cput.serve.fault import BadRequest, Fault, unsupported
from cput.serve.forward import Closed, Said
from cput.serve.head import Head
from cput.serve.merge import choices_of

PREFIX = "cmpl-"
_encode = msgspec.json.Encoder().encode


class TextBody(Wanted, kw_only=True):
    """The fields of a text completion that the door itself reads."""

    prompt: str | list[Any]
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None


class Completions:
    """OpenAI's dialect for raw prompts."""

    name = "completions"

    def model_of(self, body: Mapping[str, Any]) -> str:
        """Return the model that a body names."""
        return named_model(body)

    def read(self, body: Mapping[str, Any], head: Head, takes: Takes, defaults: Defaults) -> Asking:
        """Return what a body asks for; see ``Dialect.read``."""
        wanted = fields_of(body, TextBody)
        strict = takes is Takes.TEXT
        if strict:
            refuse_unhonoured(body, TextBody)
            _refuse_alternatives(wanted)
        sampling = sampling_of(wanted, defaults, logprobs=wanted.logprobs is not None, carried=not strict)
        prompt = _prompt(wanted.prompt, strict=strict)
        call = call_of(wanted, head, defaults, prompt=prompt, sampling=sampling)
        return Asking(
            call=call if strict else carry(call, body, head),
            model=wanted.model,
            stream=wanted.stream,
            choices=max(wanted.n, wanted.best_of) * _prompts(wanted.prompt),
            voice=TextVoice(call.id, wanted.model, include_usage=wanted.include_usage),
        )

    def fault(self, fault: Fault) -> bytes:
        """Return OpenAI's error envelope."""
        return _encode(envelope(fault))


class TextVoice:
    """Says one answer as chunks, or whole."""

    def __init__(self, call_id: str, model: str, *, include_usage: bool) -> None:
        self._head = {"id": PREFIX + call_id, "object": "text_completion", "created": int(time.time()), "model": model}
        self._include_usage = include_usage
        self._chars = 0

    def piece(self, piece: Piece) -> bytes:
        """Return a piece as one chunk."""
        said: Mapping[str, Any] = piece.said if isinstance(piece, Said) else self._plain([piece])
        index = piece.index if isinstance(piece, Said) else 0
        return self._chunk({"index": index, "text": "", "logprobs": None, **said, "finish_reason": None})

    def end(self, ending: Ending) -> bytes:
        """Return the chunks with the finish reasons, the one with the usage where it was asked for, and the mark."""
        more = dict(ending.more) if isinstance(ending, Closed) else {}
        chunks = [
            self._fields({"index": index, "text": "", "logprobs": None, "finish_reason": reason}, more)
            for index, reason in reasons_of(ending).items()
        ]
        if self._include_usage:
            chunks.append(self._head | more | {"choices": [], "usage": openai_usage(ending)})
        chunks[-1] |= with_grounds(ending)
        return b"".join([*map(_event, chunks), DONE])

    def broken(self, fault: Fault) -> bytes:
        """Return the event that breaks the stream off."""
        return _event(envelope(fault))

    def whole(self, pieces: Sequence[Piece], ending: Ending) -> bytes:
        """Return the completion."""
        reasons, spoken = reasons_of(ending), choices_of(pieces)
        plain = {} if isinstance(ending, Closed) else {0: self._plain(pieces)}
        choices = [
            {"index": index, "text": "", "logprobs": None}
            | dict(spoken.get(index) or plain.get(index) or {})
            | {"finish_reason": reasons.get(index)}
            for index in sorted({*spoken, *reasons})
        ]
        more = dict(ending.more) if isinstance(ending, Closed) else {}
        said = self._head | more | {"choices": choices, "usage": openai_usage(ending)}
        return _encode(said | with_grounds(ending))

    def _plain(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces)
        tokens = [token for piece in pieces for token in token_logprobs(piece)]
        said: dict[str, Any] = {"text": text, "logprobs": self._logprobs(tokens) if tokens else None}
        self._chars += len(text)
        return said

    def _logprobs(self, tokens: list[tuple[str, float]]) -> dict[str, Any]:
        offsets, at = [], self._chars
        for token, _ in tokens:
            offsets.append(at)
            at += len(token)
        values = [value for _, value in tokens]
        names = [token for token, _ in tokens]
        return {"tokens": names, "token_logprobs": values, "top_logprobs": None, "text_offset": offsets}

    def _chunk(self, choice: Mapping[str, Any]) -> bytes:
        return _event(self._fields(choice, {}))

    def _fields(self, choice: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        usage = {"usage": None} if self._include_usage else {}
        return self._head | dict(more) | {"choices": [choice]} | usage


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"


def _refuse_alternatives(wanted: TextBody) -> None:
    if wanted.logprobs:
        raise unsupported("logprobs", f"it is {wanted.logprobs}, and this model's engine gives the chosen tokens' (0)")
    if wanted.response_format:
        raise unsupported("response_format", "text completions have none")


def _prompts(prompt: str | list[Any]) -> int:
    """Return how many prompts there are: texts, or lists of tokens; a list of tokens is one."""
    several = isinstance(prompt, list) and not any(isinstance(each, int) for each in prompt)
    return max(1, len(prompt)) if several else 1


def _texts(prompt: list[Any]) -> bool:
    return all(isinstance(text, str) for text in prompt)


def _prompt(prompt: str | list[Any], *, strict: bool) -> str:
    """Return the prompt as text; several texts, or tokens, only an upstream that speaks the dialect takes."""
    if isinstance(prompt, str):
        return prompt
    if not prompt:
        raise BadRequest("'prompt' is []; allowed: a text", param="prompt")
    if _texts(prompt) and (len(prompt) == 1 or not strict):
        return "\n".join(prompt)
    if strict:
        raise unsupported("prompt", f"it is {shown(prompt)}, and this model's engine takes one text at a time")
    return ""  # tokens: the body has them
