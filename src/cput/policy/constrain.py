"""Constrained: forces what a check demands while the answer is generated, instead of paying for answers that fail it.

    engine = Constrained(leaf, lambda call: Grammar(kind=GrammarKind.REGEX, value="[^,]*"))     # no comma, anywhere

A call that carries a grammar keeps its own. An engine that can't compile one says so before its first token; the call
is then asked again without, once, and both legs are on record.
"""

from collections.abc import AsyncGenerator, Callable

from cput.errors import EngineError, PromptTooLong
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Grammar, Piece, changed

GrammarFor = Callable[[Call], Grammar | None]
"""Returns the language in which a call's check passes, or is likelier to; None where there is none."""


class Constrained:
    """Answers as ``engine`` does within the grammar of the call's check.

    Args:
        engine: the engine to ask, usually a ``Metered`` one.
        grammar_for: the language of a call's answers.
    """

    def __init__(self, engine: Engine, grammar_for: GrammarFor) -> None:
        self._engine = engine
        self._grammar_for = grammar_for

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer within the grammar, or without one where there is none or the engine refuses it."""
        grammar = self._grammar_for(call) if call.sampling.grammar is None else None
        if grammar is None:
            return self._engine.answer(call)
        inner = self._engine.answer(changed(call, sampling=changed(call.sampling, grammar=grammar)))

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            nonlocal inner
            begun = False
            try:
                try:
                    async for piece in inner:
                        begun = True
                        yield piece
                except EngineError as error:
                    if begun or error.retryable or isinstance(error, PromptTooLong):
                        raise
                    await inner.aclose()
                    inner = self._engine.answer(call)
                    async for piece in inner:
                        yield piece
                yield inner.ending
            finally:
                await inner.aclose()

        return Answer(stream(), lambda: inner.so_far)

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()
