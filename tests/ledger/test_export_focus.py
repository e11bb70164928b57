"""The FOCUS export says what FOCUS 1.2 asks for, and its money is the ledger's, to the nano-dollar."""

import csv
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from backends import ON_SQLITE
from export_ledgers import CACHED, HOSTED, LOCAL, NOON, RUN, UNCHARGED, UNPRICED, WINDOW, charge, fill, leg
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError, SetupError
from cput.ledger.charged import charged
from cput.ledger.export import Selection, export_focus
from cput.ledger.export.focus_columns import COLUMNS, FOCUS, NAMES
from cput.ledger.facts import fact_of
from cput.ledger.query import Question, costs
from cput.ledger.runs import Run, Window
from cput.ledger.store import Ledger
from cput.records import Call, Charge, Outcome, Source, new_id
from cput.units import from_nano_usd

SPECIFICATION = tomllib.loads((Path(__file__).parent / "focus_1_2.toml").read_text(encoding="utf-8"))
ALL = {name: rule for level in SPECIFICATION.values() for name, rule in level.items()}
GOLDEN = Path(__file__).parent / "golden" / "focus.csv"


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator[Ledger]:
    """A ledger that no test writes to."""
    with Ledger.open(tmp_path_factory.mktemp("filled") / "l.db") as book:
        fill(book)
        yield book


def rows_of(path: Path) -> list[dict[str, str | None]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: text or None for name, text in row.items()} for row in csv.DictReader(file)]


def exported(ledger: Ledger, folder: Path, *, ending: str = "csv", **more) -> tuple[list[dict], list[dict]]:
    written = export_focus(ledger, folder / f"out.{ending}", **more)
    return rows_of(written.path), rows_of(written.incomplete_path) if written.incomplete_path else []


def test_every_mandatory_column_of_focus_1_2_is_there_with_its_type_and_nullability():
    ours = {column.name: column for column in FOCUS}
    assert set(SPECIFICATION["mandatory"]) <= set(ours)
    assert len(SPECIFICATION["mandatory"]) == 21
    for name, column in ours.items():
        rule = ALL[name]  # no column of FOCUS that FOCUS does not know
        assert column.kind.value == rule["type"], name
        assert column.nullable or not rule["nulls"] or name in SPECIFICATION["recommended"], name
        assert rule["nulls"] or not column.nullable, name


def test_columns_of_our_own_come_last_and_wear_their_prefix():
    first_of_ours = next(place for place, name in enumerate(NAMES) if name.startswith("x_"))
    assert all(name.startswith("x_") for name in NAMES[first_of_ours:])
    assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z]*", name) and len(name) <= 50 for name in NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_no_row_breaks_a_rule_of_focus(filled, tmp_path):
    rows, _ = exported(filled, tmp_path)
    assert len(rows) == 7
    for row in rows:
        assert all(row[name] is not None for name, rule in ALL.items() if name in row and not rule["nulls"])
        assert all(
            row[name] in {None, *rule["values"]} for name, rule in ALL.items() if name in row and "values" in rule
        )
        for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[name])
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert row["ChargePeriodStart"] < row["BillingPeriodEnd"]
        assert row["BillingCurrency"] == "USD"
        # For usage that is no correction: priced and consumed, in units of the unit format.
        for what in ("Consumed", "Pricing"):
            assert Decimal(row[f"{what}Quantity"]) > 0
            assert row[f"{what}Unit"] in {"Tokens", "Seconds", "Hours", "Requests", "Reservations"}
        assert row["ContractedCost"] == row["BilledCost"] == row["ListCost"] == row["EffectiveCost"]  # no unit prices
        assert (row["CapacityReservationId"] is None) == (row["CapacityReservationStatus"] is None)
        assert (row["ResourceId"] is None) == (row["ResourceType"] is None)
        assert (row["SubAccountId"] is None) == (row["SubAccountName"] is None)
        assert row["x_WhyIncomplete"] is None
        for column in COLUMNS:
            if column.kind == "Decimal" and row[column.name] is not None:
                assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", row[column.name]), column


def test_a_charge_in_effect_is_one_row_and_money_adds_up_to_the_nano_dollar(filled, tmp_path):
    rows, rest = exported(filled, tmp_path)
    records = {record.call.id: record for record in filled.calls()}
    idle = filled.idle_charges(RUN.id)
    assert len(rows) + len(rest) == sum(len(record.charges) for record in records.values()) + len(idle) + 1
    for call_id, record in records.items():
        mine = [Decimal(row["BilledCost"]) for row in rows if row["x_CallId"] == call_id]
        known = charged(record)
        if known is not None:
            assert sum(mine) == from_nano_usd(known), call_id
    whole = sum(Decimal(row["BilledCost"]) for row in rows)
    assert whole == Decimal("0.000222222") + Decimal("0.000777778") + Decimal("0.001") + Decimal("0.012865008")


