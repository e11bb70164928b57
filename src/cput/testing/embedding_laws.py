"""The contract of engines that make vectors of texts, law by law. What they share with others is said again for them.

Each law is a function over a ``Bench``; its docstring is what it says.
"""

import asyncio
import contextlib
import gc
import time

import numpy as np
import numpy.typing as npt

from cput.errors import EngineError, InputError, PromptTooLong
from cput.protocols import Engine
from cput.records import Call, CountedBy, Finish, Message, Vectors
from cput.testing.bench import COMPANY, MANY, SHORT, WIDE, Bench
from cput.testing.laws import QUICK_S, Law, law_of

ALIKE = 0.99
"""Cosine of two vectors of one text: batches round differently, and precisions do, but hardly that much."""


async def _stream(bench: Bench) -> None:
    """The pieces bring one vector of each text, no text and no generated token; then comes one ending."""
    assert isinstance(bench.engine, Engine), f"{type(bench.engine).__name__} has no name, answer and aclose"
    assert bench.engine.name, "the engine has no name"
    answer = bench.embed(*COMPANY)
    assert not answer.ended, "it had ended before it began"
    pieces = [piece async for piece in answer]
    assert answer.ended, "the pieces ran out without an ending"
    assert answer.ending.finish is Finish.STOP, f"it ended with {answer.ending.finish}"
    assert not any(piece.text or piece.tokens for piece in pieces), "a piece had text, or said that it was generated"
    brought = [piece for piece in pieces if isinstance(piece, Vectors)]
    places = sorted(place for piece in brought for place in piece.places)
    assert places == list(range(len(COMPANY))), f"{len(COMPANY)} texts got vectors at {places}"
    assert len({piece.values.shape[1] for piece in brought}) == 1, "the vectors are not of one length"
    assert all(np.isfinite(piece.values).all() for piece in brought), "a vector has a number that is none"
    assert all(piece.values.dtype == np.float32 for piece in brought), "the numbers are not float32"


async def _vectors(bench: Bench) -> None:
    """vectors() has one row a text, in the texts' order: the same text, the same vector, wherever it stands."""
    rows = await bench.embed(SHORT, *COMPANY).vectors()
    turned = await bench.embed(*reversed(COMPANY), SHORT).vectors()
    assert rows.shape[0] == len(COMPANY) + 1, f"{len(COMPANY) + 1} texts got {rows.shape[0]} rows"
    least = _cosines(rows, turned[::-1]).min()
    assert least > ALIKE, f"a text got another vector at another place: their cosine is {least:.3f}"
    closest = _between(rows).max()
    assert closest < 1 - 1e-6, "two texts got one vector"


async def _usage(bench: Bench) -> None:
    """At the end the usage is complete: somebody counted the input, and the output is 0, which is known."""
    answer = bench.embed(SHORT)
    await answer.vectors()
    usage = answer.ending.usage
    assert usage.complete, f"the usage is not complete: {usage}"
    assert usage.counted_by in {CountedBy.ENGINE, CountedBy.PROVIDER}, f"counted by {usage.counted_by}"
    assert usage.input, f"the input is {usage.input}"
    assert usage.output == 0, f"nothing is generated, and the output is {usage.output}"
    assert usage.engine_s is None or usage.engine_s >= 0, f"engine seconds are {usage.engine_s}"


async def _company(bench: Bench) -> None:
    """Sixteen calls at once each get their own vectors."""
    alone = np.concatenate([await bench.embed(text).vectors() for text in COMPANY])
    together = np.concatenate(await asyncio.gather(*(bench.embed(text).vectors() for text in COMPANY)))
    least = _cosines(alone, together).min()
    assert least > ALIKE, f"a call got another vector in company than alone: their cosine is {least:.3f}"


async def _late_joiner(bench: Bench) -> None:
    """A call with one text that comes later is answered while a large one is under way."""
    first, ended = bench.embed(*MANY), 0.0

    async def read() -> None:
        nonlocal ended
        try:
            async for _ in first:
                pass
        finally:
            ended = time.perf_counter()

    reader = asyncio.create_task(read())
    try:
        await asyncio.sleep(0.01)
        joined = time.perf_counter()
        await bench.embed(SHORT).vectors()
        answered = time.perf_counter()
        await reader
    finally:
        reader.cancel()
    late_s = answered - ended
    assert late_s < 0 or ended - joined < QUICK_S, f"the second call was answered {late_s:.2f} s after the first ended"


async def _hang_up(bench: Bench) -> None:
    """Hanging up midway ends at once, says cancelled with the usage so far, and leaves the engine as it was."""
    answer = bench.embed(*MANY)
    await anext(aiter(answer))
    assert not answer.ended, "it had ended after its first piece"
    began = time.perf_counter()
    await answer.aclose()
    took_s = time.perf_counter() - began
    assert took_s < 2, f"aclose() took {took_s:.1f} s"
    _was_cut_off(answer.ending.finish, output=answer.ending.usage.output, complete=answer.ending.usage.complete)
    assert [piece async for piece in answer] == [], "pieces came after hanging up"
    await bench.still_embeds()


async def _hang_up_early(bench: Bench) -> None:
    """Hanging up before the first piece is harmless, in order or by a cancelled task."""
    answer = bench.embed(*MANY)
    await answer.aclose()
    assert answer.ending.finish is Finish.CANCELLED, f"it ended with {answer.ending.finish}"
    assert not answer.ending.usage.input, f"nothing was read and the input is {answer.ending.usage.input}"
    task = asyncio.create_task(bench.embed(*MANY).vectors())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await bench.still_embeds()


