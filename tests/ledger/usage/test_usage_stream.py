"""Usage from streams: what a cut costs, and who serves it."""

import pytest

from cput.errors import InputError
from cput.ledger.usage import Merged, merge, provider_of, tier_of, usage_of
from cput.records import Usage

START = {
    "type": "message_start",
    "message": {"usage": {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}},
}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}}
FINISH = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": None}
COUNT = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}


def test_a_stream_that_is_cut_off_keeps_what_it_said_and_is_not_complete():
    cut = merge([START])
    assert (cut.input, cut.output, cut.complete) == (32, 1, False)
    whole = merge([START, DELTA])
    assert (whole.input, whole.output, whole.complete) == (32, 15, True)


def test_a_count_that_comes_after_the_last_token_is_taken():
    usage = merge([{"choices": [{"delta": {"content": "a"}}]}, FINISH, COUNT])
    assert (usage.input, usage.output, usage.complete) == (9, 4, True)


def test_the_caller_may_know_better_whether_it_ended():
    assert merge([COUNT]).complete is False
    assert merge([COUNT], ended=True).complete is True
    assert merge([FINISH, COUNT], ended=False).complete is False


def test_a_proxy_that_starts_at_zero_is_corrected_by_the_end():
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}}
    usage = merge([start, DELTA | {"usage": {"input_tokens": 61, "cache_read_input_tokens": 5, "output_tokens": 9}}])
    assert (usage.input, usage.output, usage.complete) == (66, 9, True)


def test_an_end_that_repeats_zeros_takes_nothing_back():
    usage = merge([START, DELTA | {"usage": {"input_tokens": 0, "output_tokens": 15}}])
    assert (usage.input, usage.output) == (32, 15)


@pytest.mark.parametrize(
    "last",
    [
        {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 2}}},
        {
            "type": "message-end",
            "delta": {"finish_reason": "COMPLETE", "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}}},
        },
        {"messageStop": {"stopReason": "end_turn"}, "metadata": {"usage": {"inputTokens": 3, "outputTokens": 2}}},
        {"done": True, "prompt_eval_count": 3, "eval_count": 2},
        {"stop": True, "tokens_evaluated": 3, "tokens_predicted": 2},
        {"output": {"finish_reason": "stop", "text": "a"}, "usage": {"input_tokens": 3, "output_tokens": 2}},
        {"output": {"choices": [{"finish_reason": "stop"}]}, "usage": {"input_tokens": 3, "output_tokens": 2}},
        {
            "text": "a",
            "meta_info": {
                "finish_reason": {"type": "stop"},
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "e2e_latency": 0.1,
            },
        },
        {"choices": [{"finish_reason": "stop", "delta": {}}], "timings": {"prompt_n": 3, "predicted_n": 2}},
    ],
)
def test_every_wire_says_its_end_in_its_own_way(last):
    usage = merge([last])
    assert (usage.input, usage.output, usage.complete) == (3, 2, True)
    running = {"output": {"finish_reason": "null"}, "usage": {"input_tokens": 3, "output_tokens": 1}}
    assert merge([running]).complete is False


def test_an_answer_without_usage_is_unknown():
    assert merge([FINISH]) == merge([]) == Usage()
    assert not Merged().counted


def test_llama_servers_timings_fill_in_what_its_usage_leaves_out():
    usage = merge([FINISH | {"timings": {"cache_n": 5, "prompt_n": 4, "predicted_n": 4}}, COUNT])
    assert (usage.input_uncached, usage.input_cache_read, usage.output, usage.complete) == (4, 5, 4, True)


def test_a_chunk_that_is_damaged_is_named():
    merged = Merged()
    with pytest.raises(InputError, match="'usage' holds 'x'"):
        merged.take({"usage": "x"})
    merged.take({"usage": {"prompt_tokens": -1}})
    with pytest.raises(InputError, match="'prompt_tokens' holds -1"):
        merged.usage()


def test_merging_one_whole_body_is_reading_it():
    body = {"choices": [{"finish_reason": "stop"}], "usage": COUNT["usage"]}
    assert merge([body]) == usage_of(body)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://my-resource.openai.azure.com/openai/v1", "azure"),
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://api.moonshot.cn/v1", "moonshotai"),
        ("https://open.bigmodel.cn/api/paas/v4", "zhipuai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "google"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "aws"),
        ("https://router.huggingface.co/groq/openai/v1", "huggingface_groq"),
        ("https://llm.example.org/v1", None),
        ("http://127.0.0.1:8000/v1", None),
        ("http://10.1.2.3/v1", None),
        ("http://[::1]:8000/v1", None),
        ("http://vllm:8000/v1", None),
        ("http://[broken", None),
    ],
)
def test_the_provider_is_told_by_the_url_and_none_bills_an_own_host(url, provider):
    assert provider_of(url) == provider


@pytest.mark.parametrize(
    ("body", "tier"),
    [
        ({"service_tier": "flex"}, "flex"),
        ({"service_tier": "Priority"}, "priority"),
        ({"service_tier": "auto"}, None),
        ({"service_tier": None}, None),
        ({"service_tier": 3}, None),
        ({"usage": {"service_tier": "batch"}}, "batch"),
        ({"type": "message_start", "message": {"usage": {}, "service_tier": "priority"}}, "priority"),
        ({"type": "message_start", "message": {"usage": {"service_tier": "standard"}}}, "standard"),
        ({"response": {"service_tier": "default"}}, "default"),
        ({"usageMetadata": {"serviceTier": "standard"}}, "standard"),
        ({"usageMetadata": {"trafficType": "ON_DEMAND_FLEX"}}, "flex"),
        ({"usageMetadata": {"trafficType": "ON_DEMAND"}}, None),
        ({"usage": "x"}, None),
        ({}, None),
    ],
)
def test_the_tier_is_the_one_that_was_served(body, tier):
    assert tier_of(body) == tier
