"""Joules, what they cost and emit: dated, by region, what is given wins, and unknown is never 0."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError
from cput.ledger.energy import (
    Basis,
    EnergyUse,
    Terms,
    energy_terms,
    nominal_power,
    read_energy,
    record_energy,
    regions,
    total,
)
from cput.ledger.energy.files import device_powers, grid_carbon, kwh_prices
from cput.ledger.price.fx import Exchange

DAY = date(2026, 11, 25)


def use(window="w1", component="package-0", joules=10.0, basis=Basis.MEASURED, source="RAPL") -> EnergyUse:
    return EnergyUse(window=window, run="r", component=component, joules=joules, basis=basis, source=source)


def test_components_of_a_window_add_up():
    found = total([use(), use(component="dram-0", joules=2.5, source="DRAM")], ["w1"])
    assert found == (12.5, Basis.MEASURED, "RAPL; DRAM")


def test_one_estimated_part_makes_the_sum_an_estimate():
    parts = [use(), use(component="cpu", basis=Basis.ESTIMATED, source="TDP")]
    assert total(parts, ["w1"]) == (20.0, Basis.ESTIMATED, "RAPL; TDP")


def test_one_unknown_part_makes_the_sum_unknown():
    broken = use(component="dram-0", joules=None, basis=Basis.UNKNOWN, source="it could not be read")
    assert total([use(), broken], ["w1"]) == (None, Basis.UNKNOWN, "it could not be read")


def test_a_window_without_a_reading_makes_the_run_unknown():
    assert total([use()], ["w1", "w2"]).joules is None
    assert total([use()], []).joules is None


def test_energy_is_kept_once_and_read_by_run(ledger, run):
    first = [use(), use(window="w2", component="cpu", joules=None, basis=Basis.UNKNOWN, source="why")]
    record_energy(ledger, first)
    record_energy(ledger, [use(joules=99.0)])  # written already: the first stands
    record_energy(ledger, [])
    assert read_energy(ledger, "r") == tuple(first)
    assert read_energy(ledger, run.id) == ()


def test_a_given_price_is_dollars_or_names_its_currency():
    assert energy_terms("0.12", None).usd_per_kwh == Decimal("0.12")
    assert energy_terms("$0.12/kWh", None).usd_per_kwh == Decimal("0.12")
    yuan = energy_terms("0.55 CNY", None, on=DAY)
    assert yuan.usd_per_kwh == Decimal("0.55") * Exchange().usd_per("CNY", DAY).usd
    assert yuan.price_source == "given on the command line"


def test_a_region_gives_both_and_says_where_from_and_when():
    terms = energy_terms(None, "cn", on=DAY)
    assert terms.usd_per_kwh == Decimal("0.088")
    assert "CN: average industrial rate of 2024, seen 2026-11-25" in terms.price_source
    assert (terms.g_per_kwh, terms.gas) == (Decimal("530.6"), "CO2")
    assert "factor of 2023" in terms.carbon_source


def test_what_is_given_wins_over_the_region():
    terms = energy_terms("0.2", "CN", on=DAY)
    assert (terms.usd_per_kwh, terms.g_per_kwh) == (Decimal("0.2"), Decimal("530.6"))
    grams = energy_terms(None, "350 g/kWh", on=DAY)
    assert (grams.g_per_kwh, grams.gas, grams.usd_per_kwh) == (350, "CO2e", None)


def test_a_foreign_price_is_converted_at_the_rate_of_its_day():
    terms = energy_terms(None, "EU", on=DAY)
    rate = Exchange().usd_per("EUR", date(2025, 10, 29)).usd
    assert terms.usd_per_kwh == Decimal("0.1902") * rate
    assert "0.1902 EUR at" in terms.price_source


def test_a_row_does_not_count_before_its_day():
    before = energy_terms(None, "CN", on=date(2025, 1, 1))
    assert (before.usd_per_kwh, before.g_per_kwh) == (None, None)
    assert before.price_source == "no price of a kWh of CN is on file for 2025-01-01"


def test_half_known_is_half_shown():
    terms = energy_terms(None, "DE", on=DAY)
    assert terms.g_per_kwh == 381
    assert terms.usd_per_kwh is None
    assert terms.price_source == "no price of a kWh of DE is on file"


def test_nothing_given_is_nothing_known():
    assert energy_terms(None, None) == Terms()
    assert (Terms().cost_nano_usd(1.0), Terms().carbon_g(1.0)) == (None, None)


def test_two_kilowatt_hours_cost_and_emit_twice_the_factor():
    terms = energy_terms("0.12", "350", on=DAY)
    assert terms.cost_nano_usd(7_200_000) == 240_000_000
    assert terms.carbon_g(7_200_000) == 700.0


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_energy_costs_add_up_to_a_nano_dollar(one, other):
    terms = Terms(usd_per_kwh=Decimal("0.1234"))
    assert (
        abs(terms.cost_nano_usd(one) + terms.cost_nano_usd(other) - terms.cost_nano_usd(one + other))
        <= 2 + 1e-3 * (one + other) / 1e9
    )


@pytest.mark.parametrize("text", ["cheap", "-0.1", "0.1 euros", "1.2.3", ""])
def test_a_price_that_is_none_is_named(text):
    with pytest.raises(InputError, match=r"--kwh-price is .* allowed: an amount per kWh"):
        energy_terms(text, None, on=DAY)


def test_a_region_that_is_none_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown grid 'CN-Nord'; did you mean 'CN-North'\?.* or grams"):
        energy_terms(None, "CN-Nord", on=DAY)


def test_a_part_of_a_processor_draws_its_part_of_the_power():
    whole = nominal_power("AMD EPYC 7763 64-Core Processor", 128, on=DAY)
    part = nominal_power("AMD EPYC 7763 64-Core Processor", 8, on=DAY)
    assert whole.watts == 280.0
    assert part.watts == 280.0 * 8 / 128
    assert "TDP of AMD EPYC 7763 280 W x 8 of 128 threads" in part.source
    assert "seen 2026-10-23" in part.source


def test_a_processor_is_known_by_the_name_that_it_gives_itself():
    assert nominal_power("Intel(R) Xeon(R) Platinum 8480+", 112, on=DAY).watts == 350.0
    assert nominal_power("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", 36, on=DAY).watts == 145.0
    assert nominal_power("11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", 8, on=DAY).watts == 28.0


@pytest.mark.parametrize("cpu", ["AMD EPYC", "unknown", "AMD EPYC 77631", ""])
def test_a_processor_that_is_not_on_file_is_unknown(cpu):
    found = nominal_power(cpu, 2, on=DAY)
    assert found.watts is None
    assert found.source == f"no power of '{cpu}' is on file; give --watts"


def test_a_given_power_wins_and_must_be_one():
    assert nominal_power("AMD EPYC 7763", 8, watts=65.0) == (65.0, "65 W, given on the command line")
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="--watts is"):
            nominal_power("x", 1, watts=wrong)


def test_every_shipped_figure_has_a_day_that_is_not_ahead_a_source_and_one_row():
    for rows, key in ((kwh_prices(), "region"), (grid_carbon(), "region"), (device_powers(), "device")):
        assert rows
        assert len({(getattr(row, key), row.seen) for row in rows}) == len(rows)
        assert all(row.seen <= DAY and row.source for row in rows)
    assert {"US", "CN", "EU", "world", "CN-East"} <= regions()
    assert all(5 < row.g_per_kwh < 1000 for row in grid_carbon())
    assert all(Decimal("0.02") < row.per_kwh < 1 for row in kwh_prices())
    assert all(5 < row.watts < 1500 for row in device_powers())
