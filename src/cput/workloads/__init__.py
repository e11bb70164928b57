"""Workloads: what is asked, how an answer is judged, and what latency and quality must be kept.

``load("ifeval")`` gives a shipped set, ``load("path")`` a user's own; ``validate`` names everything that is wrong.
"""

from cput.workloads.checks import Check, Judgement, Score, ScoredCheck, ifeval_scores
from cput.workloads.item import Item
from cput.workloads.load import load, shipped, validate
from cput.workloads.problems import Problem, ValidationReport, Where
from cput.workloads.workload import Floor, Slo, Workload

__all__ = [
    "Check",
    "Floor",
    "Item",
    "Judgement",
    "Problem",
    "Score",
    "ScoredCheck",
    "Slo",
    "ValidationReport",
    "Where",
    "Workload",
    "ifeval_scores",
    "load",
    "shipped",
    "validate",
]
