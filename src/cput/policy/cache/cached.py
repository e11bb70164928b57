"""Cached: an engine wrapper that gives an answer again where the same was asked before, or is being answered now.

    cache = Cache(MemoryStore(), ttl_s=3600)
    bills = Bills(ledger)
    engine = Cached(Metered(leaf, bills, prices=book), cache, bills, model="gpt-4o")

Outermost of the metered line: what stands below it is asked once for many equal calls, and every answer of the cache
is an attempt of its own (engine ``cache``), with what it avoided. Why it was given stands in ``Ending.grounds``.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cput.ledger.meter import without_text
from cput.ledger.price import UNPRICED, avoided_charge
from cput.policy.cache.bills import Bill, Bills
from cput.policy.cache.entry import Codec, Kept, worth_keeping
from cput.policy.cache.flight import Flight
from cput.policy.cache.key import canonical, key_of
from cput.policy.cache.store import Store
from cput.policy.cache.wish import wish_of
from cput.protocols import Answer, Engine
from cput.records import (
    Attempt,
    Call,
    Charge,
    CountedBy,
    Ending,
    Finish,
    Grounds,
    Option,
    Outcome,
    Piece,
    Usage,
    changed,
)

if TYPE_CHECKING:
    from cput.policy.cache.semantic import Found, Question, Semantic

CACHE = "cache"
"""The name of the engine that hits are written down under."""
EXACT, SEMANTIC = "cache_exact", "cache_semantic"
BAD = 0.5
"""An outcome below this evicts. 0 says useless; what a graded check says between is read with its workload's threshold,
which is not known here."""


@dataclass(slots=True)
class Counts:
    """What a cache has done since it was made."""

    hits: dict[str, int] = field(default_factory=lambda: {EXACT: 0, SEMANTIC: 0})
    """Answers given again, by reason."""
    misses: int = 0
    """Calls that might have been answered and were not."""
    passed: int = 0
    """Calls that the cache has no part in: sampled ones, and those that opted out."""
    evicted: int = 0
    """Entries that an outcome has evicted."""
    avoided_nano_usd: int = 0
    """What hits avoided, where it is known."""


class Cache:
    """What all wrapped engines of a door share: the store, who waits for whom, and the counts. For one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        ttl_s: float = 86_400.0,
        semantic: "Semantic | None" = None,
        codec: Codec | None = None,
        keeps: Callable[[Ending], bool] = lambda _: True,
    ) -> None:
        """``codec`` knows the kinds of pieces that the engines give; ``semantic`` None is an exact cache alone.

        ``keeps`` may refuse an answer for what only its own kind of ending says (a filter cut it).
        """
        self.store = store
        self.ttl_s = ttl_s
        self.semantic = semantic
        self.codec = codec or Codec()
        self.keeps = keeps
        self.counts = Counts()
        self.flights: dict[bytes, _Shared] = {}

    async def judged(self, outcomes: Sequence[Outcome], *, tenant: str | None) -> int:
        """Evict what outcomes say was of no use: entries made for, or served to, the calls that they are about.

        ``tenant`` is whose word it is: it reaches no entry of another. Retractions evict nothing. Returns how many.
        """
        handles = [
            handle
            for outcome in outcomes
            if outcome.value < BAD and outcome.detail.get("retracted") is not True
            for handle in _handles(tenant, outcome.call_id, outcome.external_key, outcome.episode)
        ]
        gone = await self.store.evict(handles) if handles else 0
        self.counts.evicted += gone
        return gone

    async def aclose(self) -> None:
        """Let go of the store, and of the embedding engine."""
        if self.semantic is not None:
            await self.semantic.aclose()
        await self.store.aclose()


