"""``cput why`` says who could have been asked, what each scored, what the attempts cost and what became of the call."""

import asyncio
import json

import pytest

from cput.cli import main
from cput.engines.echo import Echo
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy.cascade import Cascade, Leg, Passes
from cput.policy.explain import Explained
from cput.records import Call, Charge, Grounds, Message, Outcome, Source

SECRET = "my secret question"


class Flat:
    """Every attempt costs a thousandth of a dollar."""

    def charge(self, attempt):
        return Charge(
            call_id=attempt.call_id, seq=attempt.seq, incremental_nano_usd=1_000_000, price_version="p", basis="flat"
        )


class Named(Echo):
    def __init__(self, name):
        super().__init__()
        self.name = name


@pytest.fixture
def place(tmp_path):
    return tmp_path / "l.db"


@pytest.fixture
def call(place):
    """A call that a cascade of two legs answered."""
    call = Call(messages=(Message(role="user", content=SECRET),), workload="w")
    with Ledger.open(place) as book:
        small, large = (Metered(Named(name), book, prices=Flat()) for name in ("small", "large"))
        legs = [Leg(engine=small, rule=Passes(lambda *_: False), threshold=0.75), Leg(engine=large)]
        asyncio.run(Explained(Cascade(legs, policy="two legs"), book).answer(call).text())
        book.add_outcomes([Outcome(call_id=call.id, name="thumbs", value=1.0, source=Source.USER, attempt=1)])
    return call


def run(capsys, *argv):
    with pytest.raises(SystemExit) as left:
        main(["why", *map(str, argv)])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_the_card_has_scores_thresholds_reason_charges_and_outcomes(capsys, monkeypatch, call, place):
    monkeypatch.setenv("COLUMNS", "160")
    out = run(capsys, call.id, "--ledger", place)
    for words in (call.id, "large answered", "[last_leg]", "policy two legs", "0.75", "failed its check", "thumbs"):
        assert words in out
    assert "$0.002" in out  # two attempts
    assert "verdict useful" in out
    assert SECRET not in out


@pytest.mark.parametrize("named", [lambda i: i, lambda i: i[:20], lambda i: f"chatcmpl-{i}", lambda i: f"msg_{i[:30]}"])
def test_a_call_is_named_by_its_id_a_response_or_the_beginning(capsys, call, place, named):
    found = json.loads(run(capsys, named(call.id), "--ledger", place, "--json"))
    assert found["call_id"] == call.id


def test_json_says_the_same(capsys, call, place):
    found = json.loads(run(capsys, call.id, "--ledger", place, "--json"))
    assert (found["grounds"]["chosen"], found["grounds"]["reason"]) == ("large", "last_leg")
    assert [(o["engine"], o["asked"], o["score"], o["threshold"]) for o in found["grounds"]["options"]] == [
        ("small", True, 0.0, 0.75),
        ("large", True, None, None),
    ]
    assert [(a["seq"], a["engine"], a["cost_usd"]) for a in found["attempts"]] == [
        (0, "small", 0.001),
        (1, "large", 0.001),
    ]
    assert (found["cost_usd"], found["verdict"]) == (0.002, "useful")
    assert SECRET not in json.dumps(found)


def test_a_call_that_no_policy_chose_for_has_its_attempts(capsys, place):
    call = Call(prompt="x y")
    with Ledger.open(place) as book:
        asyncio.run(Metered(Echo(), book).answer(call).text())
    out = run(capsys, call.id, "--ledger", place)
    assert "No policy chose" in out
    assert "cost unknown" in out
    assert json.loads(run(capsys, call.id, "--ledger", place, "--json"))["grounds"] is None


def test_a_call_that_a_cache_answered_has_no_attempts(capsys, place):
    with Ledger.open(place) as book:
        asyncio.run(book.explain("c-1", Grounds(chosen="cache", reason="cache_exact", source_call="c-0")))
    out = run(capsys, "c-1", "--ledger", place)
    assert "that of call c-0" in out
    assert "no attempt" in out


def test_an_unknown_call_is_one_sentence(capsys, call, place):
    with pytest.raises(SystemExit) as left:
        main(["why", "nothing-like-it", "--ledger", str(place)])
    said = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 2
    assert said.startswith("cput: no call in the ledger")
    assert "'nothing-like-it'" in said
