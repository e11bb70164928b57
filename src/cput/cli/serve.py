"""``cput serve``: an OpenAI-compatible door in front of a model, a policy or an endpoint, that meters every token."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cput.errors import InputError, SetupError


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
    ledger: str | None = None,
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
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    """
    for name, value, least in (
        ("--max-new-tokens", max_new_tokens, 1),
        ("--drain-s", drain_s, 0),
        ("--concurrency", concurrency, 1),
    ):
        if value < least:
            raise InputError(f"{name} is {value}; allowed: {least} or more")
    try:
        from cput.cli.door import Asked, run
    except ModuleNotFoundError as missing:
        raise SetupError(f"cput serve needs {missing.name}; install it with: pip install 'cput[serve]'") from missing
    run(
        Asked(
            what=what,
            embed=embed,
            host=host,
            port=port,
            model=model,
            aliases=alias,
            precision=precision,
            concurrency=concurrency,
            workload=workload,
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
            ledger=ledger,
        )
    )
