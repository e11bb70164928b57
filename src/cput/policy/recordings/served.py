"""A ``Recorded`` table as engines, one for each recorded model: cascades and routers run on it, and nothing is paid.

    small, large = replays(table)
    answer = Metered(large, ledger, prices=RecordedPrices()).answer(Call(item="mmlu-7"))

A call is found by its item's id or by its text. Where a table keeps no answers, an engine answers with an empty text:
its charge is as recorded all the same.
"""

import math
from typing import Any

from cput.engines.replay import Replay
from cput.policy.recorded import Recorded


def replays(table: Recorded, *, speed: float = 0.0) -> tuple[Replay, ...]:
    """Return one engine for each recorded model, in the table's order, named after it."""
    return tuple(Replay(_answers(table, place), speed=speed, name=engine) for place, engine in enumerate(table.engines))


def lines_of(table: Recorded, place: int) -> list[dict[str, Any]]:
    """Return one model's answers as a recording's lines; what is unknown is not in them."""
    return [_line(table, row, place) for row in range(len(table))]


def _answers(table: Recorded, place: int) -> dict[str, dict[str, Any]]:
    lines = lines_of(table, place)
    by_text = {f"prompt:{line['prompt']}": line for line in reversed(lines)}  # of equal prompts, the first
    return by_text | {f"item:{line['item']}": line for line in lines}


def _line(table: Recorded, row: int, place: int) -> dict[str, Any]:
    text = table.answers[row][place] if table.answers else None
    sure = None if table.confidence is None else table.confidence[row, place]
    figures = {"score": table.quality[row, place], "cost_usd": table.cost_usd[row, place], "confidence": sure}
    known = {name: float(value) for name, value in figures.items() if value is not None and not math.isnan(value)}
    return {
        "item": table.items[row],
        "prompt": table.prompts[row],
        "model": table.engines[place],
        "text": text or "",
        **known,
    }
