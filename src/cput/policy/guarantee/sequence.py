"""Many candidates, one error rate: which may be called good when each was tested at its level?

Candidates stand in order from the safest to the riskiest. *Fixed-sequence testing* spends the whole error rate on the
first and hands it on for as long as each passes; the first that fails ends it. One bad neighbour then hides all that
come after it, so that a part of the rate may be kept for later starting points (the *fallback* procedure, Wiens 2003;
Angelopoulos, Bates, Candes, Jordan and Lei 2021 use it in Learn-then-Test). A run that passes a starting point
adds that point's part to its own. With probability 1 - delta nothing bad passes, however many candidates there are.

    certified = in_sequence(lambda place, level: p[place] <= level, shares(20, delta=0.05, starts=3))
"""

from collections.abc import Callable, Sequence


def shares(candidates: int, *, delta: float, starts: int) -> tuple[float, ...]:
    """Return each candidate's own part of ``delta``: 0 but at ``starts`` points spread evenly from the first.

    The first has half of it (all, where it is the only one): a sequence that runs through is the usual case.
    """
    places = sorted({round(start * candidates / starts) for start in range(min(starts, candidates))})
    own = [0.0] * candidates
    for place in places:
        own[place] = delta if len(places) == 1 else delta / 2 / (len(places) - 1)
    if len(places) > 1:
        own[0] = delta / 2
    return tuple(own)


def in_sequence(passes: Callable[[int, float], bool], own: Sequence[float]) -> tuple[tuple[float, bool], ...]:
    """Return for each candidate the level at which it was tested and whether it passed.

    ``passes(place, level)`` says whether the candidate's p-value is at most ``level``; it is not asked at level 0.
    """
    found: list[tuple[float, bool]] = []
    carried = 0.0
    for place, part in enumerate(own):
        level = part + carried
        passed = level > 0 and passes(place, level)
        carried = level if passed else 0.0
        found.append((level, passed))
    return tuple(found)
