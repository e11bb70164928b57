"""``replay``: recorded answers, by item id or by the conversation itself.

A recording is JSONL, one answer a line: ``{"item": "q1", "text": "...", "input_tokens": 12, "output_tokens": 3}``; in
place of ``item`` a line may give ``"prompt"`` (the last user message). Optional: ``ttft_s``, ``tpot_s`` (seconds,
waited for when ``speed`` is above 0), ``engine_s``, ``finish``, ``model``. A recording is given back as it is:
sampling, stop texts and ``max_new_tokens`` of the call change nothing.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from cput.engines.echo import words_of
from cput.errors import EngineError, InputError
from cput.protocols import Answer
from cput.records import Call, CountedBy, Ending, Finish, Piece, Usage

NUMBERS = ("input_tokens", "output_tokens", "ttft_s", "tpot_s", "engine_s")


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

    def answer(self, call: Call) -> Answer:
        """Give the recorded answer; EngineError where there is none."""
        sent: list[str] = []
        line = self._find(call)

        def used() -> Usage:
            return Usage(
                input_uncached=line.get("input_tokens") if line else None,
                output=len(sent),
                complete=False,
                counted_by=CountedBy.ESTIMATED,
            )

        async def stream() -> AsyncGenerator[Piece | Ending, None]:
            if line is None:
                what = f"item '{call.item}' or its text" if call.item is not None else "this text"
                raise EngineError(f"no answer is recorded for {what}")
            words = words_of(str(line["text"]))
            for at, word in enumerate(words):
                pause = line.get("ttft_s") if at == 0 else line.get("tpot_s")
                if self._speed and pause:
                    await asyncio.sleep(pause / self._speed)
                sent.append(word)
                yield Piece(text=word, tokens=1)
            usage = Usage(
                input_uncached=line.get("input_tokens"),
                output=line.get("output_tokens"),
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


def open_engine(file: str | Path, *, speed: float = 0.0) -> Replay:
    """Open a recording; the options are those of ``Replay``.

    Raises:
        InputError: the file is missing or a line is not a recorded answer; names file and line.
    """
    path = Path(file)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not splitlines: JSON may hold a bare U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recording {path} can't be read: {error}") from error
    answers: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(lines, 1):
        if text.strip():
            line = _line(path, number, text)
            answers[f"item:{line['item']}" if "item" in line else f"prompt:{line['prompt']}"] = line
    if not answers:
        raise InputError(f"recording {path} holds no answers; it needs at least one JSON line")
    return Replay(answers, speed=speed, name=f"replay:{path.stem}")


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
        count = isinstance(value, int) or (isinstance(value, float) and name.endswith("_s"))
        if value is not None and (isinstance(value, bool) or not count or not 0 <= value < 1e12):
            raise InputError(f"{path}:{number}: '{name}' is {json.dumps(value)[:40]}; it must be a number, 0 or more")
    if line.get("finish", "stop") not in set(Finish):
        allowed = ", ".join(Finish)
        raise InputError(f"{path}:{number}: 'finish' is {json.dumps(line['finish'])[:40]}; allowed: {allowed}")
    return line
