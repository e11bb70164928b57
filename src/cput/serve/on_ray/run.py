"""Deploys a door on Ray Serve, waits for SIGINT or SIGTERM, drains, takes it down.

The proxies of Ray Serve listen where uvicorn would. On the way down new requests find nobody, answers under way end for
at most ``drain_s`` seconds, what is left is broken off and on record as cancelled, then the ledgers are closed.
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from cput import __version__
from cput.errors import SetupError
from cput.serve.on_ray.autoscale import ByTokens
from cput.serve.on_ray.cluster import existing, local
from cput.serve.on_ray.parts import Leaf
from cput.serve.on_ray.plan import APP, ENGINES, GATEWAY, Plan, refuse_file

SETTLE_S = 5
"""Seconds beyond the drain in which a replica writes down what was broken off and closes; then Ray ends it."""
NOTICE_S = 2.0
"""Most seconds until Ray notices that a replica is gone and starts another; new calls go elsewhere at once."""
MOST_AT_ONCE = 4096
"""Calls that a gateway replica takes at once; its own line (``--most-at-once``) is the bound that speaks to clients."""
SCALE_UP_S, SCALE_DOWN_S = 10.0, 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What is deployed; all of it is pickled and sent to the replicas."""

    opens: Callable[[], Any]
    """Makes a gateway's door (``gateway.Opens``)."""
    ledger: str | None
    """Where the ledger is, as it was asked for."""
    quiet: bool
    """Whether replicas log no requests."""
    drain_s: int
    """Most seconds that answers under way may take."""
    plan: Plan
    """How many of what."""
    engine: Callable[[Any], Leaf] | None = None
    """Opens the engine of a recipe in an engine replica; None where the door's engines are remote ones."""
    recipe: Hashable = None
    """The engine that an engine replica loads first."""
    at_once: int = 32
    """Most calls with an engine replica; further ones wait in front of all of them."""


def serve(asked: Application, host: str, port: int, *, ready: Callable[[], None]) -> None:
    """Start Ray or join it, deploy, say ``ready``, and serve until SIGINT or SIGTERM.

    Raises:
        InputError: the ledger is a file and the cluster has several nodes.
        SetupError: Ray can't be started or found, or the replicas can't.
    """
    plan = asked.plan
    show = not asked.quiet
    joined = local(plan.most_cpus, show_logs=show) if plan.address is None else existing(plan.address, show_logs=show)
    with joined, _stopped() as stopped:
        from cput.serve.on_ray.gateway import nodes

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        refuse_file(asked.ledger, nodes())
        try:
            _deploy(asked, host, port)
            ready()
            stopped.wait()
        finally:
            _take_down(asked, alone=plan.address is None)


def bound(asked: Application) -> Any:
    """Return the application as Ray Serve deploys it: the gateway, and the engines where there are any."""
    from ray import serve as ray_serve

    from cput.serve.on_ray.gateway import Gateway

    quietly = {"enable_access_log": False, "log_level": "WARNING"}
    stops = {"graceful_shutdown_wait_loop_s": 0.2, "graceful_shutdown_timeout_s": asked.drain_s + SETTLE_S}
    watched = {"health_check_period_s": NOTICE_S, "max_constructor_retry_count": 3}
    shared: dict[str, Any] = {"logging_config": quietly, **watched, **stops}
    plan = asked.plan
    gateway = ray_serve.deployment(
        name=GATEWAY,
        ray_actor_options={"num_cpus": plan.gateway_cpus},
        max_ongoing_requests=MOST_AT_ONCE,
        **_count(plan.replicas, plan.max_replicas, plan.calls_per_gateway),
        **shared,
    )(ray_serve.ingress()(Gateway))
    after: tuple[Any, ...] = ()
    if asked.engine is not None:
        policy = {
            "policy_function": f"{ByTokens.__module__}:{ByTokens.__name__}",
            "policy_kwargs": {"calls_each": asked.at_once, "tokens_each": plan.tokens_per_engine},
        }
        engines = ray_serve.deployment(
            name=ENGINES,
            ray_actor_options={"num_cpus": plan.engine_cpus},
            max_ongoing_requests=asked.at_once,
            **_count(plan.engine_replicas, plan.max_engine_replicas, asked.at_once, policy=policy),
            **shared,
        )(_engines())
        after = (engines.bind(asked.engine, asked.recipe),)
    return gateway.bind(asked.opens, asked.ledger, __version__, *after, quiet=asked.quiet)


def _engines() -> type:
    from cput.serve.on_ray.engines import Engines

    class Replica(Engines):
        """Engines, loaded before Ray calls the replica ready, and closed when it goes."""

        async def __init__(self, opens: Callable[[Any], Leaf], recipe: Hashable) -> None:  # type: ignore[misc]
            super().__init__(opens, recipe)
            await self.ready()

        async def __del__(self) -> None:
            await self.aclose()

    return Replica


def _count(least: int, most: int | None, calls: int, policy: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return how many replicas there are: a number, or Ray's bounds and what it goes by between them."""
    if most is None or most == least:
        return {"num_replicas": least}
    scaling: dict[str, Any] = {
        "min_replicas": least,
        "max_replicas": most,
        "target_ongoing_requests": calls,
        "upscale_delay_s": SCALE_UP_S,
        "downscale_delay_s": SCALE_DOWN_S,
    }
    return {"autoscaling_config": scaling | ({"policy": policy} if policy else {})}


def _deploy(asked: Application, host: str, port: int) -> None:
    from ray import serve as ray_serve
    from ray.exceptions import RayError

    try:
        ray_serve.start(proxy_location="EveryNode", http_options={"host": host, "port": port})
        ray_serve.run(bound(asked), name=APP)
    except (RuntimeError, RayError) as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SetupError(f"the replicas can't be started on Ray: {said[-1] if said else error}") from error


def _take_down(asked: Application, *, alone: bool) -> None:
    """Let answers under way end, then stop the replicas; our own Serve as a whole, of another's only what is ours."""
    from ray import serve as ray_serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    with contextlib.suppress(RayError, RayServeException, TimeoutError, KeyError):
        draining = ray_serve.get_deployment_handle(GATEWAY, APP).broadcast("drain", asked.drain_s)
        draining.results(timeout_s=SETTLE_S, return_exceptions=True)
    with contextlib.suppress(RayError, RayServeException, TimeoutError):
        ray_serve.delete(APP)
    if alone:
        with contextlib.suppress(RayError, RayServeException, TimeoutError):
            ray_serve.shutdown()


@contextlib.contextmanager
def _stopped() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; a second SIGINT interrupts."""
    event = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # Python calls it so
        if event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
