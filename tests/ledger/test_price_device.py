"""A rate is given, dated with its source, or unknown."""

from datetime import date
from decimal import Decimal

import pytest

from cput.errors import InputError
from cput.ledger.price import device_rate, parse_prices, price_rows

OLD = '[[price]]\ndevice = "d"\nseen = 2025-01-01\nusd_per_h = "2"\nterms = "T"\nsource = "S"\n'
NEW = OLD.replace("2025-01-01", "2026-01-01").replace('"2"', '"1.5"')


def test_a_given_rate_wins():
    assert device_rate(" 0.08/h ", "g6.xlarge") == (Decimal("0.08"), "given on the command line", "given:0.08/h")
    assert device_rate("1.92/day", None).usd_per_h == Decimal("0.08")
    with pytest.raises(InputError, match=r"allowed: 0\.08/h"):
        device_rate("cheap", None)


def test_a_listed_device_has_its_price_with_source_and_date():
    found = device_rate(None, "G6.xlarge", on=date(2026, 10, 1))
    assert found.usd_per_h == Decimal("0.8048")
    assert "us-east-1, seen 2026-09-26" in found.source
    assert found.version == "g6.xlarge@2026-09-26"


def test_an_unlisted_device_is_a_mistake_that_names_the_listed_ones():
    with pytest.raises(InputError, match=r"did you mean 'g5\.xlarge'"):
        device_rate(None, "g5.xlage")


def test_a_device_before_its_first_price_is_unknown_and_not_free():
    found = device_rate(None, "g5.xlarge", on=date(2001, 1, 1))
    assert (found.usd_per_h, found.version) == (None, "unknown")
    assert "no price of 'g5.xlarge'" in found.source


def test_a_change_of_price_is_a_later_row():
    rows = parse_prices(NEW + OLD, "f")
    assert device_rate(None, "d", on=date(2024, 12, 31), rows=rows).usd_per_h is None
    assert device_rate(None, "d", on=date(2025, 6, 1), rows=rows).usd_per_h == Decimal(2)
    assert device_rate(None, "d", on=date(2026, 1, 1), rows=rows).usd_per_h == Decimal("1.5")


def test_the_users_own_row_stands_in_the_place_of_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    mine = OLD.replace('"d"', '"G6.xlarge"').replace('"2"', '"0.5"')
    (tmp_path / "prices.toml").write_text(mine, encoding="utf-8")
    assert device_rate(None, "g6.xlarge").usd_per_h == Decimal("0.5")
    assert device_rate(None, "g5.xlarge").usd_per_h == Decimal("1.006")


def test_a_device_in_yuan_is_charged_in_dollars_of_the_day():
    yuan = OLD.replace("usd_per_h", 'currency = "CNY"\nper_h')
    found = device_rate(None, "d", on=date(2026, 10, 31), rows=parse_prices(yuan, "f"))
    assert found.usd_per_h == 2 * Decimal("1.1172") / Decimal("7.4326")  # the ECB's euro rates of Friday, 2026-10-30
    assert found.version == "d@2025-01-01;CNY@2026-10-30"
    before = device_rate(None, "d", on=date(2023, 6, 1), rows=parse_prices(yuan.replace("2025", "2023"), "f"))
    assert before.usd_per_h is None
    assert "no rate of CNY" in before.source


def test_every_shipped_price_has_a_source_and_a_day_and_stands_once():
    rows = price_rows()
    assert len({(row.device, row.seen) for row in rows}) == len(rows) > 0
    assert all(row.source and row.terms and row.per_h > 0 for row in rows)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("price = [", "price file f is not TOML"),
        (OLD.replace('"2"', '"two"'), "row 1: usd_per_h is 'two'; allowed: a positive amount"),
        (OLD.replace('"2"', "2.0"), "row 1: usd_per_h is 2.0; allowed: a positive amount as text"),
        (OLD.replace("2025-01-01", '"2025-01-01"'), "row 1: seen is '2025-01-01'; allowed: a date"),
        (NEW + OLD.replace('terms = "T"\n', ""), "row 2 has fields .* allowed: exactly device"),
        (OLD.replace("usd_per_h", 'currency = "CNX"\nper_h'), "row 1: unknown currency 'CNX'; did you mean 'CNY'"),
        (OLD.replace("[[price]]", "[[prices]]"), "unknown table 'prices'; did you mean 'price'"),
        ("price = 3", "price is 3; allowed: tables that begin with"),
    ],
)
def test_a_wrong_price_file_names_the_row_and_what_is_allowed(text, complaint):
    with pytest.raises(InputError, match=complaint):
        parse_prices(text, "f")
