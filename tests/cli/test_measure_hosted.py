"""``cput measure`` on a served model that is paid for by its tokens: the money is the sum of the charges."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))

import wire_server  # the path comes first

from cput.cli import main
from cput.ledger.store import Ledger

ROW = '[[model]]\nmodel = "echo-1"\nvalid_from = 2026-01-01\ninput = "2"\noutput = "10"\nterms = "t"\nsource = "s"\n'


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with wire_server.serve() as served:
        yield served


def measured(capsys, server, *more):
    main(["measure", "gsm8k", "--engine", "openai", "--model", "echo-1", "--base-url", server.url, "--limit", "5",
          "--concurrency", "5", "--json", *more])  # fmt: skip
    return json.loads(capsys.readouterr().out)


def measure(capsys, server, *more):
    with pytest.raises(SystemExit) as left:
        measured(capsys, server, *more)
    assert not left.value.code
    return json.loads(capsys.readouterr().out)


def expected_usd(book):
    legs = [leg.usage for record in book.calls() for leg in record.attempts]
    return sum(leg.input * 2 + leg.output * 10 for leg in legs) / 1e6


@pytest.mark.parametrize("rate", [(), ("--rate", "3/h")], ids=["tokens only", "a rate as well"])
def test_a_priced_model_is_charged_by_its_tokens(server, capsys, tmp_path, rate):
    (tmp_path / "mine.toml").write_text(ROW)
    found = measure(capsys, server, "--prices", "mine.toml", *rate)
    with Ledger.open(tmp_path / "ledger.db") as book:
        charges = [charge for record in book.calls() for charge in record.charges]
        assert len(charges) == 5, "the window's charge must not replace the tokens'"
        assert all(charge.price_version.startswith("mine.toml#") for charge in charges)
        if not rate:
            assert found["cput_unit"] == "USD"
            assert found["cost_usd"] == pytest.approx(expected_usd(book))


def test_a_model_without_a_price_costs_device_seconds_and_never_nothing(server, capsys):
    found = measure(capsys, server)
    assert (found["cput_unit"], found["cost_usd"]) == ("device-seconds", None)
