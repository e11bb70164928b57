"""What the laws of the engine contract are checked with: fixed texts, so that a recording can know them beforehand."""

from dataclasses import dataclass
from typing import Any

from cput.protocols import Answer, Engine
from cput.records import Call, Message, Sampling

COMPANY = tuple(
    f"{task} {thing}."
    for thing in ("the sea", "a red bicycle", "the number seven", "old books")
    for task in ("Describe", "Write a question about", "Translate into French:", "Give three words that rhyme with")
)
LONG = "Count from one to one hundred in words: " + " ".join(f"number {n}," for n in range(1, 101))
WIDE = "请用中文回答：天气怎么样？😀👩‍👩‍👧 naïve café — 数据"
SHORT = "Say hello to the world."
MANY = tuple(f"{text} Number {at}." for at in range(16) for text in COMPANY)
"""Texts of one large call for embeddings."""
PROMPTS = (SHORT, LONG, WIDE, *COMPANY)
"""Every last message that the battery sends, for engines that must know their calls beforehand (recordings)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a law is checked with."""

    engine: Engine
    """The engine under test."""
    real: bool
    """It is a model: what it says is not known, only how it behaves. Otherwise it gives the last message back."""
    too_long: str | None
    """A prompt that it must refuse; None where it has no limit."""

    def ask(self, text: str, **sampling: Any) -> Answer:
        """Start an answer to one user message; 16 tokens for a model unless told."""
        sampling.setdefault("max_new_tokens", 16 if self.real else 512)
        return self.engine.answer(Call(messages=(Message(role="user", content=text),), sampling=Sampling(**sampling)))

    def embed(self, *texts: str) -> Answer:
        """Start to embed some texts."""
        return self.engine.answer(Call(embed=texts))

    async def still_embeds(self) -> None:
        """An embedding engine is as useful as before."""
        found = await self.embed(SHORT).vectors()
        assert found.shape[0] == 1, f"the next call got {found.shape[0]} vectors for one text"

    async def still_answers(self) -> None:
        """The engine is as useful as before."""
        text = await (self.ask(SHORT, max_new_tokens=6) if self.real else self.ask(SHORT)).text()
        assert text, "the next call got an empty answer"
        assert self.real or text == SHORT, f"the next call got {text!r}"
