"""The law: every text of an instruction's expression follows the instruction, by its own checker."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cput.records import GrammarKind
from cput.workloads import Item, load
from cput.workloads.checks import find
from cput.workloads.checks.base import BoundedCheck, ConstrainingCheck, Thresholded
from cput.workloads.checks.ifeval.constraint import pattern
from cput.workloads.checks.ifeval.impossible import first_impossible
from cput.workloads.checks.ifeval.instructions import INSTRUCTIONS
from cput.workloads.checks.ifeval.words import count_words

BOUND = 192
WORKLOAD = load("ifeval")
EXPRESSIONS = {item.id: pattern(item.params["instructions"], BOUND) for item in WORKLOAD.items}

ALONE = [
    {"id": "keywords:existence", "keywords": ["correlated", "le"]},
    {"id": "keywords:frequency", "keyword": "war", "frequency": 8, "relation": "at least"},
    {"id": "keywords:forbidden_words", "forbidden_words": ["rock", "rot", "ab", "a"]},
    {"id": "length_constraints:number_sentences", "num_sentences": 5, "relation": "less than"},
    {"id": "length_constraints:number_paragraphs", "num_paragraphs": 3},
    {"id": "length_constraints:number_words", "num_words": 60, "relation": "at least"},
    {"id": "length_constraints:number_words", "num_words": 20, "relation": "less than"},
    {
        "id": "length_constraints:nth_paragraph_first_word",
        "num_paragraphs": 3,
        "nth_paragraph": 2,
        "first_word": "weekend",
    },
    {"id": "detectable_content:number_placeholders", "num_placeholders": 7},
    {"id": "detectable_content:postscript", "postscript_marker": "P.P.S"},
    {"id": "detectable_format:number_bullet_lists", "num_bullets": 3},
    {"id": "detectable_format:constrained_response"},
    {"id": "detectable_format:number_highlighted_sections", "num_highlights": 3},
    {"id": "detectable_format:multiple_sections", "section_spliter": "Section", "num_sections": 3},
    {"id": "detectable_format:json_format"},
    {"id": "detectable_format:title"},
    {"id": "combination:repeat_prompt", "prompt_to_repeat": "Write a (short) poem.\nAbout x?"},
    {"id": "startend:end_checker", "end_phrase": "Is there anything else I can help with?"},
    {"id": "startend:quotation"},
    {"id": "punctuation:no_comma"},
]
TOGETHER = [
    ["startend:quotation", "detectable_format:number_bullet_lists"],
    ["startend:quotation", "startend:end_checker", "punctuation:no_comma"],
    ["detectable_format:title", "detectable_format:number_highlighted_sections", "keywords:existence"],
    ["detectable_format:multiple_sections", "detectable_content:postscript", "keywords:forbidden_words"],
    ["combination:repeat_prompt", "length_constraints:number_paragraphs"],
    ["detectable_format:number_bullet_lists", "detectable_content:postscript", "keywords:existence"],
    ["detectable_format:json_format", "keywords:forbidden_words"],
]
BY_ID = {given["id"]: given for given in ALONE}
quick = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def follows(text, instruction):
    args = {key: value for key, value in instruction.items() if key != "id"}
    return INSTRUCTIONS[instruction["id"]].follows(text, **args)


def texts(instructions):
    found = pattern(instructions, BOUND)
    assert found is not None
    return st.from_regex(found, fullmatch=True)


@pytest.mark.slow  # drawing texts from long expressions now and then takes Python's re minutes
@pytest.mark.parametrize("instruction", ALONE, ids=lambda given: given["id"])
@quick
@given(data=st.data())
def test_every_text_of_the_language_follows_the_instruction(instruction, data):
    assert follows(data.draw(texts([instruction])), instruction)


@pytest.mark.slow  # drawing texts from long expressions now and then takes Python's re minutes
@pytest.mark.parametrize("ids", TOGETHER, ids="+".join)
@quick
@given(data=st.data())
def test_instructions_that_go_together_all_hold(ids, data):
    instructions = [BY_ID[name] for name in ids]
    text = data.draw(texts(instructions))
    assert all(follows(text, given) for given in instructions)


@pytest.mark.slow  # drawing texts from long expressions now and then takes Python's re minutes
@pytest.mark.parametrize("name", ["change_case:english_lowercase", "change_case:english_capital"])
@quick
@given(data=st.data())
def test_no_letter_is_of_the_other_case(name, data):
    """That the text is English and has a letter at all is left to the model."""
    text = data.draw(texts([{"id": name}, BY_ID["detectable_content:postscript"]]))
    assert text.islower() if name.endswith("lowercase") else text.isupper()


@pytest.mark.slow  # drawing texts from long expressions now and then takes Python's re minutes
@quick
@given(data=st.data())
def test_few_capital_words_stay_few(data):
    instruction = {
        "id": "change_case:capital_word_frequency",
        "capital_frequency": 1,
        "capital_relation": "less than",
    }
    assert follows(data.draw(texts([instruction])), instruction)


@pytest.mark.slow  # drawing texts from long expressions now and then takes Python's re minutes
@quick
@given(data=st.data())
def test_capital_words_are_there(data):
    """Whether the Treebank rules take one with its neighbours for another word ("a:NO") is left to the model."""
    instruction = {"id": "change_case:capital_word_frequency", "capital_frequency": 3, "capital_relation": "at least"}
    assert len(re.findall(r"[A-Z]{2,}", data.draw(texts([instruction])))) >= 3


def test_ordinary_prose_is_in_the_language():
    """An expression that no person's answer matches would force more than was asked."""
    said = {
        "keywords:forbidden_words": "It was rocky, rotten and about as old as the hills. Nobody went there!",
        "punctuation:no_comma": "Café prices rose; nobody knew why.\n\n* one\n* two",
        "startend:quotation": '"Dear Sir, I must decline - it is too late (and too far)."',
        "detectable_format:title": "<<Of Mice>>\n\nOnce upon a time there was a mouse.",
        "detectable_format:json_format": '{\n"name": "A mouse of old.",\n"age": 3\n}',
        "detectable_format:number_bullet_lists": "* The first one.\n* Then (of course) the second.\n* And another: three.",
        "detectable_content:postscript": "Dear mum, I am fine.\n\nP.P.S Send some more money soon!",
        "combination:repeat_prompt": "Write a (short) poem.\nAbout x?\n\nRoses are red.",
    }
    for name, text in said.items():
        assert re.fullmatch(pattern([BY_ID[name]], BOUND), text), name
        assert follows(text, BY_ID[name])


