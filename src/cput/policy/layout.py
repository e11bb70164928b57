"""Relaid: what all prompts of a workload end with stands first, so that a prefix cache reads it and nobody computes it.

An engine keeps the keys and values of prompts that begin alike. Instructions that follow the variable part, as in
"TEXT. Classify the text above as ...", are computed again for every call; in front of it they are computed once. It is
another prompt, so that its quality has to be proven like any other choice's.

    tail = shared_tail([item.text for item in workload.items])
    engine = Relaid(engine, tail)
"""

import os
from collections.abc import Sequence

from cput.protocols import Answer, Engine
from cput.records import Call, Message, changed

LEAST_CHARS = 80
"""A shorter tail is a fraction of a cache block of most engines (16 or 32 tokens), and gains nothing."""


def shared_tail(prompts: Sequence[str]) -> str:
    """Return what all prompts end with, from the beginning of a line on; empty where it is short or all are alike."""
    if len(set(prompts)) < 2:
        return ""
    backwards = os.path.commonprefix([prompt[::-1] for prompt in prompts])  # noqa: RUF071  # texts, no paths
    tail = backwards[::-1]
    if not all(prompt.endswith("\n" + tail) for prompt in prompts):
        _, found, tail = tail.partition("\n")
        tail = tail if found else ""
    return tail if len(tail.strip()) >= LEAST_CHARS else ""


class Relaid:
    """Answers as ``engine`` does to the prompt with its tail in front. Other prompts are asked as they are.

    Only a call whose last turn is the user's, or that is a raw prompt, is relaid; what stands before stays.
    """

    def __init__(self, engine: Engine, tail: str) -> None:
        self._engine = engine
        self._tail = tail

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer the relaid call."""
        return self._engine.answer(self._relaid(call))

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()

    def _relaid(self, call: Call) -> Call:
        if call.prompt is not None:
            return changed(call, prompt=self._turned(call.prompt))
        if not call.messages or call.messages[-1].role != "user":
            return call
        last = call.messages[-1]
        turned = Message(role=last.role, content=self._turned(last.content))
        return call if turned == last else changed(call, messages=(*call.messages[:-1], turned))

    def _turned(self, text: str) -> str:
        body = text.removesuffix(self._tail)
        return text if body == text or not body.strip() else f"{self._tail.strip()}\n\n{body.strip()}"
