"""Plugging the parts together: from what a user names to engines, metered."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from cput.cli.checked import Checked
from cput.cli.wrapped import wrapped
from cput.compress import quantize
from cput.engines import open_engine
from cput.engines.openai import OpenAI
from cput.engines.openvino import OpenVino
from cput.engines.replay import RecordedPrices, Replay
from cput.engines.retry import Retried
from cput.errors import InputError, unknown
from cput.ledger.meter import Metered, Pricer
from cput.ledger.price import PriceBook
from cput.ledger.store import Ledger
from cput.models import ModelStore, load_manifest
from cput.policy import Policy
from cput.policy.policy import PRECISIONS
from cput.protocols import Engine
from cput.workloads import Workload

REMOTE_ATTEMPTS = 3


def prices_of(leaf: Engine) -> Pricer | None:
    """Return who says what an answer of an engine here cost: a recording that does; None is the device's window."""
    return RecordedPrices() if isinstance(leaf, Replay) and leaf.priced else None


class Opened(NamedTuple):
    """The engines of a run, and what the reports say about them."""

    engine: Engine
    """The leaf, not metered yet; of a policy with several, the first."""
    words: str
    """Engine, model and how it is run."""
    then: tuple[Engine, ...] = ()
    """The leaves of the legs that follow."""


def opened(policy: Policy, workload: Workload) -> Opened:
    """Open all engines that a policy names."""
    first, *others = [leaf(leg, workload) for leg in policy.legs]
    return Opened(first, words_of(policy), tuple(others))


def digest_of(leg: Policy) -> str | None:
    """Return a digest of what answers: weights, a recording or a student; None for a server, which does not tell."""
    if leg.engine == "openai":
        return None
    if leg.engine == "replay":
        return file_digest(Path(leg.recording or ""))
    if leg.engine == "classifier":
        return file_digest(Path(leg.model) / "student.json")
    return load_manifest(model_folder(leg.model, leg.precision)).sha256


def file_digest(path: Path) -> str | None:
    """Return the digest of a file's bytes; None where it can't be read."""
    try:
        return _digest(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(64)
def _digest(path: Path, changed_ns: int) -> str:  # noqa: ARG001  # another time, another content
    return hashlib.sha256(path.read_bytes()).hexdigest()


def words_of(policy: Policy) -> str:
    """Return what the reports say about a policy's engines."""
    return f"{policy.engine} {policy.short if policy.then else policy.model}: {policy.settings}"


def served_words(policy: Policy) -> str:
    """Return what is served, for people."""
    where = "on the embedded engine" if policy.engine == "openvino" else f"by {policy.engine}"
    return f"{policy.model} {where}: {policy.settings}"


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
        grammar=needs_grammar(workload, policy),
    )
    return Opened(engine, words_of(policy))


def leaf(leg: Policy, workload: Workload) -> Engine:
    """Open the one engine that a leg names."""
    if leg.engine == "openai":
        assert leg.url is not None, "a policy file is read with it, and --engines gives it"
        return OpenAI(leg.model, leg.url, api_key=os.environ.get(leg.api_key_env or "", ""))
    if leg.engine == "replay":
        return _recorded(leg, workload)
    if leg.engine == "classifier":
        sure = leg.threshold
        return open_engine("classifier", model=leg.model, threshold=sure, abstain=sure is not None)
    return embedded(leg, workload).engine


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


def needs_grammar(workload: Workload, policy: Policy) -> bool:
    """Return whether calls carry a grammar, the workload's or their checks', for which the engine needs a tokenizer."""
    return workload.sampling.grammar is not None or policy.constrain


def metered(
    opened: Opened,
    ledger: Ledger,
    run: str,
    workload: Workload,
    policy: Policy | None,
    *,
    prices: Sequence[Path] = (),
) -> Engine:
    """Return the wrappers around the leaves: every leg is metered, lost answers are given up, failed ones asked again.

    A remote engine's legs are charged by their tokens where a price is known; ``prices`` are the user's price files.
    """
    meter = partial(_metered_leaf, ledger=ledger, run=run, prices=prices)
    leaves = [meter(leaf) for leaf in (opened.engine, *opened.then)]
    return leaves[0] if policy is None else wrapped(leaves, policy, Checked(workload))


def _metered_leaf(leaf: Engine, *, ledger: Ledger, run: str, prices: Sequence[Path]) -> Engine:
    if isinstance(leaf, OpenAI):
        book = PriceBook.load(prices)
        engine = Metered(leaf, ledger, run=run, keep_text=True, prices=book, provider=leaf.provider, model=leaf.model)
        return Retried(engine, attempts=REMOTE_ATTEMPTS)
    return Metered(leaf, ledger, run=run, keep_text=True, prices=prices_of(leaf))


def _recorded(leg: Policy, workload: Workload) -> Engine:
    """Open a recording that has an answer to every item."""
    engine = open_engine("replay", file=leg.recording, model=leg.model)
    assert isinstance(engine, Replay)
    missing = [item.id for item in workload.items if not engine.has(workload.call(item))]
    if missing:
        raise InputError(
            f"{leg.recording} has no answer of '{leg.model}' to {len(missing)} of {len(workload.items)} items "
            f"({missing[0]}, ...); record them, or take the items out of the workload"
        )
    return engine


async def start(opened: Opened) -> None:
    """Load embedded models before the device's window begins; other engines have nothing to load."""
    for engine in (opened.engine, *opened.then):
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
