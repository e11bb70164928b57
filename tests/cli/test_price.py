"""``cput price`` and ``cput reprice``: tables for people, exact JSON for programs, one sentence for a mistake."""

import json

import pytest

from cput.cli import main
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, CountedBy, Finish, Usage

ROW = '[[model]]\nmodel = "m"\nvalid_from = 2026-01-01\ninput = "2"\noutput = "10"\nterms = "t"\nsource = "s"\n'
AT = 1_793_491_200.0  # 2026-11-01T00:00:00Z


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *argv, code=0):
    with pytest.raises(SystemExit) as left:
        main([*argv])
    said = capsys.readouterr()
    assert (left.value.code or 0) == code, said.err
    assert "Traceback" not in said.err
    return said.out if code == 0 else " ".join(said.err.split())


def priced(capsys, *argv):
    return json.loads(run(capsys, "price", *argv, "--json").splitlines()[-1])


def test_models_are_listed_with_the_cheapest_first_and_the_unknown_last(capsys):
    counts = ("--input", "2006", "--cached", "1920", "--output", "300")
    names = ("--model", "gpt-4o", "--model", "gpt-4o-mini", "--model", "no-such-model")
    found = priced(capsys, *counts, *names)["prices"]
    assert [row["model"] for row in found] == ["gpt-4o-mini", "gpt-4o", "no-such-model"]
    assert (found[1]["usd"], found[1]["nano_usd"]) == ("0.005615", 5_615_000)
    assert (found[2]["usd"], found[2]["price_version"]) == (None, "unpriced")
    assert {line["what"]: line["amount"] for line in found[1]["lines"]} == {
        "input_tokens": "86",
        "cache_read_tokens": "1920",
        "output_tokens": "300",
    }


def test_people_get_a_table_with_the_price_version_and_why_something_is_unknown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = run(capsys, "price", "--input", "1000", "--output", "10", "--model", "gpt-4o", "--model", "gpt-4oo")
    assert "1,000 input, 10 output tokens; prices of" in said
    assert "genai-prices" in said
    assert "unknown" in said
    assert "no price of 'gpt-4oo'" in said
    assert "did you mean 'gpt-4o'?" in said


def test_all_models_that_hold_a_text(capsys):
    found = priced(capsys, "--input", "10", "--output", "1", "--all-matching", "GPT-4o-mini", "--provider", "openai")
    assert len(found["prices"]) > 1
    assert all(row["provider"] == "openai" and "gpt-4o-mini" in row["model"] for row in found["prices"])


def test_a_body_says_the_usage_the_model_and_the_tier(capsys, home):
    body = {
        "model": "gpt-5",
        "service_tier": "flex",
        "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000},
    }
    (home / "b.json").write_text(json.dumps(body), encoding="utf-8")
    flex = priced(capsys, "--body", "b.json")
    standard = priced(capsys, "--body", "b.json", "--tier", "default")
    assert (flex["tier"], flex["prices"][0]["model"]) == ("flex", "gpt-5")
    assert float(flex["prices"][0]["usd"]) < float(standard["prices"][0]["usd"])


def test_another_currency_is_shown_at_the_days_rate(capsys):
    found = priced(
        capsys, "--input", "1000000", "--output", "0", "--model", "gpt-4o", "--currency", "cny", "--at", "2026-10-30"
    )
    assert found["currency"] == "CNY"
    assert float(found["prices"][0]["amount"]) == pytest.approx(2.5 * 7.4326 / 1.1172)


