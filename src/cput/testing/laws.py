"""The engine contract, law by law (``cput.protocols`` in sentences that can be broken).

Each law is a function over a ``Bench``; its docstring is what it says.
"""

import asyncio
import contextlib
import difflib
import gc
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from cput.errors import EngineError, InputError, PromptTooLong
from cput.protocols import Engine
from cput.records import Call, CountedBy, Finish
from cput.testing.bench import COMPANY, LONG, SHORT, WIDE, Bench
from cput.testing.hang_up import hang_up, hang_up_early, hang_up_elsewhere

QUICK_S = 0.1
"""An answer that is whole sooner than this cannot show who waits for whom."""


class Law(NamedTuple):
    """One line of the contract."""

    name: str
    says: str
    closes: bool
    check: Callable[[Bench], Awaitable[None]]

    def __str__(self) -> str:
        return self.name


async def _stream(bench: Bench) -> None:
    """An answer is pieces, then one ending that is not there before."""
    assert isinstance(bench.engine, Engine), f"{type(bench.engine).__name__} has no name, answer and aclose"
    assert bench.engine.name, "the engine has no name"
    answer = bench.ask(SHORT)
    assert not answer.ended, "it had ended before it began"
    pieces = [piece async for piece in answer]
    assert any(piece.text for piece in pieces), "no piece had text"
    assert all(piece.tokens >= 0 for piece in pieces), "a piece had fewer than 0 tokens"
    assert answer.ended, "the pieces ran out without an ending"
    assert answer.ending.finish in {Finish.STOP, Finish.LENGTH}, f"it ended with {answer.ending.finish}"
    text = "".join(piece.text for piece in pieces)
    assert bench.real or text == SHORT, f"the pieces joined to {text!r}"


async def _text(bench: Bench) -> None:
    """text() is the pieces joined."""
    answer = bench.ask(SHORT)
    whole = await answer.text()
    assert answer.ended, "text() came back before the ending"
    again = "".join([piece.text async for piece in bench.ask(SHORT)])
    assert whole, "the text was empty"
    if bench.real:  # a model's arithmetic may differ a little from call to call, its drift not
        assert _alike(whole, again) > 0.5, f"text() gave {whole!r} and the pieces {again!r}"
    else:
        assert whole == again == SHORT, f"text() gave {whole!r} and the pieces {again!r}"


async def _usage(bench: Bench) -> None:
    """At the end the usage is complete: somebody counted input and output."""
    answer = bench.ask(SHORT)
    pieces = [piece async for piece in answer]
    usage = answer.ending.usage
    assert usage.complete, f"the usage is not complete: {usage}"
    assert usage.counted_by in {CountedBy.ENGINE, CountedBy.PROVIDER}, f"counted by {usage.counted_by}"
    assert usage.input, f"the input is {usage.input}"
    assert usage.output, f"the output is {usage.output}"
    tokens = sum(piece.tokens for piece in pieces)
    assert tokens <= usage.output, f"the pieces carried {tokens} tokens and the usage says {usage.output}"
    assert usage.engine_s is None or usage.engine_s >= 0, f"engine seconds are {usage.engine_s}"


async def _max_new_tokens(bench: Bench) -> None:
    """max_new_tokens bounds the answer and says so."""
    answer = bench.ask(LONG, max_new_tokens=3)
    text = await answer.text()
    assert answer.ending.finish is Finish.LENGTH, f"it ended with {answer.ending.finish}"
    assert answer.ending.usage.output == 3, f"3 tokens were allowed and {answer.ending.usage.output} were generated"
    assert bench.real or (LONG.startswith(text) and text != LONG), f"it said {text!r}"


async def _stop(bench: Bench) -> None:
    """A stop text ends the answer and is not in it."""
    stop = " " if bench.real else "number 7, number"
    answer = bench.ask(LONG, stop=(stop, "never said ⌀"))
    text = await answer.text()
    assert answer.ending.finish is Finish.STOP, f"it ended with {answer.ending.finish} and {text!r}"
    assert stop not in text, f"the stop text is in {text!r}"
    assert bench.real or text == LONG[: LONG.index(stop)], f"up to the stop text it said {text!r}"


async def _company(bench: Bench) -> None:
    """Sixteen calls at once each get their own answer."""
    alone, most = list(COMPANY), 8 if bench.real else 512
    if bench.real:
        alone = [await bench.ask(text, max_new_tokens=most).text() for text in COMPANY]
    together = await asyncio.gather(*(bench.ask(text, max_new_tokens=most).text() for text in COMPANY))
    if not bench.real:
        assert together == alone, f"they got {together}"
        return
    # A batch rounds differently: an answer may drift, but hardly ever nearer to another call's than to its own.
    own = sum(_nearest(mine, alone) == at for at, mine in enumerate(together))
    assert own >= 14, f"only {own} of 16 got what they get alone: {together}"


