"""Frames between the caller's process and the engine process: length-prefixed MessagePack over a socket pair.

One ``Tick`` carries the new tokens of every call of one engine step, so the channel costs one write a step.
"""

import struct

import msgspec

LENGTH = struct.Struct("<I")


class Submit(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Answer these prompt tokens. ``ids`` are little-endian int64; the rest is ``records.Sampling``, flattened."""

    id: int
    ids: bytes
    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int | None
    seed: int | None
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logprobs: bool
    echo: bool
    ignore_eos: bool
    grammar_kind: str | None
    grammar_value: str | None


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Stop working on a call; unknown ids are ignored."""

    id: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The model is loaded. ``kv_cache_bytes`` is what the cache may hold."""

    load_s: float
    kv_cache_bytes: int
    versions: dict[str, str]


class Event(msgspec.Struct, frozen=True, array_like=True):
    """What one step did for one call. ``finish`` is None while it runs; ``engine_s`` is the call's share so far."""

    id: int
    tokens: list[int]
    logprobs: list[float]
    finish: str | None
    engine_s: float


class Tick(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """One engine step."""

    step_s: float
    events: list[Event]


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A call that the engine would not take, and its reason; ``id`` -1 means that the model could not be loaded."""

    id: int
    reason: str


ToWorker = Submit | Cancel
ToCaller = Ready | Tick | Refused

_encoder = msgspec.msgpack.Encoder()
to_worker = msgspec.msgpack.Decoder(ToWorker)
to_caller = msgspec.msgpack.Decoder(ToCaller)


def frame(message: ToWorker | ToCaller) -> bytes:
    """Return the bytes of one frame."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def frames(inbox: bytearray) -> list[bytes]:
    """Take the whole frames out of ``inbox`` and return their bodies; what has not arrived yet stays."""
    bodies, at = [], 0
    while at + LENGTH.size <= len(inbox):
        (size,) = LENGTH.unpack_from(inbox, at)
        end = at + LENGTH.size + size
        if end > len(inbox):
            break
        bodies.append(bytes(inbox[at + LENGTH.size : end]))
        at = end
    del inbox[:at]
    return bodies
