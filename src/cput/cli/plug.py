"""Plugging the parts together: from what a user names to an engine that meters, gives up and asks again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cput.compress import quantize
from cput.engines import open_engine
from cput.engines.openai import OpenAI
from cput.engines.openvino import OpenVino
from cput.engines.retry import Retried
from cput.errors import InputError, unknown
from cput.ledger.meter import Metered
from cput.ledger.price import PriceBook
from cput.ledger.store import Ledger
from cput.measure.judge import useful
from cput.models import ModelStore
from cput.policy import Abandoned, Persistent, Policy, repeats_itself
from cput.protocols import Engine
from cput.records import Call
from cput.workloads import Workload

PRECISIONS = ("f16", "int8", "int4")
REMOTE_ATTEMPTS = 3


class Opened(NamedTuple):
    """An engine for a run, and what the reports say about it."""

    engine: Engine
    """The leaf, not metered yet."""
    words: str
    """Engine, model and how it is run."""


def embedded(policy: Policy, workload: Workload, *, draft: str | None = None) -> Opened:
    """Open the embedded engine as a policy says. Builds the precision if the store does not hold it yet."""
    folder = model_folder(policy.model, policy.precision)
    engine = open_engine(
        "openvino",
        model=folder,
        max_seqs=policy.concurrency,
        kv_precision=policy.kv_precision,
        prefix_cache=policy.prefix_cache,
        prompt_lookup=policy.prompt_lookup,
        draft=draft,
        grammar=needs_grammar(workload),
    )
    return Opened(engine, f"openvino {policy.model}: {policy.settings}")


def remote(model: str, base_url: str, api_key: str | None) -> Opened:
    """Open an OpenAI-compatible endpoint."""
    return Opened(OpenAI(model, base_url, api_key=api_key), f"openai {model} at {base_url}")


def model_folder(model: str, precision: str) -> Path:
    """Return the model folder of a precision, built once and kept."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if (Path(model) / "model.json").is_file() and precision == "f16":
        return Path(model)
    return ModelStore().variant(model, precision, lambda source, target: quantize.weights(source, target, precision))


def needs_grammar(workload: Workload) -> bool:
    """Return whether the workload's calls carry a grammar, for which the engine needs its own tokenizer."""
    return workload.sampling.grammar is not None


def metered(
    opened: Opened,
    ledger: Ledger,
    run: str,
    workload: Workload,
    policy: Policy | None,
    *,
    prices: Sequence[Path] = (),
) -> Engine:
    """Return the wrappers around a leaf: every leg is metered, lost answers are given up, failed ones asked again.

    A remote engine's legs are charged by their tokens where a price is known; ``prices`` are the user's price files.
    """
    engine: Engine
    if isinstance(opened.engine, OpenAI):
        book = PriceBook.load(prices)
        leaf = opened.engine
        engine = Metered(leaf, ledger, run=run, keep_text=True, prices=book, provider=leaf.provider, model=leaf.model)
        engine = Retried(engine, attempts=REMOTE_ATTEMPTS)
    else:
        engine = Metered(opened.engine, ledger, run=run, keep_text=True)
    items = {item.id: item for item in workload.items}

    def passes(call: Call, text: str) -> bool:
        return call.item is not None and useful(workload, items[call.item], text)

    def lost(call: Call, text: str) -> str | None:
        item = items[call.item] if call.item is not None else None
        why = workload.hopeless(item, text) if item is not None else None
        return why or ("it repeats itself" if repeats_itself(text) else None)

    if policy is not None and policy.abandon:
        engine = Abandoned(engine, lost)
    if policy is not None and policy.attempts > 1:
        require_servable(workload)
        engine = Persistent(
            engine,
            passes,
            attempts=policy.attempts,
            together=policy.retry_together,
            temperature=policy.retry_temperature,
        )
    return engine


def require_servable(workload: Workload) -> None:
    """Refuse to ask again by a check that needs the reference answer: at serving time nobody has it."""
    if not workload.servable:
        raise InputError(
            f"workload '{workload.name}' is judged against reference answers, which a server does not have; "
            "attempts above 1 need checks without references (ifeval, json_schema)"
        )


async def start(engine: Engine) -> None:
    """Load an embedded model before the device's window begins; other engines have nothing to load."""
    if isinstance(engine, OpenVino):
        await engine.start()


def engine_options(pairs: tuple[str, ...]) -> Mapping[str, object]:
    """Return ``--option name=value`` pairs with values read as numbers or booleans where they are."""
    options: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"option '{pair}' is not allowed; allowed: name=value")
        options[name] = _value(value)
    return options


def _value(text: str) -> object:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
