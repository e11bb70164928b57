"""The law: what is called lost stays lost, whatever comes next."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.workloads import load
from cput.workloads.checks.ifeval.lost import RULES, first_lost

PIECES = st.sampled_from(
    [
        "a",
        "B",
        " ",
        "\n",
        "\n\n",
        ",",
        "cat",
        "category",
        "***",
        "******",
        "*",
        "* one\n",
        "- two\n",
        '"',
        "{",
        "}",
        "1",
        "[x]",
        "É",
        "Σ",
        "ς",
        "你好",
        ".",
        "'",
        "Hello world ",
        "<<t>>",
        "P.S. ",
        "-",
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)
WORKLOAD = load("ifeval")
RULED = [item for item in WORKLOAD.items if any(part["id"] in RULES for part in item.params["instructions"])]


@settings(max_examples=600, deadline=None)
@given(item=st.sampled_from(RULED), start=TEXTS, rest=TEXTS)
def test_a_lost_answer_fails_whatever_comes_next(item, start, rest):
    check = WORKLOAD.check_for(item)
    if first_lost(start, item.params["instructions"]) is not None:
        assert not check.judge(item, start + rest).passed


def test_words_that_can_still_grow_are_not_forbidden_yet():
    rule = [{"id": "keywords:forbidden_words", "forbidden_words": ["cat"]}]
    assert first_lost("a cat", rule) is None
    assert first_lost("a cat ", rule) == "keywords:forbidden_words"


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        ({"id": "punctuation:no_comma"}, "Well,"),
        ({"id": "startend:quotation"}, "Sure"),
        ({"id": "detectable_format:json_format"}, "Here is"),
        ({"id": "change_case:english_lowercase"}, "the End"),
        ({"id": "change_case:english_capital"}, "THE end"),
        ({"id": "combination:repeat_prompt", "prompt_to_repeat": "Write a song"}, "Sure, here"),
        ({"id": "length_constraints:number_words", "num_words": 3, "relation": "less than"}, "one two three"),
        ({"id": "detectable_format:number_bullet_lists", "num_bullets": 1}, "* a\n* b\n"),
    ],
)
def test_a_broken_instruction_is_noticed(instruction, text):
    assert first_lost(text, [instruction]) == instruction["id"]
