"""Intervals cover what they claim: a small, seeded version of the coverage bench, and the bench itself."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

from interval_calls import CPUT, RATE, Population, truth
from interval_coverage import Row, run, run_row, width_ratio
from interval_settings import SETTINGS, powered

from cput.ledger.interval import Interval

BENCH = Path(__file__).parents[2] / "benches" / "interval_coverage.py"
BY_NAME = {(setting.family, setting.name, setting.what): number for number, setting in enumerate(SETTINGS)}


def row(family, name, what, windows) -> Row:
    return run_row(BY_NAME[family, name, what], windows, 0)


@pytest.mark.parametrize(
    ("family", "name", "what", "windows"),
    [
        ("all judged", "200 calls, 30 % useful", CPUT, 300),
        ("sums", "20,000 calls, 10 % useful", CPUT, 150),
        ("prediction-powered", "200 of 2,000 judged", CPUT, 600),
        ("prediction-powered", "200 of 2,000 judged", RATE, 600),
        ("prediction-powered", "200 of 2,000, long ones fail", CPUT, 600),
        ("prediction-powered", "200 of 2,000, drawn unequally", CPUT, 600),
    ],
)
def test_95_percent_intervals_cover_93_to_97_percent(family, name, what, windows):
    found = row(family, name, what, windows)
    assert found.windows == windows
    assert 0.93 <= found.coverage <= 0.975


@pytest.mark.parametrize(
    ("family", "name", "what", "windows"),
    [
        ("all judged", "50 calls, 10 % useful, skewed", CPUT, 300),
        ("sums", "20,000 calls, 25 useful, skewed", CPUT, 150),
        ("prediction-powered", "100 of 2,000, 5 % useful, skewed", CPUT, 600),
        ("prediction-powered", "30 of 1,000, 10 % useful, skewed", CPUT, 600),
        ("prediction-powered", "100 of 2,000, check 98 % right", CPUT, 600),
        ("prediction-powered", "12 of 500", RATE, 600),
    ],
)
def test_with_few_useful_calls_or_few_errors_of_the_check_they_do_not_undercover(family, name, what, windows):
    assert row(family, name, what, windows).coverage >= 0.93


def test_a_check_that_knows_something_narrows_and_one_that_does_not_hardly_widens():
    known = row("prediction-powered", "200 of 2,000 judged", CPUT, 40)
    blind = row("prediction-powered", "200 of 2,000, the check knows nothing", CPUT, 40)
    assert known.width_ratio < 0.85 < blind.width_ratio < 1.03


def test_a_row_that_covers_too_little_or_too_much_is_called_failed():
    def of(coverage, *, scarce):
        shares = {"coverage": coverage, "too_low": 0.0, "too_high": 0.0, "width_ratio": None}
        return Row(family="f", name="n", what="w", scarce=scarce, windows=2000, **shares).holds

    assert [of(coverage, scarce=False) for coverage in (0.9, 0.93, 0.95, 0.97, 0.99)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert [of(coverage, scarce=True) for coverage in (0.9, 0.93, 0.99)] == [False, True, True]


def test_an_interval_that_is_shifted_is_found_out():
    setting = powered("", Population(rate=0.3), 500, 100, RATE)
    honest = run(setting, 200, np.random.default_rng(1))
    shifted = type(setting)(
        **{name: getattr(setting, name) for name in ("family", "name", "what", "scarce", "trial")},
        truth=lambda: truth(Population(rate=0.3), RATE) + 0.15,
    )
    found = run(shifted, 200, np.random.default_rng(1))
    assert honest.coverage > 0.9
    assert found.coverage < 0.5
    assert found.too_low == pytest.approx(1 - found.coverage)


def test_what_an_unbounded_interval_is_wide_is_not_counted():
    assert width_ratio(Interval(1, 0.5, 2), Interval(1, 0, 4)) == [0.375]
    assert width_ratio(Interval(1, 0.5, math.inf), Interval(1, 0, 4)) == []
    assert width_ratio(Interval(1, 0.5, 2), Interval(None, 0.5, math.inf)) == []


def bench(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(BENCH), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"COLUMNS": "200"},
    )


def test_the_bench_prints_a_card_and_last_one_json_line():
    ran = bench("--only", "12 of 500 cput", "--windows", "50", "--jobs", "1", "--seed", "3")
    *shown, last = ran.stdout.splitlines()
    facts = json.loads(last)
    assert any("prediction-powered" in line and "12 of 500" in line for line in shown)
    assert ran.returncode == (0 if facts["holds"] else 1)
    assert (facts["bench"], facts["windows_per_row"], len(facts["rows"])) == ("coverage", 50, 1)
    assert (facts["environment"]["seed"], facts["environment"]["sample_count"]) == (3, 50)
    assert {"cpu", "cores", "versions"} <= set(facts["environment"])


def test_a_wrong_option_is_one_sentence():
    few, none = bench("--windows", "5"), bench("--only", "nothing like it")
    assert few.returncode == none.returncode == 2
    assert "--windows is 5" in few.stderr
    assert "--only is 'nothing like it'; allowed: a part of" in none.stderr
