"""IFEval (arXiv 2311.07911): 25 instructions whose following a program can verify."""

from cput.workloads.checks.ifeval.check import Ifeval, IfevalScores, ifeval_scores, loose_variants

__all__ = ["Ifeval", "IfevalScores", "ifeval_scores", "loose_variants"]
