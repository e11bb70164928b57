"""Each check on answers as models write them, and every check on any text at all."""

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import InputError
from cput.workloads import Check, Item, Judgement, Score, ScoredCheck, load
from cput.workloads.checks import find, names
from cput.workloads.checks.base import Thresholded
from cput.workloads.checks.ifeval.instructions import INSTRUCTIONS
from cput.workloads.checks.json_fields import pairs
from cput.workloads.checks.json_text import extract
from cput.workloads.checks.label import normalized
from cput.workloads.checks.numeric import answer_number, numbers

SCHEMA = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"$ref": "#/$defs/n"}},
    "$defs": {"n": {"type": "integer"}},
}


def judge(name: str, text: str, reference: object = None, choices: tuple[str, ...] = (), **params: object) -> Judgement:
    check = find(name)
    assert isinstance(check, Check)
    item = Item(id="x", prompt="p", reference=reference, params=params, choices=choices)
    problems = getattr(check, "problems", None)
    assert not problems or not tuple(problems(item))
    return check.judge(item, text)


@pytest.mark.parametrize(
    ("text", "reference", "params", "passed"),
    [
        (" yes\n", "yes", {}, True),
        (" yes\n", "yes", {"strip": False}, False),
        ("Yes", "yes", {}, False),
        ("b", ["a", "b"], {}, True),
    ],
)
def test_exact_compares_characters(text: str, reference: object, params: dict[str, object], passed: bool) -> None:
    assert judge("exact", text, reference, **params).passed is passed


@pytest.mark.parametrize(
    ("text", "params", "passed"),
    [
        ("Card_Arrival.", {}, True),
        ("Label: card arrival", {"prefixes": ["Label:"]}, True),
        ("card arrival\nbecause it came late", {"first_line": True}, True),
        ("card arrival\nbecause it came late", {}, False),
        ("my card is late", {"synonyms": {"card_arrival": ["My card is late"]}}, True),
        ("card", {}, False),
    ],
)
def test_label_forgives_case_punctuation_and_space(text: str, params: dict[str, object], passed: bool) -> None:
    assert judge("label", text, "card_arrival", **params).passed is passed


def test_labels_of_punctuation_alone_are_told_apart() -> None:
    assert judge("label", "+", "+").passed
    assert not judge("label", "-", "+").passed


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@pytest.mark.parametrize(
    ("params", "passed"),
    [
        ({"all": ["cat", "dog"]}, True),
        ({"all": ["cat", "cow"]}, False),
        ({"any": ["cow", "dog"]}, True),
        ({"any": ["cow"]}, False),
        ({"none": ["cow"], "all": ["cat"]}, True),
        ({"none": ["dog"]}, False),
        ({"all": ["CAT"]}, False),
        ({"all": ["CAT"], "ignore_case": True}, True),
    ],
)
def test_contains_asks_for_all_any_and_none(params: dict[str, object], passed: bool) -> None:
    assert judge("contains", "a cat and a dog", **params).passed is passed


@pytest.mark.parametrize(
    ("params", "passed"),
    [
        ({"pattern": r"\d{2}"}, True),
        ({"pattern": r"\d{2}", "mode": "fullmatch"}, False),
        ({"pattern": r"ORDER \d+", "mode": "fullmatch", "flags": "i"}, True),
    ],
)
def test_regex_searches_or_matches_the_whole(params: dict[str, object], passed: bool) -> None:
    assert judge("regex", " order 42\n", **params).passed is passed


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("So 3 + 4 = 7.\n#### 7", 7),
        ("#### 7\nI used 12 steps.", 7),
        ("It costs $1,234.50.", Fraction("1234.5")),
        ("about 12 345 people", 345),  # a plain space separates two numbers
        ("about 12\u202f345 people", 12345),
        ("3/4", Fraction(3, 4)),
        ("1 3/4 cups", Fraction(7, 4)),
        ("from 5-3", 3),
        ("it is -3", -3),
        ("it is \u2212$3.5", Fraction(-7, 2)),
        ("1e3", 1000),
        ("1e999999999", 999999999),
        ("3/0", None),
        ("１２３", 123),
        (".5", Fraction(1, 2)),
        ("none", None),
        ("1,2,3", 3),
        ("9" * 400, None),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: Fraction | None) -> None:
    assert answer_number(text) == number


@pytest.mark.parametrize(
    ("text", "reference", "params", "passed"),
    [
        ("0.1", 0.1, {}, True),
        ("45 %", "45", {}, True),
        ("45 %", 0.45, {"percent": "share"}, True),
        ("45 %", 45, {"percent": "share"}, False),
        ("3.15", "3.14159", {"tolerance": 0.01}, True),
        ("3.15", "3.14159", {"tolerance": 0.001}, False),
        ("101", 100, {"relative_tolerance": 0.01}, True),
        ("102", 100, {"relative_tolerance": 0.01}, False),
        ("It is 7", 7, {"marked_only": True}, False),
        ("#### 70,000", "70000", {}, True),
    ],
)
def test_numeric_compares_exactly_within_the_tolerance(
    text: str, reference: object, params: dict[str, object], passed: bool
) -> None:
    assert judge("numeric", text, reference, **params).passed is passed


