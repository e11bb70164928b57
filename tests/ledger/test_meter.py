"""Every answer that was started is one attempt on disk before its caller knows that it is over."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from cput.errors import EngineUnavailable, SetupError
from cput.ledger.meter import Metered
from cput.ledger.numbering import AttemptNumbers
from cput.ledger.store import Ledger
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, Message, Piece, Role, Usage, new_id


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Words:
    """Answers with the prompt's words, one piece each, and says what it used; may fail or hang."""

    name = "words"

    def __init__(self, clock=None, fail_at=None, hang_at=None, knows_usage=True):
        self.clock, self.fail_at, self.hang_at, self.knows_usage = clock, fail_at, hang_at, knows_usage
        self.hung_up = 0
        self.closed = False

    def answer(self, call: Call) -> Answer:
        sent: list[str] = []
        usage = lambda: Usage(output=len(sent), engine_s=0.5 * len(sent)) if self.knows_usage else Usage()  # noqa: E731
        return Answer(self._stream(call, sent, usage), usage)

    async def _stream(self, call, sent, usage) -> AsyncGenerator[Piece | Ending, None]:
        try:
            for number, word in enumerate(call.prompt.split()):
                if number == self.fail_at:
                    raise EngineUnavailable("the server is gone")
                if number == self.hang_at:
                    await asyncio.Event().wait()
                if self.clock:
                    self.clock.now += number + 1
                sent.append(word)
                yield Piece(text=word, tokens=1)
            yield Piece()  # a keep-alive
            yield Ending(finish=Finish.STOP, usage=usage(), model="words-1")
        except (GeneratorExit, asyncio.CancelledError):
            self.hung_up += 1
            raise

    async def aclose(self):
        self.closed = True


async def test_an_answer_streams_through_and_is_on_disk_before_its_end(ledger, run):
    clock = Clock()
    metered = Metered(Words(clock), ledger, run=run.id, clock=clock)
    call = Call(prompt="a b c", item="i")
    answer = metered.answer(call)
    texts = [piece.text async for piece in answer]
    with Ledger.open(ledger.path) as another:  # another connection sees it: it is committed
        (record,) = another.calls(run=run.id)
    (attempt,) = record.attempts
    assert texts == ["a", "b", "c", ""]
    assert (answer.ending.finish, answer.ending.usage.output, answer.ending.model) == (Finish.STOP, 3, "words-1")
    assert (attempt.ttft_s, attempt.gaps_s, attempt.e2e_s) == (1.0, (2.0, 3.0), 6.0)
    assert (attempt.engine, attempt.model, attempt.finish, attempt.seq) == ("words", "words-1", Finish.STOP, 0)
    assert attempt.usage == answer.ending.usage


async def test_nothing_is_on_disk_while_the_answer_is_under_way(ledger):
    answer = Metered(Words(), ledger).answer(Call(prompt="a b"))
    stream = aiter(answer)
    await anext(stream)
    assert ledger.calls() == ()
    await answer.aclose()
    assert len(ledger.calls()) == 1


async def test_a_hang_up_is_recorded_as_cancelled_with_the_usage_so_far(ledger):
    engine = Words()
    answer = Metered(engine, ledger).answer(Call(prompt="a b c d"))
    async for piece in answer:
        if piece.text == "b":
            break
    await answer.aclose()
    (attempt,) = ledger.calls()[0].attempts
    assert engine.hung_up == 1
    assert (attempt.finish, attempt.usage.output, attempt.usage.engine_s) == (Finish.CANCELLED, 2, 1.0)
    assert (answer.ending.finish, answer.ending.usage.output) == (Finish.CANCELLED, 2)


async def test_a_cancelled_task_is_recorded_and_stays_cancelled(ledger):
    engine = Words(hang_at=1)
    task = asyncio.create_task(Metered(engine, ledger).answer(Call(prompt="a b")).text())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (attempt,) = ledger.calls()[0].attempts
    assert (attempt.finish, attempt.usage.output, engine.hung_up) == (Finish.CANCELLED, 1, 1)


async def test_an_engines_error_is_recorded_and_goes_on_to_the_caller(ledger):
    answer = Metered(Words(fail_at=2), ledger).answer(Call(prompt="a b c"))
    with pytest.raises(EngineUnavailable, match="the server is gone"):
        await answer.text()
    (attempt,) = ledger.calls()[0].attempts
    assert (attempt.finish, attempt.error, attempt.usage.output) == (Finish.ERROR, "the server is gone", 2)
    assert attempt.e2e_s is not None


