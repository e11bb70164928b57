"""What was folded is kept, brought up to date by little, and never believed where it may be wrong."""

import random
import time

import pytest
from costs_by_hand import expect_the_same, write_some
from sqlalchemy import func, select

from cput.errors import SetupError
from cput.ledger import schema
from cput.ledger.folding import Folding, FoldingApart
from cput.ledger.query import Question, ask, costs, kept, marks
from cput.ledger.query.fold import fold
from cput.ledger.query.scan import scan
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.records import Attempt, Call, Charge, Finish, Outcome, Source, Usage

USAGE = Question(by=("workload", "tenant"), basis="usage")


@pytest.fixture
def book(tmp_path, monkeypatch):
    """An SQLite ledger of 10 calls in three segments, all of it folded and kept."""
    monkeypatch.setattr(kept, "SEGMENT_CALLS", 4)
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        write_some(ledger, random.Random(1).choice, calls=10, look=lambda: None)
        costs(ledger, USAGE)
        yield ledger


def news(book):
    with snapshot(book) as connection:
        return kept.changed(connection)


def rows(book, table):
    with snapshot(book) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def run(book, statement, *values):
    with book._database.writing.begin() as connection:
        connection.exec_driver_sql(statement, values)


def say(book, **fields):
    book.add_outcomes([Outcome(name="thumbs", value=1.0, source=Source.HUMAN, observed_s=99.0, **fields)])


def test_the_second_question_folds_nothing(book, monkeypatch):
    first = costs(book, USAGE)
    monkeypatch.setattr(kept, "fold", None)
    assert costs(book, USAGE) == first


def test_calls_are_kept_in_segments_of_a_fixed_size(book):
    calls = rows(book, schema.calls)
    assert calls > 8
    assert rows(book, schema.folds) == -(-calls // 4)


@pytest.mark.parametrize("about", ["call_id", "external_key", "episode"])
def test_a_late_outcome_is_laid_over_as_a_patch_of_its_calls_alone(book, about):
    target = next(record.call for record in book.calls() if about == "call_id" or getattr(record.call, about))
    say(book, **{about: target.id if about == "call_id" else getattr(target, about)})
    change = news(book)
    assert not change.anew
    assert set(change.segments) == {-1}
    assert len(change.segments[-1]) < rows(book, schema.calls)
    if about == "call_id":
        assert len(change.segments[-1]) == 1
    expect_the_same(costs(book, USAGE), book.calls())
    assert news(book) is None


def test_an_outcome_about_nobody_changes_no_segment_and_waits_for_its_call(book):
    say(book, call_id="later")
    assert news(book).segments == {}
    costs(book, USAGE)
    later = Call(id="later", workload="a")
    leg = Attempt(call_id="later", seq=0, engine="e", usage=Usage(output=5), started_s=1.0, finish=Finish.STOP)
    book.record_sync(later, [leg])
    before = costs(book, Question(workload="a")).total
    assert before.sums.moments.useful >= 1
    expect_the_same(costs(book, USAGE), book.calls())


def test_a_late_attempt_and_a_repriced_charge_are_folded_again(book):
    call = book.calls()[0].call
    leg = Attempt(call_id=call.id, seq=9, engine="e", usage=Usage(output=50), started_s=1.0, finish=Finish.STOP)
    book.record_sync(call, [leg])
    assert set(news(book).segments) == {-1}
    expect_the_same(costs(book, USAGE), book.calls())
    charge = Charge(call_id=call.id, seq=9, incremental_nano_usd=77, price_version="v9", basis="usage")
    for repricing in (None, "again"):
        book.add_charges([charge], repricing=repricing)
        assert set(news(book).segments) == {-1}
        expect_the_same(costs(book, USAGE), book.calls())


def test_patches_pile_up_in_order_until_all_is_written_anew(book, monkeypatch):
    """A call said to be useful, then not, then useful again is what was said last, wherever that is kept."""
    monkeypatch.setattr(kept, "_PATCHED_SHARE", 1)  # ten patched calls of ten, in patches of at most four
    calls, lowest = [record.call for record in book.calls()], []
    for turn, number in enumerate([0, 5, 0, 6, 7, 8, 0, 1, 2, 3, 4, 9]):
        call, at = calls[number], 100.0 + turn
        value = float(turn % 2)
        book.add_outcomes([Outcome(call_id=call.id, name="t", value=value, source=Source.HUMAN, observed_s=at)])
        expect_the_same(costs(book, USAGE), book.calls())
        with snapshot(book) as connection:
            lowest.append(connection.execute(select(func.min(schema.folds.c.number))).scalar_one())
    assert lowest == [-1, -1, -1, -1, -1, -2, -2, -2, -2, -3, -3, 0]


def test_most_calls_being_touched_folds_everything_anew(book, monkeypatch):
    monkeypatch.setattr(kept, "_FEWEST_ANEW", 2)
    for record in book.calls():
        say(book, call_id=record.call.id)
    assert news(book).anew
    expect_the_same(costs(book, USAGE), book.calls())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE calls SET rowid = rowid + 100",
        "UPDATE fold_marks SET identity = 'another' WHERE source = 'outcomes'",
        "UPDATE folds SET data = x'00'",
        "UPDATE folds SET data = x'c1'",
        "DELETE FROM fold_marks",
        "DELETE FROM fold_marks WHERE source = 'charges'",
        "DELETE FROM folds",
    ],
)
def test_folds_that_cannot_be_believed_are_made_anew(book, damage):
    run(book, damage)
    say(book, call_id=book.calls()[0].call.id)
    for _ in range(2):
        expect_the_same(costs(book, USAGE), book.calls())
    assert news(book) is None


