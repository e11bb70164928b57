"""An answer as blocks, one after the other: a text, then perhaps tool calls. For dialects that number such blocks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from cput.errors import UpstreamError
from cput.records import Piece
from cput.serve.forward import Said


@dataclass(slots=True)
class Block:
    """One block, growing."""

    tool: bool
    """A tool call; else text."""
    id: str = ""
    """The tool call's id, as the upstream gave it."""
    name: str = ""
    """The tool's name."""
    text: str = ""
    """The text, or the call's arguments as JSON text, so far."""


class Did(Enum):
    """What became of a block."""

    OPENED = "opened"
    GREW = "grew"
    CLOSED = "closed"


class Step(NamedTuple):
    """One change of one block."""

    did: Did
    at: int
    """The block's number, from 0."""
    block: Block
    part: str = ""
    """What was added, where it grew."""


class Blocks:
    """Makes blocks of pieces: only the last one is open."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        """All blocks so far."""
        self._open = False
        self._tool: int | None = None

    def feed(self, piece: Piece) -> Iterator[Step]:
        """Yield what a piece changes.

        Raises:
            UpstreamError: the upstream goes back to a tool call that is closed.
        """
        if not isinstance(piece, Said):
            yield from self._grow(tool=None, said={}, part=piece.text)
            return
        delta = piece.said.get("delta") or {}
        yield from self._grow(tool=None, said={}, part=delta.get("content") or delta.get("refusal") or "")
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            said = {"id": call.get("id"), "name": function.get("name")}
            yield from self._grow(tool=int(call.get("index") or 0), said=said, part=function.get("arguments") or "")

    def finish(self) -> Iterator[Step]:
        """Yield the end of the block that is open."""
        if self._open:
            self._open = False
            yield Step(Did.CLOSED, len(self.blocks) - 1, self.blocks[-1])

    def _grow(self, *, tool: int | None, said: Mapping[str, Any], part: str) -> Iterator[Step]:
        if tool is None and not part:
            return
        if not (self._open and self._tool == tool):
            yield from self.finish()
            yield from self._begin(tool, said)
        if part:
            self.blocks[-1].text += part
            yield Step(Did.GREW, len(self.blocks) - 1, self.blocks[-1], part)

    def _begin(self, tool: int | None, said: Mapping[str, Any]) -> Iterator[Step]:
        if tool is not None and not said.get("name"):
            raise UpstreamError("the upstream sent a part of a tool call that was never begun, or had ended")
        block = Block(tool=tool is not None, id=str(said.get("id") or ""), name=str(said.get("name") or ""))
        self.blocks.append(block)
        self._open, self._tool = True, tool
        yield Step(Did.OPENED, len(self.blocks) - 1, block)
