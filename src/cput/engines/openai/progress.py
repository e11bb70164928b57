"""What has arrived of one remote answer: chunks become pieces, and the usage is kept."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cput.engines.openai.body import finish_of
from cput.errors import EngineUnavailable, InputError
from cput.ledger.usage import Merged, tier_of
from cput.records import Call, CountedBy, Ending, Piece, Usage


class Progress:
    """Reads the chunks of one answer in order."""

    def __init__(self, call: Call, provider: str | None = None) -> None:
        """``provider`` is who bills the answer."""
        self._call = call
        self._provider = provider
        self._tokens = 0
        self._merged = Merged(tells_end=False)
        self._reason: str | None = None
        self._model: str | None = None
        self._tier: str | None = None
        self.done = False
        """The server has said that nothing more comes (``[DONE]``)."""
        self.whole = False
        """The server does not stream: the answer comes in one body."""

    def take(self, chunk: Mapping[str, Any]) -> list[Piece]:
        """Return the pieces of a chunk (none or one).

        Raises:
            AttributeError, KeyError, TypeError: the chunk is not of the wire format's shape.
        """
        self._note(chunk)
        pieces = []
        for choice in (chunk.get("choices") or [])[:1]:
            self._reason = _said(choice.get("finish_reason")) or self._reason
            piece = self._piece(choice)
            if piece.text or piece.tokens or piece.prompt_logprobs:
                self._tokens += piece.tokens
                pieces.append(piece)
        return pieces

    def so_far(self) -> Usage:
        """Return the last usage seen, else an estimate from the pieces that arrived; neither is the final count."""
        usage = self._counted()
        if usage is not None:
            return replace(usage, complete=False)
        if self.whole and not self._tokens:
            return Usage()  # one piece says nothing of how many tokens it is
        return Usage(output=self._tokens, complete=False, counted_by=CountedBy.ESTIMATED)

    def ending(self, server: str) -> Ending:
        """Return how the answer closed.

        Raises:
            EngineUnavailable: the stream just stopped, which is a break and not an end.
        """
        if self._reason is None and not self.done:
            raise EngineUnavailable(f"{server} closed the stream before the answer's end")
        usage = self._counted() or self.so_far()
        return Ending(
            finish=finish_of(self._reason),
            usage=usage,
            model=self._model,
            provider=self._provider,
            service_tier=self._tier,
        )

    def _note(self, chunk: Mapping[str, Any]) -> None:
        """Keep what a chunk says beside its choices: model, tier, usage."""
        self._model = _said(chunk.get("model")) or self._model
        self._tier = tier_of(chunk) or self._tier
        self._count(chunk)

    def _count(self, chunk: Mapping[str, Any]) -> None:
        """Take in a chunk's usage. One of an unknown shape loses the count and not the answer."""
        usage = chunk.get("usage")
        if usage and not isinstance(usage, Mapping):
            raise TypeError("the usage of a chunk is not an object")
        try:
            self._merged.take(chunk)
        except InputError:
            return

    def _counted(self) -> Usage | None:
        """Return the server's count; None where it gave none, or none that can be read."""
        with contextlib.suppress(InputError):
            usage = self._merged.usage(ended=True)
            return None if usage.counted_by is CountedBy.UNKNOWN else usage
        return None

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
        tokens = len(chosen) or (1 if (text or hidden) and not self.whole else 0)
        return Piece(
            text=text,
            tokens=tokens,
            logprobs=tuple(chosen) if sampling.logprobs else (),
            prompt_logprobs=prompt,
            whole=self.whole,
        )

    def _generated(self, scored: int) -> int:
        """Of the tokens of an echoed whole answer, how many were generated: as counted, else as many as were wanted."""
        usage = self._counted()
        counted = usage.output if usage is not None else None
        return min(scored, self._call.sampling.max_new_tokens if counted is None else counted)


def _said(value: Any) -> str | None:
    """Return a word of the server's; what is no text says nothing."""
    return value if isinstance(value, str) else None