def test_folds_of_another_format_are_made_anew(book, monkeypatch):
    monkeypatch.setattr(marks, "FORMAT", marks.FORMAT + 1)
    assert news(book).anew
    expect_the_same(costs(book, USAGE), book.calls())
    assert news(book) is None


def test_a_ledger_that_cannot_be_written_answers_all_the_same(book, monkeypatch):
    def refuse(_):
        raise SetupError("the disk is full")

    say(book, call_id=book.calls()[0].call.id)
    with monkeypatch.context() as patched:
        patched.setattr(ask, "writing", refuse)
        expect_the_same(costs(book, USAGE), book.calls())
    assert news(book) is not None


def test_of_two_processes_that_fold_at_once_the_quicker_one_is_kept(book):
    first, second = book.calls()[0].call, book.calls()[-1].call
    say(book, call_id=first.id)
    slow = news(book)
    say(book, call_id=second.id)
    costs(book, USAGE)
    with book._database.writing.begin() as connection:
        kept.keep(connection, slow)
    assert news(book) is None
    expect_the_same(costs(book, USAGE), book.calls())


def test_a_part_of_many_new_calls_is_folded_at_a_time_without_losing_any(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "SEGMENT_CALLS", 4)
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        write_some(ledger, random.Random(2).choice, calls=15, look=lambda: None)
        steps = []
        while steps[-1:] != [None]:
            with snapshot(ledger) as connection:
                steps.append(kept.changed_a_little(connection))
            if steps[-1] is not None:
                with ledger._database.writing.begin() as connection:
                    kept.keep(connection, steps[-1])
            if len(steps) == 2:  # while they are being folded, more is said about those that are, and those that aren't
                for number in (0, 14):
                    say(ledger, call_id=f"call {number}")
        assert len(steps) == 5
        assert news(ledger) is None
        expect_the_same(costs(ledger, USAGE), ledger.calls())


def test_calls_are_folded_while_they_arrive(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "SEGMENT_CALLS", 4)
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        folding = Folding(ledger._database, every_rows=8)
        write_some(ledger, random.Random(3).choice, calls=12, look=lambda: None)
        folding.saw(7)
        assert rows(ledger, schema.folds) == 0
        folding.saw(1)
        deadline = time.monotonic() + 30
        while rows(ledger, schema.folds) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        folding.close()
        folding.close()
        folding.saw(100)  # too late, and no harm
        assert rows(ledger, schema.folds) == 3
        expect_the_same(costs(ledger, USAGE), ledger.calls())


def test_a_process_apart_folds_while_another_writes(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger.open(path, fold_apart=True) as ledger:
        folding = FoldingApart(str(path), every_rows=8)
        write_some(ledger, random.Random(3).choice, calls=12, look=lambda: None)
        folding.saw(7)
        assert folding._process is None
        folding.saw(1)
        assert folding._process.wait(60) == 0
        folding.close()
        folding.close()
        assert rows(ledger, schema.folds) > 0
        expect_the_same(costs(ledger, USAGE), ledger.calls())


def test_a_process_that_still_folds_is_ended_and_nothing_is_lost(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        folding = FoldingApart(str(tmp_path / "ledger.db"), every_rows=1)
        write_some(ledger, random.Random(3).choice, calls=12, look=lambda: None)
        folding.saw(1)
        folding.close()
        assert folding._process.returncode is not None
        expect_the_same(costs(ledger, USAGE), ledger.calls())


def test_a_database_without_order_of_arrival_keeps_nothing_and_forgets_nothing(ledger):
    write_some(ledger, random.Random(4).choice, calls=6, look=lambda: None)
    costs(ledger, USAGE)
    numbered = ledger._database.reading.dialect.name == "sqlite"
    assert (rows(ledger, schema.folds) > 0) == numbered
    folding = Folding(ledger._database, every_rows=1)
    folding.saw(10)
    folding.close()
    expect_the_same(costs(ledger, USAGE), ledger.calls())


def test_moments_and_values_are_read_to_the_last_bit(ledger):
    """SQLite's JSON has 15 digits; an order of two words may hang on the 17th."""
    values = [1 / 3, 0.1 + 0.2, 1 - 2**-53, 2**-10 + 2**-60, 1.0, 0.0]
    times = [1_762_000_000.123456, 1_762_000_000.123456 + 2**-22, 0.1, 5e8 / 7, 1.0, 2.0]
    for number, (value, at) in enumerate(zip(values, times, strict=True)):
        call = Call(id=f"c{number}")
        leg = Attempt(call_id=call.id, seq=0, engine="e", usage=Usage(), started_s=at, finish=Finish.STOP)
        said = Outcome(call_id=call.id, name="n", value=value, source=Source.CHECK, observed_s=at)
        ledger.record_sync(call, [leg], outcomes=[said])
    with snapshot(ledger) as connection:
        columns = fold(scan(connection))
    assert sorted(columns.value) == sorted(values)
    assert sorted(columns.started_s) == sorted(times)
