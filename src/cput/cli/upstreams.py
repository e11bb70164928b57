"""Plugging a gateway file together: per upstream a client, a circuit and a retry budget; per model a line of wrappers.

    Cached(Fallback([Hedged(near, hosted_hedge), near, hosted]))        # with [cache]
    near = Retried(Breaker(Metered(Timed(Forward(...)))))

Whoever reads it from the inside out has the order: time, the ledger, the circuit, retries, the hedge, the fallback,
the cache. Every leg goes through ``Metered``; whatever stands above it sees legs and never loses one.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cput.cli.cache import Plugged, plug_cache, show
from cput.engines import open_engine
from cput.engines.breaker import Breaker
from cput.engines.budget import Budget
from cput.engines.circuit import Circuit, State
from cput.engines.fallback import Fallback
from cput.engines.hedged import Hedged
from cput.engines.patience import Patience
from cput.engines.retry import Retried
from cput.engines.timed import Timed
from cput.errors import CputError, InputError
from cput.ledger.meter import Metered, Pricer
from cput.policy.cache.key import canonical
from cput.policy.explain import Explained
from cput.policy.upstreams import EVERY, BreakerRule, CacheRule, GatewayFile, HedgeRule, Route, Upstream, load_gateway
from cput.protocols import Engine
from cput.records import Role
from cput.serve.accounts import Accounts
from cput.serve.adapted import Renamed, TextOnly
from cput.serve.circuits import CircuitStates
from cput.serve.dialects.base import Takes
from cput.serve.door import Door, Model
from cput.serve.fault import BadRequest
from cput.serve.forward import Forward
from cput.serve.logs import note
from cput.serve.most import most_of_prompt
from cput.serve.serving import Serving, Stack, uncounted
from cput.serve.watch import digest, follow

if TYPE_CHECKING:
    from cput.engines.openvino import OpenVino

KEPT_LINES, KEPT_NAME_CHARS = 256, 200
"""Models whose line of wrappers is kept; clients choose names, and a line is quickly made again."""
RETRY_RESERVE, RETRIES_PER_S = 10.0, 1.0
"""Retries that a door with few calls may have beyond their share."""


def plug_upstreams(path: Path, door: Door, prices: Pricer, *, keep_text: bool) -> Callable[[], Awaitable[None]]:
    """Put the upstreams of a gateway file behind the door; return what has to run beside it: the watch on the file.

    Raises:
        InputError: the file is wrong, or a variable that it names is not set.
    """
    pool = Pool(door, keep_text=keep_text, prices=prices)
    seen = digest(path)
    serving = Serving(pool.stack(load_gateway(path), path.stem))
    door.telemetry.registry.register(CircuitStates(pool.states))
    show(door)
    door.other = Model(serving=serving, takes=Takes.WIRE, owner="gateway")
    door.list_other = pool.listed

    async def rebuild() -> Stack:
        file = load_gateway(path)
        await asyncio.to_thread(pool.prepare, file)  # a precision that is not in the store yet takes a while to make
        return pool.stack(file, path.stem)

    return partial(follow, path, serving, rebuild, seen=seen)


def guards(name: str, door: Door) -> tuple[Circuit, Budget]:
    """Return the circuit and the retry budget of a door's only upstream; ``/metrics`` shows the circuit."""
    circuit = _circuit(name, BreakerRule())
    door.telemetry.registry.register(CircuitStates(lambda: {name: circuit.state}))
    return circuit, Budget(share=Upstream(name=name).retry_share, reserve=RETRY_RESERVE, per_s=RETRIES_PER_S)


@dataclass(eq=False, slots=True, kw_only=True)
class Live:
    """One upstream in use, by one file after the other for as long as they say the same about it."""

    upstream: Upstream
    """What the file says."""
    key: str
    """The key that its variable held."""
    leaf: "Forward | OpenVino"
    """The client, or the embedded model."""
    circuit: Circuit | None
    """None where it has no breaker."""
    retries: Budget
    """Shared by all its calls."""
    users: int = 0
    """Stacks that use it."""


@dataclass(eq=False, slots=True, kw_only=True)
class Caching:
    """A cache in use, by one file after the other for as long as they say the same about it."""

    rule: CacheRule
    """What the file says."""
    plugged: Plugged
    """The cache."""
    users: int = 0
    """Stacks that use it."""