class Cached:
    """Answers from ``cache`` where it may, and else as ``engine`` does.

    Args:
        engine: the metered line.
        cache: shared by all that is wrapped at a door.
        bills: the sink that the meters below write to, and hits are written to.
        model: the model as callers name it.
        version: of whatever answers: a digest of policy, weights and chat template. Another version, another key.
        keep_text: keep the answers of hits in the ledger.
    """

    def __init__(
        self,
        engine: Engine,
        cache: Cache,
        bills: Bills,
        *,
        model: str,
        version: str = "",
        keep_text: bool = False,
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._bills = bills
        self._model, self._version = model, version
        self._keep_text = keep_text

    @property
    def name(self) -> str:
        """The wrapped engine's name."""
        return self._engine.name

    def answer(self, call: Call) -> Answer:
        """Answer a call; nothing is looked up or sent before the answer is iterated."""
        wish = wish_of(call)
        if not wish.read and not wish.keep:
            self._cache.counts.passed += 1
            return self._engine.answer(call)
        reading = _Reading(call)
        stream = self._stream(reading) if wish.read else self._fresh(reading)
        return Answer(stream, lambda: reading.so_far, lambda: reading.attempt)

    async def aclose(self) -> None:
        """Close the wrapped engine; the cache stays open."""
        await self._engine.aclose()

    async def _stream(self, reading: "_Reading") -> AsyncGenerator[Piece | Ending, None]:
        call, flights = reading.call, self._cache.flights
        key = key_of(call, model=self._model, version=self._version)
        shared = flights.get(key)
        if shared is None or shared.flight.over:
            kept = await self._kept(key)
            if kept is not None:
                async with contextlib.aclosing(self._hit(reading, key, _Source(kept, EXACT))) as parts:
                    async for part in parts:
                        yield part
                return
            shared = flights.get(key)  # somebody may have begun while the store was read
        leads = shared is None or shared.flight.over
        if shared is None or leads:
            shared = flights[key] = reading.made = _Shared(self, call, key)
        async with contextlib.aclosing(self._read(reading, shared, leads=leads)) as parts:
            async for part in parts:
                yield part

    async def _read(
        self, reading: "_Reading", shared: "_Shared", *, leads: bool
    ) -> AsyncGenerator[Piece | Ending, None]:
        """Yield a shared answer; for all but the one whose call it was generated for, it is a hit."""
        began, ended = time.perf_counter(), False
        try:
            async with contextlib.aclosing(shared.flight.read()) as parts:
                async for part in parts:
                    if isinstance(part, Piece):
                        reading.arrived(part, began)
                        yield part
                        continue
                    ended = True
                    if leads and shared.source is None:
                        self._cache.counts.misses += 1
                        yield part
                    else:
                        yield await self._settled(reading, shared.key, part, shared.source or shared.generated)
        except (GeneratorExit, asyncio.CancelledError):
            if leads and not shared.flight.over:  # it goes on for others, at this call's cost
                self._bills.unsettled(reading.call.id)
            if not ended and (not leads or shared.source is not None):
                await self._left(reading)
            raise

    async def _hit(self, reading: "_Reading", key: bytes, source: "_Source") -> AsyncGenerator[Piece | Ending, None]:
        """Give an answer again: piece by piece, as it came, or whole, as it is asked for."""
        began = time.perf_counter()
        try:
            for piece in source.kept.pieces:
                reading.arrived(piece, began)
                yield piece
        except (GeneratorExit, asyncio.CancelledError):
            await self._left(reading)
            raise
        yield await self._settled(reading, key, source.kept.ending, source)

    async def _fresh(self, reading: "_Reading") -> AsyncGenerator[Piece | Ending, None]:
        """Ask the engine whatever is kept, and keep its answer."""
        self._cache.counts.passed += 1
        key = key_of(reading.call, model=self._model, version=self._version)
        reading.made = _Making()
        async with contextlib.aclosing(self.made(reading.call, key, reading.made, None)) as parts:
            async for part in parts:
                yield part

    async def made(
        self, call: Call, key: bytes, making: "_Making", question: "Question | None"
    ) -> AsyncGenerator[Piece | Ending, None]:
        """Ask the engine; keep the answer before its end is let through, so that an outcome finds it."""
        pieces: list[Piece] = []
        with self._bills.following(call.id) as bill:
            async with self._engine.answer(call) as making.inner:
                async for piece in making.inner:
                    pieces.append(piece)
                    yield piece
                ending = making.inner.ending
            making.generated = _Source(_kept(call, pieces, ending, bill, self._engine.name), EXACT)
            if worth_keeping(call, pieces, ending) and self._cache.keeps(ending):
                await self._keep(call, key, making.generated.kept, question)
        yield ending

    def landed(self, shared: "_Shared") -> None:
        """Let the next call look into the store: an answer under way is over."""
        if self._cache.flights.get(shared.key) is shared:
            del self._cache.flights[shared.key]

    async def similar(self, call: Call) -> "tuple[Question | None, _Source | None]":
        """Return the call as a question to the semantic cache, and the answer of one that asks the same."""
        semantic = self._cache.semantic
        if semantic is None:
            return None, None
        question = await semantic.asked(call, self._bills, model=self._model, version=self._version)
        if question is None:
            return None, None
        async for found in semantic.nearest(question, self._cache.store):
            kept = await self._kept(found.key)
            if kept is not None:
                return question, _Source(kept, SEMANTIC, found)
            semantic.gone(question.scope, found.key)
        return question, None

    async def _kept(self, key: bytes) -> Kept | None:
        raw = await self._cache.store.get(key)
        return None if raw is None else self._cache.codec.unpack(raw)

    async def _keep(self, call: Call, key: bytes, kept: Kept, question: "Question | None") -> None:
        raw = self._cache.codec.pack(kept)
        if raw is not None:
            handles = _handles(call.tenant, call.id, call.external_key, call.episode)
            place = None if question is None else question.place
            await self._cache.store.put(key, raw, ttl_s=self._cache.ttl_s, handles=handles, place=place)

    async def _settled(self, reading: "_Reading", key: bytes, ending: Ending, source: "_Source") -> Ending:
        """Write a hit down, and return its ending."""
        call, kept, counts = reading.call, source.kept, self._cache.counts
        found, at = source.found, key if source.found is None else source.found.key
        await self._cache.store.link(at, _handles(call.tenant, call.id, call.external_key, call.episode))
        original = Charge(
            call_id=kept.source_call,
            seq=kept.ending.attempt,
            incremental_nano_usd=kept.nano_usd,
            price_version=kept.price_version,
            basis="usage",
        )
        given = changed(ending, usage=_given_again(ending.usage), grounds=self._grounds(call, source, found))
        whole = given.finish in {Finish.STOP, Finish.LENGTH}
        await self._record(reading, given, original if whole else None)
        counts.hits[source.reason] += 1
        counts.avoided_nano_usd += kept.nano_usd or 0 if whole else 0
        return changed(given, attempt=reading.seq)

    async def _left(self, reading: "_Reading") -> None:
        """Write down a hit whose caller hung up: it avoided nothing."""
        usage = changed(_given_again(Usage()), output=reading.tokens, complete=False, counted_by=CountedBy.ESTIMATED)
        await self._record(reading, Ending(finish=Finish.CANCELLED, usage=usage), None)

    async def _record(self, reading: "_Reading", ending: Ending, original: Charge | None) -> None:
        call = reading.call
        seq = reading.seq = self._bills.next_seq(call.id)
        attempt = Attempt(
            call_id=call.id,
            seq=seq,
            engine=CACHE,
            model=f"{CACHE}:{self._model}",  # no price list has it: nobody bills a hit, and a repricing finds none
            usage=ending.usage,
            started_s=reading.started_s,
            ttft_s=reading.ttft_s,
            e2e_s=time.perf_counter() - reading.began,
            finish=ending.finish,
            text="".join(reading.texts) if self._keep_text else None,
        )
        free = Charge(call_id=call.id, seq=seq, incremental_nano_usd=0, price_version=CACHE, basis="flat")
        charge = free if original is None else avoided_charge(call.id, seq, original)
        await self._bills.record(call if self._keep_text else without_text(call), [attempt], [charge])

    def _grounds(self, call: Call, source: "_Source", found: "Found | None") -> Grounds:
        hit = Option(
            engine=CACHE,
            asked=True,
            score=None if found is None else found.score,
            threshold=None if found is None else found.threshold,
            cost_usd=0.0,
        )
        cost = None if source.kept.nano_usd is None else source.kept.nano_usd / 1e9
        other = Option(engine=source.kept.engine, cost_usd=cost, note="what the answer had cost")
        return Grounds(
            chosen=CACHE,
            reason=source.reason,
            options=(hit, other),
            policy=call.policy,
            source_call=source.kept.source_call,
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a hit comes from."""

    kept: Kept
    reason: str
    found: "Found | None" = None


class _Making:
    """An answer that the engine makes."""

    inner: Answer | None = None
    """The engine's answer, once it is asked."""
    generated: _Source
    """What was made of it; set before its end is let through."""


class _Shared(_Making):
    """An answer under way for several calls: one that leads, and those that follow."""

    def __init__(self, cached: Cached, call: Call, key: bytes) -> None:
        self.key = key
        self.source: _Source | None = None
        """The semantic neighbour whose answer it is; None where the engine is asked."""
        self.flight = Flight(self._parts(cached, call))

    async def _parts(self, cached: Cached, call: Call) -> AsyncGenerator[Piece | Ending, None]:
        try:
            question, self.source = await cached.similar(call)
            if self.source is not None:
                for piece in self.source.kept.pieces:
                    yield piece
                yield self.source.kept.ending
                return
            async with contextlib.aclosing(cached.made(call, self.key, self, question)) as parts:
                async for part in parts:
                    yield part
        finally:
            cached.landed(self)


@dataclass(slots=True, eq=False)
class _Reading:
    """One call's answer as its caller reads it."""

    call: Call
    made: "_Making | None" = None
    """What the engine makes, where this call is the one that asked it."""
    seq: int | None = None
    tokens: int = 0
    ttft_s: float | None = None
    texts: list[str] = field(default_factory=list)
    started_s: float = field(default_factory=time.time)
    began: float = field(default_factory=time.perf_counter)

    def arrived(self, piece: Piece, began: float) -> None:
        if self.ttft_s is None and (piece.text or piece.tokens):
            self.ttft_s = time.perf_counter() - began
        self.tokens += piece.tokens
        self.texts.append(piece.text)

    @property
    def so_far(self) -> Usage:
        inner = None if self.made is None else self.made.inner
        return Usage(output=self.tokens) if inner is None else inner.so_far

    @property
    def attempt(self) -> int | None:
        inner = None if self.made is None else self.made.inner
        return inner.ending.attempt if inner is not None and inner.ended else self.seq


def _kept(call: Call, pieces: Sequence[Piece], ending: Ending, bill: Bill, engine: str) -> Kept:
    named, charge = bill.of(ending.attempt)
    return Kept(
        pieces=tuple(pieces),
        ending=changed(ending, grounds=None),
        source_call=call.id,
        nano_usd=None if charge is None else charge.incremental_nano_usd,
        price_version=UNPRICED if charge is None else charge.price_version,
        engine=named or engine,
    )


def _given_again(usage: Usage) -> Usage:
    """Return the usage of a hit: nothing was computed; its output counts as any answer's."""
    return Usage(
        input_uncached=0,
        input_cache_read=usage.input,
        output=usage.output,
        reasoning=usage.reasoning,
        engine_s=0.0,
        complete=usage.complete,
        counted_by=usage.counted_by,
    )


def _handles(tenant: str | None, *names: str | None) -> list[bytes]:
    """Return what an entry is evicted by: digests of a call's id, external key and episode, each under its tenant."""
    kinds = ("call", "external_key", "episode")
    return [
        hashlib.blake2b(canonical((tenant, kind, name)), digest_size=16).digest()
        for kind, name in zip(kinds, names, strict=True)
        if name is not None
    ]
