"""A window's cost is allocated whole: it adds up exactly, idle included."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError
from cput.ledger.allocate import allocate, split
from cput.units import to_nano_usd

seconds = st.one_of(st.none(), st.floats(0, 1e4))


@given(window=st.floats(0, 1e6), rate=st.decimals(0, 100, places=6), used=st.lists(seconds, max_size=30))
def test_usage_and_idle_add_up_to_the_windows_cost(window, rate, used):
    found = allocate(window, rate, used)
    assert found.total_nano_usd == to_nano_usd(rate * Decimal(round(window * 1e9)) / 10**9 / 3600)
    assert sum(part or 0 for part in found.usage_nano_usd) + found.idle_nano_usd == found.total_nano_usd
    assert found.idle_nano_usd >= 0
    assert [part is None for part in found.usage_nano_usd] == [part is None for part in used]
    if used:
        assert sum(found.full_nano_usd) == found.total_nano_usd


@given(total=st.integers(0, 10**18), weights=st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_every_part_is_its_quota_rounded_up_or_down(total, weights):
    parts = split(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    if whole:
        for part, weight in zip(parts, weights, strict=True):
            assert total * weight // whole <= part <= -(-total * weight // whole)


def test_attempts_pay_by_engine_share_and_the_rest_is_idle():
    found = allocate(100.0, Decimal("0.36"), [30.0, 10.0, None])
    assert found.total_nano_usd == 10_000_000
    assert found.usage_nano_usd == (3_000_000, 1_000_000, None)
    assert found.idle_nano_usd == 6_000_000
    assert found.full_nano_usd == (7_500_000, 2_500_000, 0)


def test_an_overfull_window_is_scaled_down_and_nothing_is_idle():
    found = allocate(10.0, Decimal("3.6"), [30.0, 10.0])
    assert found.usage_nano_usd == (7_500_000, 2_500_000)
    assert found.idle_nano_usd == 0


def test_where_no_engine_second_is_known_the_whole_is_spread_evenly():
    found = allocate(10.0, Decimal("3.6"), [None, None, None])
    assert found.full_nano_usd == (3_333_334, 3_333_333, 3_333_333)
    assert found.idle_nano_usd == found.total_nano_usd == 10_000_000
    assert allocate(10.0, Decimal("3.6"), []).idle_nano_usd == 10_000_000


@pytest.mark.parametrize(("window", "rate", "used"), [(-1.0, "1", []), (1.0, "-1", []), (1.0, "1", [float("nan")])])
def test_negative_and_unmeasured_quantities_are_refused(window, rate, used):
    with pytest.raises(InputError, match="allowed: a finite"):
        allocate(window, Decimal(rate), used)
