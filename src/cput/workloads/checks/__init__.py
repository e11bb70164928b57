"""Checks: what makes an answer useful. Built-in ones and strangers' enter by name; see ``registry``."""

from cput.workloads.checks.base import Check, Judgement, Score, ScoredCheck
from cput.workloads.checks.ifeval import IfevalScores, ifeval_scores
from cput.workloads.checks.registry import find, names

__all__ = ["Check", "IfevalScores", "Judgement", "Score", "ScoredCheck", "find", "ifeval_scores", "names"]