def test_a_repriced_charge_replaces_the_first_and_keeps_its_reservation(filled, tmp_path):
    rows, _ = exported(filled, tmp_path)
    local = [row for row in rows if row["x_CallId"] == LOCAL.id]
    assert [row["BilledCost"] for row in local] == ["0.000222222", "0.000777778"]  # there and back
    assert {row["CapacityReservationId"] for row in local} == {WINDOW.id}
    assert {row["CapacityReservationStatus"] for row in local} == {"Used"}
    assert [(row["PricingQuantity"], row["PricingUnit"]) for row in local] == [
        ("0.002777778", "Hours"),
        ("0.009722222", "Hours"),
    ]


def test_idle_time_is_the_unused_part_of_a_capacity_reservation(filled, tmp_path):
    rows, _ = exported(filled, tmp_path)
    (idle,) = [row for row in rows if row["x_ChargeBasis"] == "idle"]
    assert (idle["CapacityReservationId"], idle["CapacityReservationStatus"]) == (WINDOW.id, "Unused")
    assert (idle["ConsumedQuantity"], idle["ConsumedUnit"]) == ("0.0125", "Hours")  # 90 s less 45 s
    assert (idle["ChargePeriodStart"], idle["ChargePeriodEnd"]) == ("2025-11-25T12:00:00Z", "2025-11-25T12:01:30Z")
    assert (idle["BillingPeriodStart"], idle["BillingPeriodEnd"]) == ("2025-11-01T00:00:00Z", "2025-12-01T00:00:00Z")
    assert (idle["ResourceId"], idle["ResourceType"], idle["x_CallId"]) == ("AMD EPYC", "Device", None)


@ON_SQLITE
def test_repricing_idle_time_does_not_change_how_long_it_was(ledger, tmp_path):
    fill(ledger)
    ledger.add_charges(
        [charge(None, None, 9_000_000, "given:0.72/h", basis="idle")], run=RUN.id, window=WINDOW.id, repricing="r3"
    )
    rows, _ = exported(ledger, tmp_path)
    (idle,) = [row for row in rows if row["x_ChargeBasis"] == "idle"]
    assert (idle["BilledCost"], idle["ConsumedQuantity"]) == ("0.009", "0.0125")


def test_unknown_cost_is_never_0_and_never_lost(filled, tmp_path):
    _, rest = exported(filled, tmp_path)
    assert {row["x_CallId"]: row["x_WhyIncomplete"] for row in rest} == {
        UNPRICED.id: "no price is known (unpriced)",
        UNCHARGED.id: "nobody charged this attempt",
    }
    assert all(row["BilledCost"] is None for row in rest)
    assert {row["BillingPeriodStart"] for row in rest} == {"2025-11-01T00:00:00Z"}


def test_useful_tokens_add_up_to_the_ledgers(filled, tmp_path):
    rows, rest = exported(filled, tmp_path)
    by_call = {}
    for row in (*rows, *rest):
        if row["x_CallId"] and row["x_CputUsefulTokens"]:
            by_call[row["x_CallId"]] = by_call.get(row["x_CallId"], 0) + int(row["x_CputUsefulTokens"])
    facts = [fact_of(record, cost=None) for record in filled.calls()]
    assert by_call == {fact.id: fact.useful_tokens for fact in facts if fact.useful_tokens}
    assert {row["x_CallId"]: row["x_Verdict"] for row in rows if row["x_CallId"]} == {
        LOCAL.id: "useful",
        HOSTED.id: "useful",
        CACHED.id: "useful",
    }


def test_the_file_and_a_question_about_cost_agree(ledger, tmp_path):
    fill(ledger)
    rows, rest = exported(ledger, tmp_path)
    for group in costs(ledger, Question(by=("workload",))).groups:
        mine = [row for row in (*rows, *rest) if row["x_WorkloadName"] == group.key["workload"]]
        assert sum(Decimal(row["BilledCost"] or 0) for row in mine) == from_nano_usd(group.sums.cost_nano_usd)
        assert sum(int(row["x_CputUsefulTokens"] or 0) for row in mine) == group.sums.useful_tokens
        assert len({row["x_CallId"] for row in mine if row["x_WhyIncomplete"]}) == group.sums.moments.unpriced


