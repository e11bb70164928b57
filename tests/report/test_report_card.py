import io
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from made_reports import measurement, optimization
from rich.cells import cell_len
from rich.console import Console
from strategies_reports import measurements

from cput.report import card, comparison_card, words


def printed(renderable, width=80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), no_color=True)
    console.print(renderable)
    return console.file.getvalue().splitlines()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(measurements())
def test_no_line_of_a_card_is_wider_than_80_columns(made):
    assert all(cell_len(line) <= 80 for line in printed(card(made), width=200))


@pytest.mark.parametrize("made", [measurement(541), measurement(40, useful=0.0), measurement(60, rate=None, slo=False)])
def test_a_card_fits_a_screen_and_carries_every_headline_figure(made):
    lines = printed(card(made))
    whole = " ".join(" ".join(lines).split())
    assert len(lines) <= 34
    for figure in (
        words.cput(made.cput, made.cput_unit),
        words.rate(made.useful_rate),
        words.percent(made.coverage),
        words.quantity(made.tokens_per_s, "tokens/s"),
        words.latency(made.ttft.p99, words.METRICS[0]),
        words.latency(made.e2e.p95, words.METRICS[3]),
        *(words.level_words(level, made.cput_unit) for level in made.waterfall),
        *made.notes,
    ):
        assert figure in whole


def test_unknown_money_prints_as_unknown_and_cost_in_device_seconds():
    whole = "\n".join(printed(card(measurement(60, rate=None))))
    assert "unknown (no price known for this machine)" in whole
    assert "device-s per M useful tokens" in whole
    assert "$" not in whole


def test_markup_in_a_name_is_printed_as_it_is():
    whole = "\n".join(printed(card(replace(measurement(5), engine="[red]x[/red] [/]", notes=("[bold]no",)))))
    assert "[red]x[/red] [/]" in whole
    assert "[bold]no" in whole


@pytest.mark.parametrize("not_lower", [True, False])
def test_a_search_card_says_ratio_quality_and_every_candidate(not_lower):
    result = optimization(not_lower=not_lower)
    lines = printed(comparison_card(result), width=120)
    whole = " ".join(" ".join(lines).split())
    assert all(cell_len(line) <= 80 for line in lines)
    assert "0.171 [0.139, 0.208]" in whole
    assert "5.85 [4.81, 7.19] times" in whole
    assert ("proven not lower" in whole) is not_lower
    assert whole.count(" dropped") == sum(candidate.status == "dropped" for candidate in result.candidates)
