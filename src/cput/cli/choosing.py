"""What chooses among a route's upstreams: a stop rule after each answer, or a router before any.

[models."support"]
upstreams = ["small", "large"]
stop = "confidence"
threshold = 0.83

[models."chat"]
upstreams = ["small", "large"]
router = "routers/chat"
at_least = 0.8
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cput.errors import unknown
from cput.policy.cascade import Cascade, Confidence, Leg, Passes
from cput.policy.decide import Bar, Decide, Worth
from cput.policy.routed import Routed
from cput.policy.upstreams import Route
from cput.protocols import Engine

if TYPE_CHECKING:
    from cput.cli.checked import Checked
    from cput.policy.estimates import Estimator


def prepare(route: Route) -> None:
    """Read what a route chooses by, before it serves.

    Raises:
        InputError: a workload or router that is not there, or does not fit.
    """
    if route.workload is not None:
        _checks(route.workload)
    if route.router is not None:
        known = _router(route.router).engines
        for name in route.upstreams:
            if name not in known:
                raise unknown(f"upstream of the router {route.router}", name, known)


def in_turn(lines: Sequence[Engine], route: Route, *, name: str) -> Engine:
    """Return the cascade of a route; its last upstream's answer is given as it comes.

    Raises:
        InputError: the workload is not there, or its checks need references.
    """
    if route.stop == "check":
        assert route.workload is not None
        checks = _checks(route.workload)
        first = [Leg(engine=line, rule=Passes(checks.passes)) for line in lines[:-1]]
    else:
        assert route.threshold is not None
        first = [Leg(engine=line, rule=Confidence(), threshold=route.threshold) for line in lines[:-1]]
    return Cascade([*first, Leg(engine=lines[-1])], policy=name)


def routed(lines: Mapping[str, Engine], route: Route, *, name: str) -> Engine:
    """Return the router of a route.

    Raises:
        InputError: its folder holds none, or one that knows nothing of an upstream.
    """
    assert route.router is not None
    decide: Decide = (
        Bar(quality=route.at_least) if route.at_least is not None else Worth(usd=route.worth_per_usd or 0.0)
    )
    return Routed(_router(route.router), lines, decide, policy=name)


@lru_cache(16)
def _checks(workload: str) -> "Checked":
    from cput.cli.checked import Checked
    from cput.cli.wrapped import require_servable
    from cput.workloads import load

    return require_servable(Checked(load(workload)))


def _router(name: str) -> "Estimator":
    folder = Path(name)
    head = folder / "router.json"
    return _estimator(folder, head.stat().st_mtime_ns if head.is_file() else 0)


@lru_cache(16)
def _estimator(folder: Path, changed_ns: int) -> "Estimator":  # noqa: ARG001  # another time, another estimator
    from cput.policy.router import load_estimator

    return load_estimator(folder)
