"""A circuit opens when too many legs fail, lets one try after a while, and judges the upstream and nobody else."""

import asyncio

import pytest
from scripted import Kept, Scripted, ask, status

from cput.engines.breaker import Breaker
from cput.engines.circuit import Circuit, State
from cput.engines.faults import Rested, kind_of
from cput.engines.retry import Retried, Stalled
from cput.errors import EngineUnavailable, InputError, PromptTooLong, UpstreamError
from cput.ledger.meter import Metered
from cput.testing import EchoEngine, FakeClock, check_engine

GONE = EngineUnavailable("gone")


@pytest.fixture
def clock():
    return FakeClock(1000.0)


@pytest.fixture
def circuit(clock):
    return Circuit(failures=3, within_s=30, open_s=15, name="upstream 'a'", clock=clock)


def end(circuit, error=None):
    leg = circuit.enter()
    leg.passed() if error is None else leg.failed(error)
    leg.left()


def opened(circuit):
    for _ in range(3):
        end(circuit, GONE)
    assert circuit.state is State.OPEN
    return circuit


async def test_an_engine_behind_a_breaker_keeps_the_contract():
    await check_engine(lambda: Breaker(EchoEngine(token_s=0.0005)))


def test_it_opens_at_the_last_of_so_many_failures_and_says_when_to_come_back(circuit, clock):
    end(circuit, GONE)
    end(circuit, GONE)
    assert circuit.state is State.CLOSED
    end(circuit, GONE)
    assert circuit.state is State.OPEN
    clock.advance(5)
    with pytest.raises(Rested, match=r"upstream 'a' is not asked for 10\.0 s: 3 calls failed within 30 s") as error:
        circuit.enter()
    assert (error.value.retry_after_s, error.value.retryable) == (10.0, False)


def test_failures_that_are_long_ago_do_not_count(circuit, clock):
    end(circuit, GONE)
    end(circuit, GONE)
    clock.advance(31)
    end(circuit, GONE)
    assert circuit.state is State.CLOSED


def test_a_busy_upstream_that_fails_a_small_share_stays_in_use(circuit):
    for _ in range(100):
        end(circuit)
    for _ in range(99):
        end(circuit, GONE)
    assert circuit.state is State.CLOSED
    end(circuit, GONE)  # half of all
    assert circuit.state is State.OPEN


@pytest.mark.parametrize(
    "error",
    [status(400), status(404), status(429), status(401), status(501), PromptTooLong("long"), InputError("wrong")],
    ids=str,
)
def test_what_is_not_the_upstreams_fault_does_not_open_it(circuit, error):
    for _ in range(20):
        end(circuit, error)
    assert circuit.state is State.CLOSED


@pytest.mark.parametrize(
    "error", [status(500), status(503), status(529), status(408), GONE, Stalled("x"), UpstreamError("no JSON")], ids=str
)
def test_what_is_the_upstreams_fault_opens_it(circuit, error):
    for _ in range(3):
        end(circuit, error)
    assert circuit.state is State.OPEN


def test_half_open_one_leg_tries_and_its_first_piece_closes_it(circuit, clock):
    opened(circuit)
    clock.advance(15)
    assert circuit.state is State.HALF_OPEN
    trying = circuit.enter()
    with pytest.raises(Rested) as error:
        circuit.enter()
    assert error.value.retry_after_s == 1.0
    trying.spoke()
    assert circuit.state is State.CLOSED
    circuit.enter().left()
    trying.failed(GONE)  # broke off later: one failure and no more
    assert circuit.state is State.CLOSED


def test_half_open_a_failure_opens_it_again(circuit, clock):
    opened(circuit)
    clock.advance(15)
    end(circuit, GONE)
    assert circuit.state is State.OPEN
    with pytest.raises(Rested, match="failed again when it was tried"):
        circuit.enter()


def test_half_open_a_caller_that_hangs_up_leaves_the_trial_to_the_next(circuit, clock):
    opened(circuit)
    clock.advance(15)
    circuit.enter().left()
    assert circuit.state is State.HALF_OPEN
    end(circuit)
    assert circuit.state is State.CLOSED


def test_half_open_an_answer_that_is_a_refusal_shows_that_it_is_well(circuit, clock):
    opened(circuit)
    clock.advance(15)
    end(circuit, status(400))
    assert circuit.state is State.CLOSED


def test_legs_from_before_change_nothing_while_it_is_open(circuit, clock):
    old = [circuit.enter(), circuit.enter()]
    opened(circuit)
    old[0].spoke()
    old[0].passed()
    assert circuit.state is State.OPEN
    clock.advance(15)
    trying = circuit.enter()
    old[1].failed(GONE)
    old[1].left()
    assert circuit.state is State.HALF_OPEN
    trying.passed()
    assert circuit.state is State.CLOSED


def test_every_change_is_told_once(clock):
    told = []
    circuit = Circuit(failures=3, open_s=15, clock=clock, changed=lambda state, why: told.append(state))
    opened(circuit)
    clock.advance(15)
    end(circuit)
    assert told == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_what_one_callers_error_said_is_not_told_to_others(circuit):
    for _ in range(3):
        end(circuit, UpstreamError("answered 500: your secret wish", status=500))
    with pytest.raises(Rested, match=r"with status 500$"):
        circuit.enter()
    assert [kind_of(each) for each in (Stalled("x"), GONE, UpstreamError("y"))] == [
        "no answer in time",
        "no connection, or a broken one",
        "an answer that is none",
    ]


async def test_while_it_is_open_nothing_is_sent_and_nothing_is_an_attempt(clock):
    kept, engine = Kept(), Scripted("a", *["gone"] * 3)
    breaker = Breaker(Metered(engine, kept), Circuit(failures=3, clock=clock))
    for _ in range(3):
        with pytest.raises(EngineUnavailable):
            await breaker.answer(ask()).text()
    with pytest.raises(Rested):
        await breaker.answer(ask()).text()
    assert engine.sent == len(kept.attempts) == 3


async def test_retries_count_each_leg_and_stop_when_it_opens(clock):
    engine = Scripted("a", *["500"] * 9)
    retried = Retried(Breaker(engine, Circuit(failures=3, clock=clock)), attempts=9, backoff_s=0.0)
    with pytest.raises(Rested):
        await retried.answer(ask()).text()
    assert engine.sent == 3


async def test_a_hang_up_says_nothing_about_the_upstream(clock):
    engine = Scripted("a", *["hangs"] * 10)
    breaker = Breaker(engine, Circuit(failures=1, clock=clock))
    for _ in range(10):
        task = asyncio.create_task(breaker.answer(ask()).text())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (breaker.circuit.state, engine.hung_up) == (State.CLOSED, 10)


async def test_an_answer_that_breaks_off_counts_once(clock):
    engine = Scripted("a", *["broken"] * 3)
    breaker = Breaker(engine, Circuit(failures=3, clock=clock))
    for at in range(3):
        assert (breaker.circuit.state, at) == (State.CLOSED, at)
        with pytest.raises(EngineUnavailable, match="broke off"):
            await breaker.answer(ask()).text()
    assert breaker.circuit.state is State.OPEN


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"within_s": 0}, {"open_s": -1}, {"share": 1.1}])
def test_a_wrong_number_is_one_sentence(wrong):
    with pytest.raises(InputError, match="allowed"):
        Circuit(**wrong)
