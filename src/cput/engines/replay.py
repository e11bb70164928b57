"""``replay``: recorded answers, by item id or by the conversation itself.

A recording is JSONL, one answer a line: ``{"item": "q1", "text": "...", "input_tokens": 12, "output_tokens": 3}``; in
place of ``item`` a line may give ``"prompt"`` (the last user message). Optional: ``ttft_s``, ``tpot_s`` (seconds,
waited for when ``speed`` is above 0), ``engine_s``, ``finish``, ``model``, ``cost_usd`` (what the answer cost),
``score`` (how useful it was, 0 to 1) and ``confidence`` (what it says of itself, 0 to 1). A recording is given back as
it is: sampling, stop texts and ``max_new_tokens`` of the call change nothing.

Where several models answered the same prompts, each is an engine, and charges what was recorded::

    small, large = (open_engine("answers.jsonl", model=name) for name in ("small", "large"))
    engine = Metered(small, ledger, prices=RecordedPrices())
"""

import asyncio
import json
import math
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from typing import Any

from cput.engines.echo import words_of
from cput.errors import EngineError, InputError, unknown
from cput.protocols import Answer
from cput.records import Attempt, Call, Charge, CountedBy, Ending, Finish, Piece, Usage
from cput.rules import SHARE
from cput.units import to_nano_usd

NUMBERS = ("input_tokens", "output_tokens", "ttft_s", "tpot_s", "engine_s", "cost_usd")
SHARES = ("score", "confidence")
RECORDED_PART = "recorded_usd"
"""Under which name a usage's parts carry what the recorded answer cost."""
LEAST_CONFIDENCE = 1e-12
"""A recorded confidence of 0 is given as the logarithm of this."""


class Replay:
    """Answers from a recording.

    Args:
        answers: recorded lines by item id or by last user message.
        speed: 0 answers at once; 1 waits as long as the recording did; 2 is twice as fast.
        name: the engine's name in the ledger.
    """

    def __init__(self, answers: dict[str, dict[str, Any]], *, speed: float = 0.0, name: str = "replay") -> None:
        if not 0 <= speed < float("inf"):
            raise InputError(f"speed is {speed}; allowed: 0 (at once) or more")
        self.name = name
        self._answers = answers
        self._speed = speed

    def has(self, call: Call) -> bool:
        """Whether an answer to a call is recorded."""
        return self._find(call) is not None

    @property
    def priced(self) -> bool:
        """Whether it says what any of its answers cost."""
        return any(line.get("cost_usd") is not None for line in self._answers.values())

    def answer(self, call: Call) -> Answer:
        """Give the recorded answer; EngineError where there is none."""
        sent: list[str] = []
        line = self._find(call)

        def used() -> Usage:
            return Usage(
                input_uncached=line.get("input_tokens") if line else None,
                output=len(sent),
                parts=_parts(line),
                complete=False,
                counted_by=CountedBy.ESTIMATED,
            )

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            if line is None:
                what = f"item '{call.item}' or its text" if call.item is not None else "this text"
                raise EngineError(f"no answer is recorded for {what}")
            words = words_of(str(line["text"]))
            sure = _logprobs(line) if call.sampling.logprobs else ()
            for at, word in enumerate(words):
                pause = line.get("ttft_s") if at == 0 else line.get("tpot_s")
                if self._speed and pause:
                    await asyncio.sleep(pause / self._speed)
                sent.append(word)
                yield Piece(text=word, tokens=1, logprobs=sure)
            usage = Usage(
                input_uncached=line.get("input_tokens"),
                output=line.get("output_tokens"),
                parts=_parts(line),
                engine_s=line.get("engine_s"),
                complete=line.get("output_tokens") is not None,
                counted_by=CountedBy.PROVIDER if line.get("output_tokens") is not None else CountedBy.UNKNOWN,
            )
            yield Ending(finish=Finish(line.get("finish", "stop")), usage=usage, model=line.get("model"))

        return Answer(stream(), used)

    def _find(self, call: Call) -> dict[str, Any] | None:
        text = call.prompt if call.prompt is not None else call.messages[-1].content if call.messages else ""
        return self._answers.get(f"item:{call.item}") or self._answers.get(f"prompt:{text}")

    async def aclose(self) -> None:
        """Nothing to release."""