@ON_SQLITE
def test_the_threshold_decides_what_is_useful(ledger, tmp_path):
    call = Call(id=new_id(), workload="graded")
    ledger.record_sync(call, [leg(call, 0)], [charge(call, 0, 5)])
    ledger.add_outcomes([Outcome(call_id=call.id, name="grade", value=0.6, source=Source.JUDGE)])
    for threshold, verdict, tokens in ((0.5, "useful", "20"), (0.7, "useless", "0")):
        rows, _ = exported(
            ledger, tmp_path, selection=Selection(workload="graded"), threshold=threshold, overwrite=True
        )
        assert (rows[0]["x_Verdict"], rows[0]["x_CputUsefulTokens"]) == (verdict, tokens)


def test_a_second_charge_of_an_attempt_does_not_count_its_tokens_again(filled, tmp_path):
    rows, _ = exported(filled, tmp_path)
    good = [row for row in rows if row["x_CallId"] == HOSTED.id and row["x_AttemptNumber"] == "1"]
    assert [row["x_ChargeBasis"] for row in good] == ["usage", "flat"]
    assert [row["x_OutputTokens"] for row in good] == ["300", None]
    assert [row["x_CputUsefulTokens"] for row in good] == ["300", "0"]
    assert [(row["ConsumedQuantity"], row["ConsumedUnit"]) for row in good] == [("2306", "Tokens"), ("1", "Requests")]


@ON_SQLITE
def test_a_charge_of_the_whole_call_stands_for_its_attempts(ledger, tmp_path):
    call = Call(id=new_id())
    ledger.record_sync(
        call,
        [leg(call, 0), leg(call, 1)],
        [Charge(call_id=call.id, seq=None, incremental_nano_usd=12, price_version="p", basis="flat")],
    )
    rows, rest = exported(ledger, tmp_path)
    assert [(row["BilledCost"], row["x_AttemptNumber"]) for row in rows] == [("0.000000012", None)]
    assert rest == []


def test_charges_without_a_time_are_kept_apart_with_their_money(ledger, tmp_path):
    lost = Call(id=new_id())
    ledger.add_charges([charge(lost, 0, 5), charge(None, None, 7, basis="idle")])
    rows, rest = exported(ledger, tmp_path)
    assert rows == []
    assert sorted(row["BilledCost"] for row in rest) == ["0.000000005", "0.000000007"]
    assert all("time is unknown" in row["x_WhyIncomplete"] for row in rest)


def test_a_selection_takes_its_calls_and_the_idle_time_of_its_runs(filled, tmp_path):
    def calls(**limits):
        rows, rest = exported(filled, tmp_path, selection=Selection(**limits), overwrite=True)
        return {row["x_CallId"] for row in (*rows, *rest)}

    assert calls(workload="ifeval") == {LOCAL.id, None}
    assert calls(run=RUN.id) == {LOCAL.id, None}
    assert calls(tenant="acme") == {HOSTED.id, CACHED.id}
    assert calls(policy="cascade") == {HOSTED.id}
    assert calls(since_s=NOON + 30) == {CACHED.id}
    assert calls(until_s=NOON) == set()
    assert calls(until_s=NOON + 0.1) == {None}  # the window began at noon, the first call a moment later


