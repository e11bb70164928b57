"""Loading and validating: real files on disk, every fault named by file, line and field."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.errors import InputError
from cput.records import Grammar, GrammarKind, Message
from cput.workloads import Floor, ValidationReport, load, validate

GOOD = {"id": "a", "prompt": "Say yes", "reference": "yes", "check": "exact"}


def jsonl(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


def only(report: ValidationReport) -> str:
    assert len(report.problems) == 1, report.problems
    return str(report.problems[0])


def test_a_single_jsonl_takes_the_default_head(tmp_path: Path) -> None:
    workload = load(jsonl(tmp_path / "mine.jsonl", GOOD, {"prompt": "And now?"}))
    assert workload.name == "mine"
    assert [item.id for item in workload.items] == ["a", "mine:2"]
    assert workload.check_for(workload.items[1]) is None
    assert workload.check_for(workload.items[0]).judge(workload.items[0], " yes\n").passed


def test_a_folder_reads_its_head_and_every_jsonl_by_name(tmp_path: Path) -> None:
    (tmp_path / "workload.toml").write_text(
        """
name = "bank"
system_prompt = "Be brief."
[quality]
check = "label"
threshold = 0.5
[quality.floor]
useful_rate = 0.8
[slo]
ttft_s = 1
[answer]
grammar = "choice"
choices = ["spam", "ham"]
[sampling]
max_new_tokens = 4
stop = "\\n"
""",
        "utf-8",
    )
    jsonl(tmp_path / "b.jsonl", {"prompt": "second", "reference": "ham"})
    jsonl(tmp_path / "a.jsonl", {"prompt": "first", "reference": "spam", "tags": {"lang": "en"}})
    workload = load(tmp_path)
    assert [item.id for item in workload.items] == ["a:1", "b:1"]
    assert workload.slo.limits() == {"ttft_s": 1}
    assert workload.floor == Floor(useful_rate=0.8)
    assert workload.sampling.stop == ("\n",)
    assert workload.sampling.grammar == Grammar(kind=GrammarKind.CHOICE, value=("spam", "ham"))
    call = workload.call(workload.items[0], tenant="t")
    assert call.messages == (Message(role="system", content="Be brief."), Message(role="user", content="first"))
    assert (call.workload, call.item, call.tags, call.tenant) == ("bank", "a:1", {"lang": "en"}, "t")
    assert load(tmp_path / "workload.toml") == workload


def test_a_single_toml_holds_its_items(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text('chat = false\n[[items]]\nprompt = "Once"\n[[items]]\nid = 7\nprompt = "Twice"\n', "utf-8")
    workload = load(path)
    assert [(item.id, item.prompt) for item in workload.items] == [("items:1", "Once"), ("7", "Twice")]
    call = workload.call(workload.items[0])
    assert (call.prompt, call.messages) == ("Once", ())


def test_a_system_turn_of_the_item_replaces_the_heads(tmp_path: Path) -> None:
    (tmp_path / "workload.toml").write_text('system_prompt = "head"', "utf-8")
    turns = [{"role": "system", "content": "own"}, {"role": "user", "content": "hi"}]
    jsonl(tmp_path / "i.jsonl", {"messages": turns})
    workload = load(tmp_path)
    assert [turn.content for turn in workload.call(workload.items[0]).messages] == ["own", "hi"]


def test_line_ends_bom_and_key_order_do_not_change_the_digest(tmp_path: Path) -> None:
    plain = jsonl(tmp_path / "plain.jsonl", GOOD, {"id": "b", "prompt": "line\u2028separator stays one line"})
    first, second = (json.loads(line) for line in plain.read_text("utf-8").split("\n")[:2])
    windows = tmp_path / "windows.jsonl"
    lines = [json.dumps(dict(reversed(first.items())), indent=None), "", json.dumps(second, ensure_ascii=False)]
    windows.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert load(plain).digest == load(windows).digest
    changed = jsonl(tmp_path / "changed.jsonl", {**GOOD, "reference": "no"}, second)
    assert load(changed).digest != load(plain).digest


BAD_LINES = {
    "{": ("malformed JSON at column 2",),
    '{"prompt": "a", "prompt": "b"}': ('key "prompt" occurs twice',),
    '{"prompt": NaN}': ("NaN is not JSON",),
    '{"prompt": 1e999}': ('number "1e999" is too large',),
    "[" * 100_000: ("nested too deeply",),
    "[1]": ("line: [1] is a list; allowed: one JSON object",),
    '{"id": "x"}': ("prompt: both are missing, prompt and messages",),
    '{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}': ("both are given",),
    '{"prompt": 7}': ("prompt: 7 is a number; allowed: a text that is not empty",),
    '{"prompt": "  "}': ("prompt:", "allowed: a text that is not empty"),
    '{"promt": "a"}': ("promt: unknown key 'promt'; did you mean 'prompt'?",),
    '{"prompt": "a", "check": "exct"}': ("check: unknown check 'exct'; did you mean 'exact'?",),
    '{"prompt": "a", "check": "exact"}': ("reference: missing",),
    '{"prompt": "a", "reference": "b"}': ("check: a reference is given but no check",),
    '{"prompt": "a", "check": "regex", "params": {"pattern": "("}}': ('params.pattern: "(" is not a regular',),
    '{"prompt": "a", "check": "regex", "params": {"patern": "x"}}': ("params.patern: unknown key", "'pattern'"),
    '{"prompt": "a", "check": "json_schema", "params": {"schema": {"type": "objct"}}}': ('params.schema: "objct"',),
    '{"prompt": "a", "check": "json_schema", "params": {"schema": {"$ref": "#/nowhere"}}}': ("$ref", "leads nowhere"),
    '{"prompt": "a", "check": "json_schema", "params": {"schema": {"$ref": "http://x/y"}}}': ("$ref", "leads nowhere"),
    '{"prompt": "a", "check": "numeric", "reference": "none"}': ('reference: "none" holds no number',),
    '{"prompt": "a", "check": "ifeval", "params": {"instructions": [{"id": "punctuation:no_coma"}]}}': (
        "params.instructions[0].id: unknown instruction",
        "did you mean 'punctuation:no_comma'?",
    ),
    '{"prompt": "a", "check": "ifeval", "params": {"instructions": [{"id": "length_constraints:number_words"}]}}': (
        "params.instructions[0].num_words: missing",
    ),
    '{"messages": [{"role": "bot", "content": "a"}]}': ('messages[0].role: "bot"', '"assistant"'),
    '{"messages": [{"role": "user"}]}': ("messages[0].content: missing",),
    '{"messages": [{"role": "user", "content": "a", "x": null, "content2": null}]}': ("unknown key 'x'",),
    '{"messages": ["hi"]}': ('messages[0]: "hi" is a text; allowed: an object',),
    '{"prompt": "a", "tags": {"n": 3}}': ("tags.n: 3 is a number; allowed: a text",),
    '{"prompt": "a\\u0000b"}': ("prompt: NUL character at position 1",),
    '{"prompt": "a\\ud800"}': ("prompt: half a surrogate pair (\\ud800) at position 1",),
    '{"prompt": "a", "check": "choice_likelihood", "choices": ["x", "x"], "reference": "x"}': ("choices:", "different"),
    '{"prompt": "a", "check": "label", "choices": ["x"], "reference": "y"}': (
        'reference: "y" is none of the 1 choices',
    ),
    '{"prompt": "a", "check": "perplexity", "reference": "y"}': ("params.max_perplexity: missing",),
}


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:60])
def test_every_fault_is_named_and_the_next_line_is_still_read(tmp_path: Path, line: str) -> None:
    path = jsonl(tmp_path / "x.jsonl", GOOD, line, {**GOOD, "id": "a"})
    report = validate(path)
    told = "\n".join(str(problem) for problem in report.problems)
    for part in BAD_LINES[line]:
        assert part in told
    assert told.startswith("x.jsonl:2: ")
    assert str(report.problems[-1]) == 'x.jsonl:3: id: "a" was used before, at line 1; allowed: a new id per item'
    assert all(len(str(problem)) < 1500 for problem in report.problems)


def test_bytes_that_are_not_utf_8_are_named_by_offset(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\n{"prompt": "\xe9"}\n{"prompt": "b\0"}\n')
    report = validate(path)
    offset = path.read_bytes().index(b"\xe9")
    assert str(report.problems[0]) == f"x.jsonl:2: byte 0xe9 at offset {offset} is not UTF-8; allowed: UTF-8 text"
    assert str(report.problems[1]).startswith(f"x.jsonl:3: NUL byte at offset {path.read_bytes().index(0)}")


def test_utf_16_is_recognized(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(GOOD), "utf-16")
    assert "UTF-16" in only(validate(path))


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_a_problem(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    assert "x.jsonl: holds no items" in only(validate(path))


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    assert "holds no items" in only(validate(tmp_path))


def test_a_prompt_of_one_megabyte_is_read_and_one_above_four_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"prompt": "x" * 2**20}, {"prompt": "x" * (4 * 2**20 + 1)})
    report = validate(path)
    assert report.items == 2
    assert only(report) == "x.jsonl:2: prompt: is 4,194,305 bytes long; allowed: up to 4,194,304 bytes"


def test_duplicate_ids_across_files_name_both_places(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", GOOD)
    jsonl(tmp_path / "b.jsonl", {"prompt": "x"}, GOOD)
    assert only(validate(tmp_path)) == 'b.jsonl:2: id: "a" was used before, at a.jsonl:1; allowed: a new id per item'


BAD_HEADS = {
    'name = "a\n': "workload.toml:1: malformed TOML",
    "licence = 1": "workload.toml:1: licence: 1 is a number; allowed: a text",
    "\nlicense = 'MIT'": "workload.toml:2: license: unknown key 'license'; did you mean 'licence'?",
    "[slo]\n\nttft_s = 0": "workload.toml:3: slo.ttft_s: 0 is not allowed; allowed: a number above 0",
    "[slo]\nttft = 1": "workload.toml:2: slo.ttft: unknown key 'ttft'; did you mean 'ttft_s'?",
    "[quality]\ncheck = 'labl'": "workload.toml:2: quality.check: unknown check 'labl'; did you mean 'label'?",
    "[quality.floor]\nuseful_rate = 80": "workload.toml:2: quality.floor.useful_rate: 80 is not allowed",
    "[quality]\nthreshold = true": "workload.toml:2: quality.threshold: true is true/false; allowed: a number from 0",
    "[sampling]\ntop_p = 0": "workload.toml:2: sampling.top_p: 0 is not allowed; allowed: a number above 0 and up to 1",
    "[sampling]\ngrammar = 'x'": "workload.toml:2: sampling.grammar: unknown key",
    "[answer]\ngrammar = 'choice'": 'answer.choices: missing; grammar "choice" needs it',
    "[answer]\ngrammar = 'regex'\nvalue = '('": 'workload.toml:3: answer.value: "(" is not a regular expression',
    "[answer]\ngrammar = 'json_schema'\nvalue = '{'": "workload.toml:3: answer.value:",
    "[answer]\nvalue = 'x'": "answer.value: says what grammar?",
    "chat = false\nsystem_prompt = 'x'": "workload.toml:2: system_prompt: not allowed with chat = false",
    'description = """\nlicence = 3\n"""\nlicence = 3': "workload.toml:4: licence: 3 is a number",
}


@pytest.mark.parametrize("head", BAD_HEADS, ids=lambda head: head[:40])
def test_a_fault_in_the_head_is_named_once_with_its_line(tmp_path: Path, head: str) -> None:
    (tmp_path / "workload.toml").write_text(head, "utf-8")
    jsonl(tmp_path / "i.jsonl", {"prompt": "a"}, {"prompt": "b"})
    report = validate(tmp_path)
    assert BAD_HEADS[head] in only(report)
    assert report.items == 2


def test_load_shows_the_first_problems_and_their_number(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", *["{"] * 7)
    with pytest.raises(
        InputError, match=r"(?s)has 7 problems:\n  x.jsonl:1: .*x.jsonl:5: .*and 2 more: `cput workload"
    ):
        load(path)


@pytest.mark.parametrize("name", ["ifevel", "", "a\0b", "x" * 5000, "no/such/file.jsonl"])
def test_a_name_that_is_nowhere_is_one_sentence(name: str) -> None:
    with pytest.raises(InputError, match="unknown workload") as told:
        load(name)
    assert "banking77, clinc150, cold, gsm8k, ifeval, sms-spam" in str(told.value)
    assert ("did you mean 'ifeval'?" in str(told.value)) == (name == "ifevel")


def test_a_file_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b")
    assert "allowed: .toml, .jsonl, a folder" in only(validate(path))


@given(content=st.binary(max_size=300))
def test_no_bytes_at_all_break_the_reading(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "x.jsonl").write_bytes(content)
    (folder / "workload.toml").write_bytes(content)
    for path in (folder, folder / "x.jsonl", folder / "workload.toml"):
        assert all(problem.message for problem in validate(path).problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)


@given(
    value=st.dictionaries(
        st.sampled_from(["id", "prompt", "messages", "reference", "check", "params", "choices", "tags"]), JSON
    ),
    check=st.sampled_from([None, "exact", "label", "numeric", "regex", "json_schema", "json_fields", "ifeval"]),
    params=st.none() | st.dictionaries(st.sampled_from(["pattern", "schema", "instructions", "synonyms", "all"]), JSON),
)
def test_no_json_at_all_breaks_the_reading(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object], check: str | None, params: object
) -> None:
    if check:
        value = {**value, "check": check, "params": params}
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_text(json.dumps(value) + "\n")
    report = validate(path)
    assert report.ok == (load_or_none(path) is not None)


def load_or_none(path: Path) -> object:
    try:
        return load(path)
    except InputError:
        return None
