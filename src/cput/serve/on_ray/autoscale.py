"""How many engine replicas the load asks for: by calls, and by the tokens that are still to be worked off.

Calls alone mislead: eight calls for a word each are no load, and two for 4,000 tokens each are. Tokens alone mislead
too: an engine's batch holds only so many calls at once. So both are asked, and the greater answer counts.

Ray pickles this module by value and runs the policy in its controller, every so often, with what the replicas reported.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

TOKENS = "cput_tokens_to_do"
"""The metric that every engine replica reports: tokens that its calls may still take, prompt and answer."""


class Load(NamedTuple):
    """What there is to do."""

    running: float
    """Calls that are with a replica."""
    queued: float
    """Calls that wait in front of the replicas, at a gateway."""
    tokens: float | None
    """Tokens still to be worked off by the running calls; None where no replica has reported yet."""


def replicas_wanted(load: Load, *, calls_each: float, tokens_each: float) -> int:
    """Return how many replicas work the load off at ``calls_each`` calls and ``tokens_each`` tokens per replica.

    Of a call that waits only its existence is known, so that it counts as the average running one; with none running,
    by its existence alone.

    >>> replicas_wanted(Load(running=4, queued=4, tokens=16_000), calls_each=8, tokens_each=8_000)
    4
    """
    by_calls = (load.running + load.queued) / calls_each
    by_tokens = 0.0
    if load.tokens is not None and load.running > 0:
        by_tokens = load.tokens * (1 + load.queued / load.running) / tokens_each
    return math.ceil(max(by_calls, by_tokens) - 1e-9)


class ByTokens:
    """The policy as Ray Serve calls it; delays and bounds are Ray's (``autoscaling_config``)."""

    def __init__(self, *, calls_each: float, tokens_each: float) -> None:
        self._calls_each = calls_each
        self._tokens_each = tokens_each

    def __call__(self, ctx: Any) -> tuple[int, dict[str, Any]]:
        """Return the wanted number of replicas, and no state; ``ctx`` is Ray's ``AutoscalingContext``."""
        wanted = replicas_wanted(load_of(ctx), calls_each=self._calls_each, tokens_each=self._tokens_each)
        return wanted, {}


def load_of(ctx: Any) -> Load:
    """Read the load out of Ray's ``AutoscalingContext``."""
    reported: Mapping[Any, float] = (ctx.aggregated_metrics or {}).get(TOKENS, {})
    queued = float(ctx.total_queued_requests or 0.0)
    running = max(0.0, float(ctx.total_num_requests) - queued)
    return Load(running=running, queued=queued, tokens=sum(reported.values()) if reported else None)
