"""A place in a text that is not to be kept, and what becomes of places that overlap."""

from collections.abc import Iterable
from typing import NamedTuple


class Finding(NamedTuple):
    """A span of a text, half open, in characters."""

    start: int
    """Its first character."""
    end: int
    """The character after its last one."""
    entity: str
    """What it is, by presidio's name where presidio has one."""
    score: float
    """How sure that is, above 0 to 1. A span whose check digit holds scores higher than one by shape alone."""


def resolved(findings: Iterable[Finding]) -> list[Finding]:
    """Return disjoint findings in the text's order.

    Those that overlap become one that covers them all, so that no part of any is left. It is named by the longest,
    and of equally long ones by the surest.
    """
    found: list[Finding] = []
    best = (0, 0.0)
    for each in sorted(findings):
        rank = (each.end - each.start, each.score)
        if not found or each.start >= found[-1].end:
            found.append(each)
            best = rank
            continue
        last = found[-1]
        name = each if rank > best else last
        best = max(best, rank)
        found[-1] = Finding(last.start, max(last.end, each.end), name.entity, name.score)
    return found
