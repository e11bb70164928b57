"""Plugging a door together from what ``cput serve`` was asked for: the engine, its wrappers, the gate, the ledger."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from rich.console import Console

from cput.cli import plug
from cput.cli.measure import DEFAULT_MODEL
from cput.engines import open_engine
from cput.engines.openvino import OpenVino
from cput.engines.retry import Retried
from cput.errors import InputError
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.ledger.store import Ledger
from cput.measure.judge import useful
from cput.policy import Abandoned, Persistent, Policy, load_policy, repeats_itself
from cput.protocols import Engine
from cput.records import Call
from cput.serve.accounts import Accounts
from cput.serve.app import application
from cput.serve.dialects.base import Defaults, Takes
from cput.serve.door import Door, Model
from cput.serve.forward import Forward
from cput.serve.gate import Gate
from cput.serve.keys import every
from cput.serve.logs import to_stream
from cput.serve.open_gate import OpenGate
from cput.serve.run import bind, is_loopback, serve, url_of
from cput.serve.serving import Serving, Stack
from cput.serve.tariff import BookTariff
from cput.serve.watch import digest, follow
from cput.workloads import load

ADMIN_TOKEN_ENV = "CPUT_ADMIN_TOKEN"  # noqa: S105  # the name of a variable, not a token
ATTEMPTS = 3
BACKOFF_S = 0.25
MAX_WAIT_S = 2.0
"""A client learns of an upstream's longer ``Retry-After`` at once, and may do better with that time than we would."""
Beside = Callable[[], Awaitable[None]]


class Leaf(Engine, Protocol):
    """An embedded engine, wherever it runs."""

    async def start(self) -> object:
        """Load it."""
        ...

    def count_tokens(self, text: str) -> int | None:
        """Count the tokens of a raw text; None where that can't be known."""
        ...


def open_leaf(policy: Policy) -> OpenVino:
    """Open the embedded engine as a policy says, in this process."""
    leaf = open_engine(
        "openvino",
        model=plug.model_folder(policy.model, policy.precision),
        max_seqs=policy.concurrency,
        kv_precision=policy.kv_precision,
        prefix_cache=policy.prefix_cache,
        prompt_lookup=policy.prompt_lookup,
    )
    assert isinstance(leaf, OpenVino)
    return leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What ``cput serve`` was asked for; its help says what each is."""

    what: str | None
    host: str
    port: int
    model: str | None
    aliases: tuple[str, ...]
    precision: str
    concurrency: int
    workload: str | None
    api_key_env: str
    prices: tuple[Path, ...]
    keys: bool
    most_at_once: int | None
    queue: int
    max_new_tokens: int
    keep_text: bool
    quiet: bool
    drain_s: int
    ledger: str | None
    leaf: Callable[[Policy], Leaf] = open_leaf
    """Opens the embedded engine of a policy; on Ray, what stands for the engine replicas."""
    legs: int = 1
    """Most legs of a call to the embedded engine, where it is gone before the first piece."""


def run(asked: Asked) -> None:
    """Serve until stopped.

    Raises:
        InputError: what is asked for can't be.
        SetupError: the port is taken, or the ledger can't be opened.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with opened(asked) as (door, beside), contextlib.closing(bind(asked.host, asked.port)) as listening:
        if not asked.quiet:
            to_stream()
        errors.print(f"cput: loading {words(door)}", markup=False)
        say = partial(greet, url_of(listening), door, keys=wants_keys(asked))
        serve(application(door), door, listening, drain_s=asked.drain_s, ready=say, beside=beside)
    errors.print("cput: closed; every call is on record", markup=False)


@contextlib.contextmanager
def opened(asked: Asked) -> Iterator[tuple[Door, Beside | None]]:
    """Open the ledger and put the door together, with what has to run beside it; leaving closes the ledger.

    Raises:
        InputError: what is asked for can't be.
        SetupError: the ledger can't be opened.
    """
    book = PriceBook.load(asked.prices)
    with contextlib.closing(Ledger.open(asked.ledger)) as ledger:
        door = _door(asked, ledger, book)
        yield door, _plug(asked, door, book)


def _door(asked: Asked, ledger: Ledger, book: PriceBook) -> Door:
    wanted = wants_keys(asked)
    if wanted and not every(ledger):
        why = (
            "--keys wants API keys" if asked.keys else f"--host {asked.host} lets other machines in and wants API keys"
        )
        raise InputError(f"{why}, and there is none yet; make one with: cput key create NAME --tenant TENANT")
    gate: Gate
    closing: list[Callable[[], Awaitable[None]]] = []
    if wanted:
        gate = Accounts(ledger, BookTariff(book), most_at_once=asked.most_at_once, queue=asked.queue)
        closing.append(gate.aclose)
    else:
        gate = OpenGate(most_at_once=asked.most_at_once, queue=asked.queue)
    # Where others come in and no token is set, nobody reads the counters: a token that nobody knows.
    token = os.environ.get(ADMIN_TOKEN_ENV) or (secrets.token_urlsafe() if wanted else None)
    defaults = Defaults(max_new_tokens=asked.max_new_tokens, workload=asked.workload)
    return Door(ledger=ledger, models={}, gate=gate, admin_token=token, defaults=defaults, closing=closing)


def wants_keys(asked: Asked) -> bool:
    """Return whether requests need an API key."""
    return asked.keys or not is_loopback(asked.host)


