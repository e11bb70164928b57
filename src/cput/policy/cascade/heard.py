"""Heard: what has come of a leg's answer so far, held back until its rule has spoken."""

from dataclasses import dataclass, field

from cput.records import Call, Ending, Piece, changed


@dataclass(slots=True)
class Heard:
    """Pieces of one answer, in order."""

    pieces: list[Piece] = field(default_factory=list)
    """As they came."""
    logprobs: list[float] = field(default_factory=list)
    """Of the chosen tokens, where the engine gave them."""
    ending: Ending | None = None
    """How it closed; None while it is under way."""

    def add(self, piece: Piece) -> None:
        """Take one more piece."""
        self.pieces.append(piece)
        self.logprobs.extend(piece.logprobs)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(piece.text for piece in self.pieces)


def shown(piece: Piece, call: Call) -> Piece:
    """Return a piece as its client asked for it: a rule's log-probabilities are not for them."""
    return changed(piece, logprobs=()) if piece.logprobs and not call.sampling.logprobs else piece


def with_logprobs(call: Call) -> Call:
    """Return the call, asking for the log-probability of each chosen token as well."""
    return call if call.sampling.logprobs else changed(call, sampling=changed(call.sampling, logprobs=True))


def is_plain(call: Call) -> bool:
    """Whether the answer to a call is one text, which a rule can read.

    It is not where vectors or a prompt's log-probabilities are asked for, nor where a client's own request, that the
    gateway carries on as its ``body``, asks for tools, several choices or sound, or shows a picture.
    """
    if call.embed or call.sampling.echo:
        return False
    body = getattr(call, "body", None) or {}
    several = any(body.get(name) not in (None, 1) for name in ("n", "best_of"))
    turns = [turn.get("content") for turn in body.get("messages") or () if isinstance(turn, dict)]
    parts = [part for content in turns if isinstance(content, list) for part in content]
    seen = any(not isinstance(part, dict) or part.get("type") != "text" for part in parts)
    return not (several or seen or any(body.get(name) for name in ("tools", "functions", "audio", "modalities")))
