"""A call is sent again only before its first piece, every leg is an attempt, and a server that asks for time gets it."""

import asyncio
import time
from email.utils import formatdate

import pytest
from wire_server import status, stream

from cput.engines import open_engine
from cput.engines.openai.refusal import seconds_of
from cput.engines.retry import Retried, Throttled
from cput.errors import EngineUnavailable, InputError, UpstreamError
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.records import Call, Finish, Message
from cput.testing import check_engine


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
async def remote(server):
    engine = open_engine("openai", model="echo-1", base_url=server.url)
    yield engine
    await engine.aclose()


def call():
    return Call(messages=(Message(role="user", content="one two"),))


def attempts(ledger):
    return [attempt for record in ledger.calls() for attempt in record.attempts]


async def test_a_retried_engine_keeps_the_contract():
    await check_engine(lambda: Retried(open_engine("echo", token_s=0.0005)))


async def test_each_leg_is_an_attempt_in_the_ledger(server, remote, ledger):
    server.next = [status(500, "down"), status(503, "still down")]
    answer = Retried(Metered(remote, ledger), backoff_s=0.01).answer(call())
    assert await answer.text() == "one two"
    legs = attempts(ledger)
    assert [(leg.seq, leg.finish, leg.usage.output) for leg in legs] == [
        (0, Finish.ERROR, 0),
        (1, Finish.ERROR, 0),
        (2, Finish.STOP, 2),
    ]
    assert "answered 500: down" in legs[0].error
    assert answer.ending.usage == legs[2].usage


async def test_nothing_is_sent_again_after_the_first_piece(server, remote, ledger):
    server.next = [stream(b'data: {"choices": [{"delta": {"content": "on"}}]}\n\n', "break")]
    with pytest.raises(EngineUnavailable, match="broke off"):
        await Retried(Metered(remote, ledger), backoff_s=0.01).answer(call()).text()
    assert len(server.bodies) == len(attempts(ledger)) == 1


async def test_what_cannot_succeed_is_not_sent_again(server, remote, ledger):
    server.next = [status(400, {"error": {"message": "bad field"}})]
    with pytest.raises(UpstreamError, match="bad field"):
        await Retried(Metered(remote, ledger), backoff_s=0.01).answer(call()).text()
    assert len(server.bodies) == 1


async def test_the_last_error_is_the_callers(server, remote, ledger):
    server.next = [status(500, "a"), status(500, "b"), status(500, "c")]
    with pytest.raises(UpstreamError, match="500: b"):
        await Retried(Metered(remote, ledger), attempts=2, backoff_s=0.0).answer(call()).text()
    assert len(attempts(ledger)) == 2


async def test_a_server_that_asks_for_time_gets_it(server, remote):
    server.next = [status(429, "slow down", {"Retry-After": "0.3"})]
    began = time.perf_counter()
    assert await Retried(remote, backoff_s=0.0).answer(call()).text() == "one two"
    assert time.perf_counter() - began >= 0.3


async def test_a_server_that_asks_for_too_much_time_is_not_waited_for(server, remote):
    server.next = [status(429, "tomorrow", {"Retry-After": "86400"})]
    with pytest.raises(Throttled, match="429: tomorrow") as error:
        await Retried(remote, backoff_s=0.0).answer(call()).text()
    assert (error.value.retry_after_s, error.value.retryable) == (86400.0, True)
    assert len(server.bodies) == 1


def test_retry_after_is_seconds_or_a_date():
    assert seconds_of("7") == 7.0
    assert seconds_of("-3") == 0.0
    assert 98 < seconds_of(formatdate(time.time() + 100, usegmt=True)) <= 100
    assert seconds_of("soon") is None
    assert seconds_of(None) is None


async def test_hanging_up_on_the_second_leg_says_what_it_used(server, remote, ledger):
    server.next = [status(500, "down")]
    answer = Retried(Metered(remote, ledger), backoff_s=0.0).answer(call())
    async for _ in answer:
        break
    await answer.aclose()
    assert answer.ending.finish is Finish.CANCELLED
    assert answer.ending.usage.output == 1
    assert [leg.finish for leg in attempts(ledger)] == [Finish.ERROR, Finish.CANCELLED]


async def test_a_cancelled_wait_is_not_followed_by_another_leg(server, remote):
    server.next = [status(429, "slow", {"Retry-After": "30"})]
    task = asyncio.create_task(Retried(remote).answer(call()).text())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(server.bodies) == 1


def test_no_attempts_is_no_engine(server):
    with pytest.raises(InputError, match="attempts is 0; allowed: 1 or more"):
        Retried(open_engine("echo"), attempts=0)
