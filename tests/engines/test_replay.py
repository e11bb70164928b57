"""A recording is given back as it was; what is wrong with its file is named by line."""

import json

import pytest

from cput.engines.replay import open_engine
from cput.errors import EngineError, InputError
from cput.records import Call, CountedBy, Finish, Message
from cput.testing import PROMPTS, check_engine


@pytest.fixture
def recorded(tmp_path):
    def write(*lines):
        file = tmp_path / "answers.jsonl"
        text = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
        file.write_text(text, encoding="utf-8")
        return file

    return write


async def test_replay_keeps_the_contract(recorded):
    file = recorded(
        *(
            {"prompt": text, "text": text, "input_tokens": 9, "output_tokens": len(text), "tpot_s": 0.0005}
            for text in PROMPTS
        )
    )
    await check_engine(lambda: open_engine(file, speed=1.0), without=["max_new_tokens", "stop"])


async def test_a_line_is_found_by_item_and_else_by_the_last_message(recorded):
    engine = open_engine(recorded({"item": "q1", "text": "by item"}, {"prompt": "hi", "text": "by text"}))
    messages = (Message(role="system", content="s"), Message(role="user", content="hi"))
    assert await engine.answer(Call(item="q1", messages=messages)).text() == "by item"
    assert await engine.answer(Call(item="q2", messages=messages)).text() == "by text"
    with pytest.raises(EngineError, match="no answer is recorded for item 'q3'"):
        await engine.answer(Call(item="q3", prompt="no")).text()


async def test_figures_come_from_the_recording(recorded):
    line = {
        "item": "a",
        "text": "x y",
        "input_tokens": 5,
        "output_tokens": 7,
        "engine_s": 0.5,
        "finish": "length",
        "model": "m",
    }
    answer = open_engine(recorded(line)).answer(Call(item="a"))
    await answer.text()
    usage = answer.ending.usage
    assert (usage.input, usage.output, usage.engine_s, usage.complete) == (5, 7, 0.5, True)
    assert (answer.ending.finish, answer.ending.model) == (Finish.LENGTH, "m")


async def test_what_was_not_recorded_stays_unknown(recorded):
    answer = open_engine(recorded({"item": "a", "text": "x"})).answer(Call(item="a"))
    await answer.text()
    usage = answer.ending.usage
    assert (usage.input, usage.output, usage.complete, usage.counted_by) == (None, None, False, CountedBy.UNKNOWN)


async def test_a_bare_line_separator_in_a_text_does_not_end_its_line(recorded):
    engine = open_engine(recorded('{"item": "a", "text": "x\u2028y"}'))
    assert await engine.answer(Call(item="a")).text() == "x\u2028y"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "a recorded answer is an object"),
        ({"text": "x"}, "with 'text' and 'item' or 'prompt'"),
        ({"item": "a", "text": 3}, "'text' is 3; it must be a text"),
        ({"item": "a", "text": "x", "output_tokens": -1}, "'output_tokens' is -1; it must be a number"),
        ({"item": "a", "text": "x", "output_tokens": 1.5}, "'output_tokens' is 1.5; it must be a number"),
        ({"item": "a", "text": "x", "ttft_s": True}, "'ttft_s' is true; it must be a number"),
        ({"item": "a", "text": "x", "finish": "bored"}, "'finish' is \"bored\"; allowed: stop, length"),
    ],
)
def test_a_bad_line_is_named(recorded, line, says):
    with pytest.raises(InputError) as error:
        open_engine(recorded({"item": "fine", "text": "x"}, line))
    assert "answers.jsonl:2:" in str(error.value)
    assert says in str(error.value)


def test_an_empty_or_missing_recording_is_refused(recorded, tmp_path):
    with pytest.raises(InputError, match="holds no answers"):
        open_engine(recorded(""))
    with pytest.raises(InputError, match="can't be read"):
        open_engine(tmp_path / "absent.jsonl")
    with pytest.raises(InputError, match="speed is -1"):
        open_engine(recorded({"item": "a", "text": "x"}), speed=-1)
