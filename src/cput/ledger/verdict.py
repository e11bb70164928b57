"""The reading of a call's outcomes: useful, useless or pending.

1. Of each observer (name and source) only the latest word counts, by ``observed_s``; at the same moment the later one
   in the order given. An outcome whose ``detail`` has ``"retracted": true`` takes that observer's word back.
2. The highest tier that spoke decides: human; then user and business; then check and judge.
3. Within the tier all must reach the threshold: one refund outweighs a thumbs-up, and neither a check nor a judge
   overrules the other.

The first two tiers are *trusted* and the third is *cheap*: where only a sample of calls has a trusted word, the two
readings are wanted side by side (``ppi``), and ``verdict`` of the outcomes of those sources alone gives each.
"""

from collections.abc import Iterable

from cput.records import Outcome, Source, Verdict

TIERS = (
    frozenset({Source.HUMAN}),
    frozenset({Source.USER, Source.BUSINESS}),
    frozenset({Source.CHECK, Source.JUDGE}),
)
TRUSTED = TIERS[0] | TIERS[1]
"""Sources that say how it was; the others predict what these would say."""
_ROUNDING = 1e-9


def verdict(outcomes: Iterable[Outcome], threshold: float = 1.0) -> Verdict:
    """Return the verdict; ``threshold`` is the least value in 0..1 that is useful. No outcome is pending."""
    words = standing(outcomes)
    for tier in TIERS:
        values = [outcome.value for outcome in words if outcome.source in tier]
        if values:
            return Verdict.USEFUL if min(values) >= threshold - _ROUNDING else Verdict.USELESS
    return Verdict.PENDING


def standing(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Return the latest outcome of each observer, without retracted ones."""
    latest: dict[tuple[str, Source], Outcome] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.observed_s):  # stable: ties keep the order given
        latest[outcome.name, outcome.source] = outcome
    return tuple(outcome for outcome in latest.values() if outcome.detail.get("retracted") is not True)
