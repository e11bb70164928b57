"""Portfolio: which engine may answer first, and from which confidence on its answer may stand, with a certificate.

Where no check can judge at serving time, an answer's own confidence decides (``Cascade`` with ``Confidence``). Pair and
thresholds are chosen on one half of the recorded answers; the threshold is certified on the other (``certify``). The
engine behind is the best single one of the first half, so that the safest threshold, which lets nothing stand, is it.

    found = first_by_confidence(table, ways, floor=Floor(share_of_baseline=0.99), seed=0)
    if found.policy is not None: ...
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cput.policy.guarantee import Certificate, certify
from cput.policy.policy import Policy
from cput.policy.recorded import Floats, Recorded
from cput.workloads import Floor

THRESHOLDS = 20
"""Thresholds that are tried; more of them share the same error rate."""
LEAST = 20
"""Fewest recorded answers of which half is fitted on and half is certified on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What was found, and what is proven of it."""

    policy: Policy | None
    """The engine that is asked first, its threshold, and the one behind it; None where nothing cheaper is certified."""
    certificate: Certificate | None
    """On the held-out half; None where no pair promised a saving on the other."""
    why: str
    """In a sentence."""


def first_by_confidence(
    table: Recorded, ways: Mapping[str, Policy], *, floor: Floor, delta: float = 0.05, seed: int = 0
) -> Proposal:
    """Choose whom to ask before the best single engine, and certify from which confidence its answer stands.

    ``ways`` says how each engine of ``table`` is run. Prompts with an unknown quality or cost are left out.
    """
    known = ~(np.isnan(table.quality) | np.isnan(table.cost_usd)).any(axis=1)
    table = table.rows(np.flatnonzero(known))
    if len(table) < LEAST or table.confidence is None:
        lacks = "confidences are" if table.confidence is None else f"only {len(table)} answers of all engines are"
        return Proposal(policy=None, certificate=None, why=f"No threshold was fitted: {lacks} on record.")
    train, held = table.split(0.5, seed=seed)
    strong = int(np.argmax(train.quality.mean(axis=0)))
    found = _best_first(train, strong, floor)
    if found is None:
        name = table.engines[strong]
        return Proposal(policy=None, certificate=None, why=f"Nobody asked before {name} promises to save anything.")
    first, thresholds = found
    quality, cost_usd = replayed_in_turn(held, first, strong, thresholds)
    certified = certify(
        quality,
        cost_usd,
        floor=floor,
        reference=held.quality[:, strong],
        delta=delta,
        names=[f"from {at:.3f}" for at in thresholds],
        data=table.source,
    )
    said = certified.certificate
    if certified.choice is None or said.saving <= 0:
        return Proposal(policy=None, certificate=said, why=said.words)
    threshold = float(thresholds[certified.choice])
    last = ways[table.engines[strong]]
    policy = ways[table.engines[first]].followed_by(last, stop="confidence", thresholds=[threshold])
    return Proposal(policy=policy, certificate=said, why=said.words)


def replayed_in_turn(table: Recorded, first: int, last: int, thresholds: Floats) -> tuple[Floats, Floats]:
    """Return quality and cost (n, c) of asking ``first``, and ``last`` too where its confidence is below a threshold.

    An unknown confidence is below all of them.
    """
    assert table.confidence is not None
    stands = np.nan_to_num(table.confidence[:, [first]], nan=-1.0) >= thresholds[None, :]
    quality = np.where(stands, table.quality[:, [first]], table.quality[:, [last]])
    return quality, table.cost_usd[:, [first]] + np.where(stands, 0.0, table.cost_usd[:, [last]])


def _best_first(train: Recorded, strong: int, floor: Floor) -> tuple[int, Floats] | None:
    """Return the engine that saves most before ``strong`` and keeps the floor, with its thresholds, safest first."""
    assert train.confidence is not None
    alone = float(train.cost_usd[:, strong].mean())
    least = floor.useful_rate or 0.0
    least = max(least, (floor.share_of_baseline or 0.0) * float(train.quality[:, strong].mean()))
    best: tuple[float, int, Floats] | None = None
    for first in range(len(train.engines)):
        sure = train.confidence[:, first]
        if first == strong or np.isnan(sure).all():
            continue
        thresholds = np.unique(np.nanquantile(sure, np.linspace(0, 1, THRESHOLDS)))[::-1]
        quality, cost_usd = (figure.mean(axis=0) for figure in replayed_in_turn(train, first, strong, thresholds))
        costs = np.where(quality >= least, cost_usd, np.inf)
        if costs.min() < min(alone, alone if best is None else best[0]):
            best = float(costs.min()), first, thresholds
    return None if best is None else best[1:]