class RecordedPrices:
    """Charges an attempt what its recorded answer had cost; where no cost was recorded, the charge is unknown.

    A ``Pricer`` of ``Metered``. An attempt that was hung up on is charged in full: the answer had been paid for.
    """

    def charge(self, attempt: Attempt) -> Charge:
        """Return the recorded charge."""
        cost_usd = attempt.usage.parts.get(RECORDED_PART)
        return Charge(
            call_id=attempt.call_id,
            seq=attempt.seq,
            incremental_nano_usd=None if cost_usd is None else to_nano_usd(Decimal(repr(float(cost_usd)))),
            price_version="recorded",
            basis="usage",
        )


def open_engine(file: str | Path, *, speed: float = 0.0, model: str | None = None) -> Replay:
    """Open a recording; ``model`` picks the lines of one model, and the other options are those of ``Replay``.

    Raises:
        InputError: the file is missing or a line is not a recorded answer (names file and line); no line is of that
            model; or two models answered the same and none is picked.
    """
    path = Path(file)
    lines = read_lines(path)
    models = {str(line.get("model")) for line in lines if line.get("model") is not None}
    if model is not None and model not in models:
        raise unknown(f"model of recording {path}", model, models)
    answers: dict[str, dict[str, Any]] = {}
    for line in lines:
        if model is None or line.get("model") == model:
            key = f"item:{line['item']}" if "item" in line else f"prompt:{line['prompt']}"
            if answers.get(key, line).get("model") != line.get("model"):
                names = ", ".join(sorted(models))
                raise InputError(f"recording {path} holds answers of several models; give model=... of: {names}")
            answers[key] = line
    return Replay(answers, speed=speed, name=f"replay:{model or path.stem}")


def recorded_models(file: str | Path) -> tuple[str, ...]:
    """Return the models of a recording in the order in which they come; empty where its lines name none.

    Raises:
        InputError: as ``open_engine``.
    """
    return tuple(dict.fromkeys(str(line["model"]) for line in read_lines(Path(file)) if line.get("model") is not None))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a recording, in the file's order.

    Raises:
        InputError: the file is missing, empty, or a line is not a recorded answer; names file and line.
    """
    try:
        texts = path.read_text(encoding="utf-8-sig").split("\n")  # not splitlines: JSON may hold a bare U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recording {path} can't be read: {error}") from error
    lines = [_line(path, number, text) for number, text in enumerate(texts, 1) if text.strip()]
    if not lines:
        raise InputError(f"recording {path} holds no answers; it needs at least one JSON line")
    return lines


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{number}: not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(line, dict) or "text" not in line or not ({"item", "prompt"} & line.keys()):
        raise InputError(f"{path}:{number}: a recorded answer is an object with 'text' and 'item' or 'prompt'")
    if not isinstance(line["text"], str):
        raise InputError(f"{path}:{number}: 'text' is {json.dumps(line['text'])[:40]}; it must be a text")
    for name in NUMBERS:
        value = line.get(name)
        count = isinstance(value, int) or (isinstance(value, float) and name.endswith(("_s", "_usd")))
        if value is not None and (isinstance(value, bool) or not count or not 0 <= value < 1e12):
            raise InputError(f"{path}:{number}: '{name}' is {json.dumps(value)[:40]}; it must be a number, 0 or more")
    for name in SHARES:
        value = line.get(name)
        if value is not None and not SHARE.fits(value):
            raise InputError(f"{path}:{number}: '{name}' is {json.dumps(value)[:40]}; it must be {SHARE.allowed}")
    if not isinstance(line.get("model", ""), str):
        raise InputError(f"{path}:{number}: 'model' is {json.dumps(line['model'])[:40]}; it must be a name")
    if line.get("finish", "stop") not in set(Finish):
        allowed = ", ".join(Finish)
        raise InputError(f"{path}:{number}: 'finish' is {json.dumps(line['finish'])[:40]}; allowed: {allowed}")
    return line


def _parts(line: dict[str, Any] | None) -> dict[str, float]:
    cost_usd = line.get("cost_usd") if line else None
    return {} if cost_usd is None else {RECORDED_PART: float(cost_usd)}


def _logprobs(line: dict[str, Any]) -> tuple[float, ...]:
    """Return the log of the recorded confidence for a piece: their mean over an answer is the answer's own."""
    sure = line.get("confidence")
    return () if sure is None else (math.log(max(float(sure), LEAST_CONFIDENCE)),)
