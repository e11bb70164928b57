"""The guarantee: a policy's quality shown beforehand, and watched afterwards.

    found = certify(quality, cost_usd, floor=Floor(share_of_baseline=0.95), reference=strong)
    watch = Watch(found.certificate.levels)
    engine = Guarded(policy, strong_engine, watch)

docs/design/guarantee.md says what is proven, on what it rests and what was measured. ``certify`` and what comes with it
load scipy when they are asked for: a gateway that only watches does without.
"""

from typing import TYPE_CHECKING, Any

from cput.policy.guarantee.alarm import Alarm, Broken
from cput.policy.guarantee.certificate import ASSUMPTION, OVERALL, Candidate, Certificate, Held
from cput.policy.guarantee.guarded import Guarded
from cput.policy.guarantee.level import Level
from cput.policy.guarantee.watch import Watch

if TYPE_CHECKING:
    from cput.policy.guarantee.learn_then_test import Certified, certify
    from cput.policy.guarantee.levels import engine_levels

__all__ = [
    "ASSUMPTION",
    "OVERALL",
    "Alarm",
    "Broken",
    "Candidate",
    "Certificate",
    "Certified",
    "Guarded",
    "Held",
    "Level",
    "Watch",
    "certify",
    "engine_levels",
]


def __getattr__(name: str) -> Any:
    if name in {"Certified", "certify"}:
        from cput.policy.guarantee import learn_then_test

        return getattr(learn_then_test, name)
    if name == "engine_levels":
        from cput.policy.guarantee.levels import engine_levels

        return engine_levels
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
