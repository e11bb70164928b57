"""Explain: why a call was answered as it was, on record and in the answer's ending.

engine = Explained(Cascade([Leg(engine=small, rule=rule, threshold=0.8), Leg(engine=large)]), ledger)
"""

from cput.policy.explain.decided import Decided
from cput.policy.explain.explained import Explained, Explainer

__all__ = ["Decided", "Explained", "Explainer"]
