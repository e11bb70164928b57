"""How far a text is from all that a student was taught: its cosine with the nearest example.

What a student never saw it cannot know, however sure its classes make it: an out-of-scope guard. Only grams that tell
examples apart are looked at. Those that more than 1 in 20 examples have are most of a text's grams, say next to nothing
of what it is about, and their lists are nearly all of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cput.engines.classifier.grams import Floats, Places, Row

MOST = 0.05
"""Largest share of the examples that may have a gram which is looked at."""
FEW = 20
"""Grams that so few examples have are looked at, whatever their share."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """The examples by gram: which of them have it, and with what weight (an inverted file)."""

    starts: npt.NDArray[np.int64]
    """(grams + 1,): where each gram's examples begin; a gram that is not looked at has none."""
    examples: Places
    """Number of an example, gram by gram."""
    weights: Floats
    """That example's weight of the gram; those of one example are of length 1."""
    count: int
    """Examples in all."""

    def nearest(self, row: Row) -> float:
        """Return the largest cosine of a text's row with an example, 0 to 1; 0 where nothing is in common."""
        first = self.starts[row.places]
        sizes = self.starts[row.places + 1] - first
        seen = sizes > 0
        first, sizes, weights = first[seen], sizes[seen], row.weights[seen]
        if not len(sizes):
            return 0.0
        which = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        products = self.weights[which] * np.repeat(weights, sizes)
        return float(min(1.0, np.bincount(self.examples[which], products).max() / np.sqrt(weights @ weights)))


def invert(rows: Sequence[Row], grams: int) -> Neighbours:
    """Return the examples, one row each, by gram."""
    places = np.concatenate([row.places for row in rows])
    owners = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row.places) for row in rows])
    weights = np.concatenate([row.weights for row in rows])
    owned_by = np.bincount(places, minlength=grams)
    seen = (owned_by <= max(FEW, MOST * len(rows)))[places]
    places, owners, weights = places[seen], owners[seen], weights[seen]
    sizes = np.sqrt(np.bincount(owners, weights**2, minlength=len(rows)))
    order = np.argsort(places, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(places, minlength=grams)))).astype(np.int64)
    scaled = (weights / sizes[owners]).astype(np.float32)
    return Neighbours(starts=starts, examples=owners[order], weights=scaled[order], count=len(rows))
