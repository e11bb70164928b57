"""``cput measure``: what a useful token costs on an engine."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from cput.cli import plug
from cput.cli.standard import measure_standard
from cput.cli.watch import watching
from cput.engines import engine_names, open_engine
from cput.errors import InputError, unknown
from cput.ledger.energy import Terms, energy_terms
from cput.ledger.price import device_rate
from cput.ledger.runs import Run
from cput.ledger.store import Ledger
from cput.measure.arrivals import Arrivals, ClosedLoop, Poisson, load_trace
from cput.measure.energy import machine_meter, with_energy
from cput.measure.environment import environment
from cput.measure.read import measurement
from cput.measure.result import Measurement
from cput.measure.session import measure as measure_run
from cput.policy import Policy, load_policy
from cput.report import card, html, write
from cput.workloads import Item, Workload, load

DEFAULT_MODEL = "smollm2-135m-instruct"


def measure(
    workload: str | None = None,
    *,
    engine: str = "openvino",
    model: str = DEFAULT_MODEL,
    precision: str = "f16",
    policy: Path | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    option: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    concurrency: int | None = None,
    rate_rps: float | None = None,
    trace: Path | None = None,
    limit: int | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
    rate: str | None = None,
    device: str | None = None,
    prices: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    kwh_price: str | None = None,
    grid: str | None = None,
    watts: float | None = None,
    resume: str | None = None,
    standard: bool = False,
    ledger: str | None = None,
    html_file: Annotated[Path | None, Parameter(name="--html")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Run a workload on an engine and report latency, usefulness and cost per useful token.

    Parameters
    ----------
    workload: str
        A shipped workload (ifeval, gsm8k, banking77, clinc150, cold, sms-spam), a folder or a file.
    engine: str
        openvino (embedded), openai (any compatible endpoint), replay, echo, or an installed engine.
    model: str
        Model in the store, a model folder, or the model's name at the endpoint.
    precision: str
        Weights of the embedded engine: f16, int8 or int4.
    policy: Path
        A policy file written by `cput optimize`, in place of model and precision.
    base_url: str
        Endpoint of the openai engine, up to and including /v1.
    api_key: str
        Bearer token for it; the environment variable OPENAI_API_KEY is read otherwise.
    option: tuple[str, ...]
        Further engine options as name=value; may be given several times.
    concurrency: int
        Calls under way at once (closed loop); 1 unless another arrival is given.
    rate_rps: float
        Poisson arrivals at this mean rate, calls per second.
    trace: Path
        Replay arrival times from a JSONL or CSV file.
    limit: int
        Ask only this many items, drawn with the seed.
    max_new_tokens: int
        Bound on an answer's tokens, in place of the workload's.
    seed: int
        Seed of the draws.
    rate: str
        What the device costs, such as 0.08/h.
    device: str
        A device in the price files, where no rate is given.
    prices: tuple[Path, ...]
        Price files of your own for hosted models; they win over the shipped prices.
    kwh_price: str
        What a kilowatt-hour costs, such as 0.25 or 0.6CNY: the run's energy is then priced.
    grid: str
        Region whose electricity price and carbon are used, or grams per kilowatt-hour.
    watts: float
        Power of the device under load, where neither a counter nor the device's nominal power is known.
    resume: str
        Go on with an earlier run: its id, the beginning of it, or latest.
    standard: bool
        Measure the standard 1k-token conversation instead of a workload.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    html_file: Path
        Where to write the HTML report; by default cput-reports/NAME-RUN.html.
    as_json: bool
        Print the measurement as one JSON object instead of a card.
    """
    console = Console(stderr=as_json)
    asked: dict[str, Any] = {
        "workload": workload,
        "engine": engine,
        "model": model,
        "precision": precision,
        "policy": str(policy) if policy else None,
        "base_url": base_url,
        "option": list(option),
        "concurrency": concurrency,
        "rate_rps": rate_rps,
        "trace": str(trace) if trace else None,
        "limit": limit,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        "rate": rate,
        "device": device,
        "prices": [str(file) for file in prices],
        "kwh_price": kwh_price,
        "grid": grid,
        "watts": watts,
    }
    with contextlib.closing(Ledger.open(ledger)) as book:
        if standard:
            asyncio.run(measure_standard(asked, api_key, console, as_json=as_json))
            return
        if resume is not None:
            asked = dict(book.find_run(resume).config["asked"])
        result = asyncio.run(_measure(asked, book, console, api_key=api_key, resume=resume))
    if as_json:
        print(json.dumps(result.as_json()))
    else:
        console.print(card(result))
    path = html_file or Path("cput-reports") / f"{result.workload}-{result.run[-12:]}.html"
    write(html(result), path)
    console.print(f"HTML report: {path}", highlight=False, soft_wrap=True)