def test_a_price_file_wins_and_an_implausible_one_is_refused_unless_forced(capsys, home):
    (home / "p.toml").write_text(ROW, encoding="utf-8")
    found = priced(capsys, "--input", "1000000", "--output", "0", "--model", "m", "--prices", "p.toml")
    assert found["prices"][0]["usd"] == "2"
    (home / "p.toml").write_text(ROW.replace('"2"', '"2000"'), encoding="utf-8")
    argv = ("--input", "1000000", "--output", "0", "--model", "m", "--prices", "p.toml")
    said = run(capsys, "price", *argv, code=2)
    assert "$2,000 per million, $0.002 per token" in said
    assert "read per token it would be $2,000,000,000 per million" in said
    assert priced(capsys, *argv, "--force")["prices"][0]["usd"] == "2000"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["price", "--model", "m"], "give the usage once"),
        (["price", "--input", "1", "--body", "b.json", "--model", "m"], "give the usage once"),
        (["price", "--input", "1", "--output", "1"], "no model is named"),
        (["price", "--input", "1", "--output", "1", "--all-matching", "zzzz"], "no known model holds 'zzzz'"),
        (["price", "--input", "-1", "--model", "m"], "--input is -1"),
        (["price", "--input", "5", "--cached", "6", "--model", "m"], "are 6 of 5 input tokens"),
        (["price", "--cached", "6", "--model", "m"], "--input 6 or more"),
        (["price", "--input", "1", "--model", "m", "--at", "soon"], "--at is 'soon'"),
        (["price", "--input", "1", "--model", "m", "--currency", "CNX"], "did you mean 'CNY'"),
        (["price", "--input", "1", "--model", "m", "--currency", "CNY", "--at", "2001-01-01"], "no rate of CNY"),
        (["price", "--body", "none.json", "--model", "m"], "none.json cannot be read"),
        (["price", "--body", "bad.json", "--model", "m"], "bad.json is not JSON"),
        (["price", "--body", "list.json", "--model", "m"], "is a JSON list; allowed: one object"),
        (["price", "--input", "1", "--model", "m", "--prices", "none.toml"], "none.toml cannot be read"),
        (["reprice", "--period", "2026-13"], "--period is '2026-13'"),
        (["reprice", "--period", "2026", "--since", "2026-01-01"], "exclude each other"),
        (["reprice", "--since", "2026-02-01", "--until", "2026-01-01"], "is not after"),
        (["reprice", "--original", "--rate", "1/h"], "--original brings back"),
        (["reprice", "--rate", "cheap"], "rate 'cheap'"),
        (["reprice", "--run", "xyz"], "xyz"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, home, argv, says):
    (home / "bad.json").write_text("{", encoding="utf-8")
    (home / "list.json").write_text("[]", encoding="utf-8")
    assert says in run(capsys, *argv, code=2)


@pytest.fixture
def book(home):
    (home / "p.toml").write_text(ROW, encoding="utf-8")
    with Ledger.open(home / "l.db") as ledger:
        for day in (0, 31):
            call = Call(workload="w")
            usage = Usage(input_uncached=1_000_000, output=0, complete=True, counted_by=CountedBy.PROVIDER)
            leg = Attempt(
                call_id=call.id,
                seq=0,
                engine="e",
                model="m",
                provider="openai",
                usage=usage,
                started_s=AT + day * 86_400,
                finish=Finish.STOP,
            )
            ledger.record_sync(call, [leg])
    return home / "l.db"


def test_a_dry_run_shows_before_and_after_and_writes_nothing(capsys, book):
    argv = ("reprice", "--prices", "p.toml", "--ledger", str(book), "--dry-run")
    said = run(capsys, *argv)
    assert "openai/m" in said
    assert "Nothing was written" in said
    assert "$4.000" in said
    found = json.loads(run(capsys, *argv, "--json"))
    assert (found["repricing"], found["dry_run"]) == (None, True)
    assert (found["total"]["before_unpriced"], found["total"]["after_nano_usd"]) == (2, 4_000_000_000)
    with Ledger.open(book) as ledger:
        assert all(not record.charges for record in ledger.calls())


def test_a_period_is_priced_again_and_can_be_brought_back(capsys, book):
    argv = ("reprice", "--prices", "p.toml", "--ledger", str(book), "--json")
    found = json.loads(run(capsys, *argv, "--period", "2026-11"))
    assert found["total"] == {
        "charges": 1,
        "changed": 1,
        "before_nano_usd": 0,
        "before_unpriced": 1,
        "after_nano_usd": 2_000_000_000,
        "after_unpriced": 0,
    }
    assert json.loads(run(capsys, *argv))["total"]["changed"] == 1
    back = json.loads(run(capsys, "reprice", "--original", "--ledger", str(book), "--json"))
    assert (back["total"]["changed"], back["total"]["after_unpriced"]) == (2, 2)


def test_nothing_to_price_again_is_said(capsys, book):
    said = run(capsys, "reprice", "--workload", "other", "--ledger", str(book))
    assert "nothing was priced again" in said
