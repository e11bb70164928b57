"""The JSON value that an answer means: the whole text, a fenced block, or the first object or list in the prose."""

import json
import re
from typing import Any, NamedTuple, NoReturn

_FENCE = re.compile(r"```[ \t]*(?:[\w+-]*)[ \t]*\r?\n?(.*?)```", re.DOTALL)
_DEEPEST = 64  # levels; deeper values are a repeating model's, and would exhaust the recursion of whoever reads them
_STARTS = 100  # places tried in the prose; more is noise, and each try reads the rest of the text


class Extracted(NamedTuple):
    """A value that was found; ``None`` as a whole where nothing was."""

    value: Any
    """The JSON value."""
    whole: bool
    """True where it is the whole answer, without a fence or prose."""


def extract(text: str) -> Extracted | None:
    """Return the JSON value of ``text``, or None. NaN and Infinity are not JSON.

    >>> extract('Sure: {"a": 1}.')
    Extracted(value={'a': 1}, whole=False)
    """
    found = _whole(text.strip())
    if found is not None:
        return Extracted(found.value, whole=True)
    for block in _FENCE.findall(text):
        found = _whole(block.strip())
        if found is not None:
            return found
    return _inside(text)


def _whole(text: str) -> Extracted | None:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return Extracted(value, whole=False) if _is_shallow(value) else None


def _inside(text: str) -> Extracted | None:
    starts = [match.start() for match, _ in zip(re.finditer(r"[{\[]", text), range(_STARTS), strict=False)]
    for start in starts:
        try:
            value, _ = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if _is_shallow(value):
            return Extracted(value, whole=False)
    return None


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for part in level
            if isinstance(part, dict | list)
            for inner in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return True
    return False


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse)
