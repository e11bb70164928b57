"""A search over recorded engines: nothing is paid, and what it finds is certified, confirmed, written and served."""

import json
import random

import pytest

from cput.cli import main
from cput.ledger.store import Ledger
from cput.policy import Policy, load_policy, save_policy
from cput.policy.guarantee import Certificate

LABELS = ("refund", "delivery", "other")
EASY = {"refund": "I want my money back", "delivery": "Where is my parcel", "other": "Good morning to you"}
HARD = "about what I wrote last week, concerning the matter we both know of"


def run(*argv):
    with pytest.raises(SystemExit) as left:
        main([*argv])
    return left.value.code


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A workload and what two models answered: the small one is right where it is easy, and knows it; or the text tells."""
    monkeypatch.chdir(tmp_path)

    def make(*, confidence, items=1500):
        drawn = random.Random(7)
        (tmp_path / "work").mkdir()
        head = '[quality]\ncheck = "label"\n[quality.floor]\nshare_of_baseline = 0.95\n'
        head += f"[answer]\nchoices = {json.dumps(LABELS)}\n"
        (tmp_path / "work" / "workload.toml").write_text(head)
        asked, answers = [], []
        for number in range(items):
            label, easy = drawn.choice(LABELS), drawn.random() < 0.6
            prompt = f"{EASY[label] if easy and not confidence else HARD} ({number})"
            asked.append({"id": f"q{number}", "prompt": prompt, "reference": label, "tags": {"kind": str(easy)}})
            wrong = next(other for other in LABELS if other != label)
            for model, right, usd in (("small", easy, 0.0001), ("large", drawn.random() < 0.97, 0.003)):
                sure = {"confidence": (0.9 if easy else 0.3) + drawn.random() * 0.1} if confidence else {}
                text = label if right else wrong
                told = {"item": f"q{number}", "model": model, "text": text, "output_tokens": 2, "cost_usd": usd}
                answers.append(told | sure)
        for file, lines in (("work/items.jsonl", asked), ("answers.jsonl", answers)):
            (tmp_path / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return tmp_path

    return make


ARGV = ["optimize", "work", "--engines", "answers.jsonl#large", "answers.jsonl#small", "--quick", "--search", "800"]
ARGV += ["--first-rung", "800", "--confirm", "600", "--ledger", "l.db", "--policy", "p.toml", "--json"]


def found(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_sure_answers_of_the_cheap_engine_stand_with_a_certificate(recorded, capsys):
    """The policy asks the cheap one first, costs a fraction, and is proven on items that the search never saw."""
    folder = recorded(confidence=True)
    assert not run(*ARGV)
    said = found(capsys)
    assert said["not_lower"]
    assert said["ratio"]["value"] < 0.6
    assert said["certificate"]["n"] == 600
    assert "confidence" in said["threshold_note"]
    names = [each["name"] for each in said["beside"]]
    assert names == ["best single", "cheapest within 1 point", "by category", "random mix", "oracle"]
    policy = load_policy(folder / "p.toml").policy
    assert [(leg.engine, leg.model, leg.stop) for leg in policy.legs] == [
        ("replay", "small", "confidence"),
        ("replay", "large", None),
    ]
    assert 0.3 < policy.threshold < 0.95  # a few unsure ones may be wrong: that is what the floor gives away
    assert Certificate.from_json(json.loads((folder / "p.certificate.json").read_text())).choice == 0
    winner = next(each for each in said["candidates"] if each["status"] == "winner")
    assert winner["replayed"]

    before = len(Ledger.open(folder / "l.db").calls())
    assert not run(*ARGV)  # another search: answers on record are not asked again, the confirmation is
    assert len(Ledger.open(folder / "l.db").calls()) == before + 2 * 600
    assert not run("measure", "work", "--policy", "p.toml", "--limit", "50", "--ledger", "l.db", "--json")
    measured = found(capsys)
    assert measured["attempts"] < 100


def test_without_confidence_a_router_chooses_from_the_request(recorded, capsys):
    """What is easy is read from the text; the router lies beside the policy file and is read from there."""
    folder = recorded(confidence=False)
    assert not run(*ARGV)
    said = found(capsys)
    assert said["not_lower"]
    assert said["ratio"]["value"] < 0.6
    policy = load_policy(folder / "p.toml").policy
    assert policy.router is not None
    assert "p.router" in (folder / "p.toml").read_text()
    assert str(folder) not in (folder / "p.toml").read_text()
    assert not run("measure", "work", "--policy", "p.toml", "--limit", "50", "--ledger", "l.db", "--json")
    assert found(capsys)["attempts"] == 50


def test_a_student_answers_first_and_abstains_from_the_rest(smollm2, recorded, capsys):
    """It is fitted on other labelled items and saves in front of a dear engine, whose answers it never gives worse."""
    folder = recorded(confidence=False)
    lines = [json.loads(line) for line in (folder / "work" / "items.jsonl").read_text().splitlines()]
    taught = [{**each, "check": "label"} for each in lines[:500]]
    (folder / "taught.jsonl").write_text("".join(json.dumps(each) + "\n" for each in taught))
    (folder / "work" / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines[500:]))
    assert not run("student", "fit", "taught.jsonl", "--out", "intents", "--tokenizer", "smollm2-135m-instruct")
    capsys.readouterr()
    argv = [part.replace("answers.jsonl#small", "intents").replace("800", "500").replace("600", "500") for part in ARGV]
    assert not run(*argv, "--rate", "0.08/h")
    said = found(capsys)
    assert said["not_lower"]
    assert said["ratio"]["value"] < 0.75
    assert {leg.engine for leg in load_policy(folder / "p.toml").policy.legs} == {"classifier", "replay"}
    behind = Policy(model="large", engine="replay", recording="answers.jsonl")
    first = Policy(model="intents", engine="classifier").followed_by(behind, stop="confidence", thresholds=[0.9])
    save_policy(folder / "first.toml", first, {})
    assert not run("measure", "work", "--policy", "first.toml", "--limit", "100", "--ledger", "l.db", "--json")
    measured = found(capsys)
    assert 100 < measured["attempts"] < 180
    assert measured["useful_rate"]["value"] > 0.9


def test_a_search_that_finds_no_saving_says_so_and_serves_what_was_there(recorded, capsys):
    """Few items prove nothing: the reason is told, with what is missing."""
    recorded(confidence=True, items=60)
    argv = [part.replace("800", "30").replace("600", "30") for part in ARGV]
    assert not run(*argv)
    said = found(capsys)
    assert said["threshold_note"]
    assert said["winner_name"].startswith("large") or not said["not_lower"]


@pytest.mark.parametrize(
    ("engines", "says"),
    [
        (["answers.jsonl#lage"], "did you mean 'large'"),
        (["answers.jsonl#large", "answers.jsonl"], "two engines called 'large'"),
        (["short.jsonl#large"], "no answer of 'large' to 19 of 20 items"),
        (["http://127.0.0.1:1/v1"], "names no model"),
        (["nowhere.jsonl"], "can't be read"),
    ],
)
def test_engines_that_are_none_are_named(recorded, capsys, engines, says):
    """One sentence, with what is allowed."""
    folder = recorded(confidence=True, items=20)
    (folder / "short.jsonl").write_text('{"item": "q0", "model": "large", "text": "refund"}\n')
    assert run("optimize", "work", "--engines", *engines, "--ledger", "l.db")
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--first-rung", "0"], "--first-rung is 0; allowed: 1 or more"),
        (["--seed", "-1"], "--seed is -1; allowed: 0 or more"),
        (["--resume", "nosuch"], "there is no search nosuch"),
    ],
)
def test_what_a_search_can_not_be_asked_for(recorded, capsys, more, says):
    """One sentence before anything is asked."""
    recorded(confidence=True, items=20)
    assert run("optimize", "work", "--engines", "answers.jsonl#large", "--ledger", "l.db", *more)
    assert says in capsys.readouterr().err


def test_another_recording_under_the_same_name_is_asked_again(recorded, capsys):
    """Answers on record serve a search only where the same thing answered."""
    folder = recorded(confidence=False, items=60)
    argv = [part.replace("800", "30").replace("600", "30") for part in ARGV]
    assert not run(*argv)
    first = {each["name"]: each["useful_rate"]["value"] for each in found(capsys)["candidates"]}
    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    right = {each["item"]: each["text"] for each in lines if each["model"] == "large"}
    better = [each | {"text": right[each["item"]]} for each in lines]
    (folder / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in better))
    assert not run(*argv)
    again = {each["name"]: each["useful_rate"]["value"] for each in found(capsys)["candidates"]}
    small = next(name for name in first if name.startswith("small"))
    assert again[small] > first[small]


def test_a_search_that_proves_nothing_leaves_what_is_served_alone(recorded, capsys):
    """Policy, certificate and router stay as they were, and nothing is left lying about."""
    folder = recorded(confidence=False)
    assert not run(*ARGV)
    before = {path.name: path.read_bytes() for path in folder.rglob("p.*") if path.is_file()}
    assert load_policy(folder / "p.toml").policy.strong == "large"
    argv = [part.replace("600", "6") for part in ARGV]
    assert not run(*argv, "--seed", "3")
    assert not found(capsys)["not_lower"]
    assert {path.name: path.read_bytes() for path in folder.rglob("p.*") if path.is_file()} == before
    assert sorted(path.name for path in folder.glob("p.*")) == ["p.certificate.json", "p.router", "p.toml"]
