"""Equal calls have equal keys; whatever can change an answer changes the key; no two calls are written alike."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.policy.cache.key import NOT_ASKED, canonical, key_of, scope_of
from cput.records import Call, Grammar, GrammarKind, Message, Sampling
from cput.serve.forward import Carried

CALL = Call(messages=(Message(role="system", content="s"), Message(role="user", content="q")), tenant="a", policy="p")
OTHER_OF_CALL = {
    "messages": (Message(role="user", content="q"),),
    "prompt": "q",
    "embed": ("q",),
    "dimensions": 3,
    "sampling": Sampling(max_new_tokens=7),
    "workload": "w",
    "tenant": "b",
    "policy": "other",
}
OTHER_OF_SAMPLING = {
    "max_new_tokens": 511,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 4,
    "seed": 1,
    "stop": ("x",),
    "repetition_penalty": 1.1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logprobs": True,
    "echo": True,
    "ignore_eos": True,
    "grammar": Grammar(kind=GrammarKind.REGEX, value="a"),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def key(call, **more):
    return key_of(call, **{"model": "m", **more})


def carried(**body):
    read = Call(messages=CALL.messages, tenant="a")
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    return Carried(messages=read.messages, tenant="a", read=read, body={"model": "m", "messages": turns, **body})


@pytest.mark.parametrize("field", [field.name for field in fields(Call)])
def test_every_field_of_a_call_changes_the_key_but_those_that_say_who_and_how_it_is_read(field):
    if field in NOT_ASKED:
        others = {"stream": False, "tags": {"a": "b"}}
        assert key(replace(CALL, **{field: others.get(field, "other")})) == key(CALL)
    else:
        assert key(replace(CALL, **{field: OTHER_OF_CALL[field]})) != key(CALL)


@pytest.mark.parametrize("field", [field.name for field in fields(Sampling)])
def test_every_field_of_the_sampling_changes_the_key(field):
    other = replace(CALL, sampling=replace(CALL.sampling, **{field: OTHER_OF_SAMPLING[field]}))
    assert key(other) != key(CALL)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"logit_bias": {"50256": -100}},
        {"user": "u-2"},
        {"tool_choice": "none"},
        {"a_field_of_next_week": 1},
    ],
)
def test_every_field_of_a_carried_body_changes_the_key(more):
    assert key(carried(**more)) != key(carried())


def test_what_says_only_how_an_answer_is_read_changes_no_key():
    told = carried(stream=True, stream_options={"include_usage": True}, metadata={"trace": "17"})
    assert key(replace(told, request_id="r-2")) == key(carried())


def test_model_and_version_are_part_of_the_key():
    assert len({key(CALL), key(CALL, model="n"), key(CALL, version="2")}) == 3


def test_no_field_ends_where_the_next_begins():
    one = Call(messages=(Message(role="user", content="ab"), Message(role="user", content="c")))
    other = Call(messages=(Message(role="user", content="a"), Message(role="user", content="bc")))
    assert key(one) != key(other)
    assert key(replace(CALL, tenant="a", policy="b")) != key(replace(CALL, tenant="ab", policy=""))
    assert key(replace(CALL, tenant=None)) != key(replace(CALL, tenant=""))
    assert key(replace(CALL, tenant=None)) != key(replace(CALL, tenant="None"))


@given(VALUES, VALUES)
def test_only_equal_values_are_written_alike(one, other):
    same = repr(one) == repr(other) or (
        one == other and type(one) is type(other) and sorted_repr(one) == sorted_repr(other)
    )
    assert (canonical(one) == canonical(other)) == same


def sorted_repr(value):
    if isinstance(value, dict):
        return sorted((name, sorted_repr(held)) for name, held in value.items())
    return [sorted_repr(held) for held in value] if isinstance(value, list) else repr(value)


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_a_mapping_is_nothing(held):
    assert canonical(dict(reversed(held.items()))) == canonical(held)


def test_what_a_call_does_not_hold_has_no_canonical_form():
    with pytest.raises(TypeError, match="set"):
        canonical({1, 2})


def test_only_the_last_user_turn_may_differ_within_a_scope():
    (scope, text) = scope_of(CALL, model="m")
    assert text == "q"
    asked = replace(CALL, messages=(CALL.messages[0], Message(role="user", content="another")))
    assert scope_of(asked, model="m") == (scope, "another")
    for other in (
        replace(CALL, tenant="b"),
        replace(CALL, policy="p2"),
        replace(CALL, sampling=Sampling(seed=1)),
        replace(CALL, messages=(Message(role="system", content="s2"), CALL.messages[1])),
        replace(CALL, messages=(*CALL.messages[:1], Message(role="user", content="e"), *CALL.messages)),
    ):
        assert scope_of(other, model="m")[0] != scope
    assert scope_of(CALL, model="n")[0] != scope


def test_a_carried_calls_tools_are_part_of_its_scope_and_a_picture_has_none():
    scope, text = scope_of(carried(), model="m")
    assert text == "q"
    assert scope_of(carried(tools=[{"type": "function"}]), model="m")[0] != scope
    parts = [{"type": "text", "text": "q"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": parts}]
    assert scope_of(carried(messages=turns), model="m") is None
    named = [{"role": "system", "content": "s"}, {"role": "user", "name": "bob", "content": "q"}]
    assert scope_of(carried(messages=named), model="m") is None


def test_raw_prompts_vectors_and_answers_to_tools_have_no_scope():
    assert scope_of(Call(prompt="q"), model="m") is None
    assert scope_of(Call(embed=("q",)), model="m") is None
    assert scope_of(Call(messages=(Message(role="tool", content="q"),)), model="m") is None
