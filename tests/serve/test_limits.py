"""Requests and tokens per minute: never more in any 60 seconds, and never refused for longer than it takes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_ledgers import backend_, ledger_, tables_  # noqa: F401  # fixtures

from cput.errors import InputError
from cput.serve.gate import Refused
from cput.serve.limits import RateLimit, Rates, read_limits, set_limit
from cput.serve.subjects import Scope, Subject
from cput.serve.window import SlidingWindow
from cput.testing import FakeClock

KEY, TENANT = Subject(Scope.KEY, "key-1"), Subject(Scope.TENANT, "t")
EVENTS = st.lists(st.tuples(st.floats(0, 40), st.integers(0, 12)), max_size=60)


@given(events=EVENTS, limit=st.integers(1, 20), start=st.floats(0, 1e6))
def test_no_sixty_seconds_hold_more_than_the_limit_and_nothing_else_is_refused(events, limit, start):
    clock = FakeClock(start)
    window = SlidingWindow(clock)
    let_in = []
    for gap_s, amount in events:
        clock.advance(gap_s)
        now = clock()
        if window.wait_s(amount, limit) == 0:
            window.add(amount)
            let_in.append((now, amount))
            assert sum(held for at, held in let_in if at > now - 60) <= limit
        else:
            # One slot and a rounding: what is counted a tenth of a second longer than it must be.
            assert sum(held for at, held in let_in if at > now - 60.11) + amount > limit


@given(events=EVENTS, limit=st.integers(12, 30), start=st.floats(0, 1e6), amount=st.integers(1, 12))
def test_after_the_wait_that_it_says_there_is_room_and_not_before(events, limit, start, amount):
    clock = FakeClock(start)
    window = SlidingWindow(clock)
    for gap_s, held in events:
        clock.advance(gap_s)
        if window.wait_s(held, limit) == 0:
            window.add(held)
    wait_s = window.wait_s(amount, limit)
    if wait_s > 0.01:
        clock.advance(wait_s - 0.01)
        assert window.wait_s(amount, limit) > 0
        clock.advance(0.01)
    assert window.wait_s(amount, limit) == 0


def test_a_window_stays_small_however_much_happens():
    clock = FakeClock()
    window = SlidingWindow(clock)
    for _ in range(200_000 // 100):
        clock.advance(0.05)
        for _ in range(100):
            window.add(1)
    assert len(window._slots) <= 602
    assert window.total == pytest.approx(60 / 0.05 * 100, rel=0.01)
    clock.advance(61)
    assert window.total == 0
    assert not window._slots


def test_a_correction_changes_what_is_in_the_window_and_nothing_that_has_left_it():
    clock = FakeClock()
    window = SlidingWindow(clock)
    first = window.add(100)
    clock.advance(30)
    second = window.add(50)
    window.correct(first, -90)
    assert window.total == 60
    clock.advance(31)
    assert window.total == 50
    window.correct(first, -10)
    assert window.total == 50
    window.correct(second, -50)
    assert window.total == 0


def limits(**per_min):
    return [RateLimit(subject=subject, **{f"{what}_per_min": most}) for what, (subject, most) in per_min.items()]


def test_the_limit_is_let_in_at_once_and_the_next_one_after_a_minute():
    clock = FakeClock()
    rates = Rates(clock)
    held = limits(requests=(KEY, 3))
    for _ in range(3):
        rates.take(held, 10)
    with pytest.raises(Refused, match="requests per minute reached for this key: allowed 3, used 3, asked 1") as full:
        rates.take(held, 10)
    assert (full.value.status, full.value.code) == (429, "rate_limit_exceeded")
    assert full.value.retry_after_s == pytest.approx(60, abs=0.11)
    clock.advance(full.value.retry_after_s)
    rates.take(held, 10)


def test_a_call_counts_under_all_its_limits_or_under_none():
    rates = Rates(FakeClock())
    key, tenant = limits(requests=(KEY, 10), tokens=(TENANT, 100))
    with pytest.raises(Refused, match="asks for 101 tokens"):
        rates.take([key, tenant], 101)
    for _ in range(10):  # the refused call took nothing of the key's
        rates.take([key, tenant], 10)
    with pytest.raises(Refused, match="requests per minute"):
        rates.take([key], 0)


def test_keys_of_one_tenant_share_its_limit_and_not_each_others():
    rates = Rates(FakeClock())
    tenant = RateLimit(subject=TENANT, requests_per_min=3)
    one, two = (RateLimit(subject=Subject(Scope.KEY, name), requests_per_min=2) for name in ("key-1", "key-2"))
    rates.take([one, tenant], 0)
    rates.take([one, tenant], 0)
    with pytest.raises(Refused, match="this key"):
        rates.take([one, tenant], 0)
    rates.take([two, tenant], 0)
    with pytest.raises(Refused, match="this tenant"):
        rates.take([two, tenant], 0)


def test_a_call_that_can_never_fit_is_not_told_to_wait():
    with pytest.raises(Refused, match=r"asks for 101 tokens .* allowed 100 per minute: ask for fewer") as refused:
        Rates(FakeClock()).take(limits(tokens=(KEY, 100)), 101)
    assert refused.value.retry_after_s is None


def test_tokens_are_counted_as_reserved_and_then_as_used():
    rates = Rates(FakeClock())
    held = limits(tokens=(KEY, 100))
    taken = rates.take(held, 90)
    with pytest.raises(Refused):
        rates.take(held, 20)
    taken.correct(15)
    rates.take(held, 85)
    with pytest.raises(Refused):
        rates.take(held, 1)


def test_what_was_not_let_in_after_all_is_given_back():
    rates = Rates(FakeClock())
    held = [RateLimit(subject=KEY, requests_per_min=1, tokens_per_min=10)]
    for _ in range(5):
        rates.take(held, 10).give_back()
    rates.take(held, 10)
    with pytest.raises(Refused):
        rates.take(held, 10)


def test_two_limits_that_are_reached_tell_the_longer_wait():
    clock = FakeClock()
    rates = Rates(clock)
    key, tenant = limits(requests=(KEY, 1), tokens=(TENANT, 10))
    rates.take([tenant], 10)
    clock.advance(30)
    rates.take([key], 0)
    with pytest.raises(Refused) as refused:
        rates.take([key, tenant], 1)
    assert refused.value.retry_after_s == pytest.approx(60, abs=0.11)


def test_limits_are_kept_in_the_ledger_replaced_and_lifted(ledger):
    first = RateLimit(subject=KEY, requests_per_min=5, tokens_per_min=2**40)
    set_limit(ledger, first)
    set_limit(ledger, RateLimit(subject=TENANT, requests_per_min=7))
    assert read_limits(ledger) == {str(KEY): first, str(TENANT): RateLimit(subject=TENANT, requests_per_min=7)}
    set_limit(ledger, RateLimit(subject=KEY, requests_per_min=6))
    assert read_limits(ledger)[str(KEY)] == RateLimit(subject=KEY, requests_per_min=6)
    set_limit(ledger, RateLimit(subject=KEY))
    assert set(read_limits(ledger)) == {str(TENANT)}


@pytest.mark.parametrize("wrong", [0, -1, 2**63])
def test_a_limit_of_nothing_is_refused(wrong):
    with pytest.raises(InputError, match=rf"tenant:t is {wrong} requests per minute; allowed: 1 or more"):
        RateLimit(subject=TENANT, requests_per_min=wrong)


def test_infinity_is_never_a_retry_after():
    window = SlidingWindow(FakeClock())
    assert math.isinf(window.wait_s(2, 1))
