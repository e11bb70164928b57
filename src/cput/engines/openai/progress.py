"""What has arrived of one remote answer: chunks become pieces, and the usage is kept."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cput.engines.openai.body import finish_of, usage_of
from cput.errors import EngineUnavailable
from cput.records import Call, CountedBy, Ending, Piece, Usage


class Progress:
    """Reads the chunks of one answer in order."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._tokens = 0
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._model: str | None = None
        self.done = False
        """The server has said that nothing more comes (``[DONE]``)."""

    def take(self, chunk: Mapping[str, Any]) -> list[Piece]:
        """Return the pieces of a chunk (none or one).

        Raises:
            AttributeError, KeyError, TypeError: the chunk is not of the wire format's shape.
        """
        self._model = chunk.get("model") or self._model
        if chunk.get("usage"):
            self._usage = usage_of(chunk["usage"])
        pieces = []
        for choice in (chunk.get("choices") or [])[:1]:
            self._reason = choice.get("finish_reason") or self._reason
            piece = self._piece(choice)
            if piece.text or piece.tokens or piece.prompt_logprobs:
                self._tokens += piece.tokens
                pieces.append(piece)
        return pieces

    def so_far(self) -> Usage:
        """Return the last usage seen, else an estimate from the pieces that arrived; neither is the final count."""
        if self._usage is not None:
            return replace(self._usage, complete=False)
        return Usage(output=self._tokens, complete=False, counted_by=CountedBy.ESTIMATED)

    def ending(self, server: str) -> Ending:
        """Return how the answer closed.

        Raises:
            EngineUnavailable: the stream just stopped, which is a break and not an end.
        """
        if self._reason is None and not self.done:
            raise EngineUnavailable(f"{server} closed the stream before the answer's end")
        usage = self._usage if self._usage is not None else self.so_far()
        return Ending(finish=finish_of(self._reason), usage=usage, model=self._model)

    def _piece(self, choice: Mapping[str, Any]) -> Piece:
        sampling = self._call.sampling
        delta = choice.get("delta") or choice.get("message") or {}
        text = delta.get("content") or choice.get("text") or ""
        hidden = delta.get("reasoning_content") or delta.get("reasoning") or ""
        if not isinstance(text, str):
            raise TypeError("the text of a chunk is not a text")
        logprobs = choice.get("logprobs") or {}
        chosen = [float(part["logprob"]) for part in logprobs.get("content") or []]
        chosen += [float(value) for value in logprobs.get("token_logprobs") or [] if value is not None]
        prompt: tuple[float, ...] = ()
        if sampling.echo and self._call.prompt is not None:
            generated = self._generated(len(chosen))
            prompt, chosen = tuple(chosen[: len(chosen) - generated]), chosen[len(chosen) - generated :]
            text = text.removeprefix(self._call.prompt)
        tokens = len(chosen) or (1 if text or hidden else 0)
        return Piece(
            text=text, tokens=tokens, logprobs=tuple(chosen) if sampling.logprobs else (), prompt_logprobs=prompt
        )

    def _generated(self, scored: int) -> int:
        """Of the tokens of an echoed whole answer, how many were generated: as counted, else as many as were wanted."""
        counted = self._usage.output if self._usage is not None else None
        return min(scored, self._call.sampling.max_new_tokens if counted is None else counted)
