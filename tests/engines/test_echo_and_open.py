"""The echo engine keeps the contract; engines are found by name and told what is wrong with their options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.engines import engine_names, open_engine
from cput.engines.echo import words_of
from cput.errors import InputError, PromptTooLong
from cput.records import Call, Finish, Message, Sampling
from cput.testing import check_engine


async def test_echo_keeps_the_contract():
    await check_engine(lambda: open_engine("echo", token_s=0.0005, context_length=300), too_long="a " * 400)


@given(st.text())
def test_words_join_to_the_text(text):
    assert "".join(words_of(text)) == text


@pytest.mark.parametrize(
    ("stop", "text"),
    [(("b c",), "a "), (("c", "b"), "a "), (("",), "a b c d"), (("x",), "a b c d"), (("a",), "")],
    ids=["over two words", "the earliest wins", "an empty stop is none", "absent", "at once"],
)
async def test_echo_ends_at_the_first_stop_text(stop, text):
    answer = open_engine("echo").answer(Call(prompt="a b c d", sampling=Sampling(stop=stop)))
    assert await answer.text() == text
    assert answer.ending.finish is Finish.STOP


async def test_echo_counts_the_whole_conversation_and_repeats_its_last_message():
    turns = (Message(role="user", content="one two"), Message(role="user", content="three"))
    answer = open_engine("echo").answer(Call(messages=turns))
    assert await answer.text() == "three"
    assert (answer.ending.usage.input, answer.ending.usage.output) == (3, 1)


async def test_echo_refuses_what_does_not_fit():
    with pytest.raises(PromptTooLong, match="has 4 words; this echo engine holds 4"):
        await open_engine("echo", context_length=4).answer(Call(prompt="a b c d")).text()


def test_the_built_in_engines_are_found():
    assert {"echo", "openai", "openvino", "replay"} <= set(engine_names())


def test_an_unknown_engine_is_named_with_its_neighbour():
    with pytest.raises(InputError, match="unknown engine 'openvno'; did you mean 'openvino'"):
        open_engine("openvno")


def test_an_unknown_option_is_named_with_its_neighbour():
    with pytest.raises(InputError, match="unknown option of engine openvino 'max_seq'; did you mean 'max_seqs'"):
        open_engine("openvino", model="m", max_seq=3)


def test_a_missing_option_is_named():
    with pytest.raises(InputError, match="engine 'openai' needs the option 'base_url'"):
        open_engine("openai", model="m")
