"""``cput student``: fitted from references or from answers that proved useful, shown and tried; mistakes in a sentence."""

import asyncio
import json

import pytest

from cput.cli import main
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, CountedBy, Finish, Message, Outcome, Source, Usage


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *argv, code=0):
    with pytest.raises(SystemExit) as left:
        main(["student", *argv])
    said = capsys.readouterr()
    assert (left.value.code or 0) == code, said.err
    assert "Traceback" not in said.err
    return said.out if code == 0 else " ".join(said.err.split())


@pytest.fixture
def requests(tmp_path):
    """A workload of two labels in a file."""
    said = {"lamp": "switch the lamp {}", "song": "play song number {}"}
    rows = [
        {"prompt": text.format(n), "reference": label, "check": "label"}
        for label, text in said.items()
        for n in range(12)
    ]
    file = tmp_path / "house.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_a_student_is_fitted_from_references_shown_and_tried(capsys, requests):
    card = json.loads(run(capsys, "fit", requests, "--out", "kept", "--json"))
    assert card["examples"] == {"lamp": 12, "song": 12}
    assert card["figures"]["accuracy"] == 1.0
    assert card["label_tokens"] == {}
    assert card["bytes"] > 0
    shown = run(capsys, "show", "kept")
    assert "24, 12 to 12 a label" in shown
    assert "not certified" in shown
    tried = json.loads(run(capsys, "try", "kept", "play song number 99", "--json"))
    assert (tried["label"], tried["answers"]) == ("song", True)
    assert tried["best"][0]["probability"] == pytest.approx(1 - tried["best"][1]["probability"])
    assert run(capsys, "try", "kept", "play song number 3", "--threshold", "1").startswith("abstains: song")


def test_only_answers_that_proved_useful_teach(capsys, requests, tmp_path):
    """Useless and unjudged answers are left out, however confident the labeller was."""
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        for n in range(12):
            for text, label, value in (
                (f"switch the lamp {n}", "LAMP\n", 1.0),
                (f"play song number {n}", "song", 1.0),
                (f"play song {n}", "lamp", 0.0),
                (f"a lamp {n}", "song", None),
            ):
                record(ledger, text, label, value)
    card = json.loads(run(capsys, "fit", requests, "--out", "kept", "--ledger", "ledger.db", "--json"))
    assert card["examples"] == {"LAMP": 12, "song": 12}
    assert card["label_tokens"] == {"LAMP": 2, "song": 2}
    assert card["tokens_by"] == "recorded answers"
    assert card["notes"] == [
        "24 of 48 calls teach; 12 useless, 12 not judged, 0 without kept text, 0 none of the labels"
    ]


def record(ledger, text, label, value):
    call = Call(messages=(Message(role="user", content=text),), workload="house")
    attempt = Attempt(
        call_id=call.id,
        seq=0,
        engine="large",
        usage=Usage(input_uncached=9, output=2, complete=True, counted_by=CountedBy.PROVIDER),
        started_s=1.0,
        finish=Finish.STOP,
        text=label,
    )
    asyncio.run(ledger.record(call, [attempt]))
    if value is not None:
        ledger.add_outcomes([Outcome(call_id=call.id, name="user", value=value, source=Source.USER)])


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["fit", "bankng77", "--out", "x"], "did you mean 'banking77'"),
        (["fit", "ifeval", "--out", "x"], "no item of workload 'ifeval' has a label as its reference"),
        (["fit", "sms-spam", "--out", "x", "--outside", "spm"], "did you mean 'spam'"),
        (["fit", "sms-spam", "--out", "x", "--right-share", "0"], "--right-share is 0"),
        (["fit", "sms-spam", "--out", "x", "--ledger", "empty.db"], "no recorded call of workload 'sms-spam'"),
        (["show", "nowhere"], "nowhere is no student"),
        (["try", "nowhere", "text"], "nowhere is no student"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, argv, says):
    assert says in run(capsys, *argv, code=2)


def test_a_threshold_out_of_range_is_named(capsys, requests):
    run(capsys, "fit", requests, "--out", "kept")
    said = run(capsys, "try", "kept", "text", "--threshold", "2", code=2)
    assert "threshold 'default' is 2.0; allowed: a number from 0 to 1" in said
