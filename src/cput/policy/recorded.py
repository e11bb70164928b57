"""Recorded: what several engines answered to the same prompts, with each answer's quality and cost.

The one table from which routers are fitted, cascades are replayed and thresholds are certified: nothing is paid twice.

    table = Recorded(engines=("small", "large"), items=ids, prompts=texts, quality=quality, cost_usd=cost)
    train, test = table.split(0.5, seed=0)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from cput.errors import InputError, unknown

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """Answers of ``m`` engines to ``n`` prompts."""

    engines: tuple[str, ...]
    """Names of the engines, ``m``."""
    items: tuple[str, ...]
    """Ids of the prompts, ``n``."""
    prompts: tuple[str, ...]
    """What was asked, as one text each."""
    quality: Floats
    """(n, m): 1 is useful, 0 is not; graded scores lie between. NaN is unknown."""
    cost_usd: Floats
    """(n, m): what that answer cost, in US dollars. NaN is unknown."""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Slices: for each dimension (subject, language) a value for every prompt."""
    answers: tuple[tuple[str | None, ...], ...] = ()
    """(n, m): the answers' texts where they are kept; empty where none is."""
    confidence: Floats | None = None
    """(n, m): what each answer says of itself in [0, 1] (chosen-token probability, margin); None where nobody asked."""
    source: str = ""
    """Where the record comes from, with its licence."""

    def __post_init__(self) -> None:
        """Hold the shapes to one another.

        Raises:
            InputError: a field has another number of prompts or engines.
        """
        shape = (len(self.items), len(self.engines))
        for name in ("quality", "cost_usd", "confidence"):
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise InputError(f"{name} of a record has shape {value.shape}; allowed: {shape} (prompts, engines)")
        for name, values in (("prompts", self.prompts), *self.tags.items()):
            if len(values) != shape[0]:
                raise InputError(f"{name} of a record has {len(values)} values; allowed: {shape[0]}, one a prompt")
        if self.answers and (len(self.answers) != shape[0] or any(len(row) != shape[1] for row in self.answers)):
            raise InputError(f"answers of a record do not have shape {shape} (prompts, engines)")

    def __len__(self) -> int:
        return len(self.items)

    def place(self, engine: str) -> int:
        """Return an engine's column.

        Raises:
            InputError: there is no such engine.
        """
        if engine not in self.engines:
            raise unknown("recorded engine", engine, self.engines)
        return self.engines.index(engine)

    def rows(self, places: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Return some of the prompts, in the order given."""
        at = [int(place) for place in places]
        return type(self)(
            engines=self.engines,
            items=tuple(self.items[place] for place in at),
            prompts=tuple(self.prompts[place] for place in at),
            quality=self.quality[at],
            cost_usd=self.cost_usd[at],
            tags={name: tuple(values[place] for place in at) for name, values in self.tags.items()},
            answers=tuple(self.answers[place] for place in at) if self.answers else (),
            confidence=None if self.confidence is None else self.confidence[at],
            source=self.source,
        )

    def only(self, engines: Sequence[str]) -> Self:
        """Return the record of some of the engines, in the order given."""
        at = [self.place(engine) for engine in engines]
        return type(self)(
            engines=tuple(engines),
            items=self.items,
            prompts=self.prompts,
            quality=self.quality[:, at],
            cost_usd=self.cost_usd[:, at],
            tags=self.tags,
            answers=tuple(tuple(row[place] for place in at) for row in self.answers),
            confidence=None if self.confidence is None else self.confidence[:, at],
            source=self.source,
        )

    def split(self, share: float, *, seed: int) -> tuple[Self, Self]:
        """Return two disjoint draws: ``share`` of the prompts, and the rest."""
        drawn = np.random.default_rng(seed).permutation(len(self))
        first = round(share * len(self))
        return self.rows(drawn[:first]), self.rows(drawn[first:])