@given(st.integers(-(10**15), 10**15))
def test_a_number_survives_thousands_separators(number: int) -> None:
    assert numbers(f"= {number:,} in all") == [number]
    assert numbers(f"#### {number}") == [number]


@pytest.mark.parametrize(
    ("text", "params", "passed"),
    [
        ('{"n": 1}', {}, True),
        ('Here:\n```json\n{"n": 1}\n```', {}, True),
        ('Here: {"n": 1}, done', {}, True),
        ('Here: {"n": 1}, done', {"whole": True}, False),
        ('{"n": "1"}', {}, False),
        ('{"n": NaN}', {}, False),
        ("[" * 3000 + "]" * 3000, {}, False),
        ("nothing", {}, False),
    ],
)
def test_json_schema_finds_the_json_and_validates_it(text: str, params: dict[str, object], passed: bool) -> None:
    found = judge("json_schema", text, schema=SCHEMA, **params)
    assert found.passed is passed
    assert bool(found.detail["errors"]) is not passed


def test_a_schema_without_end_fails_the_answer_and_not_the_run() -> None:
    check = find("json_schema")
    item = Item(id="x", prompt="p", params={"schema": {"$ref": "#"}})
    assert not check.judge(item, "{}").passed


def test_json_fields_gives_f1_per_field_and_over_all() -> None:
    reference = {"name": "Ann  Lee", "age": 5, "tags": ["a", "b"], "gone": None}
    found = judge("json_fields", '{"name": "ann lee", "age": "5.0", "tags": ["b", "c"], "extra": 1}', reference)
    fields = {field: row["f1"] for field, row in found.detail["fields"].items()}
    assert fields == {"name": 1.0, "age": 1.0, "tags": 0.5, "extra": 0.0}
    assert found.value == pytest.approx(2 * 3 / (5 + 4))
    assert not found.passed
    exact = '{"age": 5, "name": "Ann Lee", "tags": ["b", "a"]}'
    assert judge("json_fields", exact, reference).passed
    assert judge("json_fields", exact[:-1] + ', "more": 1}', reference, ignore_extra=True).passed
    assert judge("json_fields", '{"age": 5, "name": "no"}', reference, fields=["age"]).passed
    assert judge("json_fields", "no json", reference).value == 0


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.integers() | st.text(max_size=5) | st.none(), max_size=5))
def test_json_fields_of_a_thing_with_itself_is_one(value: dict[str, object]) -> None:
    import json

    assert judge("json_fields", json.dumps(value), value).passed
    assert sorted(pairs(value)) == sorted(pairs(dict(reversed(value.items()))))


def test_the_workloads_threshold_decides_a_graded_check(tmp_path: Path) -> None:
    (tmp_path / "workload.toml").write_text('[quality]\ncheck = "json_fields"\nthreshold = 0.5\n')
    (tmp_path / "i.jsonl").write_text('{"prompt": "p", "reference": {"a": 1, "b": 2}}\n')
    workload = load(tmp_path)
    check = workload.check_for(workload.items[0])
    assert isinstance(check, Thresholded)
    assert check.name == "json_fields"
    assert check.judge(workload.items[0], '{"a": 1}').passed
    assert not check.judge(workload.items[0], '{"c": 1}').passed


def scored(reference: object, scores: list[Score], **params: object) -> Judgement:
    check = find("choice_likelihood")
    assert isinstance(check, ScoredCheck)
    return check.judge_scores(
        Item(id="x", prompt="p", reference=reference, choices=("no", "yes indeed"), params=params), scores
    )


def test_choice_takes_the_likeliest_text() -> None:
    scores = [Score(-4.0, 1), Score(-6.0, 3)]
    assert scored("no", scores).passed
    assert scored(0, scores).passed
    assert scored("yes indeed", scores, length_normalize="tokens").passed
    assert scored("yes indeed", scores, length_normalize="bytes").passed
    assert not scored("yes indeed", scores).passed
    assert not scored("no", [Score(math.nan, 1), Score(-math.inf, 2)]).passed
    with pytest.raises(ValueError, match="1 scores for 2 choices"):
        scored("no", scores[:1])


def test_choice_texts_put_the_separator_into_the_continuation() -> None:
    check = find("choice_likelihood")
    assert isinstance(check, ScoredCheck)
    assert check.texts(Item(id="x", prompt="Q:", choices=("a", "b"))) == (("Q:", " a"), ("Q:", " b"))
    assert check.texts(Item(id="x", prompt="Q:\n", choices=("a",))) == (("Q:\n", "a"),)


@given(st.floats(-1000, 0), st.integers(1, 1000))
def test_perplexity_is_the_inverse_of_the_value(logprob_sum: float, tokens: int) -> None:
    check = find("perplexity")
    assert isinstance(check, ScoredCheck)
    item = Item(id="x", prompt="p", reference="r", params={"max_perplexity": 20})
    found = check.judge_scores(item, [Score(logprob_sum, tokens)])
    assert found.value == pytest.approx(math.exp(logprob_sum / tokens))
    assert found.passed == (math.exp(-logprob_sum / tokens) <= 20 if -logprob_sum / tokens < 700 else False)


