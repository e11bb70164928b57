"""What goes between a gateway replica and an engine replica, pickled: the parts of an answer, and what an engine is."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cput.errors import EngineError
from cput.protocols import Engine
from cput.records import Piece, Usage


class Leaf(Engine, Protocol):
    """An engine as engine replicas hold it."""

    async def start(self) -> object:
        """Load it."""
        ...


class Part(NamedTuple):
    """A piece of an answer, with what was used up to here: should the client hang up now, that is on record."""

    piece: Piece
    used: Usage


class Broke(NamedTuple):
    """The last part of an answer that failed: the engine's own error, which no Ray error has been wrapped around."""

    error: EngineError | None
    """None where it was the caller's mistake."""
    mistake: str
    """The sentence of that mistake."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a gateway has to know of an engine."""

    name: str
    """Its name in the ledger."""
    tokenizer: bytes | None
    """Its tokenizer.json, so that prompts can be counted without asking; None where it has none."""
