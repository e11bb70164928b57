"""RouterBench's recorded answers (arXiv 2403.12031): 11 models, each with a score and what it cost.

A CSV of ``sample_id``, ``prompt``, and for every model ``MODEL|score`` and ``MODEL|cost_usd``. These splits state no
licence, so that cput ships none of them: the user says where they lie.
"""

import ast
from pathlib import Path

import numpy as np

from cput.errors import InputError
from cput.policy.recorded import Recorded
from cput.policy.recordings.table import Row, rows_of

SCORE, COST = "|score", "|cost_usd"


def routerbench(path: str | Path) -> Recorded:
    """Read one file of RouterBench.

    Raises:
        InputError: a column or a cell is not as it should be; names file and line.
    """
    rows = list(rows_of(path, needs=("sample_id", "prompt")))
    engines = tuple(column.removesuffix(SCORE) for column in rows[0].cells if column.endswith(SCORE))
    for engine in engines:
        if f"{engine}{COST}" not in rows[0].cells:
            raise InputError(f"{path}:1: '{engine}{SCORE}' has no column '{engine}{COST}' beside it")
    if not engines:
        raise InputError(f"{path}:1: no column ends with '{SCORE}'; allowed: one such column for each model")
    return Recorded(
        engines=engines,
        items=tuple(row.text("sample_id") for row in rows),
        prompts=tuple(_prompt(row) for row in rows),
        quality=np.array([[row.share(f"{engine}{SCORE}") for engine in engines] for row in rows]),
        cost_usd=np.array([[row.usd(f"{engine}{COST}") for engine in engines] for row in rows]),
        source="RouterBench (arXiv 2403.12031); this split states no licence",
    )


def _prompt(row: Row) -> str:
    """Return the prompt; the files hold it as Python's way of writing a list of turns."""
    text = row.text("prompt")
    if not text.startswith("["):
        return text
    try:
        turns = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return "\n".join(str(turn) for turn in turns) if isinstance(turns, list) else text
