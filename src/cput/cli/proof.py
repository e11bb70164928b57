"""The proof of a search's winner: its certificate on items that the search never saw, and what a policy file says.

The confirmation is a sample of its own: the winner is one candidate, held against the way it is served today, item by
item (``certify``). Where the workload states no floor, the paired comparison decides whether it is not lower.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cput.ledger.compare import Comparison
from cput.ledger.facts import Fact
from cput.measure.environment import environment
from cput.measure.result import Measurement
from cput.policy.guarantee import Certificate, certify
from cput.records import Verdict
from cput.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether the winner keeps the floor."""

    proven: bool
    """With the confidence that the words say."""
    words: str
    """Which test decided, and on what."""
    certificate: Certificate | None
    """None where the workload states no floor."""

    def as_json(self) -> dict[str, Any] | None:
        """Return the certificate as plain values."""
        return None if self.certificate is None else self.certificate.as_json()


def prove(
    workload: Workload, baseline: Sequence[Fact], winner: Sequence[Fact], found: Comparison, *, name: str
) -> Proof:
    """Certify the winner on the confirmation's items; only those with a verdict for both count."""
    said = _compared(found)
    if workload.floor is None:
        return Proof(proven=found.not_lower, words=said, certificate=None)
    before = {fact.item: fact for fact in baseline if fact.verdict is not Verdict.PENDING}
    pairs = [(before[one.item], one) for one in winner if one.item in before and one.verdict is not Verdict.PENDING]
    if not pairs:
        return Proof(proven=False, words="No item was judged for both.", certificate=None)
    quality = np.array([[float(fact.verdict is Verdict.USEFUL) for fact in pair] for pair in pairs])
    costs = np.array([[fact.cost if fact.cost is not None else np.nan for fact in pair] for pair in pairs])
    certificate = certify(
        quality[:, 1:],
        np.nan_to_num(costs[:, 1:]),
        floor=workload.floor,
        reference=quality[:, 0],
        names=[name],
        share_of="the way it is served today",
        data=f"{workload.name} {workload.digest[:12]}, items the search never saw",
    ).certificate
    return Proof(proven=certificate.choice is not None, words=_certified(certificate, said), certificate=certificate)


def evidence(workload: Workload, won: Measurement, found: Comparison, proof: Proof, seed: int) -> dict[str, Any]:
    """Return what a policy file says of its winner."""
    where = environment()
    certificate = proof.certificate
    return {
        "workload": workload.name,
        "workload_digest": workload.digest,
        "useful_rate": won.useful_rate.value,
        "baseline_useful_rate": found.baseline_useful / found.items if found.items else None,
        "useful_rate_difference_low": found.lower_bound,
        "cput_ratio": found.ratio.value,
        "cput_ratio_low": found.ratio.low,
        "cput_ratio_high": found.ratio.high if found.ratio.high != float("inf") else None,
        "certificate": None if certificate is None else certificate.words,
        "certified_bound": None if certificate is None else certificate.bound,
        "delta": None if certificate is None else certificate.delta,
        "items": found.items,
        "seed": seed,
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": where["cpu"],
        "cores": where["cores"],
        "openvino_genai": where["versions"].get("openvino-genai"),
    }


def _certified(certificate: Certificate, compared: str) -> str:
    worst = max(certificate.candidates[0].held, key=lambda held: held.p)
    kept = "keeps" if certificate.choice is not None else "is not proven to keep"
    return (
        f"It {kept} {certificate.floor_words}: {worst.method} test at {certificate.delta:.0%}, on {certificate.n} "
        f"items that the search never saw. {compared}"
    )


def _compared(found: Comparison) -> str:
    if found.lower_bound is None:
        return "No item was judged for both."
    return (
        f"Only the winner was useful on {found.only_candidate} of {found.items}, only the baseline on "
        f"{found.only_baseline}; by Tango's paired score the difference is at least {found.lower_bound:+.3f} with "
        "95 % confidence, one-sided."
    )
