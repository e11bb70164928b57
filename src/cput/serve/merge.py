"""Puts the pieces of one answer together again, for clients that want it whole.

The rule is the one of the official Python client (openai/lib/streaming/_deltas.py): texts are joined, lists of objects
with an ``index`` are merged entry by entry, other lists grow, ``index`` and ``type`` and everything else are replaced.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cput.records import Piece
from cput.serve.forward import Said

REPLACED = frozenset({"index", "type", "role", "id"})


def merged(so_far: Any, part: Any) -> Any:
    """Return ``so_far`` with ``part`` added; neither is changed.

    >>> merged({"content": "a", "role": "x"}, {"content": "b"})
    {'content': 'ab', 'role': 'x'}
    """
    if part is None:
        return so_far
    if isinstance(so_far, str) and isinstance(part, str):
        return so_far + part
    if isinstance(so_far, Mapping) and isinstance(part, Mapping):
        return {**so_far} | {
            name: value if name in REPLACED and value is not None else merged(so_far.get(name), value)
            for name, value in part.items()
        }
    if isinstance(part, list) and (so_far is None or isinstance(so_far, list)):
        return _merged_list(so_far or [], part)
    return part


def choices_of(pieces: Iterable[Piece]) -> dict[int, dict[str, Any]]:
    """Return the upstream's choices, merged, by index; each has ``delta`` or ``text`` and what else came."""
    choices: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        if isinstance(piece, Said):
            choices[piece.index] = merged(choices.get(piece.index, {}), piece.said)
    return dict(sorted(choices.items()))


def _merged_list(so_far: list[Any], part: list[Any]) -> list[Any]:
    if not all(isinstance(entry, Mapping) and isinstance(entry.get("index"), int) for entry in part):
        return [*so_far, *part]
    entries = list(so_far)
    at = {entry.get("index"): place for place, entry in enumerate(entries) if isinstance(entry, Mapping)}
    for entry in part:
        if entry["index"] in at:
            entries[at[entry["index"]]] = merged(entries[at[entry["index"]]], entry)
        else:
            at[entry["index"]] = len(entries)
            entries.append(dict(entry))
    return entries
