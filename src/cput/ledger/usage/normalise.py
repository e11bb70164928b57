"""A provider's body to one ``Usage``: read, placed, mended.

1. *Read*: the layout of the body's shape says where each class stands. Missing or null is unknown; 0 is 0.
2. *Placed*: some providers count cached tokens inside the prompt and reasoning inside the output, others beside. The
   shape says which; where it was told by the body's fields and not named by the caller, the body's own total
   overrules: the one reading that adds up to it is taken. Without a total, what is too large to lie inside lies beside.
3. *Mended*: a whole smaller than its parts is raised to them. A body that contradicts itself, or its total, is not
   ``complete``.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from cput.errors import InputError
from cput.ledger.usage.lattice import raised
from cput.ledger.usage.layouts import CACHE, LAYOUTS
from cput.ledger.usage.locate import embeds, named_shape, told_shape, usage_object
from cput.ledger.usage.path import MOST, Amount, Expression, amount
from cput.ledger.usage.shape import Layout, Shape
from cput.records import Usage

INPUT, OUTPUT, REASONING = "input_tokens", "output_tokens", "output_reasoning_tokens"
CORE = frozenset({INPUT, OUTPUT, REASONING, *CACHE})
OUTPUT_PARTS = frozenset({REASONING, "output_citation_tokens"})
MEDIA = frozenset({"input_image_tokens", "input_audio_tokens", "input_video_tokens"})
_GROUPS = (OUTPUT_PARTS, CACHE, MEDIA)
_FLIPS = tuple(frozenset().union(*group) for size in (1, 2, 3) for group in combinations(_GROUPS, size))
"""Which classes may lie on the other side than the shape says, likeliest first."""


def usage_of(body: Mapping[str, Any], *, shape: Shape | str | None = None) -> Usage:
    """Return what a provider's body says was used.

    Args:
        body: a response, one event of its stream, or its usage object.
        shape: how its usage is written; None tells it by its fields and lets its total overrule.

    Returns:
        The counts; an unknown Usage where the body says none (an error, a chunk before the last).

    Raises:
        InputError: not an object, a count that is none, or a usage object of no known shape.
    """
    named = None if shape is None else named_shape(shape)
    usage = usage_object(body)
    if usage is None:
        return Usage()
    told = told_shape(usage) if named is None else named
    layout = LAYOUTS[told]
    found = {
        key: value
        for key, places in layout.fields.items()
        if ((first := layout.first[key]) is None or not first.isdisjoint(usage))
        and (value := _read(key, places, usage, body)) is not None
    }
    total = _read(INPUT, layout.total, usage, body)
    if not found and total is None:
        return Usage()
    silent = layout.silent or embeds(body)
    consistent = _place(found, total, layout, free=named is None, silent=silent)
    elsewhere = _read(INPUT, layout.elsewhere, usage, body)
    return _usage(found, layout, consistent=consistent and not elsewhere)


def _read(key: str, places: Iterable[Expression], usage: Mapping[str, Any], body: Mapping[str, Any]) -> Amount | None:
    """Return the first amount that is there."""
    for place in places:
        value = amount(place, usage, body)
        if value is not None:
            if isinstance(value, float) and key.endswith("_tokens"):
                raise InputError(f"usage field '{place.plus[0].text}' holds {value}; allowed: a whole number of tokens")
            return value
    return None


def _place(found: dict[str, Amount], total: Amount | None, layout: Layout, *, free: bool, silent: bool) -> bool:
    """Make input and output inclusive, in place; say whether all that the body says agrees."""
    too_large = _too_large(found, layout.beside) if free and total is None else frozenset()
    reading = _inclusive(found, layout.beside | too_large, silent=silent)
    agrees = not too_large
    if total is not None and sum(reading.values()) != total:
        others = (_inclusive(found, layout.beside ^ group, silent=silent) for group in (_FLIPS if free else ()))
        fitting = next((other for other in others if sum(other.values()) == total), None)
        agrees = fitting is not None or _stretch(found, reading, total, hides=layout.hides and free)
        reading = fitting or reading
    if total is not None and agrees and reading:
        reading = {INPUT: 0, OUTPUT: 0} | reading  # one half makes up the total alone
    found.update(reading)
    return agrees


def _too_large(found: Mapping[str, Amount], beside: frozenset[str]) -> frozenset[str]:
    """Return the classes that are too large to lie inside the field that should hold them."""
    return frozenset().union(
        *(
            group
            for group in _GROUPS
            if sum(found.get(key, 0) for key in group - beside) > found.get(_side(group), MOST)
        )
    )


def _side(group: frozenset[str]) -> str:
    return OUTPUT if group is OUTPUT_PARTS else INPUT


def _inclusive(found: Mapping[str, Amount], beside: Iterable[str], *, silent: bool) -> dict[str, Amount]:
    """Return input and output, as far as known, with the classes that lie beside their fields added."""
    sums = {side: found[side] for side in (INPUT, OUTPUT) if side in found}
    if silent:
        sums.setdefault(OUTPUT, 0)
    for key in beside:
        side = OUTPUT if key in OUTPUT_PARTS else INPUT
        if key in found and (side in sums or side == OUTPUT):
            sums[side] = sums.get(side, 0) + found[key]
    return sums


def _stretch(found: dict[str, Amount], reading: dict[str, Amount], total: Amount, *, hides: bool) -> bool:
    """Place what a total holds above the known halves, in place; say whether it is known where it belongs.

    It is the half that is missing; or, where no reasoning is named, reasoning that was not shown (Gemini's OpenAI
    door), which is likely but not said.
    """
    rest = total - sum(reading.values())
    if rest < 0 or not reading:
        return not reading
    if len(reading) == 1:
        reading[OUTPUT if INPUT in reading else INPUT] = rest
        return True
    if hides and REASONING not in found:
        reading[OUTPUT] += rest
        found[REASONING] = rest
    return False


def _usage(found: Mapping[str, Amount], layout: Layout, *, consistent: bool) -> Usage:
    if not found:
        return Usage()
    amounts, changed = raised(found)
    whole = {key: int(amounts[key]) for key in CORE if key in amounts}
    read, write = whole.get("cache_read_tokens"), whole.get("cache_write_tokens")
    return Usage(
        input_uncached=whole[INPUT] - (read or 0) - (write or 0) if INPUT in whole else None,
        input_cache_read=read,
        input_cache_write=write,
        output=whole.get(OUTPUT),
        reasoning=whole.get(REASONING),
        parts={key: value for key, value in amounts.items() if key not in CORE},
        complete=INPUT in whole and OUTPUT in whole and consistent and not changed,
        counted_by=layout.counted_by,
    )