async def _measure(
    asked: dict[str, Any], book: Ledger, console: Console, *, api_key: str | None, resume: str | None
) -> Measurement:
    if asked["workload"] is None:
        raise InputError("no workload is named; give one (ifeval, a folder, a file) or --standard")
    workload = adapted(load(asked["workload"]), asked["max_new_tokens"])
    items = drawn(workload, asked["limit"], asked["seed"])
    arrivals = _arrivals(asked)
    rate = device_rate(asked["rate"], asked["device"])
    energy = energy_of(asked)
    meter = machine_meter(watts=asked.get("watts")) if asked["engine"] == "openvino" else None
    policy = _policy(asked, arrivals)
    opened = _open(asked, policy, workload, api_key)
    run = _run(asked, book, workload, words=opened.words, load_words=arrivals.words, policy=policy, resume=resume)
    price_files = [Path(file) for file in asked.get("prices", ())]
    engine = plug.metered(opened, book, run.id, workload, policy, prices=price_files)
    try:
        with console.status(f"loading {opened.words}"):
            await plug.start(opened)
        with watching(console, workload.name) as watch:
            return await measure_run(
                workload,
                items,
                engine,
                ledger=book,
                run=run,
                arrivals=arrivals,
                rate=rate,
                watch=watch,
                meter=meter,
                energy=energy,
            )
    except asyncio.CancelledError:
        done = with_energy(measurement(book, run, workload, rate_source=rate.source), book, energy)
        console.print(card(done))
        console.print(f"interrupted; go on with: cput measure --resume {run.id}", highlight=False, soft_wrap=True)
        raise
    finally:
        await engine.aclose()


def energy_of(asked: Mapping[str, Any], *, on: date | None = None) -> Terms | None:
    """Return what a kilowatt-hour costs and emits, as the run was asked for; None where nobody asked."""
    given = asked.get("kwh_price"), asked.get("grid")
    return energy_terms(*given, on=on) if any(given) else None


def adapted(workload: Workload, max_new_tokens: int | None) -> Workload:
    """Return the workload with another bound on the answers."""
    if max_new_tokens is None:
        return workload
    if max_new_tokens < 1:
        raise InputError(f"--max-new-tokens is {max_new_tokens}; allowed: 1 or more")
    return replace(workload, sampling=replace(workload.sampling, max_new_tokens=max_new_tokens))


def drawn(workload: Workload, limit: int | None, seed: int) -> list[Item]:
    """Return ``limit`` items drawn with ``seed``, in the workload's order; all where no limit is given."""
    if limit is None or limit >= len(workload.items):
        return list(workload.items)
    if limit < 1:
        raise InputError(f"--limit is {limit}; allowed: 1 to {len(workload.items)}")
    chosen = set(random.Random(seed).sample(range(len(workload.items)), limit))
    return [item for index, item in enumerate(workload.items) if index in chosen]


def _arrivals(asked: dict[str, Any]) -> Arrivals:
    given = [name for name in ("concurrency", "rate_rps", "trace") if asked[name] is not None]
    if len(given) > 1:
        flags = " and ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(f"{flags} exclude each other; give one of them")
    if asked["trace"] is not None:
        return load_trace(Path(asked["trace"]))
    if asked["rate_rps"] is not None:
        return Poisson(asked["rate_rps"], asked["seed"])
    if asked["concurrency"] is None and asked["policy"]:
        return ClosedLoop(load_policy(Path(asked["policy"])).policy.concurrency)
    return ClosedLoop(asked["concurrency"] if asked["concurrency"] is not None else 1)


def _policy(asked: dict[str, Any], arrivals: Arrivals) -> Policy:
    if asked["policy"]:
        return load_policy(Path(asked["policy"])).policy
    return Policy(model=asked["model"], precision=asked["precision"], concurrency=arrivals.most_at_once or 64)


def _open(asked: dict[str, Any], policy: Policy, workload: Workload, api_key: str | None) -> plug.Opened:
    name, options = asked["engine"], dict(plug.engine_options(tuple(asked["option"])))
    if name not in engine_names():
        raise unknown("engine", name, engine_names())
    if name == "openvino" and not options:
        return plug.opened(policy, workload)
    if name == "openvino":
        folder = plug.model_folder(policy.model, policy.precision)
        options = {"max_seqs": policy.concurrency, "grammar": plug.needs_grammar(workload, policy)} | options
        return plug.Opened(open_engine(name, model=folder, **options), plug.words_of(policy))
    if name == "openai":
        if asked["base_url"] is None:
            raise InputError("engine openai needs --base-url, such as http://localhost:8000/v1")
        return plug.remote(asked["model"], asked["base_url"], api_key)
    return plug.Opened(open_engine(name, **options), name)


def _run(
    asked: dict[str, Any],
    book: Ledger,
    workload: Workload,
    *,
    words: str,
    load_words: str,
    policy: Policy,
    resume: str | None,
) -> Run:
    if resume is not None:
        run = book.find_run(resume)
        if run.workload_digest != workload.digest:
            raise InputError(f"workload '{workload.name}' has changed since run {run.id}; start a new run")
        return run
    return Run(
        kind="measure",
        workload=workload.name,
        workload_digest=workload.digest,
        engine=words,
        config={
            "asked": asked,
            "load": load_words,
            "seed": asked["seed"],
            "held_back": policy.attempts > 1 or bool(policy.then),
        },
        environment=environment(),
        started_s=time.time(),
    )
