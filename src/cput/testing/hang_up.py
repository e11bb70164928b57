"""The laws of hanging up: midway, before the first piece, and from another task than the one that reads."""

import asyncio
import contextlib
import time

from cput.records import Finish
from cput.testing.bench import LONG, Bench


async def hang_up(bench: Bench) -> None:
    """Hanging up midway ends at once, says cancelled with the usage so far, and leaves the engine as it was."""
    answer = bench.ask(LONG, max_new_tokens=512)
    seen = 0
    async for piece in answer:
        seen += bool(piece.text)
        if seen == 2:
            break
    assert not answer.ended, "it had ended after two pieces"
    began = time.perf_counter()
    await answer.aclose()
    took_s = time.perf_counter() - began
    assert took_s < 2, f"aclose() took {took_s:.1f} s"
    assert answer.ending.finish is Finish.CANCELLED, f"it ended with {answer.ending.finish}"
    usage = answer.ending.usage
    assert not usage.complete, "the usage of an answer that was cut off says that it is complete"
    assert usage.output is None or usage.output >= 1, f"two pieces came and the output is {usage.output}"
    assert [piece async for piece in answer] == [], "pieces came after hanging up"
    await bench.still_answers()


async def hang_up_early(bench: Bench) -> None:
    """Hanging up before the first piece is harmless, in order or by a cancelled task."""
    answer = bench.ask(LONG)
    await answer.aclose()
    assert answer.ending.finish is Finish.CANCELLED, f"it ended with {answer.ending.finish}"
    assert not answer.ending.usage.output, f"nothing was read and the output is {answer.ending.usage.output}"
    task = asyncio.create_task(bench.ask(LONG).text())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await bench.still_answers()


async def hang_up_elsewhere(bench: Bench) -> None:
    """Another task may hang up on an answer that is being read: the reader ends in order, nothing more comes."""
    answer = bench.ask(LONG, max_new_tokens=512)
    begun, seen = asyncio.Event(), 0

    async def read() -> int:
        nonlocal seen
        async for piece in answer:
            seen += bool(piece.text)
            if seen == 2:
                begun.set()
        task = asyncio.current_task()
        return task.cancelling() if task is not None else 0

    reader = asyncio.create_task(read())
    try:
        await asyncio.wait_for(begun.wait(), timeout=60)
        await answer.aclose()
        cancelled = await asyncio.wait_for(reader, timeout=2)
    finally:
        reader.cancel()
    assert cancelled == 0, "the reader's task was left cancelled"
    assert answer.ending.finish is Finish.CANCELLED, f"it ended with {answer.ending.finish}"
    assert [piece async for piece in answer] == [], "pieces came after hanging up"
    await bench.still_answers()
