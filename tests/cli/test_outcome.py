"""``cput outcome``: one word or a file of them, and what became of each."""

import json

import pytest

from cput.cli import main, outcome
from cput.errors import SetupError
from cput.ledger.store import Ledger
from cput.ledger.verdict import verdict
from cput.records import Attempt, Call, Finish, Usage, Verdict


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "ledger.db")


@pytest.fixture
def call(path) -> Call:
    call = Call(external_key="order-17", episode="chat-9")
    leg = Attempt(call_id=call.id, seq=0, engine="e", usage=Usage(output=5), started_s=1.0, finish=Finish.STOP)
    with Ledger.open(path) as book:
        book.record_sync(call, [leg])
    return call


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["outcome", *argv])
    return int(left.value.code or 0)


def reading(path: str) -> Verdict:
    with Ledger.open(path) as book:
        (record,) = book.calls()
    return verdict(record.outcomes)


def thumbs(path: str, *argv: str) -> int:
    return run("add", *argv, "--name", "thumbs", "--source", "user", "--ledger", path)


@pytest.mark.parametrize("about", ["call", "--external-key", "--episode"])
def test_a_word_is_given_and_taken_back_by_whatever_names_the_call(path, call, capsys, about):
    names = {"call": [call.id], "--external-key": [about, "order-17"], "--episode": [about, "chat-9"]}[about]
    assert thumbs(path, *names, "--value", "1") == 0
    assert "Written. Its id is" in capsys.readouterr().out
    assert reading(path) is Verdict.USEFUL
    assert thumbs(path, *names, "--retract") == 0
    assert reading(path) is Verdict.PENDING


def test_the_same_id_again_writes_nothing_and_says_so(path, call, capsys):
    for said in ("Written.", "was there already: nothing was written"):
        assert thumbs(path, call.id, "--value", "1", "--id", "x") == 0
        assert said in capsys.readouterr().out
    assert thumbs(path, call.id, "--value", "0", "--id", "x", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "id": "x",
        "new": 0,
        "repeated": 1,
        "differing": ["x"],
        "waiting_for_their_call": 0,
    }
    assert reading(path) is Verdict.USEFUL


def test_a_word_before_its_call_waits_for_it(path, capsys):
    assert thumbs(path, "not-yet", "--value", "0.5", "--at", "2025-11-01") == 0
    assert "No call on record is named by it yet" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["c", "--name", "n", "--value", "1", "--source", "usr"], "unknown source 'usr'; did you mean 'user'"),
        (["c", "--name", "n", "--source", "user"], "--value is missing; allowed: 0"),
        (["c", "--name", "n", "--source", "user", "--value", "2"], "has value 2.0; allowed: 0"),
        (["--name", "n", "--source", "user", "--value", "1"], "neither a call_id nor an external_key nor an episode"),
        (["c", "--name", "n", "--source", "user", "--value", "1", "--attempt", "-1"], "names attempt -1"),
        (["c", "--name", "n", "--source", "user", "--value", "1", "--at", "noon"], "--at is 'noon'"),
        (["c", "--source", "user", "--value", "1"], "name"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(path, capsys, argv, says):
    assert run("add", *argv, "--ledger", path) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert says in said
    assert "Traceback" not in said


def test_a_file_is_imported_once_however_often(path, call, tmp_path, capsys):
    file = tmp_path / "feedback.jsonl"
    file.write_text(
        '{"external_key": "order-17", "name": "refund", "value": 0, "source": "business", "observed_s": 9}\n'
        '{"external_key": "order-18", "name": "refund", "value": 0, "source": "business", "observed_s": 9}\n'
    )
    assert run("import", str(file), "--dry-run", "--ledger", path) == 0
    assert "2 outcomes would be written, 0 were there already, 1 of the new wait" in one_line(capsys)
    assert reading(path) is Verdict.PENDING
    for new, there in ((2, 0), (0, 2)):
        assert run("import", str(file), "--ledger", path) == 0
        assert f"{new} outcomes written, {there} were there already" in one_line(capsys)
    assert reading(path) is Verdict.USELESS


def test_what_is_wrong_in_a_file_is_named_by_line_and_field_and_the_rest_is_written(path, call, tmp_path, capsys):
    file = tmp_path / "feedback.csv"
    file.write_text(
        f"call_id,name,value,source\n{call.id},n,1,user\n{call.id},n,7,usr\n,m,1,user\n{call.id},m,1,user\n"
    )
    assert run("import", str(file), "--json", "--ledger", path) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [(wrong["line"], wrong["field"]) for wrong in found["wrong"]] == [(3, "source"), (3, "value"), (4, None)]
    assert (found["outcomes"], found["new"]) == (2, 2)
    assert "line 3: source: unknown source 'usr'; did you mean 'user'" in " ".join(err.split())
    assert run("import", str(file), "--ledger", path) == 1
    assert "3 problems in lines that are left out, 0 outcomes written, 2 were there already" in one_line(capsys)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SetupError("the disk is full")])
def test_an_import_that_stops_says_where_and_what_is_written_and_can_go_on(path, tmp_path, capsys, monkeypatch, stop):
    file = tmp_path / "feedback.jsonl"
    lines = [f'{{"call_id": "c{n}", "name": "n", "value": 1, "source": "user"}}\n' for n in range(1200)]
    file.write_text("".join(lines))
    whole, batches = outcome.add, []

    def stops(*given, **options):
        batches.append(1)
        if len(batches) == 2:
            raise stop
        return whole(*given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(outcome, "add", stops)
        assert run("import", str(file), "--ledger", path) in {2, 130}
    said = " ".join(capsys.readouterr().err.split())
    assert "stopped in" in said
    assert "at line 1000: 500 outcomes written, 0 were there already" in said
    assert run("import", str(file), "--ledger", path) == 0
    assert "700 outcomes written, 500 were there already" in one_line(capsys)


def test_a_file_that_is_not_there_is_one_sentence(path, tmp_path, capsys):
    assert run("import", str(tmp_path / "none.jsonl"), "--ledger", path) == 2
    assert "can't be read: No such file" in " ".join(capsys.readouterr().err.split())


def one_line(capsys) -> str:
    return " ".join(capsys.readouterr().out.split())
