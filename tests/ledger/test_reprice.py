"""A repricing changes what is in effect and never what was written; forth and back is the identity."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from cput.ledger import reprice as module
from cput.ledger import schema
from cput.ledger.allocate import allocate
from cput.ledger.price import DeviceRate, PriceBook, device_rate
from cput.ledger.price.fx import Exchange
from cput.ledger.price.model import parse_models
from cput.ledger.reprice import Money, Scope, reprice
from cput.ledger.runs import Run, Window
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Charge, CountedBy, Finish, Usage

ROW = '[[model]]\nmodel = "{}"\nvalid_from = 2026-01-01\ninput = "{}"\noutput = "{}"\nterms = "t"\nsource = "s"\n'
AT = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def book(**prices: tuple[str, str]) -> PriceBook:
    text = "".join(ROW.format(model, *pair) for model, pair in prices.items())
    return PriceBook([parse_models(text, "f.toml", Exchange())], hosted_models=False)


CHEAP, DEAR = book(m=("1", "2"), n=("3", "4")), book(m=("10", "20"))


def attempt(call: Call, seq: int = 0, **given) -> Attempt:
    usage = Usage(input_uncached=1_000, output=100, complete=True, counted_by=CountedBy.PROVIDER)
    fields = {"model": "m", "provider": "openai", "started_s": AT, "usage": usage} | given
    return Attempt(call_id=call.id, seq=seq, engine="e", finish=Finish.STOP, **fields)


def write(ledger: Ledger, prices: PriceBook | None = CHEAP, call: Call | None = None, run=None, **given) -> Call:
    written = call or Call()
    leg = attempt(written, **given)
    charge = prices.charge(leg) if prices else None
    ledger.record_sync(written, [leg], [charge] if charge else [], run=run)
    return written


def in_effect(ledger: Ledger) -> dict[tuple[str, int | None, str], Charge]:
    return {(c.call_id or "", c.seq, c.basis): c for record in ledger.calls() for c in record.charges}


def rows(ledger: Ledger) -> list[tuple]:
    with snapshot(ledger) as connection:
        return [tuple(row) for row in connection.execute(select(schema.charges).order_by(schema.charges.c.id))]


def test_a_repricing_takes_effect_and_the_first_charges_stay(ledger):
    call = write(ledger)
    before = rows(ledger)
    found = reprice(ledger, DEAR)
    (charge,) = in_effect(ledger).values()
    assert (charge.call_id, charge.incremental_nano_usd) == (call.id, 1_000 * 10_000 + 100 * 20_000)
    assert rows(ledger)[: len(before)] == before
    assert (found.priced, found.changed) == (1, 1)
    assert (found.before, found.after) == (Money(1_200_000, 0), Money(12_000_000, 0))
    assert list(found.changes) == ["openai/m"]


def test_going_back_to_an_earlier_version_takes_effect(ledger):
    write(ledger)
    first = in_effect(ledger)
    for prices in (DEAR, CHEAP, DEAR, CHEAP):
        assert reprice(ledger, prices).changed == 1
    assert in_effect(ledger) == first
    assert len(rows(ledger)) == 5


def test_a_repricing_that_changes_nothing_writes_nothing(ledger):
    write(ledger)
    before = rows(ledger)
    assert reprice(ledger, CHEAP).changed == 0
    assert rows(ledger) == before


def test_a_dry_run_tells_the_same_and_writes_nothing(ledger):
    write(ledger)
    before = rows(ledger)
    dry = reprice(ledger, DEAR, dry_run=True)
    assert rows(ledger) == before
    wet = reprice(ledger, DEAR)
    assert (dry.changes, dry.dry_run, wet.dry_run) == (wet.changes, True, False)


def test_the_original_charges_come_back(ledger):
    write(ledger)
    write(ledger, prices=None)  # metered before there was a price book
    first = in_effect(ledger)
    reprice(ledger, DEAR)
    reprice(ledger, CHEAP)
    found = reprice(ledger, None)
    now = in_effect(ledger)
    assert {key: now[key] for key in first} == first
    (never,) = [charge for key, charge in now.items() if key not in first]
    assert (never.incremental_nano_usd, never.price_version) == (None, "unpriced")
    assert found.after == Money(1_200_000, 1)
    assert reprice(ledger, None).changed == 0


def test_a_charge_written_again_after_a_repricing_stays_ignored(ledger):
    call = write(ledger)
    reprice(ledger, DEAR)
    write(ledger, call=call)
    assert next(iter(in_effect(ledger).values())).incremental_nano_usd == 12_000_000


def test_a_model_that_the_new_prices_do_not_know_becomes_unpriced(ledger):
    write(ledger, model="n")
    found = reprice(ledger, DEAR)
    assert (found.before, found.after) == (Money(3_400_000, 0), Money(0, 1))
    assert next(iter(in_effect(ledger).values())).price_version == "unpriced"


def test_only_what_is_in_scope_is_priced_again(ledger):
    other = Call(workload="w")
    write(ledger, call=other)
    late = write(ledger, started_s=AT + 100)
    write(ledger, model="n")
    azure = write(ledger, provider="azure")
    for scope, changed in (
        (Scope(workload="w"), {other.id}),
        (Scope(since_s=AT + 100), {late.id}),
        (Scope(since_s=AT + 1, until_s=AT + 100), set()),
        (Scope(provider="azure"), {azure.id}),
        (Scope(model="m", until_s=AT + 1, workload="w"), {other.id}),
    ):
        before = in_effect(ledger)
        reprice(ledger, DEAR, scope)
        after = in_effect(ledger)
        assert {key[0] for key in after if after[key] != before[key]} == changed, scope
        reprice(ledger, CHEAP)


def test_every_attempt_is_reached_however_many_pages(ledger, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 3)
    call = Call()
    ledger.record_sync(call, [attempt(call, seq) for seq in range(4)])
    for _ in range(6):
        write(ledger, prices=None)
    heard: list[int] = []
    found = reprice(ledger, CHEAP, progress=heard.append)
    assert (found.priced, found.changed, heard) == (10, 10, [3, 6, 9, 10])
    assert len(in_effect(ledger)) == 10


def test_a_flat_charge_is_not_priced_by_its_tokens(ledger):
    """A cache's hit has cost its look-up, whatever price a row with a pattern would find for its model."""
    call = Call()
    flat = Charge(
        call_id=call.id, seq=0, incremental_nano_usd=0, avoided_nano_usd=5, price_version="avoided x", basis="flat"
    )
    ledger.record_sync(call, [attempt(call)], [flat])
    before = rows(ledger)
    reprice(ledger, DEAR)
    assert rows(ledger) == before


