import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError
from cput.measure.arrivals import ClosedLoop, Poisson, Trace, load_trace


async def indices(arrivals, calls):
    return [index async for index in arrivals.times(calls)]


async def test_every_call_arrives_once_and_in_order():
    for arrivals in (ClosedLoop(3), Poisson(2000, seed=1), Trace((0.0, 0.001, 0.001), "t")):
        assert await indices(arrivals, 7) == list(range(7))


async def test_poisson_arrivals_have_the_asked_mean_rate():
    loop = asyncio.get_running_loop()
    began = loop.time()
    await indices(Poisson(1000, seed=3), 500)
    assert 0.25 < loop.time() - began < 5  # half a second on average; the upper bound only catches a wrong unit


@pytest.mark.parametrize(
    ("name", "text", "offsets"),
    [
        ("a.jsonl", '{"timestamp": 10}\n{"timestamp": 12.5}\n', (0.0, 2.5)),
        ("a.jsonl", '{"timestamp_ms": 3000}\n{"timestamp_ms": 1000}\n', (0.0, 2.0)),
        ("a.jsonl", "1\n2\n", (0.0, 1.0)),
        ("a.csv", "arrived_at,num_prefill_tokens\n0.5,10\n1.5,20\n", (0.0, 1.0)),
    ],
)
def test_traces_are_read_from_the_fields_that_the_field_uses(tmp_path, name, text, offsets):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert load_trace(tmp_path / name).offsets_s == offsets


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no arrivals"), ("{", ":1: not JSON"), ('{"x": 1}', "no arrival time"), ('{"offset_s": "soon"}', "'soon'")],
)
def test_a_bad_trace_is_one_sentence_with_its_line(tmp_path, text, says):
    (tmp_path / "t.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        load_trace(tmp_path / "t.jsonl")


@given(st.integers(max_value=0))
def test_a_closed_loop_needs_at_least_one_call(concurrency):
    with pytest.raises(InputError, match=str(concurrency)):
        ClosedLoop(concurrency)