def _plug(asked: Asked, door: Door, book: PriceBook) -> Beside | None:
    """Put the models behind the door; return what has to run beside it."""
    what = asked.what or DEFAULT_MODEL
    if what.startswith(("http://", "https://")):
        _plug_remote(asked, what, door, book)
        return None
    if asked.model is not None:
        raise InputError(f"--model {asked.model} goes with a URL; name the model itself: cput serve {asked.model}")
    path = Path(what)
    if path.suffix == ".toml":
        return _plug_policy(asked, path, door, book)
    policy = Policy(model=what, precision=asked.precision, concurrency=asked.concurrency)
    stack = _embedded(policy, door, book, asked, name=None)
    _show(asked, door, _model_name(policy), Model(serving=Serving(stack), takes=Takes.TEXT))
    return None


def _plug_policy(asked: Asked, path: Path, door: Door, book: PriceBook) -> Beside:
    def build() -> Stack:
        return _embedded(load_policy(path).policy, door, book, asked, name=path.stem)

    async def rebuild() -> Stack:
        return await asyncio.to_thread(build)  # a precision that is not in the store yet takes a while to make

    seen = digest(path)
    serving = Serving(build())
    _show(asked, door, _model_name(load_policy(path).policy), Model(serving=serving, takes=Takes.TEXT))
    return partial(follow, path, serving, rebuild, seen=seen)


def _embedded(policy: Policy, door: Door, book: PriceBook, asked: Asked, *, name: str | None) -> Stack:
    """Return the wrappers around an embedded engine as a policy says."""
    leaf = asked.leaf(policy)
    engine: Engine = Metered(leaf, door.tally, keep_text=asked.keep_text, prices=book)
    if asked.legs > 1:
        engine = Retried(engine, attempts=asked.legs, backoff_s=BACKOFF_S, max_wait_s=MAX_WAIT_S)
    if policy.abandon:
        engine = Abandoned(engine, _lost)
    if policy.attempts > 1:
        engine = _asked_again(engine, policy, asked.workload)

    def count(call: Call) -> int | None:
        said = call.prompt if call.prompt is not None else "\n".join(turn.content for turn in call.messages)
        return leaf.count_tokens(said)

    return Stack(
        engine_for=lambda _: engine,
        close=engine.aclose,
        load=leaf.start,
        policy=name,
        words=f"{policy.model} on the embedded engine: {policy.settings}",
        count_prompt=count if isinstance(door.gate, Accounts) else lambda _: None,
    )


def _plug_remote(asked: Asked, url: str, door: Door, book: PriceBook) -> None:
    if asked.model is None and asked.aliases:
        raise InputError(f"--alias {asked.aliases[0]} needs the one model that it stands for; give --model")
    key = os.environ.get(asked.api_key_env, "")
    leaf = Forward(asked.model or "any", url, any_model=asked.model is None, api_key=key)

    def engine_for(model: str) -> Engine:
        billed = asked.model or model
        keep, provider = asked.keep_text, leaf.provider
        metered = Metered(leaf, door.tally, keep_text=keep, prices=book, provider=provider, model=billed)
        return Retried(metered, attempts=ATTEMPTS, backoff_s=BACKOFF_S, max_wait_s=MAX_WAIT_S)

    words = f"{asked.model or 'every model'} of {leaf.name}"
    serving = Serving(Stack(engine_for=engine_for, close=leaf.aclose, words=words))
    model = Model(serving=serving, takes=Takes.WIRE, owner=leaf.provider or "upstream")
    if asked.model is not None:
        _show(asked, door, asked.model, model)
    else:
        door.other, door.list_other = model, leaf.models


def _lost(_: Call, text: str) -> str | None:
    return "it repeats itself" if repeats_itself(text) else None


def _asked_again(engine: Engine, policy: Policy, workload: str | None) -> Engine:
    """Ask again where a check fails that needs no reference. Only an item's own check can tell, and only for it."""
    if workload is None:
        raise InputError("this policy asks again where a check fails; name whose check with --workload")
    checked = load(workload)
    plug.require_servable(checked)
    items = {(call.messages, call.prompt): item for item in checked.items if (call := checked.call(item))}

    def passes(call: Call, text: str) -> bool:
        item = items.get((call.messages, call.prompt))
        return item is None or useful(checked, item, text)

    together, temperature = policy.retry_together, policy.retry_temperature
    return Persistent(engine, passes, attempts=policy.attempts, together=together, temperature=temperature)


def _show(asked: Asked, door: Door, name: str, model: Model) -> None:
    door.models = dict.fromkeys((name, *asked.aliases), model)


def _model_name(policy: Policy) -> str:
    return Path(policy.model).name


def words(door: Door) -> str:
    """Return what is served, for people."""
    models = [*door.models.values(), *([door.other] if door.other else [])]
    return "; ".join(dict.fromkeys(model.serving.stack.words for model in models))


def greet(url: str, door: Door, *, keys: bool) -> None:
    """Say where the door is, and how to knock."""
    model = next(iter(door.models), "MODEL")
    key = ' -H "Authorization: Bearer $CPUT_API_KEY"' if keys else ""
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    print(f"base URL: {url}")
    print(f"curl {url}/chat/completions -H 'Content-Type: application/json'{key} -d '{body}'", flush=True)
