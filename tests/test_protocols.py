"""An answer ends for everybody who has to do with it, whoever hangs up and when."""

import asyncio

import pytest

from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.protocols import Answer
from cput.records import Call, Ending, Finish, Piece, Usage


class Slow:
    """An engine whose answer gives two pieces and then nothing, until it is hung up on."""

    name = "slow"

    def __init__(self, closing_s: float = 0.0) -> None:
        self.closing_s = closing_s
        self.under_way = 0
        self.waiting = asyncio.Event()

    def answer(self, call: Call) -> Answer:
        return Answer(self._stream(), lambda: Usage(output=2))

    async def _stream(self):
        self.under_way += 1
        try:
            yield Piece(text="a", tokens=1)
            yield Piece(text="b", tokens=1)
            self.waiting.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self.closing_s)
            self.under_way -= 1

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("closing_s", [0.0, 0.01])
async def test_another_task_may_hang_up_on_a_reader(closing_s):
    engine = Slow(closing_s)
    answer = engine.answer(Call(prompt="p"))
    reader = asyncio.create_task(answer.text())
    await engine.waiting.wait()
    await answer.aclose()
    assert engine.under_way == 0
    assert await reader == "ab"
    assert (answer.ending.finish, answer.ending.usage.output) == (Finish.CANCELLED, 2)
    assert reader.cancelling() == 0
    assert [piece async for piece in answer] == []


async def test_a_reader_that_was_hung_up_on_finds_the_ending_and_goes_on():
    engine = Slow()
    answer = engine.answer(Call(prompt="p"))

    async def read() -> Finish:
        async for _ in answer:
            pass
        finish = answer.ending.finish  # the closer may not have had its turn yet
        await asyncio.sleep(0)  # a cancellation left behind would come out here
        return finish

    reader = asyncio.create_task(read())
    await engine.waiting.wait()
    await answer.aclose()
    assert await reader is Finish.CANCELLED


async def test_many_tasks_may_hang_up_at_once():
    engine = Slow(0.01)
    answer = engine.answer(Call(prompt="p"))
    reader = asyncio.create_task(answer.text())
    await engine.waiting.wait()
    await asyncio.gather(*(answer.aclose() for _ in range(5)))
    assert await reader == "ab"
    assert answer.ending.finish is Finish.CANCELLED


async def test_a_reader_that_comes_while_another_task_hangs_up_gets_nothing_and_an_ending():
    engine = Slow(0.01)
    answer = engine.answer(Call(prompt="p"))
    pieces = aiter(answer)
    await anext(pieces)
    closer = asyncio.create_task(answer.aclose())
    await asyncio.sleep(0)
    assert engine.under_way == 1
    assert [piece async for piece in pieces] == []
    assert answer.ending.finish is Finish.CANCELLED
    await closer


async def test_a_cancellation_from_elsewhere_is_not_taken_for_the_hang_up():
    engine = Slow(0.01)
    for first in ("hang up", "cancel"):
        engine.waiting.clear()
        answer = engine.answer(Call(prompt="p"))
        reader = asyncio.create_task(answer.text())
        await engine.waiting.wait()
        if first == "cancel":
            reader.cancel()
        closer = asyncio.create_task(answer.aclose())
        await asyncio.sleep(0)
        if first == "hang up":
            reader.cancel()
        await closer
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (engine.under_way, answer.ending.finish) == (0, Finish.CANCELLED)


async def test_a_limit_around_the_reader_still_holds_after_a_hang_up():
    engine = Slow()
    answer = engine.answer(Call(prompt="p"))

    async def read() -> None:
        async with asyncio.timeout(0.05):
            await answer.text()
            await asyncio.sleep(60)

    reader = asyncio.create_task(read())
    await engine.waiting.wait()
    await answer.aclose()
    with pytest.raises(TimeoutError):
        await reader


async def test_a_stream_that_ignores_the_hang_up_is_closed_at_its_next_piece():
    waiting, closed = asyncio.Event(), []

    async def stubborn():
        try:
            yield Piece(text="a")
            try:
                waiting.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                yield Piece(text="never seen")
        finally:
            closed.append(True)

    answer = Answer(stubborn())
    reader = asyncio.create_task(answer.text())
    await waiting.wait()
    await answer.aclose()
    assert await reader == "a"
    assert closed == [True]
    assert reader.cancelling() == 0


async def test_an_error_while_it_is_hung_up_on_goes_to_the_reader():
    waiting = asyncio.Event()

    async def failing():
        try:
            yield Piece(text="a")
            waiting.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("no room to write it down") from None

    answer = Answer(failing())
    reader = asyncio.create_task(answer.text())
    await waiting.wait()
    await answer.aclose()
    with pytest.raises(ValueError, match="no room"):
        await reader
    assert reader.cancelling() == 0
    assert answer.ending.finish is Finish.CANCELLED


async def test_reading_an_answer_again_that_was_hung_up_on_takes_no_other_cancellation_back():
    engine = Slow()
    answer = engine.answer(Call(prompt="p"))
    reader = asyncio.create_task(answer.text())
    await engine.waiting.wait()
    await answer.aclose()
    await reader

    async def read_again_on_the_way_out() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await answer.text()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    leaving = asyncio.create_task(read_again_on_the_way_out())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await leaving == 1


async def test_two_tasks_cannot_read_one_answer_at_once():
    engine = Slow()
    answer = engine.answer(Call(prompt="p"))
    reader = asyncio.create_task(answer.text())
    await engine.waiting.wait()
    with pytest.raises(RuntimeError, match="another task is reading"):
        await answer.text()
    await answer.aclose()
    assert await reader == "ab"


async def test_an_answer_that_would_hang_up_on_itself_is_told_so():
    async def stream():
        yield Piece(text="a")
        await answer.aclose()

    answer = Answer(stream())
    with pytest.raises(RuntimeError, match="on itself"):
        await answer.text()


async def test_a_hang_up_from_another_task_is_on_record(tmp_path):
    with Ledger.open(tmp_path / "l.db") as ledger:
        engine, call = Slow(), Call(prompt="p")
        answer = Metered(engine, ledger, keep_text=True).answer(call)
        reader = asyncio.create_task(answer.text())
        await engine.waiting.wait()
        await answer.aclose()
        assert await reader == "ab"
        (record,) = ledger.calls()
    (attempt,) = record.attempts
    assert (attempt.finish, attempt.usage.output, attempt.text) == (Finish.CANCELLED, 2, "ab")
    assert answer.ending.attempt == attempt.seq


async def test_an_answer_read_to_its_end_keeps_its_ending():
    async def stream():
        yield Piece(text="a")
        yield Ending(finish=Finish.STOP, usage=Usage(output=1, complete=True))

    answer = Answer(stream())
    assert await answer.text() == "a"
    await answer.aclose()
    assert answer.ending.finish is Finish.STOP


async def test_an_iteration_that_is_left_leaves_the_answer_to_be_closed():
    engine = Slow()
    answer = engine.answer(Call(prompt="p"))
    async for _ in answer:
        break
    await asyncio.sleep(0)
    await answer.aclose()
    assert engine.under_way == 0