def test_what_a_cache_hit_avoided_is_kept(ledger):
    call = Call()
    leg = attempt(call)
    charge = CHEAP.charge(leg)
    assert charge is not None
    flat = Charge(call_id=call.id, seq=0, incremental_nano_usd=5, avoided_nano_usd=7, price_version="v", basis="flat")
    ledger.record_sync(call, [leg], [replace(charge, avoided_nano_usd=42), flat])
    reprice(ledger, DEAR)
    now = in_effect(ledger)
    assert now[call.id, 0, "usage"].avoided_nano_usd == 42
    assert now[call.id, 0, "flat"] == flat


USES = st.builds(
    Usage,
    input_uncached=st.one_of(st.none(), st.integers(0, 10**6)),
    output=st.one_of(st.none(), st.integers(0, 10**6)),
    complete=st.booleans(),
    counted_by=st.sampled_from(CountedBy),
)
PRICES = st.builds(
    lambda m, n, both: book(m=m, n=n) if both else book(m=m),
    st.tuples(st.sampled_from("123"), st.sampled_from("456")),
    st.tuples(st.sampled_from("123"), st.sampled_from("456")),
    st.booleans(),
)


@given(
    st.lists(st.tuples(USES, st.sampled_from("mnx"), st.sampled_from([None, "openai"])), min_size=1, max_size=6),
    PRICES,
    st.lists(PRICES, max_size=3),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_repricing_forth_and_back_is_the_identity(tmp_path_factory, drawn, home, ways):
    with Ledger.open(tmp_path_factory.mktemp("r") / "l.db") as ledger:
        for usage, model, provider in drawn:
            write(ledger, prices=home, usage=usage, model=model, provider=provider)
        first, written = in_effect(ledger), rows(ledger)
        for prices in (*ways, home):
            reprice(ledger, prices)
            expected = {}
            for record in ledger.calls():
                charge = prices.charge(record.attempts[0])
                if charge is not None:
                    expected[record.call.id, 0, "usage"] = charge
            now = in_effect(ledger)
            assert {key: now[key] for key in expected} == expected
        now = in_effect(ledger)
        assert {key: charge for key, charge in now.items() if key in first} == first
        assert all(now[key].incremental_nano_usd is None for key in now.keys() - first.keys())
        assert rows(ledger)[: len(written)] == written


RATE = DeviceRate(Decimal(36), "given", "given:36/h")


@pytest.fixture
def window(ledger, run) -> Window:
    """A device's window of 10 s, of which two attempts used 6."""
    window = Window(
        run=run.id,
        started_s=AT,
        ended_s=AT + 10,
        rate_nano_usd_per_h=804_800_000,
        price_version="g6.xlarge@2026-09-26",
        device="L4",
    )
    ledger.add_window(window)
    for seconds in (2.0, 4.0):
        write(ledger, None, run=run.id, provider=None, started_s=AT + 1, usage=Usage(engine_s=seconds, output=3))
    return window


def charged(ledger: Ledger, run: Run) -> list[int | None]:
    used = [charge.incremental_nano_usd for charge in in_effect(ledger).values()]
    return [*used, *(charge.incremental_nano_usd for charge in ledger.idle_charges(run.id))]


def test_a_window_is_charged_again_whole_at_another_rate(ledger, run, window):
    found = reprice(ledger, CHEAP, Scope(run=run.id), rate=RATE)
    split = allocate(10.0, Decimal(36), [2.0, 4.0])
    assert sorted(filter(None, charged(ledger, run))) == sorted([*split.usage_nano_usd, split.idle_nano_usd])
    assert (found.before, found.after) == (Money(0, 3), Money(split.total_nano_usd, 0))
    assert list(found.changes) == ["device L4"]
    assert ledger.windows(run.id) == (window,)  # the window itself says what was agreed


def test_a_window_follows_its_devices_price_file_forth_and_back(ledger, run, window, tmp_path, monkeypatch):
    monkeypatch.setenv("CPUT_HOME", str(tmp_path))
    reprice(ledger, CHEAP)
    first = charged(ledger, run)
    assert (
        sum(filter(None, first)) == allocate(10.0, device_rate(None, "g6.xlarge").usd_per_h, [2.0, 4.0]).total_nano_usd
    )
    mine = '[[price]]\ndevice = "g6.xlarge"\nseen = 2026-01-01\nusd_per_h = "0.4"\nterms = "t"\nsource = "s"\n'
    (tmp_path / "prices.toml").write_text(mine, encoding="utf-8")
    assert reprice(ledger, CHEAP).changed == 3
    assert sum(filter(None, charged(ledger, run))) == allocate(10.0, Decimal("0.4"), [2.0, 4.0]).total_nano_usd
    (tmp_path / "prices.toml").unlink()
    assert reprice(ledger, CHEAP).changed == 3
    assert charged(ledger, run) == first
    assert reprice(ledger, CHEAP).changed == 0


def test_a_windows_first_charges_come_back(ledger, run, window):
    listed = device_rate(None, "g6.xlarge", on=date(2026, 11, 1))
    idle = Charge(call_id=None, seq=None, incremental_nano_usd=9, price_version=listed.version, basis="idle")
    ledger.add_charges([idle], run=run.id, window=window.id)
    reprice(ledger, CHEAP, rate=RATE)
    reprice(ledger, None)
    assert ledger.idle_charges(run.id) == (idle,)


def test_an_attempt_whose_window_is_paid_for_is_not_charged_by_its_tokens(ledger, run, window):
    reprice(ledger, CHEAP, rate=RATE)
    before = charged(ledger, run)
    found = reprice(ledger, book(m=("100", "100")), Scope(model="m"))
    assert (found.priced, charged(ledger, run)) == (0, before)


def test_a_rate_that_was_given_is_kept_where_none_is_given_now(ledger, run):
    window = Window(run=run.id, started_s=AT, ended_s=AT + 1, rate_nano_usd_per_h=1, price_version="given:1/h")
    ledger.add_window(window)
    assert reprice(ledger, CHEAP).priced == 0


def test_two_windows_of_a_resumed_run_are_charged_by_their_own_attempts(ledger, run, window):
    later = replace(window, id="second", started_s=AT + 100, ended_s=AT + 104)
    ledger.add_window(later)
    write(ledger, None, run=run.id, provider=None, started_s=AT + 101, usage=Usage(engine_s=1.0, output=1))
    reprice(ledger, CHEAP, rate=RATE)
    both = [allocate(10.0, Decimal(36), [2.0, 4.0]), allocate(4.0, Decimal(36), [1.0])]
    assert [c.incremental_nano_usd for c in ledger.idle_charges(run.id)] == [split.idle_nano_usd for split in both]
    assert sum(filter(None, charged(ledger, run))) == sum(split.total_nano_usd for split in both)
