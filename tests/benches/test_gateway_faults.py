"""While everything fails, the ledger's counts are what clients were told, to the call; and the reckoning would see it if
they were not.
"""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

import gateway_faults as bench
from faults_clients import Kind, Told
from faults_reckoning import reckon
from faults_upstream import answer_of

from cput.ledger.store import CallRecord
from cput.records import Attempt, Call, Finish, Usage

SMALL = ("--calls", "240", "--at-once", "32", "--gateway-kills", "1", "--upstream-kills", "1")


def load(capsys, *more):
    code = bench.main([*SMALL, *more])
    card, _, last = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    found = json.loads(last)
    assert (code, found["broken_laws"], found["broken"]) == (0, [], 0), card
    return found


def test_under_faults_and_kills_the_ledger_has_what_clients_were_told_to_the_call(tmp_path, capsys):
    found = load(capsys, "--folder", str(tmp_path))
    assert (found["bench"], found["database"], found["gateway_kills"]) == ("gateway_faults", "sqlite", 1)
    assert found["tokens_acknowledged"] == found["tokens_on_record"] > 500
    ended = ("whole", "error", "gave_up", "lost")
    assert sum(found.get(f"calls_{kind}", 0) for kind in ended) == 240
    assert found["calls_whole"] > 100
    assert found["attempts_error"] > 30
    read = found["attempts"] - found.get("attempts_refused_a_connection", 0)
    read -= found.get("attempts_hung_up_or_cut_before_they_were_read", 0)
    assert found["requests_read_by_upstreams"] == read + found.get("requests_under_way_at_a_kill_of_the_gateway", 0)


def test_on_postgresql_too(postgresql, tmp_path, capsys):
    with postgresql.schema() as url:
        found = load(capsys, "--folder", str(tmp_path), "--ledger", url, "--seed", "5")
    assert (found["database"], found["calls_whole"] > 100) == ("postgresql", True)


# The reckoning itself


def attempt(call, seq=0, finish=Finish.STOP, output=None, error=None):
    tokens = len(answer_of(call.external_key)[0]) if output is None else output
    return Attempt(
        call_id=call.id, seq=seq, engine="a", usage=Usage(output=tokens), started_s=0, finish=finish, error=error
    )


def right(name="n0x1"):
    """A call that was answered whole, in all three books."""
    call = Call(external_key=name)
    told = Told(name, Kind.WHOLE, call.id, len(answer_of(name)[0]), ended_at=100.0)
    return told, CallRecord(call=call, run=None, recorded_s=0, attempts=(attempt(call),), charges=(), outcomes=())


def broken(told, records, seen, killed_at=()):
    return reckon([told], records, seen, killed_at).broken


def test_three_books_that_agree_break_no_law():
    told, record = right()
    assert broken(told, [record], ["n0x1"]) == []


def with_(record, *attempts):
    return dataclasses.replace(record, attempts=attempts)


def test_each_way_in_which_they_can_disagree_is_seen():
    told, record = right()
    other = CallRecord(call=Call(external_key="n0x1"), run=None, recorded_s=0, attempts=(), charges=(), outcomes=())
    call, one = record.call, record.attempts[0]
    failed = attempt(call, 0, Finish.ERROR, 0, "answered 500")
    wrong = [
        (broken(told, [], ["n0x1"]), "not on record"),
        (broken(told, [record, other], ["n0x1"]), "is 2 calls"),
        (broken(told, [with_(record, attempt(call, output=99))], ["n0x1"]), "99 on record"),
        (broken(told, [with_(record, one, attempt(call, 1))], ["n0x1"] * 2), "2 attempts that ended well"),
        (broken(told, [with_(record, failed, one)], ["n0x1"]), "1 attempts were never read, 0 could be"),
        (broken(told, [record], ["n0x1"] * 2), "1 times more than it is on record"),
        (broken(told, [record], ["n0x1", "n0x9"]), "'n0x9' was never asked"),
        (broken(dataclasses.replace(told, call_id="x"), [record], ["n0x1"]), "under another id"),
        (broken(dataclasses.replace(told, why="the text is 'x'"), [record], ["n0x1"]), "the answer is wrong"),
        (broken(dataclasses.replace(told, kind=Kind.ERROR), [record], ["n0x1"]), "ended well on record"),
        (broken(dataclasses.replace(told, kind=Kind.ERROR, call_id=None), [record], ["n0x1"]), "call id None"),
        (broken(dataclasses.replace(told, kind=Kind.LOST), [], ["n0x1"], [10.0]), "more than it is on record"),
    ]
    for found, says in wrong:
        assert any(says in sentence for sentence in found), (says, found)


@pytest.mark.parametrize(
    ("kind", "attempts", "seen", "killed_at"),
    [
        (Kind.LOST, (), 1, [99.0]),
        (Kind.GAVE_UP, ((Finish.CANCELLED, None),), 0, []),
        (Kind.ERROR, ((Finish.ERROR, "can't be reached: Cannot connect to host"),), 0, []),
        (Kind.ERROR, ((Finish.ERROR, "can't be reached: Server disconnected"),), 0, []),
        (Kind.ERROR, ((Finish.ERROR, "a gave no answer in time"),), 0, []),
    ],
)
def test_a_difference_with_a_reason_is_counted_and_breaks_no_law(kind, attempts, seen, killed_at):
    told, record = right()
    made = tuple(attempt(record.call, at, finish, 0, error) for at, (finish, error) in enumerate(attempts))
    records = [with_(record, *made)] if made else []
    told = dataclasses.replace(told, kind=kind, tokens=None)
    assert broken(told, records, ["n0x1"] * seen, killed_at) == []
