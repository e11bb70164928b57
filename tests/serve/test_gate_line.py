"""The line in front of the engine: bounded, the most urgent first, and nobody waits for ever."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError
from cput.serve.gate import Refused
from cput.serve.waiting import Line
from cput.testing import FakeClock


async def turns():
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Callers:
    """Tasks that enter a line, and the order in which they were let through."""

    def __init__(self, line):
        self.line = line
        self.order = []
        self.tasks = {}

    async def come(self, name, priority=0, due_at=None):
        async def call():
            await self.line.enter(priority, due_at)
            self.order.append(name)

        self.tasks[name] = asyncio.create_task(call())
        await turns()

    async def leave(self):
        self.line.leave()
        await turns()

    async def error(self, name):
        (error,) = await asyncio.gather(self.tasks[name], return_exceptions=True)
        return error


async def test_the_highest_priority_is_first_and_within_one_the_first_to_come():
    line = Callers(Line(most_at_once=1, queue=10, clock=FakeClock()))
    for name, priority in (("running", 0), ("low1", 0), ("high1", 2), ("low2", 0), ("high2", 2), ("mid", 1)):
        await line.come(name, priority)
    for _ in range(5):
        await line.leave()
    assert line.order == ["running", "high1", "high2", "mid", "low1", "low2"]


async def test_a_low_priority_is_passed_only_by_those_that_come_soon_after_it():
    clock = FakeClock()
    line = Callers(Line(most_at_once=1, queue=100, aging_s=10, clock=clock))
    await line.come("running")
    await line.come("low", 0)
    for n in range(8):  # a call of priority 2 arrives whenever one leaves: without aging low would never go on
        clock.advance(4)
        await line.come(f"high{n}", 2)
        await line.leave()
    # Two steps are worth 20 s: running goes before it, and the four that came less than 20 s later.
    assert line.order[:6] == ["running", *(f"high{n}" for n in range(4)), "low"]


async def test_all_go_at_once_where_there_is_no_bound():
    line = Line()
    for _ in range(1000):
        await line.enter()
    assert (line.under_way, line.waiting) == (1000, 0)


async def test_a_full_line_is_429_with_an_estimate_from_the_recent_rate():
    clock = FakeClock()
    line = Line(most_at_once=2, queue=4, clock=clock)
    callers = Callers(line)
    for n in range(6):
        await callers.come(n)
    assert line.retry_after_s() == 1.0  # nothing has finished yet
    for n in range(6, 14):  # two leave every 3 s
        clock.advance(1.5)
        await callers.leave()
        await callers.come(n)
    clock.advance(1.5)
    await callers.come("late")
    refused = await callers.error("late")
    assert (refused.status, refused.code) == (429, "overloaded")
    assert refused.retry_after_s == pytest.approx(4 * 1.5)  # four wait, one leaves every 1.5 s
    assert "4 of 4" in str(refused)
    assert (line.under_way, line.waiting) == (2, 4)


async def test_a_call_that_was_turned_away_later_tells_nothing_about_the_rate():
    clock = FakeClock()
    line = Line(most_at_once=1, queue=3, clock=clock)
    for _ in range(50):
        await line.enter()
        clock.advance(0.001)
        line.leave(served=False)
    assert line.retry_after_s() == 1.0
    for _ in range(2):
        await line.enter()
        clock.advance(10)
        line.leave()
    callers = Callers(line)
    for n in range(4):
        await callers.come(n)
    assert line.retry_after_s() == pytest.approx(3 * 10)


async def test_the_estimate_stays_between_one_second_and_one_minute():
    clock = FakeClock()
    line = Line(most_at_once=1, queue=50, clock=clock)
    callers = Callers(line)
    for n in range(40):
        await callers.come(n)
    for _ in range(3):
        clock.advance(100)
        await callers.leave()
    assert line.retry_after_s() == 60.0
    for _ in range(36):
        clock.advance(0.0001)
        await callers.leave()
    assert line.waiting == 0
    assert line.retry_after_s() == 1.0


async def test_an_urgent_call_takes_the_place_of_the_last_in_a_full_line():
    line = Callers(Line(most_at_once=1, queue=2, clock=FakeClock()))
    for name in ("running", "a", "b"):
        await line.come(name)
    await line.come("urgent", 1)
    refused = await line.error("b")
    assert refused.status == 429
    await line.leave()
    await line.leave()
    assert line.order == ["running", "urgent", "a"]


async def test_a_priority_beyond_all_bounds_counts_as_the_highest():
    line = Callers(Line(most_at_once=1, queue=5, clock=FakeClock()))
    for name, priority in (("running", 0), ("least", -(10**400)), ("high", 100), ("beyond", 10**400)):
        await line.come(name, priority)
    for _ in range(3):
        await line.leave()
    assert line.order == ["running", "high", "beyond", "least"]


async def test_nobody_waits_where_the_queue_is_0():
    line = Line(most_at_once=1, queue=0)
    await line.enter()
    with pytest.raises(Refused) as refused:
        await line.enter(100)
    assert refused.value.status == 429


async def test_a_call_whose_deadline_passes_while_it_waits_is_504_and_leaves_the_line():
    loop = asyncio.get_running_loop()
    line = Line(most_at_once=1, queue=5)
    await line.enter()
    with pytest.raises(Refused, match="while the call waited") as refused:
        await line.enter(due_at=loop.time() + 0.02)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (504, "deadline_exceeded", None)
    assert line.waiting == 0
    with pytest.raises(Refused, match="before the call could begin"):
        await line.enter(due_at=loop.time() - 1)
    line.leave()
    assert line.under_way == 0


async def test_a_caller_that_hangs_up_while_it_waits_leaves_its_place_to_the_next():
    line = Callers(Line(most_at_once=1, queue=5))
    for name in ("running", "a", "b"):
        await line.come(name)
    line.tasks["a"].cancel()
    await turns()
    assert line.line.waiting == 1
    await line.leave()
    assert line.order == ["running", "b"]


async def test_a_turn_that_comes_in_the_moment_of_hanging_up_goes_to_the_next():
    line = Callers(Line(most_at_once=1, queue=5))
    for name in ("running", "a", "b"):
        await line.come(name)
    line.line.leave()  # a's turn has come, and a has not seen it yet
    line.tasks["a"].cancel()
    await turns()
    assert line.order == ["running", "b"]
    await line.leave()
    assert line.line.under_way == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel", "advance"]), st.integers(0, 3)), max_size=60),
    st.integers(1, 3),
    st.integers(0, 4),
)
def test_never_more_at_once_never_more_waiting_and_nobody_is_forgotten(steps, most, queue):
    async def play():
        clock = FakeClock()
        line = Line(most_at_once=most, queue=queue, clock=clock)
        callers = Callers(line)
        left = 0
        for number, (step, value) in enumerate(steps):
            if step == "come":
                await callers.come(number, value)
            elif step == "leave" and line.under_way:
                await callers.leave()
                left += 1
            elif step == "cancel" and callers.tasks:
                list(callers.tasks.values())[-1 - value % len(callers.tasks)].cancel()
                await turns()
            else:
                clock.advance(value)
            assert line.under_way == len(callers.order) - left <= most
            assert line.waiting <= queue
            assert line.waiting == sum(not task.done() for task in callers.tasks.values())
            assert line.under_way == most or line.waiting == 0
        for task in callers.tasks.values():
            task.cancel()
        await asyncio.gather(*callers.tasks.values(), return_exceptions=True)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"most_at_once": 0}, "most_at_once is 0"), ({"queue": -1}, "queue is -1"), ({"aging_s": 0}, "aging_s is 0")],
)
def test_numbers_that_are_not_allowed_are_named(wrong, says):
    with pytest.raises(InputError, match=says):
        Line(**wrong)