@dataclass(eq=False, slots=True)
class Pool:
    """The upstreams in use, which outlive the file that named them first."""

    door: Door
    keep_text: bool = field(kw_only=True)
    prices: Pricer = field(kw_only=True)
    live: dict[str, Live] = field(default_factory=dict)
    """By name, as the newest file has them."""
    file: GatewayFile | None = None
    """The newest file."""
    caching: "Caching | None" = None
    """The newest file's cache."""

    def stack(self, file: GatewayFile, name: str) -> Stack:
        """Return the wrappers that a file describes.

        Raises:
            InputError: a variable that it names is not set.
        """
        keys = {upstream.name: _key(upstream) for upstream in file.upstreams.values()}
        mine = {upstream.name: self._live(upstream, keys[upstream.name]) for upstream in file.upstreams.values()}
        caching = self._caching(file.cache)
        for each in mine.values():
            each.users += 1
        if caching is not None:
            caching.users += 1
        for route in file.routes.values():
            if route.stop or route.router:
                from cput.cli.choosing import prepare

                prepare(route)
        line = _Lines(file, mine, self, caching.plugged if caching else None, name)
        embedded = [each.leaf for each in mine.values() if not isinstance(each.leaf, Forward)]

        async def load() -> None:
            await asyncio.gather(*(leaf.start() for leaf in embedded))
            if caching is not None:
                await caching.plugged.load()
            self.live, self.file, self.caching = mine, file, caching  # from now on it is what serves
            self.door.cache = None if caching is None else caching.plugged.cache

        async def close() -> None:
            for each in mine.values():
                each.users -= 1
                if not each.users:
                    await each.leaf.aclose()
            if caching is not None:
                caching.users -= 1
                if not caching.users:
                    await caching.plugged.cache.aclose()

        words = ", else ".join(_words(upstream) for upstream in file.upstreams.values())
        kept = lru_cache(KEPT_LINES)(line.engine)

        def engine_for(model: str) -> Engine:
            return kept(model) if len(model) <= KEPT_NAME_CHARS else line.engine(model)

        bound = most_of_prompt if isinstance(self.door.gate, Accounts) else uncounted
        return Stack(engine_for=engine_for, close=close, load=load, policy=name, words=words, bound_prompt=bound)

    def prepare(self, file: GatewayFile) -> None:
        """Build the weights that a file asks for, where the store does not hold them yet."""
        for upstream in file.upstreams.values():
            if upstream.url is None:
                from cput.cli import plug

                assert upstream.model is not None
                plug.model_folder(upstream.model, upstream.precision)

    def states(self) -> Mapping[str, State]:
        """Return the state of each upstream that has a breaker."""
        return {name: each.circuit.state for name, each in self.live.items() if each.circuit is not None}

    async def listed(self) -> list[dict[str, Any]]:
        """List the models: those with a route, and what the upstreams of all others know, where they are up."""
        if self.file is None:
            return []
        found = {name: {"id": name} for name in self.file.routes if name != EVERY}
        every = self.file.routes.get(EVERY)
        asked = [self.live[name] for name in every.upstreams] if every is not None else []
        for entries in await asyncio.gather(*(_models(each) for each in asked)):
            found = {entry["id"]: entry for entry in entries if isinstance(entry.get("id"), str)} | found
        return list(found.values())

    def _caching(self, rule: CacheRule | None) -> "Caching | None":
        """Return the cache in use, with its answers, where the file says the same about it."""
        if rule is None:
            return None
        if self.caching is not None and self.caching.rule == rule and self.caching.users:
            return self.caching
        return Caching(rule=rule, plugged=plug_cache(self.door, rule))

    def _live(self, upstream: Upstream, key: str) -> Live:
        """Return the one in use, with its connections and its circuit, where the file says the same about it."""
        before = self.live.get(upstream.name)
        if before is not None and before.upstream == upstream and before.key == key and before.users:
            return before
        budget = Budget(share=upstream.retry_share, reserve=RETRY_RESERVE, per_s=RETRIES_PER_S)
        circuit = None if upstream.breaker is None else _circuit(upstream.name, upstream.breaker)
        leaf = _embedded(upstream) if upstream.url is None else _remote(upstream, key)
        return Live(upstream=upstream, key=key, leaf=leaf, circuit=circuit, retries=budget)


