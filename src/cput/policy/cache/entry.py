"""What a cache keeps of an answer, and how it becomes bytes and pieces again.

    codec = Codec()                           # a door adds its own kinds: Codec(Said, Passed, Closed)
    raw = codec.pack(Kept(pieces=pieces, ending=ending, source_call=call.id, nano_usd=5_000, price_version="..."))
    kept = codec.unpack(raw)

Bytes are JSON, which runs no code when it is read. A piece of a kind that the codec does not know is not kept.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cput.records import Call, Ending, Finish, Piece, Vectors

_PLAIN: tuple[type, ...] = (Piece, Ending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer that may be given again."""

    pieces: tuple[Piece, ...]
    """Its pieces, as they came."""
    ending: Ending
    """How it closed."""
    source_call: str
    """The call that it was generated for."""
    nano_usd: int | None
    """What the attempt that gave it cost; None is unknown."""
    price_version: str
    """By which dated price."""
    engine: str
    """The engine that gave it."""


class Codec:
    """Turns answers into bytes and back; ``kinds`` are further classes of pieces and endings that it knows."""

    def __init__(self, *kinds: type) -> None:
        self._kinds = {kind.__name__: kind for kind in (*_PLAIN, *kinds)}

    def pack(self, kept: Kept) -> bytes | None:
        """Return an answer as bytes; None where a piece or the ending is of a kind that is not known here."""
        said: list[Piece | Ending] = [*kept.pieces, kept.ending]
        parts = [self._packed(part) for part in said]
        if None in parts:
            return None
        return msgspec.json.encode([kept.source_call, kept.nano_usd, kept.price_version, kept.engine, parts])

    def unpack(self, raw: bytes) -> Kept | None:
        """Return the answer; None where the bytes are not ours, or of a kind that is not known here."""
        try:
            source, nano_usd, version, engine, parts = msgspec.json.decode(raw, type=_Row)
            *pieces, ending = [self._unpacked(kind, held) for kind, held in parts]
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
            return None
        if not isinstance(ending, Ending):
            return None
        return Kept(
            pieces=tuple(pieces),
            ending=ending,
            source_call=source,
            nano_usd=nano_usd,
            price_version=version,
            engine=engine,
        )

    def _packed(self, part: Piece | Ending) -> tuple[str, Any] | None:
        kind = type(part)
        if isinstance(part, Vectors) and kind is Vectors:
            import numpy as np

            rows = np.ascontiguousarray(part.values, dtype="<f4")
            return "Vectors", [part.places, part.cut, rows.shape[1], base64.b64encode(rows.tobytes()).decode()]
        return (kind.__name__, part) if self._kinds.get(kind.__name__) is kind else None

    def _unpacked(self, kind: str, held: msgspec.Raw) -> Any:
        if kind == "Vectors":
            import numpy as np

            places, cut, width, text = msgspec.json.decode(held, type=tuple[tuple[int, ...], tuple[int, ...], int, str])
            rows = np.frombuffer(base64.b64decode(text), "<f4").reshape(len(places), width)
            return Vectors(places=places, cut=cut, values=rows)
        return msgspec.json.decode(held, type=self._kinds[kind])


_Row = tuple[str, int | None, str, str, list[tuple[str, msgspec.Raw]]]


def worth_keeping(call: Call, pieces: Sequence[Piece], ending: Ending) -> bool:
    """Whether an answer may be given again.

    It may not where it was cancelled or failed, where it is empty, or where nobody finished counting it. One that was
    cut for its length may only where the call's own bound cut it: the same call would be cut there again. One that an
    engine's full context, or a filter, cut may not.
    """
    usage = ending.usage
    if not usage.complete or usage.output is None:
        return False
    if ending.finish is Finish.LENGTH and usage.output != call.sampling.max_new_tokens:
        return False
    if ending.finish not in {Finish.STOP, Finish.LENGTH}:
        return False
    return any(_says_something(piece) for piece in pieces)


def _says_something(piece: Piece) -> bool:
    """Whether a piece has text, vectors, or what only its own kind knows (a tool call)."""
    return bool(piece.text.strip()) or isinstance(piece, Vectors) or (type(piece) is not Piece and not piece.text)