async def _late_joiner(bench: Bench) -> None:
    """A call that comes later is answered while another is under way."""
    first, under_way, ended = bench.ask(LONG, max_new_tokens=48 if bench.real else 512), asyncio.Event(), 0.0

    async def read() -> None:
        nonlocal ended
        try:
            async for _ in first:
                under_way.set()
        finally:
            ended = time.perf_counter()
            under_way.set()

    reader = asyncio.create_task(read())
    try:
        await under_way.wait()
        joined = time.perf_counter()
        await bench.ask(SHORT, max_new_tokens=2).text()
        answered = time.perf_counter()
        await reader
    finally:
        reader.cancel()
    late_s = answered - ended
    assert late_s < 0 or ended - joined < QUICK_S, f"the second call was answered {late_s:.2f} s after the first ended"


async def _again(bench: Bench) -> None:
    """After its end an answer can be iterated, read and closed again; nothing more comes and the ending stays."""
    answer = bench.ask(SHORT)
    await answer.text()
    ending = answer.ending
    assert [piece async for piece in answer] == [], "pieces came after the end"
    assert await answer.text() == "", "text came after the end"
    await answer.aclose()
    await answer.aclose()
    assert answer.ending == ending, f"the ending turned from {ending} into {answer.ending}"


async def _too_long(bench: Bench) -> None:
    """A prompt that does not fit is refused with PromptTooLong, and only that call."""
    assert bench.too_long is not None
    try:
        text = await bench.ask(bench.too_long).text()
    except PromptTooLong:
        pass
    else:
        raise AssertionError(f"a prompt of {len(bench.too_long):,} characters was answered with {text[:40]!r}")
    await bench.still_answers()


async def _no_messages(bench: Bench) -> None:
    """A call without messages and prompt is refused with an error of cput's."""
    try:
        text = await bench.engine.answer(Call()).text()
    except (EngineError, InputError):
        pass
    else:
        raise AssertionError(f"it was answered with {text[:40]!r}")
    await bench.still_answers()


async def _characters(bench: Bench) -> None:
    """No character is ever split: Chinese and emoji come through whole."""
    pieces = [piece.text async for piece in bench.ask(WIDE)]
    text = "".join(pieces)
    assert "\ufffd" not in text[:-1], f"a character was broken in {text!r}"
    for piece in pieces:
        piece.encode()  # half of a surrogate pair can't be
    assert bench.real or text == WIDE, f"it said {text!r}"


async def _unread(bench: Bench) -> None:
    """An answer that nobody reads costs nothing."""
    busy_s = getattr(bench.engine, "busy_s", None)
    unread = [bench.ask(LONG) for _ in range(100)]
    await asyncio.sleep(0.05)
    assert getattr(bench.engine, "busy_s", None) == busy_s, "the engine worked on it"
    del unread
    gc.collect()
    await bench.still_answers()


async def _aclose(bench: Bench) -> None:
    """aclose() may be called twice, and before the first call."""
    await bench.engine.aclose()
    await bench.engine.aclose()


async def _after_aclose(bench: Bench) -> None:
    """After aclose() a call is answered or refused with EngineError, and never hangs."""
    await bench.still_answers()
    await bench.engine.aclose()
    with contextlib.suppress(EngineError):
        await bench.still_answers()


async def _aclose_under_way(bench: Bench) -> None:
    """An answer under way when the engine is closed ends or fails with EngineError; it never hangs."""
    answer = bench.ask(LONG, max_new_tokens=512)
    stream = aiter(answer)
    await anext(stream)
    await bench.engine.aclose()
    with contextlib.suppress(EngineError):
        await answer.text()
    await answer.aclose()


def _nearest(text: str, others: Sequence[str]) -> int:
    """Return the place of the text that is most like ``text``; of equal ones the first."""
    return max(range(len(others)), key=lambda at: _alike(text, others[at]))


def _alike(one: str, other: str) -> float:
    """Return how alike two texts are, 0 to 1."""
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def law_of(name: str, check: Callable[[Bench], Awaitable[None]], *, closes: bool = False) -> Law:
    """Return a law that says what its check's docstring says."""
    return Law(name, inspect.getdoc(check) or "", closes, check)


LAWS: tuple[Law, ...] = (
    law_of("stream", _stream),
    law_of("text", _text),
    law_of("usage", _usage),
    law_of("max_new_tokens", _max_new_tokens),
    law_of("stop", _stop),
    law_of("company", _company),
    law_of("late_joiner", _late_joiner),
    law_of("hang_up", hang_up),
    law_of("hang_up_early", hang_up_early),
    law_of("hang_up_elsewhere", hang_up_elsewhere),
    law_of("again", _again),
    law_of("too_long", _too_long),
    law_of("no_messages", _no_messages),
    law_of("characters", _characters),
    law_of("unread", _unread),
    law_of("aclose", _aclose, closes=True),
    law_of("after_aclose", _after_aclose, closes=True),
    law_of("aclose_under_way", _aclose_under_way, closes=True),
)
"""The contract, in the order in which it is checked."""
