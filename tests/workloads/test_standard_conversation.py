"""The standard conversation: 1,000 tokens in all, whoever counts them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.records import Usage
from cput.workloads import standard


def test_user_and_answer_tokens_make_a_thousand() -> None:
    turns = standard.turns()
    assert len(turns) == 3
    assert sum(turn.user_tokens + turn.max_new_tokens for turn in turns) == standard.TOTAL_TOKENS


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(lambda text: len(text.split()), id="words"),
        pytest.param(lambda text: len(text) // 3 + 5, id="three characters and a template of five"),
        pytest.param(lambda text: len(re.findall(r"\w{1,4}|\W", text)), id="pieces"),
    ],
)
def test_texts_are_fitted_to_any_counter(count) -> None:
    for turn in standard.turns(count):
        counted = count(turn.user_text)
        longest_word = max(count(word) for word in turn.user_text.split())
        assert turn.user_tokens - longest_word - 1 <= counted <= turn.user_tokens


def test_earlier_turns_are_sent_again_word_for_word() -> None:
    turns = standard.turns()
    sent = standard.messages(turns, ["one", "two"])
    assert [turn.role for turn in sent] == ["user", "assistant", "user", "assistant", "user"]
    assert [turn.content for turn in sent[1::2]] == ["one", "two"]
    assert sent[:3] == standard.messages(turns, ["one"])
    call = standard.call(turns, ["one"])
    assert call.messages == sent[:3]
    assert call.sampling.max_new_tokens == turns[1].max_new_tokens
    assert (call.workload, call.item) == ("standard-1k", "turn:2")
    with pytest.raises(ValueError, match="3 answers to 3 turns"):
        standard.messages(turns, ["a", "b", "c"])


def test_the_nominal_conversation_counts_a_thousand_and_rereads_eleven_hundred() -> None:
    usages, before = [], 0
    for turn in standard.turns():
        usages.append(Usage(input_uncached=before + turn.user_tokens, output=turn.max_new_tokens))
        before += turn.user_tokens + turn.max_new_tokens
    assert standard.counted(usages) == (300, 700, 1100)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500)), min_size=1, max_size=5), st.booleans())
def test_counted_tokens_are_the_last_input_and_output(turns: list[tuple[int, int]], cached: bool) -> None:
    usages, before = [], 0
    for user, answer in turns:
        usages.append(
            Usage(
                input_uncached=user if cached else before + user,
                input_cache_read=before if cached else 0,
                output=answer,
            )
        )
        before += user + answer
    found = standard.counted(usages)
    assert found.total == usages[-1].input + usages[-1].output == before
    assert found.reread == sum(usage.input for usage in usages) - found.user


def test_an_unknown_count_is_unknown() -> None:
    assert standard.counted([Usage(input_uncached=5, output=3), Usage(output=3)]) is None