def test_parquet_holds_the_same_as_csv(filled, tmp_path):
    as_text, _ = exported(filled, tmp_path)
    written = export_focus(filled, tmp_path / "out.parquet")
    table = pq.read_table(written.path)
    assert table.column_names == list(NAMES)
    for row, text in zip(table.to_pylist(), as_text, strict=True):
        for column in COLUMNS:
            value, said = row[column.name], text[column.name]
            if value is None or said is None:
                assert value is said is None, column
            elif column.kind == "Decimal":
                assert value == Decimal(said)
            elif column.kind == "Date/Time":
                assert value == datetime.strptime(said, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            elif column.kind == "JSON":
                assert json.loads(value) == json.loads(said)
            elif column.kind == "Boolean":
                assert str(value).lower() == said
            else:
                assert str(value) == said


def test_duckdb_opens_both_and_adds_up_exactly(filled, tmp_path):
    for ending in ("csv", "parquet"):
        export_focus(filled, tmp_path / f"out.{ending}")
    with duckdb.connect() as database:
        exact = "sum(BilledCost::DECIMAL(38, 9)), sum(x_CputUsefulTokens::BIGINT), count(*)"
        texts = database.sql(
            f"SELECT {exact} FROM read_csv('{tmp_path}/out*.csv', union_by_name = true, types = {{'BilledCost': 'DECIMAL(38, 9)'}})"
        ).fetchall()
        columns = database.sql(f"SELECT {exact} FROM read_parquet('{tmp_path}/out*.parquet')").fetchall()
        assert texts == columns == [(Decimal("0.014865008"), 332, 9)]
        by_provider = dict(
            database.sql(
                f"SELECT ProviderName, sum(BilledCost) FROM '{tmp_path}/out.parquet' GROUP BY 1 ORDER BY 1"
            ).fetchall()
        )
    assert by_provider == {
        "azure": Decimal("0.00725"),
        "openai": Decimal("0.005615001"),
        "self-hosted": Decimal("0.002000007"),
    }


def test_the_golden_file_is_what_is_written(ledger, tmp_path):
    """One small ledger, byte for byte: a change of the export shows here."""
    fill(ledger)
    written = export_focus(ledger, tmp_path / "focus.csv")
    assert written.path.read_bytes() == GOLDEN.read_bytes()


def test_nothing_half_written_looks_whole(filled, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_focus(filled, tmp_path / "out.parquet", progress=stop)
    assert list(tmp_path.glob("out*")) == list(tmp_path.glob(".out*")) == []


def test_progress_hears_every_call(filled, tmp_path):
    heard = []
    export_focus(filled, tmp_path / "out.csv", progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 5) for done in range(1, 6)]


def test_a_file_is_replaced_only_when_asked_and_its_second_one_goes_with_it(filled, tmp_path):
    written = export_focus(filled, tmp_path / "out.csv")
    assert written.incomplete_path is not None
    with pytest.raises(InputError, match="exists; name another file, or give --overwrite"):
        export_focus(filled, tmp_path / "out.csv")
    again = export_focus(filled, tmp_path / "out.csv", Selection(workload="ifeval"), overwrite=True)
    assert again.incomplete_path is None
    assert not (tmp_path / "out.incomplete.csv").exists()  # it would not belong to the new one


@ON_SQLITE
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("out.xlsx", "unknown ending of the file 'xlsx'"),
        ("out", "ending of the file"),
        ("no/out.csv", "there is no folder"),
    ],
)
def test_a_place_that_is_no_place_is_named(ledger, tmp_path, name, says):
    with pytest.raises(InputError, match=says):
        export_focus(ledger, tmp_path / name)


@ON_SQLITE
def test_a_folder_is_no_file(ledger, tmp_path):
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        export_focus(ledger, tmp_path / "out.csv")


@ON_SQLITE
def test_without_pyarrow_parquet_names_the_extra(ledger, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SetupError, match=r"pip install 'cput\[export\]'"):
        export_focus(ledger, tmp_path / "out.parquet")
    export_focus(ledger, tmp_path / "out.csv")  # CSV needs nothing


amounts = st.one_of(st.none(), st.integers(min_value=-(10**15), max_value=2**62))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(amounts, max_size=3), min_size=1, max_size=6), st.lists(amounts, max_size=2))
def test_whatever_is_charged_adds_up(tmp_path_factory, charged_calls, idle):
    """Any money in effect is in exactly one row of the two files; what is unknown is in none as a number."""
    folder = tmp_path_factory.mktemp("focus")
    with Ledger.open(folder / "l.db") as book:
        run = Run(kind="measure", workload="w", workload_digest="d", engine="e", started_s=NOON)
        book.start_run(run)
        for legs in charged_calls:
            call = Call(prompt="p")
            book.record_sync(
                call,
                [leg(call, seq) for seq in range(len(legs))],
                [charge(call, seq, nano) for seq, nano in enumerate(legs)],
            )
        for nano in idle:
            window = Window(run=run.id, started_s=NOON, ended_s=NOON + 1, rate_nano_usd_per_h=1)
            book.add_window(window)
            book.add_charges([charge(None, None, nano, basis="idle")], run=run.id, window=window.id)
        rows, rest = exported(book, folder)
        known = [nano for nano in (*(nano for legs in charged_calls for nano in legs), *idle) if nano is not None]
        assert sorted(Decimal(row["BilledCost"]) for row in rows) == sorted(from_nano_usd(nano) for nano in known)
        assert len(rest) == sum(len(legs) for legs in charged_calls) + len(idle) - len(known)
