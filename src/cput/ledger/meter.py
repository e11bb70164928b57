"""Metered: an engine wrapper that writes every attempt down before the caller sees the end of its answer.

    engine = Metered(open_engine("..."), ledger, run=run.id, prices=PriceBook.load())
    text = await engine.answer(call).text()      # when this returns, the attempt and its charge are on disk

Wrappers that retry, hedge or cascade stand above one or more ``Metered`` leaves and pass the same call on: the ledger
numbers its attempts 0, 1, 2, ... whichever leaf makes them.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cput.errors import InputError, PromptTooLong
from cput.protocols import Answer, Engine
from cput.records import Attempt, Call, Charge, CountedBy, Ending, Finish, Piece, Role, Usage, changed

TURNED_AWAY = frozenset({401, 402, 403, 404, 405, 413, 415, 422, 429, 503, 529})
"""HTTP statuses by which a server says that it did not begin: nothing was read and nothing is billed. Not among them
are 400 and 408: Azure bills prompts that its filter stopped, and those that ran into its time limit."""


class Sink(Protocol):
    """Where attempts go; a ``Ledger`` is one."""

    def next_seq(self, call_id: str) -> int:
        """Number the next attempt of a call."""
        ...

    async def record(
        self, call: Call, attempts: Sequence[Attempt], charges: Sequence[Charge] = (), *, run: str | None = None
    ) -> None:
        """Return when the attempts and their charges are durable."""
        ...


class Pricer(Protocol):
    """Who says what an attempt costs; a ``PriceBook`` is one."""

    def charge(self, attempt: Attempt) -> Charge | None:
        """Return the attempt's charge, or None where its device's window is charged and not its usage."""
        ...


class Metered:
    """Answers as ``engine`` does, and records one attempt per answer that was started.

    Recorded alike: an answer that ended, one whose caller hung up (finish ``cancelled``), one whose engine raised
    (finish ``error``; the error goes on to the caller). An answer that nobody iterates is never sent and is no attempt.
    Where the record cannot be written, the ledger's error is raised in place of the answer's end.

    With ``prices``, each attempt is charged in the same record: also one that failed or was hung up on, for what it
    used. What it used is what the engine says. Where the engine is silent, the tokens that arrived are counted, and the
    prompt is counted by ``count_prompt``; such a usage is marked ``estimated`` and incomplete. Without a counter the
    prompt stays unknown, and so does the charge. A request that the server turned away unread used nothing.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Sink,
        *,
        run: str | None = None,
        role: Role = Role.SERVE,
        keep_text: bool = False,
        prices: Pricer | None = None,
        provider: str | None = None,
        model: str | None = None,
        count_prompt: Callable[[Call], int | None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``keep_text`` also stores prompt, messages and answer; ``clock`` gives seconds for durations.

        A leg that serves a call for vectors has the role ``embed``.

        ``provider`` and ``model`` say who would have billed an answer that never told: one that failed.
        """
        self._engine = engine
        self._ledger = ledger
        self._run = run
        self._role = role
        self._keep_text = keep_text
        self._prices = prices
        self._provider = provider
        self._model = model
        self._count_prompt = count_prompt
        self._clock = clock

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Start answering; the attempt is sent when the answer is first iterated."""
        leg = _Leg(call=call, clock=self._clock)
        return Answer(self._stream(leg), lambda: leg.usage, lambda: leg.seq)

    async def aclose(self) -> None:
        """Close the wrapped engine; the ledger stays open."""
        await self._engine.aclose()

    async def _stream(self, leg: "_Leg") -> AsyncGenerator[Piece | Ending, None]:
        leg.start(self._ledger.next_seq(leg.call.id))
        inner: Answer | None = None
        try:
            inner = self._engine.answer(leg.call)
            async for piece in inner:
                leg.arrived(piece, keep_text=self._keep_text)
                yield piece
            leg.end(inner.ending)
        except (GeneratorExit, asyncio.CancelledError):
            await self._broken_off(leg, inner, Finish.CANCELLED, None)
            raise
        except Exception as error:
            leg.turned_away = leg.last is None and (inner is None or _turned_away(error))
            await self._broken_off(leg, inner, Finish.ERROR, str(error) or type(error).__name__)
            raise
        yield await self._record(leg)

    async def _broken_off(self, leg: "_Leg", inner: Answer | None, finish: Finish, error: str | None) -> None:
        """Close what the engine still does and write the attempt down, whatever that closing does."""
        try:
            with contextlib.suppress(Exception):
                if inner is not None:
                    await inner.aclose()
        finally:
            ended = inner.ending if inner is not None and inner.ended else None
            told = ended if ended is not None else Ending(finish=finish, usage=Usage())
            leg.end(changed(told, finish=finish), error)
            await self._record(leg)

    async def _record(self, leg: "_Leg") -> Ending:
        """Write the attempt with its charge; return how it ended, as it was written down."""
        kept = leg.call if self._keep_text else without_text(leg.call)
        ending = leg.ending = self._settled(leg)
        role = Role.EMBED if leg.call.embed and self._role is Role.SERVE else self._role
        attempt = leg.attempt(role, self._engine.name, ending)
        try:
            charge = self._prices.charge(attempt) if self._prices else None
        except Exception:
            await self._ledger.record(kept, [attempt], run=self._run)  # a price that fails must not lose the attempt
            raise
        await self._ledger.record(kept, [attempt], [charge] if charge else [], run=self._run)
        return ending

    def _settled(self, leg: "_Leg") -> Ending:
        """Return the leg's ending with what the engine did not say filled in."""
        assert leg.ending is not None
        return changed(
            leg.ending,
            usage=self._estimated(leg, leg.usage),
            provider=leg.ending.provider or self._provider,
            model=leg.ending.model or self._model,
            attempt=leg.seq,
        )

    def _estimated(self, leg: "_Leg", usage: Usage) -> Usage:
        """Count what the engine did not say, where that is possible."""
        if leg.turned_away and usage.input_uncached is None and not usage.output:
            return Usage(input_uncached=0, output=0, complete=True, counted_by=CountedBy.ESTIMATED)
        if usage.input_uncached is not None or self._count_prompt is None:
            return usage
        prompt: int | None = None
        with contextlib.suppress(Exception):  # whoever counts for us must not lose the attempt
            prompt = self._count_prompt(leg.call)
        if prompt is None:
            return usage
        output = usage.output if usage.output is not None or leg.uncounted else leg.tokens
        return changed(usage, input_uncached=prompt, output=output, complete=False, counted_by=CountedBy.ESTIMATED)


def without_text(call: Call) -> Call:
    """Return a call as it is kept where its text is not."""
    return Call(
        id=call.id,
        dimensions=call.dimensions,
        sampling=call.sampling,
        workload=call.workload,
        item=call.item,
        tenant=call.tenant,
        external_key=call.external_key,
        policy=call.policy,
        episode=call.episode,
        tags=call.tags,
    )


def _turned_away(error: Exception) -> bool:
    return isinstance(error, PromptTooLong | InputError) or getattr(error, "status", None) in TURNED_AWAY


@dataclass(slots=True, kw_only=True)
class _Leg:
    """One answer under way: its times and what has arrived."""

    call: Call
    clock: Callable[[], float]
    seq: int | None = None
    started_s: float = 0.0
    sent: float = 0.0
    last: float | None = None
    ttft_s: float | None = None
    e2e_s: float | None = None
    tokens: int = 0
    uncounted: bool = False
    """The whole answer came in one piece, and nobody said how many tokens it is."""
    gaps_s: list[float] = field(default_factory=list)
    texts: list[str] | None = None
    ending: Ending | None = None
    error: str | None = None
    turned_away: bool = False

    def start(self, seq: int) -> None:
        self.seq = seq
        self.started_s = time.time()
        self.sent = self.clock()

    def arrived(self, piece: Piece, *, keep_text: bool) -> None:
        """Time a piece. A piece without text and without tokens (a keep-alive) is not a token's arrival."""
        if keep_text:
            self.texts = self.texts if self.texts is not None else []
            self.texts.append(piece.text)
        if not piece.tokens and not piece.text:
            return
        now = self.clock()
        if self.last is None:
            self.ttft_s = None if piece.whole else now - self.sent
        else:
            self.gaps_s.append(now - self.last)
        self.last = now
        self.uncounted = self.uncounted or (piece.whole and not piece.tokens)
        self.tokens += piece.tokens

    def end(self, ending: Ending, error: str | None = None) -> None:
        self.e2e_s = self.clock() - self.sent
        self.ending, self.error = ending, error

    @property
    def usage(self) -> Usage:
        """What the engine says it used; where it does not know the output, the tokens that arrived."""
        usage = self.ending.usage if self.ending else Usage()
        if usage.output is None and self.tokens:
            return changed(usage, output=self.tokens, complete=False, counted_by=CountedBy.ESTIMATED)
        return usage

    def attempt(self, role: Role, engine: str, ending: Ending) -> Attempt:
        assert self.seq is not None
        return Attempt(
            call_id=self.call.id,
            seq=self.seq,
            role=role,
            engine=engine,
            model=ending.model,
            provider=ending.provider,
            service_tier=ending.service_tier,
            propensity=self.call.propensity,
            usage=ending.usage,
            started_s=self.started_s,
            ttft_s=self.ttft_s,
            e2e_s=self.e2e_s,
            finish=ending.finish,
            error=self.error,
            text=None if self.texts is None else "".join(self.texts),
            gaps_s=tuple(self.gaps_s),
        )
