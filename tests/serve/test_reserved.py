"""A device that serves: its calls are charged by its seconds, and the rest of the hour is idle, to the nano-dollar."""

import asyncio

import pytest
from gateways import chat_body, echo_door, post, running

from cput.engines.echo import Echo
from cput.ledger.meter import Metered
from cput.ledger.price import DeviceRate, device_rate
from cput.ledger.query import Question, costs
from cput.records import Attempt, Charge, CountedBy, Finish, Usage
from cput.serve.reserved import Reserved
from cput.serve.serving import Stack

RATE = device_rate("3.6/h", None)  # a thousandth of a dollar a second
SECOND = 1_000_000


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


def attempt(seconds, seq=0, call="c"):
    usage = Usage(output=3, engine_s=seconds, complete=True, counted_by=CountedBy.ENGINE)
    return Attempt(call_id=call, seq=seq, engine="e", usage=usage, started_s=1.0, finish=Finish.STOP)


def reserved(book, clock, rate=RATE, **more):
    made = Reserved(book, rate, engine="echo", workload="shop", clock=clock, **more)
    made.begin()
    return made


def test_an_attempt_costs_its_seconds_and_the_rest_is_idle(book):
    clock = Clock()
    device = reserved(book, clock)
    assert device.charge(attempt(2.5)).incremental_nano_usd == 2.5 * SECOND
    clock.now += 60
    device.end()
    device.end()
    assert [charge.incremental_nano_usd for charge in book.idle_charges(device.run.id)] == [57.5 * SECOND]
    (window,) = book.windows(device.run.id)
    assert (window.ended_s - window.started_s, window.rate_nano_usd_per_h) == (60, 3_600_000_000)
    assert book.run(device.run.id).ended_s is not None


def test_what_is_used_beyond_a_window_is_taken_from_the_next(book):
    clock = Clock()
    device = reserved(book, clock)
    clock.now += 60
    device.charge(attempt(100.0))  # it began before the window did
    device._turn()
    clock.now += 60
    device.end()
    idle = [charge.incremental_nano_usd for charge in book.idle_charges(device.run.id)]
    assert sorted(idle) == [0, 20 * SECOND]
    assert len(book.windows(device.run.id)) == 2


def test_what_nobody_counted_or_priced_is_unknown_and_not_nothing(book):
    clock = Clock()
    assert reserved(book, clock).charge(attempt(None)).incremental_nano_usd is None
    unknown = reserved(book, clock, DeviceRate(None, "nobody said", "unknown"))
    assert unknown.charge(attempt(1.0)).incremental_nano_usd is None
    clock.now += 60
    unknown.end()
    assert book.idle_charges(unknown.run.id) == ()


def test_a_model_that_is_priced_by_its_tokens_is_not_charged_twice(book):
    class ByTokens:
        def charge(self, attempt):
            return Charge(call_id="c", seq=0, incremental_nano_usd=7, price_version="mine", basis="usage")

    clock = Clock()
    device = reserved(book, clock, otherwise=ByTokens())
    assert device.charge(attempt(2.0)).incremental_nano_usd == 7
    clock.now += 10
    device.end()
    assert book.idle_charges(device.run.id)[-1].incremental_nano_usd == 10 * SECOND


async def test_a_served_call_has_a_cost_and_the_idle_time_is_in_all_of_it(book):
    door = echo_door(book)
    device = Reserved(book, RATE, engine="echo", workload=None)
    engine = Metered(Echo(token_s=0.01), door.tally, run=device.run.id, prices=device)
    model = door.models["echo"]
    model.serving.replace(Stack(engine_for=lambda _: engine, close=engine.aclose))
    device.begin()
    with running(door) as gateway:
        keeping = asyncio.create_task(device.keep(0.05))
        assert (await post(gateway, "/v1/chat/completions", chat_body("one two three")))[0] == 200
        await asyncio.sleep(0.2)
        keeping.cancel()
    device.end()
    windows = book.windows(device.run.id)
    (record,) = book.calls()
    assert record.charges[0].incremental_nano_usd == 0.03 * SECOND  # three words of 0.01 s
    assert len(windows) > 1
    found = costs(book, Question())
    paid = found.total.sums.cost_nano_usd + sum(left.nano_usd for left in found.left)
    reserved_s = sum(window.ended_s - window.started_s for window in windows)
    assert paid == pytest.approx(reserved_s * SECOND, abs=len(windows))  # each is rounded to a nano-dollar
