"""Routers: one engine chosen up front, from the request's text.

An ``Estimator`` says how likely each engine is to be useful and what it will cost; ``Routed`` turns that
into a decision by one dial; ``thresholds`` gives the settings from which a certificate picks one.

    estimator = fit(train, members=("linear", "topic", "neighbours"), embedding=Embedding("all-minilm-l6-v2"))
    settings = thresholds(estimator.estimate(calibration.prompts), calibration, reference="gpt-4-1106-preview")
"""

from cput.policy.router.category import ByCategory
from cput.policy.router.decision import Thresholds, settle, thresholds
from cput.policy.router.embedding import Embedding
from cput.policy.router.estimates import Estimates, Estimator, Tags
from cput.policy.router.load import load_estimator
from cput.policy.router.stacked import Stacked, fit

__all__ = [
    "ByCategory",
    "Embedding",
    "Estimates",
    "Estimator",
    "Stacked",
    "Tags",
    "Thresholds",
    "fit",
    "load_estimator",
    "settle",
    "thresholds",
]
