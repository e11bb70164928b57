"""The engine bench's report and card on a tiny recorded run, its wire, and its weights; no engine runs here."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))

import engine_wire
from engine_card import show
from engine_client import ask
from engine_figures import Sample, agreement, same_prompts
from engine_llama import BatchedRow
from engine_options import BARE, LLAMA, OURS, parse
from engine_prompts import sample
from engine_report import Findings, Model, report
from engine_weights import hf_name, to_halves
from matrix_peak import Peak, best

from cput.engines.retry import Retried
from cput.errors import EngineUnavailable
from cput.models.huggingface import _interleave
from cput.protocols import Answer
from cput.records import Ending, Finish, Piece, Usage

HARDWARE = {"cpu": "a CPU", "cpu_features": ["avx2"]}
MODEL = Model(name="tiny", parameters=1000, layers=2, heads=4, head_dim=8, sha256={"f16": "ab"})
SPREAD = {"median", "low", "high", "rounds"}


def taken(contestant, round_, tokens_per_s, answers=("the same words",) * 8, input_tokens=80):
    return Sample(
        contestant=contestant,
        precision="f16",
        concurrency=1,
        round=round_,
        requests=8,
        input_tokens=input_tokens,
        tokens_per_s=tokens_per_s,
        ttft_s=0.1,
        tpot_s=1 / tokens_per_s,
        answers=answers,
    )


def peak(precision, library, rate, reason=None):
    return Peak(precision=precision, library=library, ops_per_s=rate, size=512, ran_as="k", reason=reason)


@pytest.fixture
def found():
    return Findings(
        samples=[
            *(taken(OURS, 0, 100.0), taken(BARE, 0, 102.0), taken(LLAMA, 0, 80.0)),
            *(taken(OURS, 1, 50.0), taken(BARE, 1, 51.0), taken(LLAMA, 1, 40.0)),
        ],
        pairs=[taken(OURS, 0, 100.0), taken(BARE, 0, 102.0), taken(OURS, 1, 50.0), taken(BARE, 1, 51.0)],
        batched=[("f16", 0, BatchedRow(1, 90.0, 500.0)), ("f16", 1, BatchedRow(1, 45.0, 250.0))],
        peaks=[
            peak("fp32", "numpy", 1e6),
            peak("fp32", "openvino", 2e6),
            peak("bf16", "openvino", None, "not supported by this CPU"),
        ],
        not_measured={"transformers": "no network"},
    )


@pytest.fixture
def card(found):
    options = parse(["--concurrency", "1", "--precisions", "f16", "--rounds", "2"])
    return report(found, options, MODEL, HARDWARE, {"cput": "0.1.0"})


def test_the_report_is_json_and_every_figure_has_its_spread_and_ratio(card):
    again = json.loads(json.dumps(card))
    assert again == card
    assert {row["contestant"] for row in card["figures"]} == {OURS, BARE, LLAMA}
    for row in card["figures"]:
        assert all(set(row[name]) == SPREAD for name in ("tokens_per_s", "ttft_s", "tpot_s", "decode_tokens_per_s"))
        assert all(set(row["ratio_to_ours"][name]) == SPREAD for name in ("tokens_per_s", "ttft_s", "tpot_s"))
    llama = next(row for row in card["figures"] if row["contestant"] == LLAMA)
    assert llama["tokens_per_s"] == {"median": 60.0, "low": 40.0, "high": 80.0, "rounds": 2}
    assert llama["ratio_to_ours"]["tokens_per_s"]["median"] == pytest.approx(0.8)


def test_the_report_carries_seed_versions_hardware_and_counts(card):
    assert card["prompts"]["seed"] == parse([]).seed
    assert (card["hardware"], card["versions"]) == (HARDWARE, {"cput": "0.1.0"})
    assert (card["sample_count"], card["requests_measured"]) == (6, 48)


def test_the_boundary_is_judged_by_its_target(card):
    (row,) = card["boundary"]
    assert row["cost_share"]["median"] == pytest.approx(1 - 100 / 102)
    assert row["met"] is True


def test_decoding_is_shared_against_the_best_library_of_a_precision(card):
    ours = card["figures"][0]
    achieved = ours["decode_tokens_per_s"]["median"] * ours["decode_flops_per_token"]
    assert ours["share_of_peak"] == {"fp32": pytest.approx(achieved / 2e6)}


def test_decode_only_rates_are_compared_with_our_decoding_of_the_same_round(card):
    (row,) = card["llama_batched_bench"]
    assert row["ratio_to_ours"]["median"] == pytest.approx(0.9)


def test_the_card_says_who_was_not_measured_and_why(card):
    out = io.StringIO()
    show(card, Console(file=out, width=160))
    assert "transformers: not measured: no network" in out.getvalue()
    assert "not supported by this CPU" in out.getvalue()
    assert "0.80" in out.getvalue()


def test_a_run_that_was_interrupted_at_once_still_reports(card):
    options = parse(["--quick"])
    empty = report(Findings(interrupted=True), options, MODEL, HARDWARE, {})
    out = io.StringIO()
    show(empty, Console(file=out, width=120))
    assert empty["figures"] == []
    assert "Interrupted" in out.getvalue()


def test_unequal_prompts_are_noticed():
    assert same_prompts([taken(OURS, 0, 1.0), taken(LLAMA, 0, 1.0)])
    assert not same_prompts([taken(OURS, 0, 1.0), taken(LLAMA, 0, 1.0, input_tokens=81)])


def test_agreement_is_over_answers_of_the_same_round():
    half = ("the same words",) * 4 + ("other words",) * 4
    samples = [taken(OURS, 0, 1.0), taken(LLAMA, 0, 1.0, answers=half), taken(LLAMA, 1, 1.0)]
    assert agreement(samples, (LLAMA, "f16", 1)) == 0.5
    assert agreement(samples, ("transformers", "f16", 1)) is None


def test_the_best_peak_of_a_precision_counts_and_unmeasured_ones_do_not():
    assert best([peak("fp32", "numpy", 3.0), peak("fp32", "openvino", 2.0), peak("int8", "openvino", None)]) == {
        "fp32": 3.0
    }


@given(st.integers(1, 20), st.integers(1, 20), st.integers())
def test_fewer_prompts_are_a_beginning_of_more(few, more, seed):
    contents = [str(number) for number in range(20)]
    few, more = sorted((few, more))
    assert sample(contents, few, seed) == sample(contents, more, seed)[:few]
    assert len(set(sample(contents, more, seed))) == more


@given(st.integers(1, 4), st.integers(1, 4))
def test_rotary_halves_undo_what_a_hugging_face_folder_goes_through_to_become_gguf(heads, pairs):
    values = np.arange(heads * pairs * 2 * 3, dtype=np.float16).reshape(-1, 3)
    assert np.array_equal(to_halves(_interleave(values, heads), heads), values)


def test_tensors_are_named_as_transformers_names_them():
    assert hf_name("blk.3.attn_output.weight") == "model.layers.3.self_attn.o_proj.weight"
    assert hf_name("token_embd.weight") == "model.embed_tokens.weight"


def test_a_contestant_that_answers_too_briefly_is_an_error_not_a_record():
    request = engine_wire.Request(ttft_s=0.1, e2e_s=0.2, input_tokens=5, output_tokens=3, text="")
    answer = engine_wire._answer(lambda _: [request], {"prompts": [{}], "new_tokens": 4})
    assert answer == {"error": "RuntimeError: an answer has 3 tokens where 4 were asked for"}


def test_the_reason_inside_an_exception_group_is_the_one_that_is_told():
    group = ExceptionGroup("unhandled", [ExceptionGroup("inner", [ValueError("bad\nthe reason")])])
    assert engine_wire.sentence(group) == "ValueError: the reason"


class Flaky:
    """Loses the first ``losses`` calls before their first piece."""

    name = "flaky"

    def __init__(self, losses):
        self.losses = losses

    def answer(self, call):
        return Answer(self.stream(call))

    async def stream(self, call):
        if self.losses:
            self.losses -= 1
            raise EngineUnavailable("server disconnected")
        yield Piece(text="a", tokens=1)
        usage = Usage(input_uncached=3, output=call.sampling.max_new_tokens)
        yield Ending(finish=Finish.LENGTH, usage=usage)

    async def aclose(self):
        pass


async def test_a_request_that_reached_nobody_is_sent_again_once():
    """As the bench opens llama-server: through the project's own retry."""
    request = await ask(Retried(Flaky(1), attempts=2, backoff_s=0), "hello", 2)
    assert (request.text, request.output_tokens, request.input_tokens) == ("a", 2, 3)
    with pytest.raises(EngineUnavailable):
        await ask(Retried(Flaky(2), attempts=2, backoff_s=0), "hello", 2)
