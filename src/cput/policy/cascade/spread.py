"""Spread: how far an answer's score comes to lie from what was expected before, engine by engine, and how they hang
together.

    spread = Spread.fit(expected.quality, scores)      # both (n, m), on recorded answers

What is expected of an answer that nobody has seen is a few equally likely values around its estimate: quantiles of what
the difference was among prompts with a similar estimate. After some answers are seen, those of the others move with
them (a prompt that the small engine was less sure of than expected is hard), as in a Gaussian of their covariances.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from cput.errors import InputError
from cput.policy.replayed import Flags, Floats

ATOMS = 16
BINS = 4
PER_BIN = 50
"""Fewest prompts that a bin of similar estimates is made of."""
_RIDGE = 1e-6


class Outlook(NamedTuple):
    """What is expected now of every engine."""

    mean: Floats
    """(n, m)."""
    atoms: Floats
    """(n, m, k): equally likely values, falling."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """Of ``m`` engines, in ``b`` bins of similar estimates, ``k`` equally likely differences each."""

    differences: Floats
    """(m, b, k): score less estimate."""
    edges: Floats
    """(m, b - 1): estimates that part the bins."""
    covariance: Floats
    """(m, m): of the differences; off the diagonal 0 where engines are taken to be independent."""

    def fits(self, engines: int) -> None:
        """Hold the shapes to ``engines``; raises ValueError where one is another."""
        bins = self.edges.size // max(1, engines) + 1
        if self.differences.ndim != 3 or self.differences.shape[:2] != (engines, bins) or not self.differences.size:
            raise ValueError(f"its spread has the shape {self.differences.shape}")
        if self.edges.shape[0] != engines or self.covariance.shape != (engines, engines):
            raise ValueError(f"its spread is not of {engines} engines")

    @classmethod
    def none(cls, engines: int) -> Self:
        """Return the spread of estimates that are the truth."""
        return cls(
            differences=np.zeros((engines, 1, 1)),
            edges=np.zeros((engines, 0)),
            covariance=np.zeros((engines, engines)),
        )

    @classmethod
    def fit(cls, expected: Floats, scores: Floats, *, linked: bool = True) -> Self:
        """Fit on what was expected (n, m) and what the rules said (n, m). ``linked``: engines move together.

        Raises:
            InputError: there are fewer than 10 prompts where everything is known.
        """
        sound = ~(np.isnan(expected).any(axis=1) | np.isnan(scores).any(axis=1))
        before, after = expected[sound], scores[sound]
        if len(before) < 10:
            raise InputError(f"{len(before)} prompts have an estimate and a score of every engine; allowed: 10 or more")
        bins = max(1, min(BINS, len(before) // PER_BIN))
        shares = np.arange(1, bins) / bins
        edges = np.quantile(before, shares, axis=0).T.reshape(before.shape[1], bins - 1)
        off = after - before
        differences = np.stack([_quantiles(before[:, at], off[:, at], edges[at]) for at in range(before.shape[1])])
        covariance = np.atleast_2d(np.cov(off, rowvar=False))
        return cls(
            differences=differences,
            edges=edges,
            covariance=covariance if linked else np.diag(np.diag(covariance)),
        )

    def outlook(self, expected: Floats, scores: Floats, seen: Flags) -> Outlook:
        """Return what is expected of every engine (n, m), once the scores (n, m) of those ``seen`` (n, m) are known."""
        mean, width = expected.copy(), np.ones_like(expected)
        for pattern in np.unique(seen, axis=0):
            if pattern.any() and not pattern.all() and self._linked:
                rows = (seen == pattern).all(axis=1)
                weights, shrunk = self._given(pattern)
                moved = expected[rows] + (scores[rows][:, pattern] - expected[rows][:, pattern]) @ weights
                mean[rows], width[rows] = np.where(pattern, expected[rows], moved), shrunk
        mean = np.clip(mean, 0.0, 1.0)
        near = (expected[:, :, None] >= self.edges[None]).sum(axis=2)
        around = self.differences[np.arange(expected.shape[1]), near] * width[:, :, None]
        atoms = np.clip(mean[:, :, None] + around, 0.0, 1.0)
        return Outlook(mean, -np.sort(-atoms, axis=2))

    @property
    def _linked(self) -> bool:
        return bool(np.any(self.covariance != np.diag(np.diag(self.covariance))))

    def _given(self, pattern: Flags) -> tuple[Floats, Floats]:
        """Return the weights (s, m) of the differences that are seen, and how much narrower (m,) the others become."""
        of_seen = self.covariance[np.ix_(pattern, pattern)] + _RIDGE * np.eye(int(pattern.sum()))
        across = self.covariance[pattern]
        weights: Floats = np.linalg.solve(of_seen, across).astype(np.float64)
        before = np.diag(self.covariance)
        after = np.maximum(before - (across * weights).sum(axis=0), 0.0)
        shrunk: Floats = np.sqrt(np.divide(after, before, out=np.ones_like(before), where=before > 0))
        return weights, np.where(pattern, 1.0, shrunk)


def _quantiles(before: Floats, off: Floats, edges: Floats) -> Floats:
    """Return the equally likely differences (b, k) of one engine, bin by bin; an empty bin has those of all."""
    levels = (np.arange(ATOMS) + 0.5) / ATOMS
    near = (before[:, None] >= edges).sum(axis=1)
    rows = [off[near == bin_] if (near == bin_).any() else off for bin_ in range(len(edges) + 1)]
    return np.stack([np.quantile(row, levels) for row in rows])
