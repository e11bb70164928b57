"""A user's price file: tokens, requests, hours, energy, other currencies; what is wrong is named, what wins is said."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from cput.errors import InputError
from cput.ledger.price import PriceBook
from cput.ledger.price.file import open_file, shipped_files
from cput.ledger.price.fx import Exchange, ecb, parse_fx
from cput.ledger.price.model import parse_models
from cput.records import CountedBy, Usage

ROW = '[[model]]\nmodel = "llama"\nvalid_from = 2026-01-01\ninput = "2"\noutput = "6"\nterms = "T"\nsource = "S"\n'
YUAN = ROW + 'currency = "CNY"\n'
USED = Usage(input_uncached=1_000_000, output=500_000, complete=True, counted_by=CountedBy.ENGINE)
AT = datetime(2026, 10, 31, tzinfo=UTC)


def rows(*texts, exchange=None):
    return [parse_models(text, f"{number}.toml", exchange or Exchange()) for number, text in enumerate(texts)]


def usd(*texts, usage=USED, model="llama", provider=None, at=AT):
    return PriceBook(rows(*texts), hosted_models=False).price(usage, model=model, provider=provider, at=at).usd


def test_tokens_are_priced_per_million():
    assert usd(ROW) == 5


def test_a_request_an_hour_and_a_kilowatt_hour_have_prices_of_their_own():
    row = ROW.replace('input = "2"\noutput = "6"', 'per_request = "0.001"\nper_hour = "7.2"\nper_kwh = "0.36"')
    usage = Usage(engine_s=2.5, parts={"energy_j": 1000.0}, complete=True)
    found = PriceBook(rows(row), hosted_models=False).price(usage, model="llama", at=AT)
    assert {line.what: line.usd for line in found.lines} == {
        "requests": Decimal("0.001"),
        "engine_s": Decimal("0.005"),
        "energy_j": Decimal("0.0001"),
    }
    assert found.usd == Decimal("0.0061")


@pytest.mark.parametrize(
    ("prices", "usage", "missing"),
    [
        ('input = "2"\noutput = "6"', Usage(output=3), "its input tokens are unknown"),
        ('input = "2"\noutput = "6"', Usage(input_uncached=3), "its output tokens are unknown"),
        ('per_hour = "1"', USED, "its device seconds are unknown"),
        ('per_kwh = "1"', USED, "its energy is unknown"),
    ],
)
def test_what_is_not_counted_is_unknown_and_not_free(prices, usage, missing):
    row = ROW.replace('input = "2"\noutput = "6"', prices)
    found = PriceBook(rows(row), hosted_models=False).price(usage, model="llama", at=AT)
    assert (found.usd, found.nano_usd, found.why) == (None, None, missing)
    assert found.version.startswith("0.toml#")
    assert found.version.endswith(":llama@2026-01-01;uncounted")


def test_an_explicit_zero_is_a_count():
    assert usd(ROW, usage=Usage(input_uncached=0, output=0, complete=True)) == 0


def test_a_model_that_costs_nothing_costs_nothing_however_little_is_counted():
    assert usd(ROW.replace('"2"', '"0"').replace('"6"', '"0"'), usage=Usage()) == 0


def test_what_the_count_rests_on_is_in_the_price_version():
    book = PriceBook(rows(ROW), hosted_models=False)
    counts = {"input_uncached": 1, "output": 1}
    cut = book.price(Usage(**counts, counted_by=CountedBy.PROVIDER), model="llama", at=AT)
    guess = book.price(Usage(**counts, counted_by=CountedBy.ESTIMATED), model="llama", at=AT)
    assert cut.version.endswith("@2026-01-01;incomplete")
    assert guess.version.endswith("@2026-01-01;estimated")


def test_an_unknown_model_is_unpriced():
    found = PriceBook(rows(ROW), hosted_models=False).price(USED, model="mistral", at=AT)
    assert (found.usd, found.version) == (None, "unpriced")
    assert found.why == "no price of 'mistral' is on file for 2026-10-31"


def test_a_row_holds_from_its_day_until_a_later_one():
    later = ROW.replace("2026-01-01", "2026-06-01").replace('"2"', '"1"')
    day = lambda month, day: datetime(2026, month, day, 23, 59, tzinfo=UTC)  # noqa: E731
    assert usd(later + ROW, at=datetime(2025, 12, 31, 23, 59, tzinfo=UTC)) is None
    assert usd(later + ROW, at=day(5, 31)) == 5
    assert usd(later + ROW, at=day(6, 1)) == 4


def test_an_earlier_source_wins_where_it_holds():
    mine = ROW.replace('"2"', '"1"').replace("2026-01-01", "2026-06-01")
    assert usd(mine, ROW) == 4
    assert usd(mine, ROW, at=datetime(2026, 3, 1, tzinfo=UTC)) == 5


def test_a_providers_own_row_wins_over_a_general_one_and_a_name_over_a_pattern():
    pattern = ROW.replace('"llama"', '"lla*"').replace('"2"', '"9"')
    theirs = ROW.replace('"2"', '"1"') + 'provider = "groq"\n'
    assert usd(pattern + ROW + theirs, provider="Groq") == 4
    assert usd(pattern + ROW + theirs, provider="together") == 5
    assert usd(pattern + ROW + theirs) == 5
    assert usd(pattern + ROW + theirs, model="LLAVA") == 12


def test_an_edited_row_is_another_price_version():
    versions = [rows(text)[0][0].version for text in (ROW, ROW.replace('"6"', '"7"'), "# a remark\n" + ROW)]
    assert versions[0] == versions[2] != versions[1]
    assert all(version.startswith("0.toml#") and version.endswith(":llama@2026-01-01") for version in versions)


def test_yuan_become_dollars_at_the_rate_of_the_attempts_day():
    found = PriceBook(rows(YUAN), hosted_models=False).price(USED, model="llama", at=AT)
    assert found.usd == pytest.approx(5 * Decimal("1.1172") / Decimal("7.4326"), abs=Decimal("1e-20"))
    assert found.version.endswith(":llama@2026-01-01;CNY@2026-10-30")  # Saturday has Friday's rate


def test_the_users_own_rate_of_exchange_wins_from_its_day_on():
    own = '[[fx]]\ncurrency = "cny"\nday = 2026-10-01\nusd = "0.2"\nsource = "our bank"\n'
    exchange = Exchange(parse_fx(own, "f"))
    book = PriceBook(rows(YUAN, exchange=exchange), exchange=exchange, hosted_models=False)
    assert book.price(USED, model="llama", at=AT).usd == 1
    assert book.price(USED, model="llama", at=datetime(2026, 9, 30, tzinfo=UTC)).version.endswith("CNY@2026-09-30")


def test_a_currency_without_a_rate_that_early_is_unpriced():
    found = PriceBook(rows(YUAN.replace("2026-01-01", "2020-01-01")), hosted_models=False).price(
        USED, model="llama", at=datetime(2020, 6, 1, tzinfo=UTC)
    )
    assert (found.usd, found.version) == (None, "unpriced")
    assert "in CNY, of which no rate is on file for 2020-06-01" in (found.why or "")


def test_the_shipped_rates_are_the_banks_and_in_order():
    days, usd_per_cny = ecb()["CNY"]
    assert list(days) == sorted(set(days))
    assert all(Decimal("0.12") < rate < Decimal("0.17") for rate in usd_per_cny)
    assert Exchange().usd_per("EUR", date(2026, 10, 30)) == (Decimal("1.1172"), date(2026, 10, 30))
    assert Exchange().usd_per("usd", date(1990, 1, 1)) == (Decimal(1), None)


def test_every_shipped_model_has_a_source_and_stands_once():
    found = [row for file in shipped_files() for row in parse_models(file.text, file.name, Exchange())]
    assert len({(row.provider, row.model, row.valid_from) for row in found}) == len(found) > 0
    assert all(row.source and row.terms and row.provider for row in found)


HUGE = ROW.replace('"2"', '"2500"')


def test_a_price_over_1000_dollars_per_million_is_refused_with_both_readings():
    with pytest.raises(InputError) as refused:
        rows(HUGE)
    assert str(refused.value) == (
        "price file 0.toml, model 1: input is 2500: read per million tokens that is $2,500 per million, $0.0025 per "
        "token; read per token it would be $2,500,000,000 per million. A price above $1,000 per million tokens is "
        "refused: prices here are per million tokens; write force = true in the row, or --force, if it is meant"
    )
    assert usd(ROW.replace('"2"', '"1000"')) == 1003


def test_a_forced_price_is_taken_as_it_is():
    assert usd(HUGE + "force = true\n") == 2503
    assert parse_models(HUGE, "f", Exchange(), force=True)[0].prices["input_mtok"] == 2500


def test_a_price_per_token_in_the_place_of_one_per_million_is_refused():
    with pytest.raises(InputError, match=r"read per token it would be \$2\.5 per million. A price below \$0\.0001"):
        rows(ROW.replace('"2"', '"0.0000025"'))


def test_the_limit_is_in_dollars_and_not_in_the_rows_currency():
    assert rows(ROW.replace('"2"', '"5000"') + 'currency = "JPY"\n')[0][0].prices["input_mtok"] == 5000
    with pytest.raises(InputError, match=r"above \$1,000"):
        rows(ROW.replace('"2"', '"8000"') + 'currency = "CNY"\n')


TIER = "\n[[model.tier]]\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ROW.replace("input", "imput"), "model 1: unknown field 'imput'; did you mean 'input'"),
        (ROW.replace('"2"', '"two"'), "model 1: input is 'two'; allowed: an amount"),
        (ROW.replace('"2"', "2.0"), "model 1: input is 2.0; allowed: an amount .* as text"),
        (ROW.replace('"2"', '"-2"'), "model 1: input is '-2'"),
        (ROW.replace('"2"', '"NaN"'), "model 1: input is 'NaN'"),
        (ROW.replace("2026-01-01", '"2026-01-01"'), "valid_from is '2026-01-01'; allowed: a date"),
        (ROW.replace("2026-01-01", "2026-01-01T00:00:00"), "allowed: a date such as"),
        (ROW.replace('model = "llama"', 'model = " "'), "model is ' '; allowed: a text"),
        (ROW.replace('source = "S"\n', ""), "source is None; allowed: a text"),
        (ROW.replace('input = "2"\noutput = "6"\n', ""), "model 1 has no price; allowed: input"),
        (
            ROW.replace('input = "2"\n', 'cache_read = "1"\n'),
            "Missing ancestor price .* give a price for that class too",
        ),
        (ROW + 'input_mtok = "3"\n', "says input_mtok a second time"),
        (ROW + 'currency = "RMB"\n', "unknown currency 'RMB'"),
        (ROW + 'force = "yes"\n', "force is 'yes'; allowed: true or false"),
        (ROW + 'tier = "up"\n', "allowed: tables that begin with"),
        (ROW + TIER + 'input = "3"', "allowed is one boundary, above = 32000 .* it has none"),
        (ROW + TIER + 'above = 1\nfrom = 1\ninput = "3"', "allowed is one boundary"),
        (ROW + TIER + 'above = "1k"\ninput = "3"', "it has above = '1k'"),
        (ROW + TIER + 'from = 0\ninput = "3"', "it has from = 0"),
        (ROW + TIER + 'above = 9\ncache_read = "3"', "tier 1 has cache_read_mtok; allowed: prices that the row"),
        (ROW + TIER + "above = 9\n", "tier 1 has no price at all"),
        (ROW + TIER + 'above = 9\ninput = "3"' + TIER + 'from = 10\ninput = "4"', "its tiers do not rise"),
        ("[[model]", "price file 0.toml is not TOML"),
    ],
)
def test_a_wrong_row_is_one_sentence_with_file_number_and_field(text, complaint):
    with pytest.raises(InputError, match=complaint) as said:
        rows(text)
    assert str(said.value).startswith("price file 0.toml")


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read \(No such file"):
        open_file(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"b\.toml is not UTF-8"):
        open_file(tmp_path / "b.toml")


def test_the_users_home_file_wins_over_hosted_prices_and_a_given_file_over_both(tmp_path, monkeypatch):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    usage = Usage(input_uncached=1_000_000, output=0, complete=True)
    mine = ROW.replace('"llama"', '"gpt-4o"')
    hosted = PriceBook.load().price(usage, model="gpt-4o", provider="openai", at=AT)
    assert (hosted.usd, hosted.version.split(":")[0].split()[0]) == (Decimal("2.5"), "genai-prices")
    (tmp_path / "prices.toml").write_text(mine, encoding="utf-8")
    assert PriceBook.load().price(usage, model="gpt-4o", provider="openai", at=AT).usd == 2
    (tmp_path / "other.toml").write_text(mine.replace('"2"', '"3"'), encoding="utf-8")
    given = PriceBook.load([tmp_path / "other.toml"]).price(usage, model="gpt-4o", provider="openai", at=AT)
    assert given.usd == 3
    assert given.version.startswith("other.toml#")
