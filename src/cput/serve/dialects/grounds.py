"""Why an engine answered, as one more field of a reply: ``"cput": {"engine": "small", "reason": "stop_rule", ...}``.

It is there where a policy chose, in whole replies and in the last event of a stream, and nothing else changes. What an
engine was expected to cost, and a rule's words, stay in the ledger: ``cput why CALL_ID``.
"""

import math
from typing import Any

from cput.records import Ending, Option

FIELD = "cput"


def with_grounds(ending: Ending) -> dict[str, Any]:
    """Return the field that says why; nothing where no policy chose."""
    grounds = ending.grounds
    if grounds is None:
        return {}
    said = {
        "engine": grounds.chosen,
        "reason": grounds.reason,
        "options": [_said(option) for option in grounds.options],
        "policy": grounds.policy,
        "propensity": grounds.propensity,
        "source_call": grounds.source_call,
    }
    return {FIELD: said}


def _said(option: Option) -> dict[str, Any]:
    return {
        "engine": option.engine,
        "asked": option.asked,
        "score": _finite(option.score),
        "threshold": _finite(option.threshold),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