def test_every_shipped_item_makes_a_regular_expression_or_none():
    found = [value for value in EXPRESSIONS.values() if value is not None]
    assert len(found) > 450
    for value in found:
        re.compile(value)


@quick
@given(item=st.sampled_from(WORKLOAD.items), bound=st.integers(0, 4096))
def test_any_bound_makes_a_regular_expression_or_none(item, bound):
    found = pattern(item.params["instructions"], bound)
    assert found is None or re.compile(found)


def test_languages_and_letters_are_left_to_the_model():
    assert pattern([{"id": "language:response_language", "language": "kn"}], BOUND) is None
    letters = {"id": "keywords:letter_frequency", "letter": "t", "let_frequency": 2, "let_relation": "less than"}
    assert pattern([letters], BOUND) is None


def test_what_does_not_fit_the_bound_is_not_forced():
    long = [{"id": "length_constraints:number_words", "num_words": 400, "relation": "at least"}]
    assert pattern(long, BOUND) is None
    assert pattern(long, 1024) is not None
    assert pattern([BY_ID["startend:end_checker"]], 16) is None


def test_the_check_gives_its_expression_also_behind_a_threshold():
    item = Item(id="x", prompt="p", params={"instructions": [{"id": "punctuation:no_comma"}]})
    for check in (find("ifeval"), Thresholded(find("ifeval"), 0.5)):
        assert isinstance(check, ConstrainingCheck)
        assert isinstance(check, BoundedCheck)
        assert check.grammar(item, BOUND).kind is GrammarKind.REGEX
        assert check.grammar(item, BOUND).value == "[^,]*"
        assert check.impossible(item, BOUND) is None
    assert Thresholded(find("exact"), 0.5).grammar(item, BOUND) is None
    assert Thresholded(find("exact"), 0.5).impossible(item, BOUND) is None


def test_a_schema_is_its_own_language():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    given = find("json_schema").grammar(Item(id="x", prompt="p", params={"schema": schema}), BOUND)
    assert given.kind is GrammarKind.JSON_SCHEMA
    assert find("json_schema").grammar(Item(id="x", prompt="p", params={"schema": True}), BOUND) is None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(item=st.sampled_from(WORKLOAD.items), bound=st.integers(1, 40), data=st.data())
def test_what_is_called_impossible_fails_in_every_answer_of_so_many_tokens(item, bound, data):
    """A token has at most one word: here it is one, with or without what stands before it."""
    if first_impossible(item.params["instructions"], bound) is None:
        return
    said = [given[key] for given in item.params["instructions"] for key in given if isinstance(given[key], str)]
    own = re.findall(r"\W*\w+\W*", " ".join(said))
    token = st.sampled_from([" word", ".\n\n", "***", "* one", " a", '"', "\n\nend", *own])
    text = "".join(data.draw(st.lists(token, max_size=bound)))
    assert count_words(text) <= bound
    assert not WORKLOAD.check_for(item).judge(item, text).passed


def test_what_a_bound_makes_impossible():
    words = [{"id": "length_constraints:number_words", "num_words": 400, "relation": "at least"}]
    assert first_impossible(words, 399) == "length_constraints:number_words"
    assert first_impossible(words, 400) is None
    assert first_impossible([words[0] | {"relation": "less than"}], 10) is None
