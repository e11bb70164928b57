"""A ledger written as JSON Lines and read into another one is the same ledger."""

import asyncio
import json
from pathlib import Path

import duckdb
import pytest
from backends import ON_SQLITE
from export_ledgers import CACHED, HOSTED, LOCAL, NOON, RUN, WINDOW, charge, fill, leg
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from cput.errors import InputError, SetupError
from cput.ledger import schema
from cput.ledger.energy import read_energy
from cput.ledger.export import Selection, export_jsonl, import_jsonl
from cput.ledger.grounds import read_grounds
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Call, Grounds, Message, Option, Outcome, Sampling, Source

GOLDEN = Path(__file__).parent / "golden" / "ledger.jsonl"
KEPT = (schema.runs, schema.windows, schema.energies, schema.calls, schema.attempts, schema.outcomes, schema.grounds)


@pytest.fixture
def filled(ledger) -> Ledger:
    fill(ledger)
    return ledger


def everything(ledger: Ledger) -> dict[str, list]:
    """Every row of every table that is not derived; charges in the order of each call's, without their numbers."""
    with snapshot(ledger) as connection:
        found = {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in KEPT
        }
        charges = [tuple(row) for row in connection.execute(select(schema.charges).order_by(schema.charges.c.id))]
    found["charges"] = sorted((row[1:] for row in charges), key=lambda row: str(row[:2]))  # stable: order within a call
    found["ends"] = [(run.id, run.ended_s) for run in ledger.runs()]
    return found


def copied(ledger: Ledger, folder: Path, times: int = 1) -> Ledger:
    export_jsonl(ledger, folder / "l.jsonl", overwrite=True)
    other = Ledger.open(folder / "other.db")
    for _ in range(times):
        import_jsonl(other, folder / "l.jsonl")
    return other


def test_export_then_import_is_the_identity(filled, tmp_path):
    with copied(filled, tmp_path) as other:
        assert everything(other) == everything(filled)
        assert other.calls() == filled.calls()
        assert other.idle_charges(RUN.id) == filled.idle_charges(RUN.id)
        assert read_energy(other, RUN.id) == read_energy(filled, RUN.id)
        assert other.windows(RUN.id) == (WINDOW,)


def test_a_call_for_vectors_comes_through_whole(ledger, tmp_path):
    asked = Call(embed=("数据", (1, 2)), dimensions=64, sampling=Sampling(max_new_tokens=0))
    ledger.record_sync(asked, [leg(asked, 0)])
    with copied(ledger, tmp_path) as other:
        assert [record.call for record in other.calls()] == [asked]


def test_grounds_come_along_those_of_a_call_that_nobody_was_asked_for_too(filled, tmp_path):
    options = (Option(engine="a", asked=True, score=0.5, threshold=0.75, note="passed"), Option(engine="b"))
    asked = filled.calls()[0].call.id
    for call_id in (asked, "answered-by-a-cache"):
        asyncio.run(filled.explain(call_id, Grounds(chosen="a", reason="stop_rule", options=options, source_call="s")))
    with copied(filled, tmp_path, times=2) as other:
        assert everything(other)["grounds"] == everything(filled)["grounds"]
        assert len(everything(other)["grounds"]) == 2
        assert read_grounds(other, asked).options == options


def test_importing_twice_changes_nothing(filled, tmp_path):
    with copied(filled, tmp_path, times=2) as other:
        assert everything(other) == everything(filled)


@ON_SQLITE
def test_importing_into_the_ledger_itself_changes_nothing(filled, tmp_path):
    before = everything(filled)
    export_jsonl(filled, tmp_path / "l.jsonl")
    import_jsonl(filled, tmp_path / "l.jsonl")
    assert everything(filled) == before


def test_the_golden_file_is_written_as_it_was_read(ledger, tmp_path):
    """An old export stays readable, byte for byte: a change of the format shows here."""
    assert import_jsonl(ledger, GOLDEN) == (10, 5)
    export_jsonl(ledger, tmp_path / "l.jsonl")
    assert (tmp_path / "l.jsonl").read_bytes() == GOLDEN.read_bytes()


