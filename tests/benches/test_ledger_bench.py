"""The ledger bench on a few calls: what it writes is what it asks about, and its last line is for programs."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

import ledger as bench
from ledger_made import DAY_S, DAYS, made_calls


def told(capsys, *argv: str) -> tuple[str, dict]:
    bench.main([*argv, "--repeats", "1", "--gaps", "2", "--concurrency", "8"])
    card, _, last = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    return card, json.loads(last)


def test_the_bench_records_asks_and_prints_a_card_and_one_json_line(tmp_path, capsys):
    argv = ["--calls", "60", "--alone", "5", "--question-calls", "300", "--again", "1", "--folder", str(tmp_path)]
    card, found = told(capsys, *argv)
    assert "recorded durably, calls/s" in card
    assert "`cput cost` after that (median), s" in card
    assert (found["bench"], found["calls"], found["question_calls"]) == ("ledger", 60, 300)
    rates = ("recorded_per_s", "executemany_per_s", "one_commit_each_per_s", "written_per_s")
    assert all(found[name] > 0 for name in rates)
    assert found["ratio_to_executemany"] == pytest.approx(
        found["recorded_per_s"] / found["executemany_per_s"], rel=1e-4
    )
    seconds = ("first_question_s", "question_s", "question_after_late_s", "sql_without_outcomes_s")
    assert all(found[name] > 0 for name in seconds)
    assert found["groups"] > 20
    assert list(tmp_path.iterdir()) == []


def test_without_questions_none_is_reported(tmp_path, capsys):
    card, found = told(capsys, "--calls", "20", "--alone", "2", "--question-calls", "0", "--folder", str(tmp_path))
    assert "cput cost" not in card
    assert not {"first_question_s", "question_calls"} & set(found)


def test_made_calls_are_spread_over_the_month_and_mostly_judged():
    made = list(made_calls(2000, gaps=1, seed=3))
    starts = [each.attempts[0].started_s for each in made]
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] == pytest.approx(DAYS * DAY_S, rel=0.01)
    assert sum(bool(each.outcomes) for each in made) / 2000 == pytest.approx(0.8, abs=0.05)
    assert sum(len(each.attempts) == 2 for each in made) / 2000 == pytest.approx(0.1, abs=0.03)
    assert all(len(each.charges) == len(each.attempts) for each in made)
