"""A table is served by one engine a model, which answer, say how sure they are and charge as recorded."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.engines.replay import RecordedPrices, open_engine
from cput.errors import InputError
from cput.ledger.meter import Metered
from cput.ledger.store import Ledger
from cput.policy.recorded import Recorded
from cput.policy.recordings import read_jsonl, replays, write_jsonl
from cput.records import Call, Sampling


def table(**changed) -> Recorded:
    fields = {
        "engines": ("small", "large"),
        "items": ("q1", "q2"),
        "prompts": ("one?", "two?"),
        "quality": np.array([[0.0, 1.0], [1.0, np.nan]]),
        "cost_usd": np.array([[0.0001, 0.002], [np.nan, 0.004]]),
        "tags": {"subject": ("law", "maths")},
        "answers": (("a b", "c"), ("d", None)),
        "confidence": np.array([[0.25, 0.5], [np.nan, 1.0]]),
    }
    return Recorded(**(fields | changed))


async def test_a_recorded_answer_is_charged_what_it_had_cost(tmp_path):
    """Each engine charges its own recorded cost; where none was recorded the charge is unknown, and not 0."""
    ledger = Ledger.open(tmp_path / "l.db")
    for engine in replays(table()):
        metered = Metered(engine, ledger, prices=RecordedPrices())
        for item in ("q1", "q2"):
            answer = metered.answer(Call(item=item))
            await answer.text()
            assert answer.ending.model == engine.name
    charges = {
        (record.call.item, attempt.engine): charge.incremental_nano_usd
        for record in ledger.calls()
        for attempt, charge in zip(record.attempts, record.charges, strict=True)
    }
    ledger.close()
    assert charges == {
        ("q1", "small"): 100_000,
        ("q2", "small"): None,
        ("q1", "large"): 2_000_000,
        ("q2", "large"): 4_000_000,
    }


async def test_the_mean_logprob_of_an_answer_is_its_confidence():
    """Where logprobs are asked for they say the recorded confidence; without, or where none was recorded, nothing."""
    small, large = replays(table())
    pieces = [piece async for piece in small.answer(Call(item="q1", sampling=Sampling(logprobs=True)))]
    said = [logprob for piece in pieces for logprob in piece.logprobs]
    assert math.exp(sum(said) / len(said)) == pytest.approx(0.25)
    assert not any([piece.logprobs async for piece in small.answer(Call(item="q1"))])
    assert not any([piece.logprobs async for piece in small.answer(Call(item="q2", sampling=Sampling(logprobs=True)))])
    assert await large.answer(Call(prompt="one?")).text() == "c"


async def test_a_table_without_texts_is_served_too(tmp_path):
    """Its engines answer with an empty text and charge as recorded."""
    small, _ = replays(table(answers=()))
    answer = small.answer(Call(item="q1"))
    assert await answer.text() == ""
    assert answer.so_far.parts == {"recorded_usd": 0.0001}


async def test_jsonl_serves_each_model_alone(tmp_path):
    """One file, an engine for each model; without a choice the file's two answers to one prompt are refused."""
    file = tmp_path / "answers.jsonl"
    write_jsonl(table(), file)
    assert await open_engine(file, model="large").answer(Call(item="q1")).text() == "c"
    assert await open_engine(file, model="small").answer(Call(item="q1")).text() == "a b"
    with pytest.raises(InputError, match=r"holds answers of several models; give model=... of: large, small"):
        open_engine(file)
    with pytest.raises(InputError, match=r"unknown model of recording .* 'larg'; did you mean 'large'\?"):
        open_engine(file, model="larg")


NUMBERS = st.one_of(st.just(math.nan), st.floats(0, 1))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.text(), *[NUMBERS] * 6), min_size=1, max_size=5))
def test_a_table_survives_its_file(tmp_path_factory, rows):
    """Written and read back it is the same, what is unknown included."""
    figures = np.array([row[1:] for row in rows])
    made = table(
        items=tuple(f"i{place}" for place in range(len(rows))),
        prompts=tuple(row[0] for row in rows),
        quality=figures[:, :2],
        cost_usd=figures[:, 2:4],
        confidence=figures[:, 4:],
        tags={"subject": tuple(row[0] for row in rows)},
        answers=tuple((row[0] or None, "x") for row in rows),
    )
    file = tmp_path_factory.mktemp("jsonl") / "t.jsonl"
    write_jsonl(made, file)
    read = read_jsonl(file)
    assert (read.engines, read.items, read.prompts, read.tags) == (made.engines, made.items, made.prompts, made.tags)
    assert read.answers == made.answers
    for name in ("quality", "cost_usd"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    sure = np.full(figures[:, 4:].shape, np.nan) if read.confidence is None else read.confidence
    np.testing.assert_array_equal(sure, figures[:, 4:])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"item": "a", "text": ""}', "a line of item 'a' has no 'model'"),
        (
            '{"item": "a", "text": "", "model": "m"}\n{"item": "a", "text": "", "model": "m"}',
            "has two lines of model 'm'",
        ),
        (
            (
                '{"item": "a", "text": "", "model": "m"}\n{"item": "a", "text": "", "model": "n"}\n'
                '{"item": "b", "text": "", "model": "m"}'
            ),
            "item 'b' has no line of model 'n'; every model answers every item",
        ),
        (
            '{"item": "a", "text": "", "model": "m", "score": 2}',
            "t.jsonl:1: 'score' is 2; it must be a number from 0 to 1",
        ),
        ('{"item": "a", "text": "", "model": "m", "cost_usd": -1}', "t.jsonl:1: 'cost_usd' is -1; it must be a number"),
        ('{"item": "a", "text": "", "model": 3}', "t.jsonl:1: 'model' is 3; it must be a name"),
        ('{"item": "a", "text": "", "model": "m", "tags": "x"}', "'tags' of an item is no object"),
    ],
)
def test_a_faulty_recording_is_refused(tmp_path, lines, message):
    file = tmp_path / "t.jsonl"
    file.write_text(lines)
    with pytest.raises(InputError, match=message):
        read_jsonl(file)
