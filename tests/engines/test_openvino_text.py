"""No character is split and no stop text is shown, whatever tokens come in whatever groups."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cput.engines.openvino.grammar import engine_grammar
from cput.engines.openvino.submit import check
from cput.engines.openvino.text import ChatTemplate, Detokenizer
from cput.errors import EngineError, InputError
from cput.models import load_manifest
from cput.records import Grammar, GrammarKind, Message, Sampling

TEXTS = [
    "Hello world, hello moon.",
    "数据库很好，天气怎么样？",
    "😀👩‍👩‍👧🏳️‍🌈 ok",
    "naïve café — ½ €",
    "    def f(x):\n\treturn x",
    "مرحبا بالعالم",
]


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    return Tokenizer.from_file(str(smollm2.folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def splitting(tokenizer):
    """Tokens that are a part of a character."""
    return [token for token in range(tokenizer.get_vocab_size()) if "\ufffd" in tokenizer.decode([token])]


def grouped(draw, ids):
    cuts = sorted(draw(st.lists(st.integers(0, len(ids)), max_size=6)))
    return [ids[a:b] for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True)]


def shown(tokenizer, groups, stop=()):
    text = Detokenizer(tokenizer, stop)
    pieces = []
    for group in groups:
        emitted = text.push(group)
        pieces.append(emitted.text)
        if emitted.stopped:
            return pieces, True
    return [*pieces, text.finish()], False


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_the_stream_is_the_whole_decoded_for_any_tokens_in_any_groups(tokenizer, splitting, data):
    token = st.one_of(st.sampled_from(splitting), st.integers(0, tokenizer.get_vocab_size() - 1))
    ids = data.draw(st.lists(token, max_size=24))
    pieces, _ = shown(tokenizer, grouped(data.draw, ids))
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_text_comes_back_whole_and_no_piece_holds_half_a_character(tokenizer, data):
    text = data.draw(st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assume(tokenizer.decode(ids) == text)
    pieces, _ = shown(tokenizer, [[token] for token in ids])
    assert "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


def test_emoji_of_several_tokens_come_in_one_piece(tokenizer):
    ids = tokenizer.encode("a😀b", add_special_tokens=False).ids
    assert len(ids) > 3  # the emoji is more than one token, else this shows nothing
    assert [piece for piece in shown(tokenizer, [[token] for token in ids])[0] if piece] == ["a", "😀", "b"]


def test_an_answer_cut_inside_a_character_ends_in_the_replacement_character(tokenizer):
    ids = tokenizer.encode("a😀", add_special_tokens=False).ids
    assert "".join(shown(tokenizer, [ids[:-1]])[0]) == "a\ufffd"


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_an_answer_is_what_stands_before_its_stop_text(tokenizer, data):
    text = data.draw(st.sampled_from(TEXTS))
    begin = data.draw(st.integers(0, len(text) - 1))
    stop = text[begin : data.draw(st.integers(begin + 1, len(text)))]
    groups = grouped(data.draw, tokenizer.encode(text, add_special_tokens=False).ids)
    pieces, stopped = shown(tokenizer, groups, (stop, "never ⌀"))
    assert "".join(pieces) == text[: text.index(stop)]
    assert stopped


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_stop_text_is_ever_shown_of_several_that_overlap(tokenizer, data):
    letters = data.draw(st.text("ab", min_size=1, max_size=20))
    stops = tuple(data.draw(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3)))
    groups = grouped(data.draw, tokenizer.encode(letters, add_special_tokens=False).ids)
    pieces, stopped = shown(tokenizer, groups, stops)
    text = "".join(pieces)
    assert letters.startswith(text)
    assert not any(stop in text for stop in stops)
    assert stopped == any(stop in letters for stop in stops)
    assert stopped or text == letters


def test_a_stop_text_that_does_not_come_true_is_shown_after_all(tokenizer):
    ids = tokenizer.encode("one two thr", add_special_tokens=False).ids
    pieces, stopped = shown(tokenizer, [[token] for token in ids], ("two three",))
    assert ("".join(pieces), stopped) == ("one two thr", False)


# Templates


def test_the_models_own_template_opens_the_assistants_turn(smollm2):
    template = ChatTemplate(load_manifest(smollm2.folder).chat_template, {"eos_token": "<|im_end|>"})
    text = template.render([Message(role="user", content="Hi")])
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_a_template_may_break_out_of_loops_and_writes_json_unescaped():
    source = "{% for m in messages %}{{ m | tojson }}{% break %}{% endfor %}"
    turns = [Message(role="user", content="<数据>"), Message(role="user", content="no")]
    assert ChatTemplate(source, {}).render(turns) == '{"role": "user", "content": "<数据>"}'


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no system turn') }}",
        "{{ 'a' + none }}",
        "{{ 1 // 0 }}",
        "{{ messages[7].role.x }}",
        "{{ ''.__class__.mro() }}",
    ],
)
def test_a_template_that_fails_is_an_engine_error(source):
    with pytest.raises(EngineError, match="chat template refused the conversation"):
        ChatTemplate(source, {}).render([Message(role="user", content="x")])


def test_a_template_that_is_no_jinja_is_refused():
    with pytest.raises(InputError, match="not valid Jinja"):
        ChatTemplate("{% for %}", {})


# Sampling and grammars


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_new_tokens", -1), ("temperature", -0.1), ("temperature", float("nan")), ("temperature", float("inf")),
        ("top_p", 0.0), ("top_p", 1.1), ("top_k", 0), ("seed", -1), ("seed", 1 << 63), ("repetition_penalty", 0.0),
        ("repetition_penalty", float("nan")), ("presence_penalty", 2.1), ("frequency_penalty", float("nan")),
    ],
)  # fmt: skip
def test_a_sampling_that_means_nothing_is_named(field, value):
    with pytest.raises(InputError, match=rf"{field} is .*; allowed: "):
        check(Sampling(**{field: value}))


def test_the_bounds_themselves_are_allowed():
    lowest = Sampling(max_new_tokens=0, temperature=0, top_p=1, top_k=1, seed=(1 << 63) - 1, presence_penalty=-2)
    assert check(lowest) is None


def test_a_choice_becomes_an_alternative_of_quoted_texts():
    found = engine_grammar(Grammar(kind=GrammarKind.CHOICE, value=('a"b', "中\n")))
    assert found == ("ebnf", 'root ::= "a\\"b" | "中\\n"')
    with pytest.raises(InputError, match="needs at least one allowed answer"):
        engine_grammar(Grammar(kind=GrammarKind.CHOICE, value=()))
    with pytest.raises(InputError, match="a regex grammar is one text; this one has 2 parts"):
        engine_grammar(Grammar(kind=GrammarKind.REGEX, value=("a", "b")))
