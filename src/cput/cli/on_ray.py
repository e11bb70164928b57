"""``cput serve --on ray``: the same door, from the same description, in replicas.

Also the import path for Ray Serve's own configuration files (``serve deploy``, a RayService on Kubernetes):

    import_path: cput.cli.on_ray:application
    args: {what: "https://upstream/v1", ledger: "postgresql://...", replicas: 2}
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from cput.cli import plug
from cput.cli.asked import ATTEMPTS, Asked, Leaf
from cput.cli.door import greet, opened, wants_keys, words
from cput.cli.door_embedded import open_leaf as open_recipe
from cput.errors import InputError, unknown
from cput.policy import Policy
from cput.serve.on_ray.cluster import prepare
from cput.serve.on_ray.plan import Plan
from cput.serve.on_ray.run import Application, bound, serve
from cput.serve.run import bind, url_of

DEFAULTS: Mapping[str, Any] = {
    **{field.name: field.default for field in fields(Asked) if field.name not in {"leaf", "legs"}},
    "host": "0.0.0.0",  # noqa: S104  # where a cluster's proxies listen is not known here: keys are wanted
}
"""What an argument of ``application`` is where it is not given: as for ``cput serve``, but for the host."""


def run(asked: Asked, plan: Plan) -> None:
    """Serve until stopped.

    Raises:
        InputError: what is asked for can't be.
        SetupError: the port is taken, the ledger can't be opened, or Ray can't be started or found.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    prepare(plan.address, haproxy=plan.haproxy)
    with bind(asked.host, asked.port) as probe:
        url, port = url_of(probe), probe.getsockname()[1]  # Ray listens itself; this says at once if it can't
    recipes: list[Policy] = []
    with opened(replace(asked, leaf=partial(_noted, recipes))) as (door, _):
        said, say = words(door), partial(greet, url, door, keys=wants_keys(asked))
    if plan.address is None:
        for recipe in recipes:
            plug.model_folder(recipe.model, recipe.precision)  # built once, here, and not by each replica
    errors.print(f"cput: loading {said}, in {_counts(plan, engines=bool(recipes))} on Ray", markup=False)
    serve(_deployed(asked, plan, recipes), asked.host, port, ready=say)
    errors.print("cput: closed; every call is on record", markup=False)


def application(args: Mapping[str, Any]) -> Any:
    """Return the application for a configuration file of Ray Serve; ``args`` are ``cput serve``'s and the plan's.

    Raises:
        InputError: an argument that there is not, or one that can't be.
    """
    named = dict(args)
    about_plan = {field.name: named.pop(field.name) for field in fields(Plan) if field.name in named}
    for name in named:
        if name not in DEFAULTS:
            raise unknown("argument", name, [*DEFAULTS, *(field.name for field in fields(Plan))])
    for name in ("address", "haproxy"):
        if about_plan.get(name):
            raise InputError(f"{name} is for the command line; this configuration runs in the cluster that reads it")
    settled = {**DEFAULTS, **named}
    settled["prices"] = tuple(Path(path) for path in settled["prices"])
    settled["aliases"] = tuple(settled["aliases"])
    asked, plan = Asked(**settled), Plan(**about_plan)
    recipes: list[Policy] = []
    with opened(replace(asked, leaf=partial(_noted, recipes))):
        pass
    return bound(_deployed(asked, plan, recipes))


def on_replicas(policy: Policy) -> Leaf:
    """Return what stands for the engine replicas in a gateway replica."""
    from cput.serve.on_ray.engine import RayEngine  # and with it Ray, for which the environment must be ready

    return RayEngine(recipe_of(policy))


def recipe_of(policy: Policy) -> Policy:
    """Return what of a policy an engine is opened by; the rest are wrappers, which stand in the gateway."""
    return Policy(
        model=policy.model,
        precision=policy.precision,
        kv_precision=policy.kv_precision,
        concurrency=policy.concurrency,
        prefix_cache=policy.prefix_cache,
        prompt_lookup=policy.prompt_lookup,
    )


def _deployed(asked: Asked, plan: Plan, recipes: list[Policy]) -> Application:
    there = replace(asked, leaf=on_replicas, legs=ATTEMPTS)
    first = recipes[0] if recipes else None
    return Application(
        opens=partial(opened, there),
        ledger=asked.ledger,
        quiet=asked.quiet,
        drain_s=asked.drain_s,
        plan=plan,
        engine=open_recipe if first is not None else None,
        recipe=first,
        at_once=first.concurrency if first is not None else asked.concurrency,
    )


def _noted(recipes: list[Policy], policy: Policy) -> Leaf:
    """Note that an embedded engine is wanted, and which."""
    recipes.append(recipe_of(policy))
    return on_replicas(policy)


def _counts(plan: Plan, *, engines: bool) -> str:
    gateways = _count(plan.replicas, plan.max_replicas, "gateway replica")
    if not engines:
        return gateways
    return f"{gateways} and {_count(plan.engine_replicas, plan.max_engine_replicas, 'engine replica')}"


def _count(least: int, most: int | None, what: str) -> str:
    count = f"{least}" if most is None or most == least else f"{least} to {most}"
    return f"{count} {what}{'' if count == '1' else 's'}"
