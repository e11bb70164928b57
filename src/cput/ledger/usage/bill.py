"""A ``Usage`` as it is billed: inclusive by genai-prices' names, or as disjoint leaves.

>>> usage = Usage(input_uncached=86, input_cache_read=1920, output=300)
>>> reported(usage)
{'input_tokens': 2006, 'cache_read_tokens': 1920, 'output_tokens': 300}
>>> leaves(usage)
{'cache_read_tokens': 1920, 'input_tokens': 86, 'output_tokens': 300}
"""

from collections.abc import Mapping

from cput.ledger.usage.lattice import KEYS, MODALITIES, ROWS, TTLS, cells, floors
from cput.ledger.usage.path import Amount
from cput.records import Usage


def reported(usage: Usage) -> dict[str, Amount]:
    """Return the inclusive amounts that are known, by genai-prices' usage keys; what is unknown is not there.

    What a price list may ask for is there and fits together, so that it never has to refuse: a whole is at least the
    sum of its parts (``input_tokens`` and ``output_tokens`` only where they are known); where two overlapping classes
    are known (cached, and audio), their overlap (cached audio) is too, as ``leaves`` splits it where nobody said.
    """
    known = _inclusive(usage)
    amounts = floors(known)
    for direction, keys in KEYS.items():
        total = keys["", ""]
        if total in known:
            amounts |= _overlaps(direction, amounts)
        else:
            amounts.pop(total, None)
    return amounts


def leaves(usage: Usage) -> dict[str, Amount]:
    """Return disjoint token classes that sum to input plus output, by the key of the finest class they lie in.

    ``input_tokens`` is here the part of the input that lies in no finer class. Amounts of 0 are left out; a direction
    whose total is unknown has no leaves; what is not tokens (searches, seconds) has none.
    """
    amounts = _inclusive(usage)
    return {keys[cell]: value for side, keys in KEYS.items() for cell, value in cells(side, amounts).items()}


def _inclusive(usage: Usage) -> dict[str, Amount]:
    whole = {
        "input_tokens": usage.input,
        "cache_read_tokens": usage.input_cache_read,
        "cache_write_tokens": usage.input_cache_write,
        "output_tokens": usage.output,
        "output_reasoning_tokens": usage.reasoning,
    }
    return {key: value for key, value in whole.items() if value is not None} | dict(usage.parts)


def _overlaps(direction: str, amounts: Mapping[str, Amount]) -> dict[str, Amount]:
    """Return every cell whose row and column are above 0, as the direction's table has it."""
    keys = KEYS[direction]
    columns = [column for column in MODALITIES if amounts.get(keys["", column])]
    rows = [row for row in ROWS[direction] if amounts.get(keys[row, ""])] if columns else []
    if not rows:
        return {}
    table = cells(direction, amounts)
    return {
        keys[row, column]: sum(
            table.get((part, column), 0) for part in ((row, *TTLS) if row == "cache_write" else (row,))
        )
        for row in rows
        for column in columns
    }
