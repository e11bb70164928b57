"""Cascades: ask engines in order of cost until an answer is good enough, and say why.

``Cascade`` is the engine, its stop rules are in ``rules``; ``thresholds`` finds the bars on a record of answers.
"""

from cput.policy.cascade.calibration import Calibration, Kind
from cput.policy.cascade.cascade import Cascade, Leg, Otherwise
from cput.policy.cascade.rules import Confidence, Consistent, Learned, Of, Passes, Rule, Score

__all__ = [
    "Calibration",
    "Cascade",
    "Confidence",
    "Consistent",
    "Kind",
    "Learned",
    "Leg",
    "Of",
    "Otherwise",
    "Passes",
    "Rule",
    "Score",
]
