"""``cput key``: keys are shown once, budgets and limits are set and listed, a mistake is one sentence."""

import json
import re

import pytest

from cput.cli import main
from cput.ledger.store import Ledger
from cput.serve import keys


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *argv, code=0):
    with pytest.raises(SystemExit) as left:
        main(["key", *argv])
    said = capsys.readouterr()
    assert (left.value.code or 0) == code, said.err
    assert "Traceback" not in said.err
    return said.out if code == 0 else " ".join(said.err.split())


def told(capsys, *argv):
    return json.loads(run(capsys, *argv, "--json").splitlines()[-1])


def test_a_key_is_shown_once_and_opens(capsys):
    said = run(capsys, "create", "web shop", "--tenant", "shop")
    secret = re.search(r"sk-cput-[A-Za-z0-9_-]{43}", said).group()
    assert said.count("sk-cput-") == 1
    with Ledger.open() as ledger:
        assert keys.by_secret(ledger, secret).name == "web shop"
    for look in (["list"], ["list", "--all", "--json"], ["show", "web shop"], ["show", "web shop", "--json"]):
        again = run(capsys, *look)
        assert "web shop" in again
        assert secret[8:] not in again


def test_a_key_has_what_it_was_made_with(capsys):
    flags = ["--model", "gpt-4o*", "--model", "m", "--priority", "3", "--expires", "2099-01-01"]
    made = told(capsys, "create", "web", "--tenant", "shop", *flags, "--requests-per-min", "60")
    assert made["key"].startswith("sk-cput-")
    shown = told(capsys, "show", made["id"])
    assert {**shown, "budgets": None, "tenant_limit": None} == {
        **{name: value for name, value in made.items() if name != "key"},
        "budgets": None,
        "tenant_limit": None,
    }
    assert (shown["models"], shown["priority"], shown["state"]) == (["gpt-4o*", "m"], 3, "live")
    assert (shown["requests_per_min"], shown["tokens_per_min"]) == (60, None)
    assert shown["expires_s"] == 4_070_908_800


def test_a_key_may_expire_some_time_from_now(capsys):
    made = told(capsys, "create", "web", "--tenant", "shop", "--expires", "30d")
    assert made["expires_s"] - made["created_s"] == pytest.approx(30 * 86_400, abs=60)


def test_a_revoked_key_is_only_listed_with_all(capsys):
    run(capsys, "create", "web", "--tenant", "shop")
    assert "is revoked; gateways that run let it in for 2 s more at most" in run(capsys, "revoke", "web")
    assert told(capsys, "list")["keys"] == []
    (key,) = told(capsys, "list", "--all")["keys"]
    assert key["state"] == "revoked"


def test_budgets_are_set_listed_shown_with_the_key_and_removed(capsys):
    key = told(capsys, "create", "web", "--tenant", "shop")
    run(capsys, "budget", "set", "key:web", "0.50", "--per", "day", "--zone", "Asia/Shanghai")
    run(capsys, "budget", "set", "tenant:shop", "$20", "--per", "month", "--unpriced", "allow")
    run(capsys, "budget", "set", "model:llama3:8b", "5", "--per", "day")
    budgets = told(capsys, "budget", "list")["budgets"]
    assert {(row["subject"], row["nano_usd"], row["per"], row["zone"], row["unpriced"]) for row in budgets} == {
        (f"key:{key['id']}", 500_000_000, "day", "Asia/Shanghai", "refuse"),
        ("tenant:shop", 20_000_000_000, "month", "UTC", "allow"),
        ("model:llama3:8b", 5_000_000_000, "day", "UTC", "refuse"),
    }
    assert {row["subject"] for row in told(capsys, "show", "web")["budgets"]} == {f"key:{key['id']}", "tenant:shop"}
    assert "tenant:shop" in run(capsys, "budget", "list")
    run(capsys, "budget", "remove", "tenant:shop", "--per", "month")
    assert len(told(capsys, "budget", "list")["budgets"]) == 2


def test_limits_are_set_shown_and_lifted(capsys):
    run(capsys, "create", "web", "--tenant", "shop")
    assert "60 requests/min, 9,000 tokens/min" in run(
        capsys, "limit", "key:web", "--requests-per-min", "60", "--tokens-per-min", "9000"
    )
    run(capsys, "limit", "tenant:shop", "--requests-per-min", "100")
    shown = told(capsys, "show", "web")
    assert (shown["requests_per_min"], shown["tokens_per_min"]) == (60, 9000)
    assert shown["tenant_limit"] == "100 requests/min"
    assert "tenant 'shop' together: 100 requests/min" in run(capsys, "show", "web")
    assert "no limit" in run(capsys, "limit", "key:web")
    assert told(capsys, "show", "web")["requests_per_min"] is None


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["create", "a:b", "--tenant", "t"], "the key's name is 'a:b'; allowed: 1 to 100 characters"),
        (["create", "web"], "--tenant"),
        (["create", "web", "--tenant", "t", "--expires", "soon"], "--expires is 'soon'"),
        (["create", "web", "--tenant", "t", "--expires", "2020-01-01"], "expired already"),
        (["create", "web", "--tenant", "t", "--requests-per-min", "0"], "0 requests per minute; allowed: 1 or more"),
        (["create", "web", "--tenant", "t", "--priority", "500"], "the priority is 500; allowed: -100 to 100"),
        (["show", "web"], "unknown key 'web'"),
        (["revoke", "sk-cput-AAAA"], "that is a key itself (it is not shown)"),
        (["limit", "model:m", "--requests-per-min", "1"], "unknown subject 'model'"),
        (["budget", "set", "shop", "1", "--per", "day"], "'shop' does not say whom it is about; allowed: key:"),
        (["budget", "set", "tenant:t", "much", "--per", "day"], "the budget is 'much'; allowed: US dollars"),
        (["budget", "set", "tenant:t", "0", "--per", "day"], "the budget is $0; allowed: more than 0"),
        (["budget", "set", "tenant:t", "1", "--per", "dai"], "did you mean 'day'"),
        (["budget", "set", "tenant:t", "1", "--per", "day", "--zone", "Asia/Pekin"], "unknown time zone 'Asia/Pekin'"),
        (["budget", "set", "tenant:t", "1", "--per", "day", "--unpriced", "maybe"], "rule for unpriced calls 'maybe'"),
        (["budget", "remove", "tenant:t", "--per", "day"], "there is no budget per day for tenant:t"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_made(capsys, argv, says):
    said = run(capsys, *argv, code=2)
    assert says in said
    assert "AAAA" not in said
    assert told(capsys, "list", "--all")["keys"] == []
    assert told(capsys, "budget", "list")["budgets"] == []
