"""IFEval: verdicts of another program on 374 answers, the counting rules, and the four scores."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.workloads import Check, Item, Judgement, ifeval_scores, load
from cput.workloads.checks.ifeval import Ifeval, loose_variants
from cput.workloads.checks.ifeval.instructions import INSTRUCTIONS
from cput.workloads.checks.ifeval.language import detected
from cput.workloads.checks.ifeval.words import count_capital_words, count_sentences, count_words, treebank_words

RECORDED = [json.loads(line) for line in (Path(__file__).parent / "ifeval_recorded.jsonl").read_text().splitlines()]
WORKLOAD = load("ifeval")
ITEMS = {item.id: item for item in WORKLOAD.items}


def judged(text: str, name: str, **args: object) -> Judgement:
    return Ifeval().judge(Item(id="x", prompt="x", params={"instructions": [{"id": name, **args}]}), text)


def followed(text: str, name: str, **args: object) -> bool:
    return judged(text, name, **args).passed


def test_every_verdict_is_that_of_lm_evaluation_harness() -> None:
    wrong = []
    for row in RECORDED:
        item = ITEMS[row["item"]]
        check = WORKLOAD.check_for(item)
        assert isinstance(check, Check)
        found = check.judge(item, row["text"])
        if (found.detail["strict"], found.detail["loose"]) != (row["strict"], row["loose"]):
            wrong.append((row, found))
        assert found.passed == all(row["strict"])
    assert not wrong


def test_the_recorded_verdicts_hold_both_sides_of_every_instruction() -> None:
    sides = defaultdict(set)
    for row in RECORDED:
        for given_, passed in zip(ITEMS[row["item"]].params["instructions"], row["strict"], strict=True):
            sides[given_["id"]].add(passed)
    assert sides.keys() == INSTRUCTIONS.keys()
    assert all(both == {True, False} for both in sides.values())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("I CAN'T wait.", ["I", "CA", "N'T", "wait", "."]),
        ('He said, "GO NOW!"', ["He", "said", ",", "``", "GO", "NOW", "!", "''"]),
        ("WELL-KNOWN (U.S.) A--B", ["WELL-KNOWN", "(", "U.S.", ")", "A", "--", "B"]),
        ("'Tis 1,000.5% — GONNA*", ["'", "Tis", "1,000.5", "%", "—", "GON", "NA", "*"]),
    ],
)
def test_words_are_cut_by_the_treebank_rules(text: str, tokens: list[str]) -> None:
    assert treebank_words(text) == tokens


def test_counting_keeps_the_official_quirks() -> None:
    assert count_words("Don't stop, e.g. now") == 6
    assert count_sentences("Dr. Smith went home. He was tired.") == 2
    assert count_sentences("Stop it!!") == 2  # NLTK's, since 2010
    assert count_capital_words("CAN'T I GO, WELL-KNOWN Bob?") == 5


def test_language_is_the_same_every_time_and_a_text_without_letters_follows() -> None:
    text = "ok la"
    assert len({detected.__wrapped__(text) for _ in range(20)}) == 1
    assert followed("12345", "language:response_language", language="hi")
    assert not followed("", "language:response_language", language="hi")


def test_strict_and_loose_differ_by_a_line_or_an_asterisk() -> None:
    found = judged('Sure!\n"Here it is"', "startend:quotation")
    assert (found.passed, found.detail["strict"], found.detail["loose"]) == (False, [False], [True])
    assert len(set(loose_variants("*a\n*b*\nc*"))) == 8


@pytest.mark.parametrize(
    ("text", "name", "args", "expected"),
    [
        ("cat category", "keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "at least"}, True),
        ("cat category", "keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "less than"}, False),
        ("category", "keywords:forbidden_words", {"forbidden_words": ["cat"]}, True),
        ("I like C++", "keywords:existence", {"keywords": ["c++"]}, True),
        ("a # b #", "keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"}, True),
        ("My answer is no. Why?", "detectable_format:constrained_response", {}, True),
        ("* a\n- b\n** c", "detectable_format:number_bullet_lists", {"num_bullets": 2}, True),
        ("**a**", "detectable_format:number_highlighted_sections", {"num_highlights": 2}, False),
        ("<< >>", "detectable_format:title", {}, False),
        ("```JSON\n[1]\n```", "detectable_format:json_format", {}, True),
        ("[" * 5000, "detectable_format:json_format", {}, False),
        ("***\na\n***\nb", "length_constraints:number_paragraphs", {"num_paragraphs": 2}, True),
        ("a\n***\n***\nb", "length_constraints:number_paragraphs", {"num_paragraphs": 2}, False),
        ("p.s. bye", "detectable_content:postscript", {"postscript_marker": "P.S."}, True),
        ('The end."', "startend:end_checker", {"end_phrase": "the end."}, True),
        ("A******A", "combination:two_responses", {}, False),
        ("DO IT now", "combination:repeat_prompt", {"prompt_to_repeat": "Do it"}, True),
        (
            "a\n\n'Bob' is\n\n\n\nc",
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "Bob"},
            True,
        ),
    ],
)
def test_an_instruction_is_read_as_the_official_code_reads_it(
    text: str, name: str, args: dict[str, object], expected: bool
) -> None:
    assert followed(text, name, **args) is expected


def test_the_four_scores_are_shares_of_prompts_and_instructions() -> None:
    details = [
        {"strict": [True, True], "loose": [True, True]},
        {"strict": [True, False, False], "loose": [True, True, False]},
        {"strict": [False], "loose": [True]},
    ]
    scores = ifeval_scores([Judgement(0.0, False, detail) for detail in details])
    assert scores == ifeval_scores(details)
    assert scores[:4] == pytest.approx((1 / 3, 3 / 6, 2 / 3, 5 / 6))
    assert scores.average == pytest.approx(sum(scores[:4]) / 4)
    assert ifeval_scores([]).average is None


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=3), min_size=1))
def test_a_prompt_is_never_followed_more_often_than_its_instructions_at_one_per_prompt(
    rows: list[list[tuple[bool, bool]]],
) -> None:
    details = [{"strict": [a and b for a, b in row], "loose": [b for _, b in row]} for row in rows]
    scores = ifeval_scores(details)
    assert scores.prompt_strict <= scores.prompt_loose
    assert scores.instruction_strict <= scores.instruction_loose
    ones = ifeval_scores([{"strict": row["strict"][:1], "loose": row["loose"][:1]} for row in details])
    assert ones.prompt_strict == ones.instruction_strict


@given(st.text(alphabet=st.sampled_from('*-"\n <>[]{}.!?aA1,PSps`#'), max_size=80))
def test_strict_implies_loose(text: str) -> None:
    for item in WORKLOAD.items[:60:6]:
        found = WORKLOAD.check_for(item).judge(item, text).detail
        assert all(loose or not strict for strict, loose in zip(found["strict"], found["loose"], strict=True))
