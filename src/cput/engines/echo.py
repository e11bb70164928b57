"""``echo``: gives the last message back, a word a token. For tests of everything around a model."""

import asyncio
from collections.abc import AsyncGenerator

from cput.errors import InputError, PromptTooLong
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, Piece, Usage


class Echo:
    """Answers with the text it was given.

    Args:
        token_s: pause before each token (seconds).
        context_length: prompts of this many words or more are refused.
    """

    def __init__(self, *, token_s: float = 0.0, context_length: int = 100_000) -> None:
        self.name = "echo"
        self._token_s = token_s
        self._context_length = context_length

    def answer(self, call: Call) -> Answer:
        """Echo the last message (or the prompt) up to ``max_new_tokens`` words and the first stop text."""
        said = [call.prompt] if call.prompt is not None else [turn.content for turn in call.messages]
        words = words_of(_before_stop(said[-1], call.sampling.stop)) if said else []
        asked = sum(len(words_of(text)) for text in said)
        sent: list[str] = []

        def used(*, complete: bool = False) -> Usage:
            return Usage(
                input_uncached=asked,
                output=len(sent),
                engine_s=len(sent) * self._token_s,
                complete=complete,
                counted_by=CountedBy.ENGINE,
            )

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            if not said:
                raise InputError("the call has no messages and no prompt; give one message or a prompt")
            if asked >= self._context_length:
                raise PromptTooLong(f"the prompt has {asked:,} words; this echo engine holds {self._context_length:,}")
            finish = Finish.STOP
            for word in words:
                if len(sent) >= call.sampling.max_new_tokens:
                    finish = Finish.LENGTH
                    break
                await asyncio.sleep(self._token_s)
                sent.append(word)
                yield Piece(text=word, tokens=1, logprobs=(0.0,) if call.sampling.logprobs else ())
            yield Ending(finish=finish, usage=used(complete=True), model="echo")

        return Answer(stream(), used)

    async def aclose(self) -> None:
        """Nothing to release."""


def _before_stop(text: str, stops: tuple[str, ...]) -> str:
    """Return ``text`` up to the first stop text in it."""
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return text[: min(found)] if found else text


def words_of(text: str) -> list[str]:
    """Split a text into words that keep the white space after them, so that joining gives the text back."""
    words: list[str] = []
    for character in text:
        if words and not (words[-1][-1].isspace() and not character.isspace()):
            words[-1] += character
        else:
            words.append(character)
    return words


def open_engine(*, token_s: float = 0.0, context_length: int = 100_000) -> Echo:
    """Open an echo engine; the options are those of ``Echo``."""
    return Echo(token_s=token_s, context_length=context_length)
