import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_reports import measurement, optimization
from strategies_reports import measurements

from cput.report import comparison_html, html, words

ATTACK = "<script>alert(1)</script>"
FETCHING = {"link", "img", "iframe", "object", "embed", "audio", "video", "base", "form", "a"}


class Reader(HTMLParser):
    """What a browser would see: elements, their attributes, and the text of cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements, self.texts, self._skipped = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._skipped = tag in {"script", "style"}

    def handle_endtag(self, tag):
        self._skipped = False

    def handle_data(self, data):
        if not self._skipped:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(measurements())
def test_any_measurement_becomes_one_closed_page(made):
    page = html(made)
    page.encode()
    seen = Reader(page)
    assert [name for name, _ in seen.elements].count("script") == 1
    assert not FETCHING & {name for name, _ in seen.elements}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(measurements(), measurements(), st.none() | st.floats(0, 1))
def test_any_search_becomes_one_closed_page(before, after, floor):
    seen = Reader(comparison_html(replace(optimization(calls=20), baseline=before, winner=after, floor=floor)))
    assert [name for name, _ in seen.elements].count("script") == 1


@pytest.mark.parametrize("page", [html(measurement(60)), comparison_html(optimization())])
def test_nothing_is_fetched(page):
    for _, attributes in Reader(page).elements:
        assert not {"src", "href", "srcset", "action", "data"} & set(attributes)
    assert not re.search(r"https?://|url\(|@import", page)


def test_every_text_from_outside_is_escaped():
    made = measurement(3)
    hostile = replace(
        made,
        workload=ATTACK, engine=ATTACK, load=ATTACK, rate_source=ATTACK, notes=(ATTACK,), run=ATTACK, environment={ATTACK: {ATTACK: ATTACK}},
        slices=tuple(replace(row, tag=ATTACK, value=ATTACK) for row in made.slices),
        rows=tuple(replace(row, item=ATTACK, error=ATTACK) for row in made.rows),
    )  # fmt: skip
    found = optimization(calls=5)
    candidates = tuple(replace(one, name=ATTACK, reason=ATTACK) for one in found.candidates)
    search = replace(
        found,
        workload=ATTACK,
        baseline=hostile,
        winner=hostile,
        winner_name=ATTACK,
        candidates=candidates,
        confidence_note=ATTACK,
        policy_path=ATTACK,
    )
    for page in (html(hostile), comparison_html(search)):
        assert ATTACK not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "made",
    [
        measurement(541, pending=0.05),
        measurement(3, seed=1),
        measurement(60, rate=None),
        measurement(60, slo=False),
        measurement(40, useful=0.0),
    ],
    ids=["541 calls", "3 calls", "no rate", "no SLO", "nothing useful"],
)
def test_the_figures_stand_as_text_without_a_script(made):
    seen = Reader(html(made)).text
    wanted = [
        made.workload, made.engine, made.load, made.run, made.rate_source, *made.notes,
        words.cput(made.cput, made.cput_unit), words.rate(made.useful_rate), words.percent(made.coverage), words.amount(made.cost_usd, "USD"),
        words.count(made.input_tokens), words.count(made.output_tokens), words.count(made.attempts), words.quantity(made.tokens_per_s),
        words.percent(made.busy_share), "2026.4.1",
    ]  # fmt: skip
    wanted += [words.latency(value, metric) for metric in words.METRICS for value in getattr(made, metric.name)]
    wanted += [words.level_words(level, made.cput_unit) for level in made.waterfall]
    wanted += [words.bare_rate(row.useful_rate) for row in made.slices]
    wanted += [row.item for row in made.rows]
    assert [figure for figure in wanted if figure not in seen] == []


def test_a_search_shows_ratio_difference_and_every_reason():
    result = optimization()
    seen = Reader(comparison_html(result)).text
    wanted = [
        "0.171",
        "[0.139, 0.208]",
        "5.85 [4.81, 7.19]",
        "+2.0",
        "[-0.4, +4.5]",
        result.confidence_note,
        result.policy_path,
    ]
    for measured in (result.baseline, result.winner):
        wanted += [words.cput(measured.cput, measured.cput_unit), words.rate(measured.useful_rate)]
    for candidate in result.candidates:
        wanted += [candidate.name, candidate.reason, words.cost_interval(words.per_million(candidate.cput), "USD")]
    assert [figure for figure in wanted if figure not in seen] == []


def test_a_verdict_is_a_word_wherever_it_is_a_colour():
    badges = re.findall(r'<span class="badge (\w+)">([^<]*)</span>', html(measurement(300, pending=0.2)))
    assert set(badges) == {("useful", "useful"), ("useless", "useless"), ("useless", "missed"), ("pending", "pending")}


def test_a_page_stays_small_and_says_which_calls_it_leaves_out():
    made = measurement(60)
    many = replace(made, rows=tuple(replace(row, error="<警" * 10_000) for row in made.rows * 200))
    page = html(many)
    assert len(page.encode()) < 1_500_000
    assert re.search(r"The first [\d,]+ of 12,000 calls are shown; the JSON has all of them\.", page)
    assert len(comparison_html(replace(optimization(), baseline=many, winner=many)).encode()) < 1_500_000


def test_different_units_are_called_incomparable():
    result = optimization(calls=20)
    mixed = replace(result, winner=measurement(20, rate=None))
    assert "must not be compared" in comparison_html(mixed)
    assert "must not be compared" not in comparison_html(result)
