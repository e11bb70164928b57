"""The seam between the door and a wire format.

A ``Dialect`` reads a request's body into an ``Asking``; its ``Voice`` says the answer, streamed or whole, and a
``Fault`` in the format's own shape. The door runs the call and knows none of the formats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from cput.records import Call, Ending, Piece
from cput.serve.fault import BadRequest, Fault
from cput.serve.head import Head

EMBEDDINGS = "embeddings"
"""Name of the dialect that asks for vectors."""


class Takes(Enum):
    """What an engine understands of a request."""

    TEXT = "text"
    """The fields of ``Call``: text turns, sampling, grammar. Everything else is refused by name."""
    WIRE = "wire"
    """OpenAI's dialect itself: the client's body is carried on as it is."""
    VECTORS = "vectors"
    """Texts to embed, and nothing else."""


class Voice(Protocol):
    """Says one answer in one dialect. Texts are bytes as they go over the wire."""

    def piece(self, piece: Piece) -> bytes:
        """Return the events of a piece; the first ones are led by whatever opens the stream."""
        ...

    def end(self, ending: Ending) -> bytes:
        """Return the events that close the stream; those that open it too, where no piece came."""
        ...

    def broken(self, fault: Fault) -> bytes:
        """Return the event of a stream that breaks off; nothing follows it."""
        ...

    def whole(self, pieces: Sequence[Piece], ending: Ending) -> bytes:
        """Return the body of an answer that was not streamed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One request as its dialect read it."""

    call: Call
    """What the engine is asked."""
    model: str
    """The model as the client names it."""
    stream: bool
    """Whether the client wants it piece by piece."""
    choices: int = 1
    """How many answers at once (``n``)."""
    voice: Voice
    """How the answer is said."""


class Dialect(Protocol):
    """A wire format."""

    @property
    def name(self) -> str:
        """Name in logs and metrics."""
        ...

    def model_of(self, body: Mapping[str, Any]) -> str:
        """Return the model that a body names; BadRequest where it names none."""
        ...

    def read(self, body: Mapping[str, Any], head: Head, takes: Takes, defaults: "Defaults") -> Asking:
        """Return what a body asks for.

        Raises:
            BadRequest: a field is wrong, or the engine has no way to honour it.
        """
        ...

    def fault(self, fault: Fault) -> bytes:
        """Return the body of an answer that is an error."""
        ...


def refuse_other_kind(dialect: Dialect, model: str, takes: Takes) -> None:
    """Refuse to ask an embedding model for an answer, and an answering one for embeddings.

    Raises:
        BadRequest: 400; it says where the model can be asked. An upstream knows its models itself.
    """
    embeds = dialect.name == EMBEDDINGS
    if takes is Takes.WIRE or (takes is Takes.VECTORS) is embeds:
        return
    does = "generates text and makes no embeddings" if embeds else "makes embeddings and generates no text"
    where = "/v1/chat/completions" if embeds else "/v1/embeddings"
    raise BadRequest(f"the model '{model[:80]}' {does}; ask it at {where}", param="model", code="unsupported_endpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a request that says nothing gets."""

    max_new_tokens: int = 4096
    """Bound on an answer's tokens; an engine's own context bounds it as well."""
    workload: str | None = None
    """The workload that calls are written down under."""
