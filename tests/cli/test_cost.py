"""``cput cost``: a card for people, JSON and CSV for programs, and one sentence for a mistake."""

import csv
import json

import pytest

from cput.cli import main
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Charge, Finish, Outcome, Source, Usage

DAY_S = 86_400.0
NOW_S = 1_762_000_000.0  # 2025-11-01T12:26:40Z


@pytest.fixture
def ledger(tmp_path) -> str:
    """Two workloads on two days: one with a pending call, one with a call that nobody priced."""
    path = tmp_path / "ledger.db"
    with Ledger.open(path) as book:
        for number in range(12):
            call = Call(workload="ab"[number % 2], tenant="t", tags={"lang": "zh" if number < 4 else "en"})
            leg = Attempt(
                call_id=call.id,
                seq=0,
                engine="openai",
                model=f"m{number % 3}",
                usage=Usage(input_uncached=100, output=10),
                started_s=NOW_S + (number >= 6) * DAY_S,
                finish=Finish.STOP,
            )
            paid = Charge(
                call_id=call.id,
                seq=0,
                incremental_nano_usd=None if number == 11 else 1_000_000 + number,
                price_version="v",
                basis="usage",
            )
            said = Outcome(call_id=call.id, name="c", value=float(number % 3 > 0), source=Source.CHECK)
            book.record_sync(call, [leg], [paid], [] if number == 0 else [said])
    return str(path)


def cost(capsys, *argv: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["cost", *argv])
    assert not left.value.code
    return capsys.readouterr().out


def test_the_card_shows_the_whole_and_every_group(ledger, capsys):
    said = cost(capsys, "--by", "workload", "--period", "day", "--ledger", ledger)
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert max(len(line) for line in said.splitlines()) <= 80
    assert "calls 12 in 12 attempts" in lines
    assert "coverage 91.7 % of calls are judged" in lines
    assert "CPUT unknown per M useful tokens" in lines
    assert "incremental $0.01100; unpriced calls: 1" in lines
    assert any(line.startswith("2025-11-01 · a 3 66.7 100.0 $") for line in lines)
    assert any(line.startswith("2025-11-02 · b 3 100.0 66.7 unknown") for line in lines)
    assert "basis reservation: idle time" in " ".join(lines)
    assert sum(line.startswith("all ") for line in lines) == 3


def test_json_says_the_same_exactly(ledger, capsys):
    found = json.loads(cost(capsys, "--by", "workload,model", "--by", "tag:lang", "--json", "--ledger", ledger))
    assert found["question"]["keys"] == ["workload", "model", "tag:lang"]
    assert found["total"]["calls"] == sum(group["calls"] for group in found["groups"]) == 12
    assert found["total"]["incremental_nano_usd"] == 11_000_055
    assert found["total"]["cost_nano_usd"] is None
    assert found["total"]["unpriced_calls"] == 1
    assert {"workload": "a", "model": "m0", "tag:lang": "zh"} in [group["key"] for group in found["groups"]]


def test_csv_has_a_line_per_group_and_the_total_in_exact_dollars(ledger, tmp_path, capsys):
    cost(capsys, "--by", "workload", "--basis", "usage", "--csv", str(tmp_path / "out" / "c.csv"), "--ledger", ledger)
    with (tmp_path / "out" / "c.csv").open(newline="") as file:
        a, b, total = csv.DictReader(file)
    assert (a["row"], a["workload"], a["calls"], a["cost_usd"]) == ("group", "a", "6", "0.00600003")
    assert (b["workload"], b["cost_usd"], b["unpriced_calls"], b["cput_usd"]) == ("b", "", "1", "")
    assert (total["row"], total["workload"], total["incremental_usd"]) == ("total", "", "0.011000055")


