"""``cput serve``: an OpenAI-compatible door in front of a model, a policy or an endpoint, that meters every token."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from cput.errors import InputError, SetupError

if TYPE_CHECKING:
    from cput.cli.asked import Asked

RAY = Group("Beyond one process", sort_key=1)


def serve(
    what: str | None = None,
    *,
    embed: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    model: str | None = None,
    alias: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    precision: str = "f16",
    concurrency: int = 32,
    workload: str | None = None,
    rate: str | None = None,
    device: str | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    prices: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    keys: Annotated[bool, Parameter(negative=())] = False,
    most_at_once: int | None = None,
    queue: int = 64,
    max_new_tokens: int = 4096,
    keep_text: Annotated[bool, Parameter(negative=())] = False,
    redact: Annotated[bool, Parameter(negative=())] = False,
    presidio: Annotated[bool, Parameter(negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
    drain_s: int = 30,
    traces: Annotated[bool, Parameter(negative=())] = False,
    trace_content: Annotated[bool, Parameter(negative=())] = False,
    cache: Annotated[bool, Parameter(negative=())] = False,
    semantic_cache: str | None = None,
    ledger: str | None = None,
    on: Annotated[Literal["ray"] | None, Parameter(group=RAY)] = None,
    replicas: Annotated[int | None, Parameter(group=RAY)] = None,
    max_replicas: Annotated[int | None, Parameter(group=RAY)] = None,
    engine_replicas: Annotated[int | None, Parameter(group=RAY)] = None,
    max_engine_replicas: Annotated[int | None, Parameter(group=RAY)] = None,
    engine_cpus: Annotated[float | None, Parameter(group=RAY)] = None,
    tokens_per_engine: Annotated[int | None, Parameter(group=RAY)] = None,
    haproxy: Annotated[bool, Parameter(group=RAY, negative=())] = False,
    ray_address: Annotated[str | None, Parameter(group=RAY)] = None,
) -> None:
    """Serve a model, a policy or an endpoint at an OpenAI-compatible URL, and write every token down.

    Applications change their base URL and nothing else; Anthropic's clients find /v1/messages beside it. The id of a
    response is the id of its call: send what became of it to /v1/outcomes. Prompts and answers are not kept unless
    asked for. Ctrl-C, or SIGTERM, lets the answers under way end first.

    Parameters
    ----------
    what: str
        A policy file of `cput optimize`, a gateway file that names several upstreams, a model in the store (or its
        folder), one for embeddings too, or the URL of an OpenAI-compatible endpoint up to and including /v1. A file is
        read again whenever it changes.
    embed: tuple[str, ...]
        An embedding model to serve beside it, in the store (or its folder).
    host: str
        Address to listen at. Anything but this machine itself wants API keys (`cput key create`).
    port: int
        Port to listen at; 0 takes a free one.
    model: str
        With a URL: the one model that is served; otherwise each request's own model goes through.
    alias: tuple[str, ...]
        A further name that the model is served under, such as the one that an application asks for already.
    precision: str
        Weights of an embedded model: f16, int8 or int4.
    concurrency: int
        Most calls in an embedded model's batch at once.
    workload: str
        Workload that calls are written down under; the header X-Cput-Workload wins.
    rate: str
        What this machine costs, such as 0.08/h: an embedded model's calls are charged by its seconds, and the rest of
        every hour as idle.
    device: str
        A device in the price files, where no rate is given.
    api_key_env: str
        Environment variable with the key for the endpoint.
    prices: tuple[Path, ...]
        Price files of your own; they win over the shipped prices.
    keys: bool
        Want API keys on this machine as well.
    most_at_once: int
        Most calls under way; further ones wait their turn.
    queue: int
        Most calls that wait for their turn; further ones are told to come back later (429).
    max_new_tokens: int
        Bound on the answers of requests that name none.
    keep_text: bool
        Keep prompts and answers in the ledger.
    redact: bool
        Take ids, numbers, addresses and secrets out of texts before they are kept: <CN_MOBILE> stands there then. With
        a key in CPUT_REDACT_KEY, equal values of a tenant stay equal: <CN_MOBILE:kfbcmjapodnelgia>.
    presidio: bool
        With --redact and --keep-text: look with presidio as well; names and places where a spaCy pipeline is installed.
    quiet: bool
        Write no log line for each request.
    drain_s: int
        Most seconds that answers under way may take after Ctrl-C or SIGTERM.
    traces: bool
        Send OpenTelemetry traces to OTEL_EXPORTER_OTLP_ENDPOINT, or http://localhost:4318; on by itself where that is
        set. OpenTelemetry's other environment variables hold as well.
    trace_content: bool
        Put prompts and answers into the traces.
    cache: bool
        Give an answer again where the same call is made again, at temperature 0 or where the header X-Cput-Cache says
        on. A tenant's answers are its own. A gateway file has a table [cache] for it.
    semantic_cache: str
        An embedding model (all-minilm-l6-v2, wordllama-256) by which a request in other words gets the same answer; it
        is --cache as well.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    on: str
        ray: in replicas, on a Ray of this machine's own or a cluster (pip install 'cput[ray]').
    replicas: int
        Gateway replicas (2); the least, with --max-replicas.
    max_replicas: int
        Most gateway replicas; as many run as there are calls for.
    engine_replicas: int
        Replicas of an embedded model (1); the least, with --max-engine-replicas.
    max_engine_replicas: int
        Most engine replicas; as many run as there are calls and tokens to work off.
    engine_cpus: float
        CPUs that Ray sets aside for each engine replica (1).
    tokens_per_engine: int
        Tokens to work off at which an engine replica is as busy as it should be (16384).
    haproxy: bool
        HAProxy in front of the gateway replicas, in place of Ray's own proxy: a quarter of the added time. It shows its
        state, and no request, to other machines on two ports of its own.
    ray_address: str
        A Ray cluster that runs: auto, or HOST:PORT. Its nodes need the same cput, keys in their environment, and a
        ledger in PostgreSQL.
    """
    for name, value, least in (
        ("--max-new-tokens", max_new_tokens, 1),
        ("--drain-s", drain_s, 0),
        ("--concurrency", concurrency, 1),
    ):
        if value < least:
            raise InputError(f"{name} is {value}; allowed: {least} or more")
    try:
        from cput.cli.asked import Asked
        from cput.cli.door import run
    except ModuleNotFoundError as missing:
        raise SetupError(f"cput serve needs {missing.name}; install it with: pip install 'cput[serve]'") from missing
    asked = Asked(
        what=what,
        embed=embed,
        host=host,
        port=port,
        model=model,
        aliases=alias,
        precision=precision,
        concurrency=concurrency,
        workload=workload,
        rate=rate,
        device=device,
        api_key_env=api_key_env,
        prices=prices,
        keys=keys,
        most_at_once=most_at_once,
        queue=queue,
        max_new_tokens=max_new_tokens,
        keep_text=keep_text,
        redact=redact,
        presidio=presidio,
        quiet=quiet,
        drain_s=drain_s,
        traces=traces,
        trace_content=trace_content,
        cache=cache,
        semantic_cache=semantic_cache,
        ledger=ledger,
    )
    wanted = {
        "replicas": replicas,
        "max_replicas": max_replicas,
        "engine_replicas": engine_replicas,
        "max_engine_replicas": max_engine_replicas,
        "engine_cpus": engine_cpus,
        "tokens_per_engine": tokens_per_engine,
        "haproxy": haproxy or None,
        "address": ray_address,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    if on == "ray":
        _run_on_ray(asked, given)
    elif given:
        option = "ray-address" if "address" in given else next(iter(given)).replace("_", "-")
        raise InputError(f"--{option} is for replicas on Ray; add --on ray")
    else:
        run(asked)


def _run_on_ray(asked: "Asked", plan: Mapping[str, Any]) -> None:
    from cput.cli.on_ray import run
    from cput.serve.on_ray.plan import Plan

    run(asked, Plan(**plan))