def test_an_import_adds_what_came_later(filled, tmp_path):
    with copied(filled, tmp_path) as other:
        filled.add_charges([charge(LOCAL, 1, 5, "p9")], run=RUN.id)
        filled.add_outcomes([Outcome(call_id=CACHED.id, name="n", value=0.0, source=Source.HUMAN, observed_s=NOON)])
        filled.end_run(RUN.id, NOON + 500)
        export_jsonl(filled, tmp_path / "again.jsonl")
        import_jsonl(other, tmp_path / "again.jsonl")
        assert everything(other) == everything(filled)


@ON_SQLITE
def test_idle_charges_without_a_window_are_counted_and_not_merged(ledger, tmp_path):
    ledger.start_run(RUN)
    same = [charge(None, None, 5, basis="idle")] * 600  # more than one batch of lines
    ledger.add_charges(same, run=RUN.id)
    with copied(ledger, tmp_path, times=2) as other:
        assert len(other.idle_charges(RUN.id)) == 600


@ON_SQLITE
def test_outcomes_by_key_and_episode_and_of_nobody_all_come_along(filled, tmp_path):
    export_jsonl(filled, tmp_path / "l.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text(encoding="utf-8").splitlines()]
    by_call = {line["id"]: [one["name"] for one in line["outcomes"]] for line in lines if line["type"] == "call"}
    assert by_call[HOSTED.id] == ["solved", "thumbs", "thumbs"]
    assert by_call[CACHED.id] == ["solved"]
    assert [line["external_key"] for line in lines if line["type"] == "outcome"] == ["order-of-tomorrow"]


@ON_SQLITE
def test_a_selection_leaves_the_rest_out(filled, tmp_path):
    export_jsonl(filled, tmp_path / "l.jsonl", Selection(tenant="acme"))
    lines = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["id"] for line in lines if line["type"] == "call"} == {HOSTED.id, CACHED.id}
    assert not [line for line in lines if line["type"] in {"charge", "outcome"}]


@ON_SQLITE
def test_duckdb_opens_it(filled, tmp_path):
    export_jsonl(filled, tmp_path / "l.jsonl")
    with duckdb.connect() as database:
        found = database.sql(
            f"SELECT workload, count(*), sum(len(attempts)) FROM read_json('{tmp_path}/l.jsonl') "
            "WHERE type = 'call' GROUP BY 1 ORDER BY 1"
        ).fetchall()
        money = database.sql(
            "SELECT sum(c.incremental_nano_usd) FROM (SELECT unnest(charges) AS c "
            f"FROM read_json('{tmp_path}/l.jsonl') WHERE external_key = 'order-1')"
        ).fetchall()
    assert found == [("chat", 4, 5), ("ifeval", 1, 2)]
    assert money == [(12_865_001,)]


