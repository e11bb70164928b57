import math

from hypothesis import given
from hypothesis import strategies as st

from cput.ledger.interval import Interval
from cput.report import words

bounds = st.none() | st.just(math.nan) | st.floats(min_value=0)


@given(bounds, bounds, bounds, st.sampled_from(["USD", "device-seconds"]))
def test_no_figure_prints_as_nan_inf_or_none(value, low, high, unit):
    interval = Interval(value, low, high)
    for shown in (
        words.cost_interval(interval, unit),
        words.cput(interval, unit),
        words.quantity(value),
        words.cost_point(interval, unit),
    ):
        assert not {"nan", "inf", "None"} & set(
            shown.replace("[", " ").replace("]", " ").replace(",", " ").replace("$", " ").split()
        )


def test_unknown_is_never_zero():
    assert words.cost_interval(Interval(None, None, None), "USD") == "unknown"
    assert words.quantity(None) == "unknown"
    assert words.rate(Interval(None, None, None)) == "unknown"
    assert words.count(None) == "unknown"


def test_no_useful_token_reads_as_unbounded_with_its_lower_bound():
    assert words.cost_interval(Interval(None, 0.25, math.inf), "USD") == "unbounded [at least $0.2500]"
    assert words.cost_point(Interval(None, 0.25, math.inf), "USD") == "unbounded"


def test_a_cost_per_token_is_printed_per_million():
    assert words.cput(Interval(2.702e-7, 2.292e-7, 3.186e-7), "USD") == "$0.2702 [$0.2292, $0.3186] per M useful tokens"
    assert (
        words.cput(Interval(0.0124, 0.0083, 0.0186), "device-seconds")
        == "12,400 [8,300, 18,600] device-s per M useful tokens"
    )


def test_the_floor_is_read_against_the_interval_not_the_value():
    assert "kept" in words.floor_words(0.2, Interval(0.3, 0.21, 0.4))
    assert "not decided" in words.floor_words(0.2, Interval(0.3, 0.19, 0.4))
    assert "missed" in words.floor_words(0.2, Interval(0.1, 0.05, 0.19))
    assert "no floor" in words.floor_words(None, Interval(0.1, 0.05, 0.19))


def test_a_long_text_says_how_much_was_cut():
    assert words.clip("a" * 10, 10) == "a" * 10
    assert words.clip("a" * 1010, 10) == "a" * 10 + "… (+1,000 characters)"


@given(st.none() | st.just(math.nan) | st.floats(0, 1))
def test_a_share_is_percent_or_unknown(value):
    shown = words.rate(Interval(value, value, value))
    assert shown == "unknown" if value is None or math.isnan(value) else shown.startswith(f"{value * 100:.1f} % [")
