"""Laws of the dialects: no body is a traceback, and an answer is the same text however it is said."""

import contextlib

import gateways
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta

from cput.errors import InputError
from cput.records import Ending, Finish, Piece, Usage
from cput.serve.app import DIALECTS
from cput.serve.body import BadRequest, json_of, object_of
from cput.serve.dialects.base import Defaults, Takes
from cput.serve.head import Head
from cput.serve.merge import merged

HEAD = Head(key=None, request_id="r")
FIELDS = [
    "model", "messages", "prompt", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n",
    "temperature", "top_p", "top_k", "seed", "stop", "logprobs", "response_format", "metadata", "tools", "tool_choice",
    "system", "stop_sequences", "thinking", "instructions", "text", "reasoning", "role", "content", "type", "image_url",
    "tool_calls", "tool_use_id", "id", "name", "function", "source", "json_schema", "schema", "format", "include",
    "encoding_format", "dimensions",
]  # fmt: skip
WORDS = ["echo", "user", "assistant", "system", "tool", "text", "image", "tool_use", "tool_result", "message", "auto",
         "json_schema", "json_object", "function", "function_call", "function_call_output", "input_text", "x"]  # fmt: skip
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
)
values = st.recursive(
    leaves | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=12)


def good_body(path):
    turns = {"messages": [{"role": "user", "content": "a"}]}
    asked = {
        "/v1/completions": {"prompt": "a"},
        "/v1/responses": {"input": "a"},
        "/v1/messages": {"max_tokens": 5, **turns},
        "/v1/embeddings": {"input": ["a"]},
    }
    return {"model": "echo"} | asked.get(path, turns)


@given(bodies, st.sampled_from(list(DIALECTS.values())), st.sampled_from(Takes))
def test_every_body_is_read_or_refused(body, dialect, takes):
    with contextlib.suppress(InputError):
        model = dialect.model_of(body)
        assert dialect.read(body, HEAD, takes, Defaults()).model == model


@given(values.filter(lambda value: value is not None), st.sampled_from(FIELDS), st.sampled_from(Takes))
def test_one_strange_field_in_a_good_body_is_read_or_refused(value, field, takes):
    for path, dialect in DIALECTS.items():
        body = good_body(path) | {field: value}
        with contextlib.suppress(InputError):
            model = dialect.model_of(body)  # as the door does, which refuses an empty one
            assert dialect.read(body, HEAD, takes, Defaults()).model == model


@given(st.binary(max_size=200))
def test_every_bytes_are_json_or_refused(raw):
    with contextlib.suppress(BadRequest):
        assert isinstance(object_of(raw, max_depth=8), dict)


@given(st.integers(1, 30), st.integers(1, 30))
def test_depth_is_counted_to_the_level(levels, most):
    raw = b"[" * levels + b"]" * levels
    if levels <= most + 1:
        json_of(raw, max_depth=most)
    else:
        with pytest.raises(BadRequest, match="nested deeper"):
            json_of(raw, max_depth=most)


texts = st.lists(st.text(min_size=1, max_size=8), min_size=0, max_size=6)


@given(texts)
def test_a_streamed_answer_is_the_whole_one(parts):
    pieces = [Piece(text=part, tokens=1) for part in parts]
    ending = Ending(finish=Finish.STOP, usage=Usage(input_uncached=2, output=len(parts), complete=True))
    for path, dialect in DIALECTS.items():
        if path == "/v1/embeddings":
            continue  # says no text, and streams nothing
        body = good_body(path)
        said = [dialect.read(body, HEAD, Takes.TEXT, Defaults()).voice for _ in range(2)]
        whole = msgspec.json.decode(said[0].whole(pieces, ending))
        streamed = b"".join([*(said[1].piece(piece) for piece in pieces), said[1].end(ending)])
        assert _streamed_text(path, streamed) == _whole_text(path, whole) == "".join(parts)


def _whole_text(path, whole):
    match path:
        case "/v1/chat/completions":
            return whole["choices"][0]["message"]["content"]
        case "/v1/completions":
            return whole["choices"][0]["text"]
        case "/v1/messages":
            return "".join(block["text"] for block in whole["content"])
        case _:
            return "".join(part["text"] for item in whole["output"] for part in item["content"])


def _streamed_text(path, raw):
    found = [event for event in gateways.parsed(raw) if event != "[DONE]"]
    match path:
        case "/v1/chat/completions":
            return gateways.said(found)
        case "/v1/completions":
            return "".join(event["choices"][0]["text"] for event in found)
        case "/v1/messages":
            return "".join(event["delta"]["text"] for event in found if event["type"] == "content_block_delta")
        case _:
            return "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")


calls = st.fixed_dictionaries(
    {"index": st.integers(0, 2)},
    optional={
        "function": st.fixed_dictionaries({}, optional={"arguments": st.text(max_size=4)}),
        "type": st.just("function"),
    },
)
deltas = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "content": st.text(max_size=4),
            "reasoning_content": st.text(max_size=4),
            "tool_calls": st.lists(calls, max_size=2),
        },
    ),
    max_size=6,
)


@given(deltas)
def test_parts_are_merged_as_the_official_client_merges_them(parts):
    """Its list positions are the indices, so that only streams whose indices come in order can be compared."""
    seen = []
    for part in parts:
        for call in part.get("tool_calls", []):
            if call["index"] not in seen:
                seen.append(call["index"])
    if seen != list(range(len(seen))):
        return
    ours, theirs = {}, {}
    for part in msgspec.json.decode(msgspec.json.encode(parts)):
        ours = merged(ours, part)
    for part in msgspec.json.decode(msgspec.json.encode(parts)):
        theirs = accumulate_delta(theirs, part)
    assert ours == theirs
