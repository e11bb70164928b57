"""Plugging a door together from what ``cput serve`` was asked for: the engine, its wrappers, the gate, the ledger."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cput.cli.asked import ATTEMPTS, BACKOFF_S, MAX_WAIT_S, Asked, Beside
from cput.cli.cache import asked_cache
from cput.cli.redaction import redactor
from cput.cli.tracing import tracing
from cput.cli.upstreams import guards, plug_upstreams
from cput.engines.breaker import Breaker
from cput.engines.retry import Retried
from cput.errors import InputError
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.ledger.store import Ledger
from cput.policy.upstreams import is_gateway
from cput.protocols import Engine
from cput.serve.accounts import Accounts
from cput.serve.app import application
from cput.serve.dialects.base import Defaults, Takes
from cput.serve.door import Door, Model
from cput.serve.forward import Forward
from cput.serve.gate import Gate
from cput.serve.keys import every
from cput.serve.logs import to_stream
from cput.serve.most import most_of_prompt
from cput.serve.open_gate import OpenGate
from cput.serve.run import bind, is_loopback, serve, url_of
from cput.serve.serving import Serving, Stack, nothing, uncounted
from cput.serve.tariff import BookTariff
from cput.serve.trace_context import Tracing

if TYPE_CHECKING:
    from cput.serve.reserved import Reserved

ADMIN_TOKEN_ENV = "CPUT_ADMIN_TOKEN"  # noqa: S105  # the name of a variable, not a token
KEPT_MODELS = 256
"""Models whose wrappers are kept; clients choose names, and wrappers are quickly made again."""


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
    with (
        contextlib.closing(Ledger.open(asked.ledger, fold_apart=True)) as ledger,
        tracing(wanted=asked.traces, text=asked.trace_content, keep_text=asked.keep_text) as traces,
        contextlib.ExitStack() as books,
    ):
        door = _door(asked, ledger, book, traces)
        yield door, _plug(asked, door, book, books)


def _door(asked: Asked, ledger: Ledger, book: PriceBook, traces: Tracing | None) -> Door:
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
    return Door(
        ledger=ledger,
        models={},
        gate=gate,
        admin_token=token,
        defaults=defaults,
        redactor=redactor(asked),
        traces=traces,
        closing=closing,
    )


def wants_keys(asked: Asked) -> bool:
    """Return whether requests need an API key."""
    return asked.keys or not is_loopback(asked.host)


def _plug(asked: Asked, door: Door, book: PriceBook, books: contextlib.ExitStack) -> Beside | None:
    """Put the models behind the door; return what has to run beside it. ``books`` are closed when it has served."""
    beside, device = _plug_main(asked, door, book, books)
    for model in asked.embed:
        from cput.cli.door_embed import embedding_model

        plugged = asked_cache(asked, door, device)
        name, served = embedding_model(model, "f16", door, book, device, keep_text=asked.keep_text, plugged=plugged)
        if name in door.models:
            raise InputError(f"--embed {model} is served already; give another model, or leave it out")
        door.models = {**door.models, name: served}
    return beside


def _plug_main(
    asked: Asked, door: Door, book: PriceBook, books: contextlib.ExitStack
) -> tuple[Beside | None, "Reserved | None"]:
    what, path = asked.what, Path(asked.what or "")
    remote = what is not None and what.startswith(("http://", "https://"))
    several = path.suffix == ".toml" and is_gateway(path)
    if (remote or several) and (asked.rate is not None or asked.device is not None):
        option = "--rate" if asked.rate is not None else "--device"
        raise InputError(f"{option} is the price of this machine, and {what} answers elsewhere; leave it out")
    if what is not None and remote:
        _plug_remote(asked, what, door, book)
        return None, None
    if asked.model is not None:
        raise InputError(f"--model {asked.model} goes with a URL; name the model itself: cput serve {asked.model}")
    if several:
        if asked.aliases:
            raise InputError(f"--alias {asked.aliases[0]} goes with one model; name it in {path} as [models.NAME]")
        if asked.cache or asked.semantic_cache is not None:
            raise InputError(f"--cache goes with one model or URL; give {path} a table [cache]")
        return plug_upstreams(path, door, book, keep_text=asked.with_text), None
    return _plug_embedded(asked, door, book, books)


def _plug_embedded(
    asked: Asked, door: Door, book: PriceBook, books: contextlib.ExitStack
) -> tuple[Beside, "Reserved | None"]:
    """Put a model of this machine, or of a policy, behind the door; return the books of its device besides."""
    from cput.cli.door_embed import embedding_model, embeds
    from cput.cli.door_embedded import Embedded
    from cput.cli.measure import DEFAULT_MODEL

    embedded = Embedded(asked, door, book)
    books.callback(embedded.close_books)
    what, watch = asked.what or DEFAULT_MODEL, None
    if Path(what).suffix == ".toml":
        name, model, watch = embedded.plug_policy(Path(what))
    elif embeds(what):
        device = embedded.device
        plugged, keep = asked_cache(asked, door, device), asked.keep_text
        name, model = embedding_model(what, asked.precision, door, book, device, keep_text=keep, plugged=plugged)
    else:
        name, model = embedded.plug_model(what)
    _show(asked, door, name, model)

    async def beside() -> None:
        await asyncio.gather(embedded.keep_books(), *([watch()] if watch is not None else []))

    return beside, embedded.device


def _plug_remote(asked: Asked, url: str, door: Door, book: PriceBook) -> None:
    if asked.model is None and asked.aliases:
        raise InputError(f"--alias {asked.aliases[0]} needs the one model that it stands for; give --model")
    key = os.environ.get(asked.api_key_env, "")
    leaf = Forward(asked.model or "any", url, any_model=asked.model is None, api_key=key, resend=False)
    circuit, retries = guards(leaf.name, door)
    plugged = asked_cache(asked, door)

    @lru_cache(KEPT_MODELS)
    def engine_for(model: str) -> Engine:
        billed = asked.model or model
        keep, provider = asked.with_text, leaf.provider
        sink = door.tally if plugged is None else plugged.bills
        metered = Metered(leaf, sink, keep_text=keep, prices=book, provider=provider, model=billed)
        guarded = Breaker(metered, circuit)
        line = Retried(guarded, attempts=ATTEMPTS, backoff_s=BACKOFF_S, max_wait_s=MAX_WAIT_S, budget=retries)
        return line if plugged is None else plugged.around(line, model=model, version=url, keep_text=keep)

    words = f"{asked.model or 'every model'} of {leaf.name}"
    bound = most_of_prompt if isinstance(door.gate, Accounts) else uncounted
    load = nothing if plugged is None else plugged.load
    serving = Serving(Stack(engine_for=engine_for, close=leaf.aclose, load=load, words=words, bound_prompt=bound))
    model = Model(serving=serving, takes=Takes.WIRE, owner=leaf.provider or "upstream")
    if asked.model is not None:
        _show(asked, door, asked.model, model)
    else:
        door.other, door.list_other = model, leaf.models


def _show(asked: Asked, door: Door, name: str, model: Model) -> None:
    door.models = dict.fromkeys((name, *asked.aliases), model)


def words(door: Door) -> str:
    """Return what is served, for people."""
    models = [*door.models.values(), *([door.other] if door.other else [])]
    return "; ".join(dict.fromkeys(model.serving.stack.words for model in models))


def greet(url: str, door: Door, *, keys: bool) -> None:
    """Say where the door is, and how to knock."""
    model = next(iter(door.models), "MODEL")
    key = ' -H "Authorization: Bearer $CPUT_API_KEY"' if keys else ""
    path, body = "chat/completions", f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    if model in door.models and door.models[model].takes is Takes.VECTORS and door.other is None:
        path, body = "embeddings", f'{{"model": "{model}", "input": "Hello"}}'
    print(f"base URL: {url}")
    print(f"curl {url}/{path} -H 'Content-Type: application/json'{key} -d '{body}'", flush=True)
