"""Thresholds as candidates: what every prompt would get, and cost, if the student answered only above each of them.

    tried = candidates(
        confidence, student_quality, labeller_quality,
        student_cost_usd=0.000002, labeller_cost_usd=0.0001, thresholds=student.card.figures["grid"],
    )
    certified = certify(tried.quality, tried.cost_usd, floor=floor, reference=labeller_quality)
    threshold = tried.thresholds[certified.choice]

Columns go from the safest, where the labeller answers everything, to the riskiest, where it answers nothing. Thresholds
are laid out before anybody looks at the outcomes that certify them, as the test in that order demands.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cput.engines.classifier.calibrate import Doubles
from cput.errors import InputError


class Candidates(NamedTuple):
    """``c`` thresholds on ``n`` prompts."""

    thresholds: Doubles
    """(c,): falling; infinity first, where the student keeps nothing."""
    quality: Doubles
    """(n, c): of the student's answer where it is kept, else of the labeller's."""
    cost_usd: Doubles
    """(n, c): the student's cost, and the labeller's where it was asked; the student is always asked but in the
    first column."""
    kept: npt.NDArray[np.bool_]
    """(n, c): whether the student answers."""

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each, for a certificate."""
        return tuple("labeller alone" if np.isinf(at) else f"student from {at:.4g}" for at in self.thresholds)


def grid(confidence: npt.ArrayLike, steps: int = 50) -> Doubles:
    """Return thresholds at which a sample's kept share grows by 1/steps each, from none to all.

    ``confidence`` is that of examples that are *not* used to certify (out-of-fold ones do).
    """
    finite = np.asarray(confidence, np.float64)
    finite = np.sort(finite[np.isfinite(finite)])[::-1]
    if not len(finite):
        return np.array([np.inf])
    last = np.unique(np.ceil(np.linspace(0, len(finite), steps + 1)[1:]).astype(int)) - 1
    return np.concatenate(([np.inf], np.unique(finite[last])[::-1]))


def candidates(
    confidence: npt.ArrayLike,
    student_quality: npt.ArrayLike,
    labeller_quality: npt.ArrayLike,
    *,
    student_cost_usd: float | npt.ArrayLike,
    labeller_cost_usd: float | npt.ArrayLike,
    thresholds: Sequence[float] | Doubles,
) -> Candidates:
    """Return quality and cost of every prompt at every threshold; a prompt is kept from the threshold on.

    Args:
        confidence: (n,) of the student's answers; ``-inf`` is never kept.
        student_quality: (n,) of its answers, kept or not.
        labeller_quality: (n,) of the labeller's.
        student_cost_usd: of one answer or abstention, one figure or (n,).
        labeller_cost_usd: of one answer, one figure or (n,).
        thresholds: which to lay out, falling.

    Raises:
        InputError: the thresholds do not fall, or the lengths differ.
    """
    sure, at = np.asarray(confidence, np.float64), np.asarray(thresholds, np.float64)
    if not len(at) or (np.diff(at) >= 0).any() or np.isnan(at).any():
        raise InputError("thresholds go from the safest to the riskiest; allowed: falling numbers, each once")
    own, other = np.asarray(student_quality, np.float64), np.asarray(labeller_quality, np.float64)
    if not sure.shape == own.shape == other.shape or sure.ndim != 1:
        shapes = f"{sure.shape}, {own.shape} and {other.shape}"
        raise InputError(f"confidence and both qualities have shapes {shapes}; allowed: (n,), the same for all three")
    kept = sure[:, None] >= at
    mine = np.broadcast_to(np.asarray(student_cost_usd, np.float64), sure.shape)[:, None]
    theirs = np.broadcast_to(np.asarray(labeller_cost_usd, np.float64), sure.shape)[:, None]
    asked = np.where(np.isinf(at), 0.0, 1.0)
    return Candidates(
        thresholds=at,
        quality=np.where(kept, own[:, None], other[:, None]),
        cost_usd=mine * asked + np.where(kept, 0.0, theirs),
        kept=kept,
    )


def keep_at(confidence: Doubles, right: npt.NDArray[np.bool_], share: float) -> float | None:
    """Return the least threshold from which at least ``share`` of the answers are right; None where there is none.

    A suggestion from the sample at hand, and no proof: ``certify`` gives that.
    """
    order = np.argsort(-confidence, kind="stable")
    sure, hits = confidence[order], np.cumsum(right[order])
    ends = np.append(sure[1:] != sure[:-1], True) & np.isfinite(sure)  # equal ones are kept together
    good = ends & (hits >= share * np.arange(1, len(order) + 1))
    return float(sure[np.flatnonzero(good)[-1]]) if good.any() else None
