"""The embedded engine with a real model: what it says, what it counts, and what it does when things go wrong."""

import asyncio
import json
import math
import os
import re
import signal
from dataclasses import replace

import jsonschema
import openvino
import pytest
import pytest_asyncio

from cput.engines.openvino import OpenVino, open_engine
from cput.errors import EngineError, EngineUnavailable, InputError, PromptTooLong
from cput.models import load_manifest
from cput.records import Call, Finish, Grammar, GrammarKind, Message, Sampling
from cput.testing import check_engine

pytestmark = pytest.mark.asyncio(loop_scope="module")
CAT = 'Give the animal as JSON on one line, like {"kind": "dog", "age": 3}. It is a cat of 4 years.'
ANIMAL = {
    "type": "object",
    "properties": {"kind": {"enum": ["cat", "dog"]}, "age": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["kind", "age"],
    "additionalProperties": False,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(int8):
    opened = open_engine(int8, max_seqs=8)
    yield opened
    await opened.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(int8):
    """Opens engines with options; closes them."""
    opened: list[OpenVino] = []

    def make(**options):
        opened.append(open_engine(options.pop("model", int8), **{"grammar": False, "max_seqs": 8} | options))
        return opened[-1]

    yield make
    for one in opened:
        await one.aclose()


def chat(text="Write a short story about a dog.", **sampling):
    return Call(messages=(Message(role="user", content=text),), sampling=Sampling(**{"max_new_tokens": 24} | sampling))


def raw(text, **sampling):
    return Call(prompt=text, sampling=Sampling(**{"max_new_tokens": 12} | sampling))


async def whole(engine, call):
    answer = engine.answer(call)
    pieces = [piece async for piece in answer]
    return "".join(piece.text for piece in pieces), pieces, answer.ending


# The contract


async def test_openvino_keeps_the_contract(int8):
    await check_engine(lambda: open_engine(int8, grammar=False, max_seqs=8), real=True, too_long="word " * 9000)


async def test_a_prompt_that_does_not_fit_is_refused_before_anything_starts(fresh):
    engine = fresh()
    with pytest.raises(PromptTooLong, match=r"the prompt has 9,00\d tokens; the model's context holds 8,192"):
        await engine.answer(raw("word " * 9000)).text()
    assert engine.pid is None


async def test_a_prompt_that_fills_the_kv_cache_is_refused(fresh):
    engine = fresh(cache_gb=1)
    engine.kv_cache_tokens = 50
    with pytest.raises(PromptTooLong, match="the model's KV cache holds 50"):
        await engine.answer(raw("word " * 60)).text()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (Call(), "no messages and no prompt"),
        (raw(""), "empty after tokenising"),
        (raw("a\ud800b"), "half of a surrogate pair"),
        (chat(temperature=-1.0), "temperature is -1.0"),
        (chat(grammar=Grammar(kind=GrammarKind.REGEX, value="a")), "opened with grammar=False"),
    ],
)
async def test_what_can_be_seen_to_be_wrong_is_refused_before_anything_starts(fresh, call, says):
    engine = fresh()
    with pytest.raises(InputError, match=says):
        await engine.answer(call).text()
    assert engine.pid is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kv_precision": "f8"}, "KV precision 'f8'"),
        ({"max_seqs": 0}, "max_seqs is 0"),
        ({"cache_gb": 0.5}, "cache_gb is 0.5; allowed: whole numbers from 1"),
        ({"max_batched_tokens": -1}, "max_batched_tokens is -1"),
        ({"prompt_lookup": True, "draft": "x"}, "exclude each other"),
    ],
)
async def test_an_option_out_of_range_is_named(smollm2, options, says):
    draft = {"draft": smollm2.folder} if "draft" in options else {}
    with pytest.raises(InputError, match=says):
        open_engine(smollm2.folder, **options | draft)


# What it says


async def test_the_same_seed_alone_gives_the_same_text_and_another_seed_another(engine):
    texts = [(await whole(engine, chat(temperature=1.0, seed=seed)))[0] for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]


async def test_no_new_tokens_is_no_text(engine):
    text, _, ending = await whole(engine, chat(max_new_tokens=0))
    assert (text, ending.finish, ending.usage.output) == ("", Finish.LENGTH, 0)


async def test_ignoring_the_end_gives_the_exact_length(engine):
    _, pieces, ending = await whole(engine, chat("Say yes.", max_new_tokens=40, ignore_eos=True))
    assert (ending.finish, ending.usage.output, sum(piece.tokens for piece in pieces)) == (Finish.LENGTH, 40, 40)