async def test_an_engine_that_fails_at_once_is_an_attempt_too(ledger):
    class Refuses(Words):
        def answer(self, call):
            raise EngineUnavailable("no")

    with pytest.raises(EngineUnavailable):
        await Metered(Refuses(), ledger).answer(Call(prompt="a")).text()
    (attempt,) = ledger.calls()[0].attempts
    assert (attempt.finish, attempt.ttft_s) == (Finish.ERROR, None)
    assert (attempt.usage.input, attempt.usage.output, attempt.usage.counted_by) == (0, 0, CountedBy.ESTIMATED)


async def test_tokens_that_arrived_are_counted_where_the_engine_does_not(ledger):
    answer = Metered(Words(knows_usage=False), ledger).answer(Call(prompt="a b c"))
    await anext(aiter(answer))
    await answer.aclose()
    usage = ledger.calls()[0].attempts[0].usage
    assert (usage.output, usage.complete, usage.counted_by) == (1, False, CountedBy.ESTIMATED)
    assert answer.ending.usage == usage


async def test_an_answer_nobody_reads_is_no_attempt(ledger):
    answer = Metered(Words(), ledger).answer(Call(prompt="a"))
    await answer.aclose()
    assert ledger.calls() == ()


async def test_two_leaves_under_one_call_are_numbered_as_one_calls_attempts(ledger):
    call = Call(prompt="a b")
    small, large = Metered(Words(fail_at=1), ledger), Metered(Words(), ledger, role=Role.HEDGE)
    with pytest.raises(EngineUnavailable):
        await small.answer(call).text()
    await large.answer(call).text()
    last = large.answer(call)
    await last.text()
    assert last.ending.attempt == 2
    (record,) = ledger.calls()
    assert [(leg.seq, leg.role, leg.finish) for leg in record.attempts] == [
        (0, Role.SERVE, Finish.ERROR),
        (1, Role.HEDGE, Finish.STOP),
        (2, Role.HEDGE, Finish.STOP),
    ]


async def test_text_is_kept_only_where_asked(ledger):
    chat = (Message(role="user", content="secret"),)
    await Metered(Words(), ledger).answer(quiet := Call(prompt="a b", messages=chat)).text()
    await Metered(Words(), ledger, keep_text=True).answer(open_ := Call(prompt="a b", messages=chat)).text()
    kept = {record.call.id: record for record in ledger.calls()}
    assert (kept[quiet.id].call.prompt, kept[quiet.id].call.messages, kept[quiet.id].attempts[0].text) == (
        None,
        (),
        None,
    )
    assert (kept[open_.id].call.prompt, kept[open_.id].call.messages) == ("a b", chat)
    assert kept[open_.id].attempts[0].text == "ab"


async def test_an_answer_that_cannot_be_recorded_does_not_end_well(tmp_path):
    ledger = Ledger.open(tmp_path / "l.db")
    metered = Metered(Words(), ledger)
    answer = metered.answer(Call(prompt="a"))
    ledger.close()
    with pytest.raises(SetupError, match="is closed"):
        await answer.text()
    assert not answer.ended


async def test_closing_closes_the_engine_and_not_the_ledger(ledger):
    metered = Metered(engine := Words(), ledger)
    await metered.aclose()
    assert engine.closed
    assert metered.name == "words"
    assert ledger.runs() == ()


def test_a_forgotten_call_is_looked_up_on_disk():
    asked: list[str] = []

    def on_disk(call_id):
        asked.append(call_id)
        return 7

    numbers = AttemptNumbers(on_disk, kept=2)
    numbers._horizon_s = 0.0
    first, second, third = new_id(), new_id(), new_id()
    assert [numbers.take(call) for call in (first, second, first, first)] == [0, 0, 1, 2]
    numbers.take(third)  # forgets second
    assert asked == []
    assert numbers.take(second) == 7
    assert numbers.take("not a uuid") == 7
    assert asked == [second, "not a uuid"]


async def test_a_resumed_process_goes_on_numbering_where_the_last_one_stopped(tmp_path):
    call = Call(prompt="a")
    for expected in (0, 1):
        with Ledger.open(tmp_path / "l.db") as ledger:
            await Metered(Words(), ledger).answer(call).text()
            assert [leg.seq for leg in ledger.calls()[0].attempts] == list(range(expected + 1))