def test_filters_choose_calls(ledger, capsys):
    def calls(*argv: str) -> int:
        return json.loads(cost(capsys, *argv, "--json", "--ledger", ledger))["total"]["calls"]

    assert calls("--workload", "a") == 6
    assert calls("--model", "m1", "--workload", "a") == 2
    assert calls("--tag", "lang=zh") == 4
    assert calls("--tag", "lang=zh", "--tenant", "t", "--engine", "openai") == 4
    assert calls("--since", "2025-11-02") == 6
    assert calls("--until", "2025-11-02") == 6
    assert calls("--since", "2025-11-01T12:26:40", "--until", "2025-11-01T13:26:41+01:00") == 6


def test_the_threshold_and_the_time_zone_are_the_askers(ledger, capsys):
    for threshold, useful in (("1", 8), ("0", 11)):
        found = json.loads(cost(capsys, "--threshold", threshold, "--json", "--ledger", ledger))
        assert found["total"]["useful_calls"] == useful
    found = json.loads(cost(capsys, "--period", "day", "--zone", "Pacific/Auckland", "--json", "--ledger", ledger))
    assert [group["key"]["day"] for group in found["groups"]] == ["2025-11-02", "2025-11-03"]


def test_many_groups_are_cut_on_the_card_alone_and_it_says_so(tmp_path, capsys):
    path = str(tmp_path / "l.db")
    with Ledger.open(path) as book:
        for number in range(50):
            call = Call(workload=f"w{number:02}")
            paid = Charge(
                call_id=call.id, seq=None, incremental_nano_usd=10**9 * (number + 1), price_version="v", basis="flat"
            )
            book.record_sync(call, [], [paid])
    said = cost(capsys, "--by", "workload", "--ledger", path)
    assert "The 40 dearest groups are shown; 10 more are in --json and --csv." in " ".join(said.split())
    assert "w49" in said
    assert "w09" not in said
    assert len(json.loads(cost(capsys, "--by", "workload", "--json", "--ledger", path))["groups"]) == 50


def test_a_run_is_found_by_its_beginning_and_an_idle_device_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(
            [
                "measure",
                "sms-spam",
                "--engine",
                "echo",
                "--limit",
                "5",
                "--rate",
                "3600/h",
                "--ledger",
                "l.db",
                "--json",
            ]
        )
    measured = json.loads(capsys.readouterr().out.splitlines()[0])
    found = json.loads(cost(capsys, "--run", "latest", "--by", "run", "--json", "--ledger", "l.db"))
    assert found["groups"][0]["key"]["run"] == measured["run"]
    assert found["total"]["cost_usd"] == pytest.approx(measured["cost_usd"], abs=1e-9)
    assert found["total"]["cput_usd"]["value"] == measured["cput"]["value"]
    assert cost(capsys, "--basis", "usage", "--ledger", "l.db").count("usage: what the attempts used") == 1


def test_an_empty_ledger_has_a_card(tmp_path, capsys):
    said = cost(capsys, "--by", "workload", "--ledger", str(tmp_path / "l.db"))
    assert "0 in 0 attempts" in said
    assert "unknown of judged calls" in said


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--by", "wrkload"], "unknown key 'wrkload'; did you mean 'workload'"),
        (["--period", "dya"], "unknown period 'dya'; did you mean 'day'"),
        (["--basis", "reserved"], "unknown basis 'reserved'; did you mean 'reservation'"),
        (["--workload", "c"], "unknown workload 'c'. Allowed: a, b"),
        (["--tag", "zh"], "--tag is 'zh'; allowed: name=value"),
        (["--since", "yesterday"], "--since is 'yesterday'"),
        (["--since", "2025-11-02", "--until", "2025-11-01"], "ends before it begins"),
        (["--threshold", "2"], "threshold is 2.0; allowed: 0 to 1"),
        (["--run", "nothing"], "no run in the ledger"),
        (["--csv", "/proc/none/c.csv"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(ledger, capsys, argv, says):
    with pytest.raises(SystemExit) as left:
        main(["cost", *argv, "--ledger", ledger])
    said = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 2
    assert says in said
    assert "Traceback" not in said