async def test_a_stop_text_over_several_tokens_ends_the_answer(engine):
    text, _, _ = await whole(engine, chat(max_new_tokens=40))
    stop = text[30:42]
    cut, _, ending = await whole(engine, chat(max_new_tokens=40, stop=(stop,)))
    assert (cut, ending.finish) == (text[: text.index(stop)], Finish.STOP)


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar(kind=GrammarKind.JSON_SCHEMA, value=json.dumps(ANIMAL)),
        Grammar(kind=GrammarKind.REGEX, value=r"[0-9]{3}-[a-c]{2}"),
        Grammar(kind=GrammarKind.CHOICE, value=("so la", "数据", 'a "b"')),
        Grammar(kind=GrammarKind.EBNF, value='root ::= "x" [0-4]'),
    ],
    ids=lambda grammar: grammar.kind.value,
)
async def test_a_grammar_gives_valid_text(engine, grammar):
    text, _, ending = await whole(engine, chat(CAT, max_new_tokens=60, grammar=grammar))
    assert ending.finish is Finish.STOP
    if grammar.kind is GrammarKind.JSON_SCHEMA:
        jsonschema.validate(json.loads(text), ANIMAL)
    elif grammar.kind is GrammarKind.REGEX:
        assert re.fullmatch(grammar.value, text)
    elif grammar.kind is GrammarKind.CHOICE:
        assert text in grammar.value
    else:
        assert re.fullmatch("x[0-4]", text)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (GrammarKind.JSON_SCHEMA, "{nope", "Failed to parse JSON"),
        (GrammarKind.JSON_SCHEMA, '{"type": "frog"}', 'Unsupported type "frog"'),
        (GrammarKind.REGEX, "([", "Unclosed '\\['"),
        (GrammarKind.EBNF, 'x ::= "a"', "root rule"),
    ],
)
async def test_a_bad_grammar_harms_only_its_own_call(engine, kind, value, says):
    company = asyncio.create_task(whole(engine, chat(ignore_eos=True)))
    await asyncio.sleep(0.2)
    pid = engine.pid
    with pytest.raises(EngineError, match=says):
        await engine.answer(chat(grammar=Grammar(kind=kind, value=value))).text()
    assert (await company)[2].usage.output == 24
    assert engine.pid == pid


# Log-probabilities


async def test_greedy_logprobs_are_those_that_an_echo_of_the_same_text_gives(engine):
    prompt = "The three primary colours are"
    text, pieces, _ = await whole(engine, raw(prompt, logprobs=True))
    chosen = [value for piece in pieces for value in piece.logprobs]
    assert len(chosen) == 12
    assert all(math.isfinite(value) and value <= 0 for value in chosen)
    assert engine.count_tokens(prompt + text) == engine.count_tokens(prompt) + 12  # the text is cut the same way again
    _, echoed, ending = await whole(engine, raw(prompt + text, echo=True, max_new_tokens=0))
    scored = [value for piece in echoed for value in piece.prompt_logprobs]
    assert len(scored) == engine.count_tokens(prompt + text) - 1
    # Prompt and decode kernels round differently; where the CPU has BF16 units, the engine computes with 8 bits.
    in_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert scored[-12:] == pytest.approx(chosen, abs=0.25 if in_bf16 else 0.005)
    assert ending.usage.output == 0


async def test_an_echo_is_whole_where_the_prompt_takes_several_steps(fresh):
    engine = fresh(max_batched_tokens=64)
    text = "One, two, three, four, five." * 20
    _, pieces, _ = await whole(engine, raw(text, echo=True, max_new_tokens=2, logprobs=True))
    scored = [value for piece in pieces for value in piece.prompt_logprobs]
    assert len(scored) == engine.count_tokens(text) - 1
    assert sum(len(piece.logprobs) for piece in pieces) == 2
    assert all(math.isfinite(value) and value <= 0 for value in scored)
    assert scored[-1] > -2 > scored[0]  # a text that repeats itself twenty times is no surprise at its end


# What it counts


async def test_the_engine_seconds_of_calls_at_once_add_up_to_the_busy_time(engine):
    before_s = engine.busy_s
    calls = [chat(f"Tell me {n} facts about the sea. " * n, max_new_tokens=16, ignore_eos=True) for n in range(1, 13)]
    ended = await asyncio.gather(*(whole(engine, call) for call in calls))  # 12 calls, room for 8
    shares = [ending.usage.engine_s for _, _, ending in ended]
    assert all(share > 0 for share in shares)
    assert sum(shares) == pytest.approx(engine.busy_s - before_s, rel=0.05)


