"""A user's mistake is one clear sentence with the value and what is allowed, and never a traceback."""

import json

import pytest

from cput.cli import main


def fails(capsys, *argv):
    with pytest.raises(SystemExit) as left:
        main([*argv])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert "Traceback" not in said
    return " ".join(said.split())


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["measure", "ifevall"], "did you mean 'ifeval'"),
        (["measure", "ifeval", "--engine", "openvno"], "did you mean 'openvino'"),
        (["measure", "ifeval", "--model", "smollm2-135m"], "smollm2-135m-instruct"),
        (["measure", "ifeval", "--precision", "int9"], "unknown precision 'int9'"),
        (["measure", "ifeval", "--engine", "echo", "--rate", "cheap"], "rate 'cheap'"),
        (["measure", "ifeval", "--engine", "echo", "--concurrency", "0"], "--concurrency is 0"),
        (["measure", "ifeval", "--engine", "echo", "--limit", "0"], "--limit is 0"),
        (["measure", "ifeval", "--engine", "echo", "--concurrency", "2", "--rate-rps", "3"], "exclude each other"),
        (["measure", "ifeval", "--engine", "echo", "--option", "token_z=1"], "did you mean 'token_s'"),
        (["measure", "ifeval", "--engine", "echo", "--max-new-tokens", "0"], "--max-new-tokens is 0"),
        (["measure", "ifeval", "--engine", "openai"], "--base-url"),
        (["measure", "ifeval", "--engine", "openai", "--base-url", "localhost"], "http://"),
        (["measure"], "no workload is named"),
        (["measure", "ifeval", "--resume", "no-such-run"], "no-such-run"),
        (["measure", "ifeval", "--policy", "none.toml"], "no policy file"),
        (["measure", "ifeval", "--engine", "echo", "--device", "g5.xlage"], "did you mean 'g5.xlarge'"),
        (["models", "pull", "smollm3"], "smollm3"),
        (["models", "show", "nothing"], "nothing"),
        (["models", "pull", "gemma-3-270m"], "--accept-license"),
        (["runs", "show", "xyz"], "xyz"),
        (["optimize", "ifeval", "--confirm", "1"], "--confirm is 1"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, capsys, argv, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CPUT_HOME", str(tmp_path / "home"))
    if argv[0] in {"measure", "optimize", "runs"}:
        argv = [*argv, "--ledger", str(tmp_path / "l.db")]
    assert says in fails(capsys, *argv)


def test_validate_names_every_problem_and_exits_1(tmp_path, capsys):
    path = tmp_path / "w.jsonl"
    path.write_text('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": 3}\nnot json\n', encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        main(["workload", "validate", str(path)])
    said = capsys.readouterr().out
    assert left.value.code == 1
    assert "w.jsonl:2: " in said
    assert "w.jsonl:3: " in said


def test_measure_prints_json_and_writes_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["measure", "sms-spam", "--engine", "echo", "--limit", "5", "--ledger", "l.db", "--json"])
    assert not left.value.code
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert found["calls"] == 5
    assert len(list((tmp_path / "cput-reports").glob("*.html"))) == 1


def test_a_run_can_be_shown_again_from_the_ledger(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for argv in (["measure", "sms-spam", "--engine", "echo", "--limit", "5", "--json"], ["runs", "show", "--json"]):
        with pytest.raises(SystemExit):
            main([*argv, "--ledger", "l.db"])
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))
    assert first["run"] == second["run"]
    assert first["cput"] == second["cput"]


def test_the_standard_conversation_is_measured_on_any_engine(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["measure", "--standard", "--engine", "echo", "--rate", "1/h", "--ledger", "l.db", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [turn["output_tokens"] > 0 for turn in found["turns"]] == [True] * 3
    assert found["cost_usd"] > 0
