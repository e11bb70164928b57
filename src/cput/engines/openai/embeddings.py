"""``/embeddings`` of the OpenAI wire format: the request's body, and vectors out of the response's.

Vectors are asked for in base64 (little-endian float32), a quarter of the bytes of decimal digits; a server that ignores
that and sends lists of numbers is understood as well.
"""

import base64
import binascii
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from cput.errors import InputError
from cput.ledger.usage import tier_of, usage_of
from cput.records import Call, Ending, Finish, Piece, Usage, Vectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Row(msgspec.Struct):
    """One entry of ``data``."""

    embedding: str | list[float]
    index: int | None = None


_rows = msgspec.json.Decoder(list[Row]).decode


def embedding_body(call: Call, model: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON body for ``/embeddings``.

    Raises:
        InputError: texts and token ids in one call, which the format has no room for.
    """
    kinds = {isinstance(text, str) for text in call.embed}
    if len(kinds) > 1:
        raise InputError("a call for an OpenAI-compatible server embeds texts, or token ids, and not both at once")
    body: dict[str, Any] = {"model": model, "input": list(call.embed), "encoding_format": "base64"}
    if call.dimensions is not None:
        body["dimensions"] = call.dimensions
    return body | dict(extra)


class Hearing:
    """Reads one response. Nothing is generated, so that the output is 0 and never unknown."""

    def __init__(self, call: Call, provider: str | None = None) -> None:
        """``provider`` is who bills it."""
        self._call = call
        self._provider = provider
        self._usage = Usage()
        self._model: str | None = None
        self._tier: str | None = None

    def take(self, raw: bytes) -> Piece:
        """Return the vectors of a response's body.

        Raises:
            TypeError, ValueError: it is of another shape. (msgspec's errors are ValueErrors.)
        """
        fields = self._fields(raw)
        rows = _rows(fields["data"]) if "data" in fields else []
        if len(rows) != len(self._call.embed):
            raise ValueError(f"{len(rows)} vectors for {len(self._call.embed)} texts")
        places = tuple(at if row.index is None else row.index for at, row in enumerate(rows))
        import numpy as np

        return Vectors(places=places, values=np.stack([_vector(row.embedding) for row in rows]))

    def so_far(self) -> Usage:
        """Return the usage of a call that was cut off."""
        return replace(self._usage, output=0, complete=False)

    def ending(self) -> Ending:
        """Return how the call closed."""
        known = self._usage.input_uncached is not None
        return Ending(
            finish=Finish.STOP,
            usage=self._usage if known else self.so_far(),
            model=self._model,
            provider=self._provider,
            service_tier=self._tier,
        )

    def _fields(self, raw: bytes) -> dict[str, msgspec.Raw]:
        """Return the body's fields, undecoded, and keep what it says of usage and model."""
        fields = _decode(raw)
        said = {
            name: msgspec.json.decode(value) for name, value in fields.items() if name not in {"data", "embeddings"}
        }
        if said.get("error"):
            raise ValueError(raw[:300].decode("utf-8", "replace"))
        self._model = said["model"] if isinstance(said.get("model"), str) else None
        self._tier = tier_of(said)
        if isinstance(said.get("usage"), dict):
            with contextlib.suppress(InputError):  # one of an unknown shape loses the count and not the answer
                self._usage = _counted(said["usage"])
        return fields


def _counted(usage: dict[str, Any]) -> Usage:
    """Return a usage object's counts; one that says no more than a total has an output of 0."""
    read = usage_of({"usage": usage, "data": [{"embedding": []}]})
    return replace(read, output=read.output or 0, complete=read.input_uncached is not None)


def _vector(said: str | list[float]) -> "npt.NDArray[np.float32]":
    import numpy as np

    if isinstance(said, list):
        return np.array(said, np.float32)
    try:
        return np.frombuffer(base64.b64decode(said, validate=True), "<f4").astype(np.float32, copy=False)
    except binascii.Error as error:
        raise ValueError(f"a vector is not base64: {error}") from error
