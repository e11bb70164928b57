"""Breaker: asks an engine only while it is well; while it rests, calls are refused at once and nothing is sent.

engine = Breaker(Metered(remote, ledger), Circuit(failures=5, within_s=30, open_s=15))
"""

from collections.abc import AsyncGenerator

from cput.engines.circuit import Circuit
from cput.errors import EngineError
from cput.protocols import Answer, Engine
from cput.records import Call, Ending, Finish, Piece, Usage


class Breaker:
    """Answers as ``engine`` does while its circuit is closed; raises ``Rested``, with the wait, while it is open.

    Below ``Retried``, every leg counts, so that an outage is seen after some legs and not after some calls; a refusal
    is not sent again. A caller that hangs up says nothing about the upstream.
    """

    def __init__(self, engine: Engine, circuit: Circuit | None = None) -> None:
        """``circuit`` may be shared by all engines that ask one upstream; None makes one of its own."""
        self._engine = engine
        self.circuit = circuit or Circuit(name=engine.name)

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer, unless the circuit is open."""
        inner = self._engine.answer(call)

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            leg, begun = self.circuit.enter(), False
            try:
                async for piece in inner:
                    if not begun:
                        begun = True
                        leg.spoke()
                    yield piece
                if inner.ending.finish is Finish.ERROR:
                    leg.failed(EngineError(f"{self.name} ended its answer with an error"))
                else:
                    leg.passed()
                yield inner.ending
            except Exception as error:
                if isinstance(error, EngineError):
                    leg.failed(error)
                raise
            finally:
                leg.left()
                await inner.aclose()

        return Answer(stream(), lambda: inner.ending.usage if inner.ended else Usage())

    async def aclose(self) -> None:
        """Close the wrapped engine."""
        await self._engine.aclose()
