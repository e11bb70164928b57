"""A whole search on the real model, small: baseline, race, confirmation, reports, policy, and going on after it."""

import json

import pytest

from cput.cli import main
from cput.cli.searching import split_items
from cput.ledger.store import Ledger
from cput.workloads import load

SMALL = ["--confirm", "4", "--search", "4", "--first-rung", "4", "--max-new-tokens", "24", "--rate", "0.08/h"]


def run(*argv):
    with pytest.raises(SystemExit) as left:
        main([*argv])
    return left.value.code


def test_a_search_measures_baseline_and_winner_on_the_same_unseen_items(smollm2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = ["optimize", "ifeval", "--quick", *SMALL, "--ledger", "l.db", "--policy", "p.toml", "--json"]
    assert not run(*argv)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    asked = [{row["item"] for row in found[side]["rows"]} for side in ("baseline", "winner")]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 4
    with Ledger.open(tmp_path / "l.db") as book:
        searched = {
            r.call.item for run in book.runs() if run.config["part"] == "search" for r in book.calls(run=run.id)
        }
        group = book.runs()[0].config["group"]
        before = len(book.calls())
    assert not searched & asked[0]
    assert found["baseline"]["load"] == "one at a time"
    assert found["ratio"]["value"] is None or found["ratio"]["value"] > 0
    assert (tmp_path / "p.toml").exists() == found["not_lower"]
    assert (tmp_path / "cput-reports" / "optimize-ifeval.html").stat().st_size > 10_000

    assert not run(*argv, "--resume", group)  # everything is on record: nothing is asked again
    with Ledger.open(tmp_path / "l.db") as book:
        assert len(book.calls()) == before


def test_search_and_confirmation_never_share_an_item():
    sets = split_items(load("sms-spam"), 50, 100, seed=3)
    assert len(sets.confirm) == 50
    assert len(sets.search) == 100
    assert not {item.id for item in sets.confirm} & {item.id for item in sets.search}
