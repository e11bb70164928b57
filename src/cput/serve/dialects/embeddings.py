"""``/v1/embeddings``: texts, or token ids, to vectors (platform.openai.com/docs/api-reference/embeddings)."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from cput.records import Call, Ending, Piece, Sampling, Vectors
from cput.serve.body import fields_of, shown
from cput.serve.dialects.base import EMBEDDINGS, Asking, Defaults, Takes
from cput.serve.dialects.chat import carry, envelope, named_model
from cput.serve.dialects.grounds import with_grounds
from cput.serve.dialects.text import NO_EFFECT
from cput.serve.fault import BadRequest, Fault, unsupported
from cput.serve.forward import Passed
from cput.serve.head import Head

PREFIX = "embd-"
MOST_INPUTS = 2048
"""Inputs of one request, as at OpenAI."""
FORMATS = ("float", "base64")
Given = str | tuple[int, ...]
_NOTHING_GENERATED = Sampling(max_new_tokens=0)
_encode = msgspec.json.Encoder().encode


class EmbeddingBody(msgspec.Struct, kw_only=True):
    """The fields that the door itself reads."""

    model: str
    input: str | list[Any]
    encoding_format: str = "float"
    dimensions: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] | None = None
    stream: bool = False


class Embeddings:
    """OpenAI's dialect for vectors."""

    name = EMBEDDINGS

    def model_of(self, body: Mapping[str, Any]) -> str:
        """Return the model that a body names."""
        return named_model(body)

    def read(self, body: Mapping[str, Any], head: Head, takes: Takes, defaults: Defaults) -> Asking:
        """Return what a body asks for; see ``Dialect.read``. An upstream judges its inputs itself."""
        wanted = fields_of(body, EmbeddingBody)
        if wanted.stream:
            raise unsupported("stream", "embeddings come whole")
        strict = takes is not Takes.WIRE
        if strict:
            _refuse_unhonoured(body, wanted)
        call = Call(
            embed=_inputs(wanted.input, strict=strict),
            dimensions=wanted.dimensions,
            sampling=_NOTHING_GENERATED,
            workload=head.workload or defaults.workload,
            external_key=head.external_key,
            episode=head.episode,
        )
        voice = EmbeddingVoice(call.id, wanted.model, base64_vectors=wanted.encoding_format == "base64")
        asked = call if strict else replace(carry(call, body, head), embed=call.embed, dimensions=call.dimensions)
        return Asking(call=asked, model=wanted.model, stream=False, voice=voice)

    def fault(self, fault: Fault) -> bytes:
        """Return OpenAI's error envelope."""
        return _encode(envelope(fault))


class EmbeddingVoice:
    """Says the vectors of one request. They come whole: the pieces of a stream are none of this dialect."""

    def __init__(self, call_id: str, model: str, *, base64_vectors: bool) -> None:
        self._head = {"object": "list", "model": model, "id": PREFIX + call_id}
        self._base64 = base64_vectors

    def piece(self, piece: Piece) -> bytes:  # noqa: ARG002  # of no stream
        """Return nothing."""
        return b""

    def end(self, ending: Ending) -> bytes:  # noqa: ARG002  # of no stream
        """Return nothing."""
        return b""

    def broken(self, fault: Fault) -> bytes:
        """Return OpenAI's error envelope."""
        return _encode(envelope(fault))

    def whole(self, pieces: Sequence[Piece], ending: Ending) -> bytes:
        """Return the response: the upstream's own, under our id and the client's name for the model, or a new one."""
        passed = next((piece for piece in pieces if isinstance(piece, Passed)), None)
        if passed is not None:
            return _encode({**passed.fields, **self._head, **with_grounds(ending)})
        said: dict[int, Any] = {}
        cut: list[int] = []
        for piece in pieces:
            if isinstance(piece, Vectors):
                said |= zip(piece.places, self._said(piece), strict=True)
                cut += piece.cut
        data = [{"object": "embedding", "index": at, "embedding": said[at]} for at in sorted(said)]
        count = ending.usage.input
        usage = None if count is None else {"prompt_tokens": count, "total_tokens": count}
        more = {"truncated": sorted(cut)} if cut else {}
        return _encode({**self._head, "data": data, "usage": usage, **more, **with_grounds(ending)})

    def _said(self, piece: Vectors) -> list[Any]:
        if not self._base64:
            return list(piece.values.tolist())
        return [base64.b64encode(row.tobytes()).decode() for row in piece.values.astype("<f4")]


def _refuse_unhonoured(body: Mapping[str, Any], wanted: EmbeddingBody) -> None:
    if wanted.encoding_format not in FORMATS:
        given = shown(wanted.encoding_format)
        raise BadRequest(f"'encoding_format' is {given}; allowed: {', '.join(FORMATS)}", param="encoding_format")
    for name, value in body.items():
        if value is not None and name not in {*EmbeddingBody.__struct_fields__, *NO_EFFECT}:
            raise unsupported(name, "this model's engine has no such setting")


def _inputs(given: str | list[Any], *, strict: bool) -> tuple[Given, ...]:
    """Return the inputs: one text, several, one list of token ids, or several.

    What is neither (a picture) stands in a body that is carried on anyway, as an empty text.

    Raises:
        BadRequest: there is none; or ``strict``, and one is empty or none of these, or there are too many.
    """
    if isinstance(given, list) and given and all(map(_is_id, given)):
        return (tuple(given),)
    inputs = given if isinstance(given, list) else [given]
    if not inputs:
        raise BadRequest("'input' is []; allowed: a text, or a list of them", param="input")
    if not strict:
        return tuple(_lenient(one) for one in inputs)
    if len(inputs) > MOST_INPUTS:
        sentence = f"'input' has {len(inputs):,} entries; allowed: {MOST_INPUTS:,} at most"
        raise BadRequest(sentence, param="input")
    places = ["input"] if isinstance(given, str) else [f"input[{at}]" for at in range(len(inputs))]
    return tuple(_strict(one, where) for one, where in zip(inputs, places, strict=True))


def _strict(one: Any, where: str) -> Given:
    if one in ("", []):
        raise BadRequest(f"'{where}' is empty; allowed: a text, or token ids", param=where)
    if isinstance(one, str):
        return one
    if isinstance(one, list) and all(map(_is_id, one)):
        return tuple(one)
    raise BadRequest(
        f"'{where}' is {shown(one)}; allowed: a text, or a list of token ids", param=where, code="invalid_type"
    )


def _lenient(one: Any) -> Given:
    if isinstance(one, list) and all(map(_is_id, one)):
        return tuple(one)
    return one if isinstance(one, str) else ""


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31