async def test_no_more_calls_than_max_seqs_are_in_the_batch(fresh):
    engine = fresh(max_seqs=2)
    await engine.start()
    answers = [engine.answer(chat(max_new_tokens=6, ignore_eos=True)) for _ in range(7)]
    tasks = [asyncio.create_task(answer.text()) for answer in answers]
    await asyncio.gather(*tasks)
    assert engine.steps >= 4 * 6  # three pairs after one another, and one alone


async def test_a_call_that_hung_up_takes_no_more_steps(engine):
    answer = engine.answer(chat(max_new_tokens=2000, ignore_eos=True))
    async for _ in answer:
        break
    await answer.aclose()
    await whole(engine, chat(max_new_tokens=1))  # the step under way is over, and the hang-up has been read
    busy_s = engine.busy_s
    await asyncio.sleep(0.5)
    assert engine.busy_s == busy_s


async def test_the_prefix_cache_saves_engine_time(fresh):
    engine = fresh(prefix_cache=True)
    call = raw("The quick brown fox jumps over the lazy dog again. " * 60, max_new_tokens=2)
    first, second = [(await whole(engine, call))[2].usage for _ in range(2)]
    print("prefix cache:", first.engine_s, second.engine_s)
    assert second.engine_s < 0.5 * first.engine_s
    assert first.input == second.input


@pytest.mark.parametrize("options", [{"kv_precision": "u8"}, {"prompt_lookup": True}, {"draft": "int8"}], ids=str)
async def test_faster_ways_say_nearly_the_same(engine, fresh, smollm2, int8, options):
    if "draft" in options:
        options = {"draft": int8, "model": smollm2.folder}
    call = chat("Repeat after me: one two three four five six seven eight.", max_new_tokens=32)
    wanted, _, _ = await whole(engine, call)
    text, pieces, ending = await whole(fresh(**options), call)
    assert text[:10] == wanted[:10], f"{text!r} is not {wanted!r}"
    assert sum(piece.tokens for piece in pieces) == ending.usage.output
    if "kv_precision" not in options:
        print("tokens a step:", ending.usage.output / len(pieces))


async def test_a_draft_of_another_vocabulary_is_refused(smollm2, tmp_path):
    replace(load_manifest(smollm2.folder), vocab_size=7).write(tmp_path)
    with pytest.raises(InputError, match="a draft needs the same tokenizer"):
        open_engine(smollm2.folder, draft=tmp_path)


# When things go wrong


async def test_a_killed_engine_process_fails_its_calls_and_the_next_call_starts_another(fresh):
    engine = fresh()
    started = aiter(engine.answer(chat(max_new_tokens=500, ignore_eos=True)))
    others = [asyncio.create_task(engine.answer(chat(max_new_tokens=500, ignore_eos=True)).text()) for _ in range(3)]
    await anext(started)
    killed = engine.pid
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(EngineUnavailable, match=r"ended \(signal SIGKILL\) before the answer did") as error:
        [piece async for piece in started]
    assert error.value.retryable
    failures = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(failure, EngineUnavailable) and "SIGKILL" in str(failure) for failure in failures)
    busy_s = engine.busy_s
    text, _, _ = await whole(engine, chat(max_new_tokens=4))
    assert text
    assert engine.pid not in {None, killed}
    assert engine.busy_s > busy_s > 0


async def test_a_cancelled_start_leaves_no_process_and_no_debt(fresh):
    engine = fresh()
    for _ in range(6):  # more than the deaths that are allowed in a minute
        task = asyncio.create_task(engine.start())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert engine.pid is None
    assert (await whole(engine, chat(max_new_tokens=1)))[2].usage.output == 1


async def test_a_model_that_can_not_be_loaded_says_why_and_is_not_tried_for_ever(smollm2, fresh, tmp_path):
    for name in ("model.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((smollm2.folder / name).read_bytes())
    (tmp_path / "openvino_model.xml").write_text("<net")
    engine = fresh(model=tmp_path)
    for _ in range(4):
        with pytest.raises(EngineUnavailable, match=r"the model could not be loaded: .*openvino_model"):
            await engine.answer(chat()).text()
    with pytest.raises(EngineUnavailable, match="died 4 times within a minute"):
        await engine.answer(chat()).text()


async def test_modules_of_the_folder_that_the_caller_stands_in_are_not_taken(fresh, tmp_path, monkeypatch):
    (tmp_path / "select.py").write_text("raise SystemExit('the wrong module')")
    (tmp_path / "socket.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    assert (await whole(fresh(), chat(max_new_tokens=1)))[2].usage.output == 1
