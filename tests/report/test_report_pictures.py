import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_reports import measurement, optimization

from cput.ledger.interval import Interval
from cput.report import axis
from cput.report.ecdf import Curve, latency_figure
from cput.report.labels import Box, place
from cput.report.pareto import pareto_figure
from cput.report.strip import bar_strip, interval_strip
from cput.report.words import METRICS

positive = st.floats(min_value=1e-9, max_value=1e9)
TTFT = METRICS[0]


@pytest.mark.parametrize("make", [axis.from_zero, axis.spread, axis.around])
@pytest.mark.parametrize("tiny", [5e-324, 1e-310])
def test_values_too_small_to_divide_are_drawn_as_nothing(make, tiny):
    scale = make([tiny], 40.0, 340.0)
    assert 40 <= scale.at(tiny) <= 340
    assert scale.ticks()


@given(st.lists(positive, min_size=1), st.sampled_from([axis.spread, axis.around]))
def test_a_scale_holds_order_and_stays_inside(values, make):
    scale = make(values, 40.0, 340.0)
    drawn = [scale.at(value) for value in sorted(values)]
    assert drawn == sorted(drawn)
    assert drawn[0] >= 40
    assert drawn[-1] <= 340
    assert all(scale.low <= tick <= scale.high * (1 + 1e-9) for tick in scale.ticks())
    assert len(scale.ticks()) <= 7


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_a_linear_scale_has_at_least_two_ticks(high):
    assert len(axis.from_zero([high], 0, 100).ticks()) >= 2


def test_ticks_are_told_apart():
    scale = axis.Scale(0.0, 0.012, 0, 100)
    names = axis.tick_words(scale.ticks())
    assert len(set(names)) == len(names)
    assert names == ["0", "0.005", "0.01"]


def _curve_points(svg: str, class_: str) -> list[tuple[float, float]]:
    drawn = re.search(rf'<path d="M([^"]*)" class="{class_}"', svg)[1]
    return [tuple(map(float, pair.split())) for pair in drawn.rstrip("Z").split("L")]


@pytest.mark.parametrize("calls", [1, 3, 60, 1200])
def test_the_latency_curve_rises_from_nothing_to_every_call(calls):
    svg = str(latency_figure(TTFT, [Curve.of(measurement(calls, seed=5), TTFT)], 1.0))
    points = _curve_points(svg, "curve one")
    ys = [y for _, y in points]
    assert ys == sorted(ys, reverse=True)
    assert (ys[0], ys[-1]) == (194.0, 24.0)  # the bottom and the top of the frame: 0 and 100 %


def test_an_slo_far_beyond_the_slowest_call_is_told_not_drawn():
    curve = Curve.of(measurement(60), TTFT)
    assert 'class="limit"' in latency_figure(TTFT, [curve], 2.0)
    far = latency_figure(TTFT, [curve], 1e4)
    assert 'class="limit"' not in far
    assert "lies right of the picture" in far


def test_a_metric_no_call_gave_is_words():
    empty = Curve(name="", class_="one", values=(), marks=())
    assert "nothing to draw" in latency_figure(TTFT, [empty], None)


def test_a_wider_interval_draws_a_wider_band():
    def width(interval):
        return float(ET.fromstring(str(interval_strip(interval, 1.0))).find("rect").get("width"))

    assert width(Interval(0.5, 0.1, 0.9)) == pytest.approx(2 * width(Interval(0.5, 0.3, 0.7)), abs=0.1)


def test_an_unbounded_interval_ends_in_an_arrow_and_a_bounded_one_does_not():
    assert "<path" in bar_strip(1.0, 2.0, "step0", Interval(1.0, 0.5, math.inf))
    assert "<path" not in bar_strip(1.0, 2.0, "step0", Interval(1.0, 0.5, 1.5))


def test_what_cannot_be_drawn_is_not_drawn_at_zero():
    assert bar_strip(None, 2.0, "step0") is None
    assert bar_strip(math.inf, 2.0, "step0") is None
    assert interval_strip(Interval(None, None, None), 1.0) is None


def test_labels_of_near_points_do_not_cover_one_another():
    points = [(100.0, 100.0, "winner"), (104.0, 101.0, "7"), (98.0, 99.0, "12")]
    places = place(points, Box(0, 0, 300, 300))
    boxes = [Box(p.x, p.y - 9, p.x + 6.2 * len(text), p.y + 3) for p, (_, _, text) in zip(places, points, strict=True)]
    assert all(a.overlap(b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_search_picture_shows_each_candidate_with_its_reason_or_names_it_as_not_drawn():
    result = optimization()
    svg = str(pareto_figure(result))
    for index, candidate in enumerate(result.candidates, 1):
        if candidate.status == "winner":
            continue
        shown = f"{candidate.name}: {candidate.status}, {candidate.reason}" in svg
        told = f"unbounded: {index}." in svg
        assert shown != told
    assert 'class="point winner"' in svg
    assert 'class="point baseline"' in svg


def test_the_front_never_goes_down_as_cost_rises():
    points = _curve_points(str(pareto_figure(optimization())), "front")
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