async def _hang_up_elsewhere(bench: Bench) -> None:
    """Another task may hang up on a call that is being read: the reader ends in order, nothing more comes."""
    answer = bench.embed(*MANY)

    async def read() -> int:
        async for _ in answer:
            pass
        task = asyncio.current_task()
        return task.cancelling() if task is not None else 0

    reader = asyncio.create_task(read())
    try:
        await asyncio.sleep(0.001)
        await answer.aclose()
        cancelled = await asyncio.wait_for(reader, timeout=2)
    finally:
        reader.cancel()
    assert cancelled == 0, "the reader's task was left cancelled"
    _was_cut_off(answer.ending.finish, output=answer.ending.usage.output, complete=answer.ending.usage.complete)
    assert [piece async for piece in answer] == [], "pieces came after hanging up"
    await bench.still_embeds()


async def _again(bench: Bench) -> None:
    """After its end an answer can be iterated and closed again; nothing more comes and the ending stays."""
    answer = bench.embed(SHORT)
    await answer.vectors()
    ending = answer.ending
    assert [piece async for piece in answer] == [], "pieces came after the end"
    await answer.aclose()
    await answer.aclose()
    assert answer.ending == ending, f"the ending turned from {ending} into {answer.ending}"


async def _too_long(bench: Bench) -> None:
    """A text that does not fit is refused with PromptTooLong, and only that call."""
    assert bench.too_long is not None
    try:
        await bench.embed(SHORT, bench.too_long).vectors()
    except PromptTooLong:
        pass
    else:
        raise AssertionError(f"a text of {len(bench.too_long):,} characters got a vector")
    await bench.still_embeds()


async def _no_texts(bench: Bench) -> None:
    """A call without texts, one for an answer, and one with an empty text are refused with an error of cput's."""
    for call in (Call(), Call(messages=(Message(role="user", content=SHORT),)), Call(prompt=SHORT), Call(embed=("",))):
        try:
            pieces = [piece async for piece in bench.engine.answer(call)]
        except (EngineError, InputError):
            continue
        raise AssertionError(f"{call} was answered with {len(pieces)} pieces")
    await bench.still_embeds()


async def _characters(bench: Bench) -> None:
    """Chinese and emoji have vectors of their own."""
    rows = await bench.embed(WIDE, "😀", SHORT).vectors()
    assert np.isfinite(rows).all(), "a vector has a number that is none"
    closest = _between(rows).max()
    assert closest < ALIKE, f"two texts that have nothing in common got vectors with a cosine of {closest:.3f}"


async def _unread(bench: Bench) -> None:
    """An answer that nobody reads costs nothing."""
    busy_s = getattr(bench.engine, "busy_s", None)
    unread = [bench.embed(*MANY) for _ in range(100)]
    await asyncio.sleep(0.05)
    assert getattr(bench.engine, "busy_s", None) == busy_s, "the engine worked on it"
    del unread
    gc.collect()
    await bench.still_embeds()


async def _aclose(bench: Bench) -> None:
    """aclose() may be called twice, and before the first call."""
    await bench.engine.aclose()
    await bench.engine.aclose()


async def _after_aclose(bench: Bench) -> None:
    """After aclose() a call is answered or refused with EngineError, and never hangs."""
    await bench.still_embeds()
    await bench.engine.aclose()
    with contextlib.suppress(EngineError):
        await bench.still_embeds()


async def _aclose_under_way(bench: Bench) -> None:
    """A call under way when the engine is closed ends or fails with EngineError; it never hangs."""
    answer = bench.embed(*MANY)
    await anext(aiter(answer))
    await bench.engine.aclose()
    with contextlib.suppress(EngineError):
        async for _ in answer:
            pass
    await answer.aclose()


def _was_cut_off(finish: Finish, *, output: int | None, complete: bool) -> None:
    assert finish is Finish.CANCELLED, f"it ended with {finish}"
    assert not complete, "the usage of a call that was cut off says that it is complete"
    assert not output, f"nothing is generated, and the output is {output}"


def _cosines(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the cosine of each row with the row beside it."""
    cosines: npt.NDArray[np.float32] = (_even(one) * _even(other)).sum(axis=1)
    return cosines


def _between(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the cosines of different rows."""
    cosines: npt.NDArray[np.float32] = (_even(rows) @ _even(rows).T)[~np.eye(len(rows), dtype=np.bool_)]
    return cosines


def _even(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    even: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return even


EMBEDDING_LAWS: tuple[Law, ...] = (
    law_of("stream", _stream),
    law_of("vectors", _vectors),
    law_of("usage", _usage),
    law_of("company", _company),
    law_of("late_joiner", _late_joiner),
    law_of("hang_up", _hang_up),
    law_of("hang_up_early", _hang_up_early),
    law_of("hang_up_elsewhere", _hang_up_elsewhere),
    law_of("again", _again),
    law_of("too_long", _too_long),
    law_of("no_texts", _no_texts),
    law_of("characters", _characters),
    law_of("unread", _unread),
    law_of("aclose", _aclose, closes=True),
    law_of("after_aclose", _after_aclose, closes=True),
    law_of("aclose_under_way", _aclose_under_way, closes=True),
)
"""The contract, in the order in which it is checked."""