@ON_SQLITE
def test_an_interrupted_export_leaves_no_file(filled, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_jsonl(filled, tmp_path / "l.jsonl", progress=stop)
    assert list(tmp_path.glob("*l.jsonl*")) == []


HEAD = '{"type":"cput","format":1}'
CALL = '{"type":"call","id":"c","recorded_s":1.0,"attempts":[%s],"charges":[%s],"outcomes":[%s]}'
LEG = '{"seq":0,"role":"serve","engine":"e","usage_complete":1,"counted_by":"engine","started_s":1.0,"finish":"stop"}'


@ON_SQLITE
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("not json", ":2 is not JSON"),
        ("[1]", ":2 is list; allowed: a JSON object"),
        ('{"type":"cal"}', "did you mean 'call'"),
        ('{"type":"call"}', ":2: id is missing"),
        ('{"type":"call","id":"c","recorded_s":"now"}', ":2: recorded_s is 'now'; allowed: a number"),
        ('{"type":"call","id":7,"recorded_s":1.0}', ":2: id is 7; allowed: a text"),
        ('{"type":"call","id":"c","recorded_s":1.0,"tenent":"x"}', "unknown field 'tenent'; did you mean 'tenant'"),
        ('{"type":"call","id":"c","recorded_s":1.0,"messages":["hi"]}', "messages does not read as it should"),
        ('{"type":"call","id":"c","recorded_s":1.0,"attempts":{}}', "allowed: a list of objects"),
        (CALL % (LEG.replace("serve", "server"), "", ""), "2, attempts: unknown role 'server'; did you mean 'serve'"),
        (CALL % (LEG.replace('"seq":0', '"seq":0.5'), "", ""), "seq is 0.5; allowed: a whole number"),
        (CALL % (LEG.replace("{", '{"gaps_s":["x"],'), "", ""), "gaps_s is .* allowed: a list of seconds"),
        ('{"type":"run","id":"r"}', "kind is missing"),
    ],
)
def test_a_wrong_line_is_named_with_the_field_and_what_is_allowed(ledger, tmp_path, line, says):
    (tmp_path / "l.jsonl").write_text(f"{HEAD}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=says):
        import_jsonl(ledger, tmp_path / "l.jsonl")
    assert ledger.calls() == ()


@ON_SQLITE
def test_a_file_of_something_else_is_refused_at_its_first_line(ledger, tmp_path):
    (tmp_path / "l.jsonl").write_text('{"id": "q1", "prompt": "hi"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="allowed as the first line"):
        import_jsonl(ledger, tmp_path / "l.jsonl")


@ON_SQLITE
def test_what_stands_before_a_wrong_line_is_in_and_the_mended_file_brings_the_rest(ledger, tmp_path):
    calls = [f'{{"type":"call","id":"c{i}","recorded_s":1.0}}' for i in range(1200)]
    broken = [HEAD, *calls[:1100], "not json", *calls[1100:]]
    (tmp_path / "l.jsonl").write_text("\n".join(broken), encoding="utf-8")
    with pytest.raises(InputError, match=r"l\.jsonl:1102 is not JSON"):
        import_jsonl(ledger, tmp_path / "l.jsonl")
    assert len(ledger.calls()) == 1100
    (tmp_path / "l.jsonl").write_text("\n".join([HEAD, *calls]), encoding="utf-8")
    assert import_jsonl(ledger, tmp_path / "l.jsonl") == (1201, 1200)
    assert len(ledger.calls()) == 1200


@ON_SQLITE
def test_a_missing_file_and_a_folder_are_named(ledger, tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        import_jsonl(ledger, tmp_path / "no.jsonl")
    with pytest.raises(InputError, match="is a folder"):
        import_jsonl(ledger, tmp_path)


@ON_SQLITE
def test_a_full_disk_is_a_sentence(filled, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SetupError, match=r"cannot be written \(No space left on device\)"):
        export_jsonl(filled, tmp_path / "l.jsonl")
    assert list(tmp_path.glob("*l.jsonl*")) == []


texts = st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8))
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "tenant": texts,
                "external_key": texts,
                "episode": texts,
                "prompt": texts,
                "answer": texts,
                "started_s": numbers,
                "gaps_s": st.lists(numbers, max_size=4),
                "nano": st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), max_size=3),
                "temperature": st.floats(0, 2),
                "tags": st.dictionaries(
                    st.text(max_size=4).filter(lambda t: t.isprintable()), st.just("v"), max_size=2
                ),
            }
        ),
        max_size=5,
    )
)
def test_whatever_is_recorded_survives_the_way_there_and_back(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("jsonl")
    with Ledger.open(folder / "l.db") as book:
        for fields in made:
            call = Call(
                tenant=fields["tenant"],
                external_key=fields["external_key"],
                episode=fields["episode"],
                prompt=fields["prompt"],
                messages=(Message(role="user", content=fields["answer"] or ""),),
                sampling=Sampling(temperature=fields["temperature"]),
                tags=fields["tags"],
            )
            attempt = leg(call, 0, started_s=fields["started_s"], gaps_s=tuple(fields["gaps_s"]), text=fields["answer"])
            charges = [charge(call, 0, nano, f"p{n}") for n, nano in enumerate(fields["nano"])]
            book.record_sync(call, [attempt], charges)
        with copied(book, folder) as other:
            assert everything(other) == everything(book)
            assert other.calls() == book.calls()
