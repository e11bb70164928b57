"""The engine bench's arithmetic and its command line; no engine runs here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

from engine_figures import boundary_cost, decode_flops_per_token, ratio, sample_of, spread
from engine_llama import batched_rows
from engine_options import BARE, LLAMA, OURS, parse

from cput.errors import InputError


def answer(wall_s, ttft_s=0.1, e2e_s=1.1, count=2):
    one = {"ttft_s": ttft_s, "e2e_s": e2e_s, "input_tokens": 10, "output_tokens": 11, "text": "x", "ids": None}
    return {"wall_s": wall_s, "requests": [one] * count}


def taken(contestant, round_, wall_s):
    return sample_of(answer(wall_s), contestant=contestant, precision="f16", concurrency=2, round_=round_)


def test_a_sample_counts_tokens_over_the_wall_and_tpot_without_the_first_token():
    found = taken(OURS, 0, 2.0)
    assert found.tokens_per_s == pytest.approx(11.0)
    assert found.tpot_s == pytest.approx(0.1)
    assert found.decode_tokens_per_s == pytest.approx(20.0)


def test_ratios_are_taken_within_a_round_so_that_a_slow_round_cancels_out():
    samples = [taken(OURS, 0, 1.0), taken(LLAMA, 0, 2.0), taken(OURS, 1, 10.0), taken(LLAMA, 1, 20.0)]
    found = ratio(samples, (LLAMA, "f16", 2), "tokens_per_s")
    assert (found.median, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_boundary_costs_what_the_bare_library_is_faster():
    samples = [taken(OURS, 0, 1.0), taken(BARE, 0, 0.9)]
    assert boundary_cost(samples, "f16", 2).median == pytest.approx(0.1)
    more = [taken(OURS, n, 1.0) for n in (1, 2, 3, 4)] + [taken(BARE, n, 1.0 - n / 100) for n in (1, 2, 3, 4)]
    assert boundary_cost(more, "f16", 2) == pytest.approx((0.025, 0.0175, 0.0325, 4))
    assert boundary_cost(samples[:1], "f16", 2) is None


def test_nothing_measured_is_unknown():
    assert spread([]) is None


def test_more_context_means_more_operations_a_token():
    size = {"parameters": 1000, "layers": 2, "heads": 4, "head_dim": 8}
    assert decode_flops_per_token(**size, context=0) >= 2000
    assert decode_flops_per_token(**size, context=100) > decode_flops_per_token(**size, context=10)


def test_batched_bench_rows_are_read_among_its_log_lines():
    text = 'log line\n{"pl": 8, "speed_tg": 120.5, "speed_pp": 900.0, "other": 1}\n'
    assert [tuple(row) for row in batched_rows(text)] == [(8, 120.5, 900.0)]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--rounds", "0"], "--rounds is 0"),
        (["--concurrency", "1,x"], "--concurrency is '1,x'"),
        (["--new-tokens", "1"], "--new-tokens is 1"),
        (["--precisions", "f17"], "did you mean 'f16'"),
        (["--without", "openvino"], "cannot be left out"),
        (["--fast"], "--fast"),
    ],
)
def test_a_wrong_option_is_one_sentence(argv, says):
    with pytest.raises(InputError, match=says):
        parse(argv)


def test_quick_leaves_transformers_out():
    quick = parse(["--quick"])
    assert "transformers" in quick.without
    assert quick.concurrency == (1, 8)