def test_a_stranger_s_function_beside_the_workload_is_a_check(tmp_path: Path) -> None:
    (tmp_path / "mine_own.py").write_text(
        "from cput.workloads import Judgement\n"
        "def even(item, text): return len(text) % 2 == 0\n"
        "def graded(item, text): return 0.5\n"
        "def broken(item, text): return 1 / 0\n"
        "def wrong(item, text): return 'yes'\n"
        "class Whole:\n"
        "    name = 'whole'\n"
        "    def judge(self, item, text): return Judgement(1.0, True)\n"
    )
    item = Item(id="x", prompt="p")
    folder = str(tmp_path)
    assert find("mine_own:even", folder).judge(item, "ab").passed
    assert find("mine_own:graded", folder).judge(item, "ab") == Judgement(0.5, False)
    assert find("mine_own:Whole", folder).judge(item, "ab").passed
    with pytest.raises(InputError, match="failed on item 'x': ZeroDivisionError"):
        find("mine_own:broken", folder).judge(item, "ab")
    with pytest.raises(InputError, match='returned "yes" on item'):
        find("mine_own:wrong", folder).judge(item, "ab")
    with pytest.raises(InputError, match="unknown name 'evn'; did you mean 'even'"):
        find("mine_own:evn", folder)
    with pytest.raises(InputError, match="no module nothing_here is installed"):
        find("nothing_here:f", folder)
    (tmp_path / "bad_own.py").write_text("import nothing_at_all\n")
    with pytest.raises(InputError, match=r"importing bad_own.py failed: ModuleNotFoundError"):
        find("bad_own:f", folder)


def test_an_installed_function_is_a_check_and_a_constant_is_not() -> None:
    assert find("operator:eq").judge("same", "same").passed  # any callable of two arguments
    with pytest.raises(InputError, match="is a float; allowed: a function"):
        find("math:pi")
    with pytest.raises(InputError, match=r"is not package\.module:function"):
        find("a:b:c")


INSTRUCTION_ARGS = {
    "keywords": ["a", "c++"], "keyword": "a", "frequency": 2, "relation": "at least", "forbidden_words": ["b("],
    "letter": "a", "let_frequency": 1, "let_relation": "less than", "language": "en", "num_sentences": 2,
    "num_paragraphs": 2, "num_words": 3, "nth_paragraph": 1, "first_word": "a", "num_placeholders": 1,
    "postscript_marker": "P.S.", "num_bullets": 1, "num_highlights": 1, "section_spliter": "Section",
    "num_sections": 1, "prompt_to_repeat": "a", "end_phrase": "a", "capital_frequency": 1,
    "capital_relation": "at least",
}  # fmt: skip
EVERY = {
    "exact": Item(id="x", prompt="p", reference="a"),
    "label": Item(id="x", prompt="p", reference="a", params={"first_line": True, "synonyms": {"a": ["b"]}}),
    "contains": Item(id="x", prompt="p", params={"all": ["a"], "any": ["b"], "none": ["c"], "ignore_case": True}),
    "regex": Item(id="x", prompt="p", params={"pattern": "a.c", "flags": "is"}),
    "json_schema": Item(id="x", prompt="p", params={"schema": SCHEMA}),
    "json_fields": Item(id="x", prompt="p", reference={"a": 1, "b": {"c": ["d"]}}),
    "numeric": Item(id="x", prompt="p", reference=7, params={"percent": "share", "relative_tolerance": 0.1}),
    "ifeval": Item(
        id="x",
        prompt="p",
        params={
            "instructions": [
                {"id": name, **{key: INSTRUCTION_ARGS[key] for key in rule.args}} for name, rule in INSTRUCTIONS.items()
            ]
        },
    ),
}
ANY_TEXT = (
    st.text(alphabet=st.characters(), max_size=200)
    | st.text(alphabet=st.sampled_from("0123456789.,/-+%eE# $"), max_size=60)
    | st.text(alphabet=st.sampled_from('{}[]":,a1*`\n <>.-'), max_size=80)
    | st.builds(
        lambda part, times: part * times,
        st.sampled_from(["[", '{"a":', "9", "#### ", "*", "\n", "a."]),
        st.integers(0, 3000),
    )
)


@given(text=ANY_TEXT)
@settings(max_examples=60, deadline=None)
def test_no_text_at_all_makes_a_check_raise(text: str) -> None:
    for name, item in EVERY.items():
        found = find(name).judge(item, text)
        assert 0 <= found.value <= 1
        assert found == find(name).judge(item, text)


def test_every_built_in_text_check_is_in_that_test() -> None:
    assert {name for name in names() if isinstance(find(name), Check)} == set(EVERY)


@given(text=ANY_TEXT)
@settings(deadline=None)
def test_extracting_json_never_raises(text: str) -> None:
    found = extract(text)
    assert found is None or not (isinstance(found.value, float) and math.isnan(found.value))
