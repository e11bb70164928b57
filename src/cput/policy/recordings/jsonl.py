"""A ``Recorded`` table as JSONL, one answer of one model a line: the form that the ``replay`` engine reads.

    {"item": "q1", "prompt": "...", "model": "small", "text": "...", "score": 1.0, "cost_usd": 0.0002, "tags": {...}}

A missing ``score``, ``cost_usd`` or ``confidence`` is unknown (NaN). Prompt and tags are read from a prompt's first
line that has them. Every model has a line for every item.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cput.engines.replay import read_lines
from cput.errors import InputError
from cput.policy.recorded import Floats, Recorded
from cput.policy.recordings.served import lines_of

Answers = dict[str, dict[str, dict[str, Any]]]
"""Lines by item, then by model."""


def write_jsonl(table: Recorded, file: str | Path) -> None:
    """Write a table; an existing file is replaced."""
    with Path(file).open("w", encoding="utf-8", newline="\n") as out:
        by_model = [lines_of(table, place) for place in range(len(table.engines))]
        for row, lines in enumerate(zip(*by_model, strict=True)):
            tags = {name: values[row] for name, values in table.tags.items()}
            more = {"tags": tags} if tags else {}
            out.writelines(json.dumps({**line, **more}, ensure_ascii=False) + "\n" for line in lines)


def read_jsonl(file: str | Path) -> Recorded:
    """Read a table.

    Raises:
        InputError: a line is no recorded answer, has no ``model``, tags that are no texts, the same item and model as
            another one, or an item lacks a model.
    """
    path = Path(file)
    answers, models = _gathered(path)
    for item, found in answers.items():
        for model in models:
            if model not in found:
                raise InputError(
                    f"{path}: item '{item}' has no line of model '{model}'; every model answers every item"
                )
    firsts = [next(iter(found.values())) for found in answers.values()]
    lines = [[found[model] for model in models] for found in answers.values()]
    texts = tuple(tuple(line["text"] or None for line in row) for row in lines)
    sure = _figures(lines, "confidence")
    return Recorded(
        engines=models,
        items=tuple(answers),
        prompts=tuple(str(first.get("prompt", "")) for first in firsts),
        quality=_figures(lines, "score"),
        cost_usd=_figures(lines, "cost_usd"),
        tags=_tags(path, firsts),
        answers=texts if any(text for row in texts for text in row) else (),
        confidence=None if np.isnan(sure).all() else sure,
        source=str(path),
    )


def _gathered(path: Path) -> tuple[Answers, tuple[str, ...]]:
    answers: Answers = {}
    models: dict[str, None] = {}
    for line in read_lines(path):
        item, model = str(line.get("item", line.get("prompt"))), line.get("model")
        if model is None:
            raise InputError(f"{path}: a line of item '{item}' has no 'model'; allowed: the name of who answered")
        found = answers.setdefault(item, {})
        if model in found:
            raise InputError(f"{path}: item '{item}' has two lines of model '{model}'; allowed: one")
        found[model], models[model] = line, None
    return answers, tuple(models)


def _figures(lines: list[list[dict[str, Any]]], name: str) -> Floats:
    found = [[line.get(name) for line in row] for row in lines]
    return np.array([[np.nan if value is None else value for value in row] for row in found], dtype=np.float64)


def _tags(path: Path, firsts: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    given = [first.get("tags", {}) for first in firsts]
    if not all(isinstance(tags, dict) for tags in given):
        raise InputError(f"{path}: 'tags' of an item is no object; allowed: an object of texts")
    names = dict.fromkeys(name for tags in given for name in tags)
    return {name: tuple(str(tags.get(name, "")) for tags in given) for name in names}