class _Lines:
    """Makes the line of wrappers for a model."""

    def __init__(
        self, file: GatewayFile, live: Mapping[str, Live], pool: Pool, plugged: Plugged | None, name: str
    ) -> None:
        self._file = file
        self._name = name
        self._plugged = plugged
        self._live = live
        self._pool = pool
        rule = file.hedge
        self._hedges = {} if rule is None else {id(route): _hedging(rule) for route in file.routes.values()}

    def engine(self, model: str) -> Engine:
        """Return the line for a model's name.

        Raises:
            BadRequest: it has none (404).
        """
        route = self._file.route(model)
        if route is None:
            served = ", ".join(sorted(self._file.routes))
            sentence = f"the model '{model[:80]}' is not served here. Served: {served}"
            raise BadRequest(sentence, param="model", code="model_not_found", status=404)
        lines = [self._retried(self._live[name], _called(route, self._live[name], model)) for name in route.upstreams]
        if (hedging := self._hedges.get(id(route))) is not None:
            other = self._live[route.upstreams[min(1, len(lines) - 1)]]  # the only one there is may have replicas
            second = self._guarded(other, _called(route, other, model), Role.HEDGE)
            lines[0] = Hedged(lines[0], second, *hedging)
        line = self._chosen(route, lines)
        if self._plugged is None:
            return Explained(line, self._pool.door.ledger) if route.stop or route.router else line
        version = _version(route, [self._live[name].upstream for name in route.upstreams])
        return self._plugged.around(line, model=model, version=version, keep_text=self._pool.keep_text)

    def _chosen(self, route: Route, lines: list[Engine]) -> Engine:
        """Return what chooses among the lines of a route."""
        if len(lines) == 1:
            return lines[0]
        from cput.cli.choosing import in_turn, routed  # and with it numpy, which plain lines do without

        if route.stop is not None:
            return in_turn(lines, route, name=self._name)
        if route.router is not None:
            return routed(dict(zip(route.upstreams, lines, strict=True)), route, name=self._name)
        return Fallback(lines)

    def _retried(self, live: Live, model: str) -> Engine:
        asked = live.upstream
        return Retried(
            self._guarded(live, model, Role.SERVE),
            attempts=asked.attempts,
            backoff_s=asked.backoff_s,
            max_wait_s=asked.max_wait_s,
            budget=live.retries,
        )

    def _guarded(self, live: Live, model: str, role: Role) -> Engine:
        """Return one leg: in time, on record, and only while the upstream is well."""
        pool, total_s = self._pool, live.upstream.total_s
        leaf: Engine = live.leaf if total_s is None else Timed(live.leaf, total_s)
        remote = isinstance(live.leaf, Forward)
        engine: Engine = Metered(
            leaf,
            pool.door.tally if self._plugged is None else self._plugged.bills,
            role=role,
            keep_text=pool.keep_text,
            prices=pool.prices,
            provider=live.leaf.provider if isinstance(live.leaf, Forward) else None,
            model=model if remote else None,
        )
        engine = Renamed(engine, model) if remote else TextOnly(engine, pool.door.defaults)
        return engine if live.circuit is None else Breaker(engine, live.circuit)


def _hedging(rule: HedgeRule) -> tuple[Patience, Budget]:
    return Patience(after_s=rule.after_s, quantile=rule.quantile), Budget(share=rule.most)


def _called(route: Route, live: Live, model: str) -> str:
    """Return what a model is called at an upstream."""
    return route.names.get(live.upstream.name) or live.upstream.model or model


def _version(route: Route, upstreams: Iterable[Upstream]) -> str:
    """Return a digest of what decides which weights answer: another route or upstream, another key of the cache."""
    asked = [(each.name, each.url, each.model, each.precision, route.names.get(each.name)) for each in upstreams]
    return hashlib.blake2b(canonical(asked), digest_size=16).hexdigest()


def _circuit(name: str, rule: BreakerRule) -> Circuit:
    def changed(state: State, why: str) -> None:
        level = logging.WARNING if state is State.OPEN else logging.INFO
        note("upstream circuit", level, upstream=name, state=state.value, why=why)

    return Circuit(
        failures=rule.failures,
        within_s=rule.within_s,
        open_s=rule.open_s,
        share=rule.share,
        name=f"upstream '{name}'",
        changed=changed,
    )


def _remote(upstream: Upstream, key: str) -> Forward:
    assert upstream.url is not None
    leaf = Forward(
        upstream.model or "any",
        upstream.url,
        any_model=True,  # the line says which
        api_key=key,
        connect_timeout_s=upstream.connect_s,
        head_timeout_s=upstream.head_s,
        whole_timeout_s=upstream.whole_s,
        first_token_timeout_s=upstream.first_token_s,
        idle_timeout_s=upstream.idle_s,
        always_stream=upstream.always_stream,
        resend=False,  # the line sends again, and each is an attempt
    )
    leaf.name = upstream.name
    leaf.provider = upstream.provider or leaf.provider
    return leaf


def _embedded(upstream: Upstream) -> "OpenVino":
    from cput.cli import plug
    from cput.engines.openvino import OpenVino

    assert upstream.model is not None
    folder = plug.model_folder(upstream.model, upstream.precision)
    leaf = open_engine("openvino", model=folder, max_seqs=upstream.concurrency)
    assert isinstance(leaf, OpenVino)
    leaf.name = upstream.name
    return leaf


def _key(upstream: Upstream) -> str:
    """Return an upstream's key; an upstream without one is sent none."""
    if upstream.api_key_env is None:
        return ""
    key = os.environ.get(upstream.api_key_env, "")
    if not key:
        raise InputError(
            f"upstream '{upstream.name}' wants its key from the variable {upstream.api_key_env}, which is not set"
        )
    return key


async def _models(live: Live) -> Iterable[dict[str, Any]]:
    if not isinstance(live.leaf, Forward) or live.upstream.model is not None:
        return [{"id": live.upstream.model}]
    try:
        return await live.leaf.models()
    except CputError:
        return []


def _words(upstream: Upstream) -> str:
    if upstream.url is None:
        return f"{upstream.name} ({upstream.model} on the embedded engine)"
    return f"{upstream.name} ({upstream.model or 'every model'})"
