"""The bench's one JSON object; the card is drawn from it, so both always say the same."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engine_figures import (
    BOUNDARY_TARGET,
    Key,
    Sample,
    Spread,
    agreement,
    boundary_cost,
    decode_flops_per_token,
    figure,
    ratio,
    same_prompts,
    spread,
)
from engine_llama import BatchedRow
from engine_options import BARE, OURS, Options
from matrix_peak import Peak, best

FIGURES = ("tokens_per_s", "ttft_s", "tpot_s")


@dataclass(slots=True, kw_only=True)
class Findings:
    """What has been found so far; a run that is interrupted reports what is in it."""

    samples: list[Sample] = field(default_factory=list)
    """Every contestant's runs."""
    pairs: list[Sample] = field(default_factory=list)
    """Our engine and the bare library on the same few prompts, in turns; ``round`` numbers the pair."""
    batched: list[tuple[str, int, BatchedRow]] = field(default_factory=list)
    """Precision, round and row of llama-batched-bench."""
    peaks: list[Peak] = field(default_factory=list)
    """The machine's matrix peak."""
    not_measured: dict[str, str] = field(default_factory=dict)
    """What is missing, and why."""
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each contestant said of itself: versions, dtype."""
    interrupted: bool = False
    """Whether a person stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The figures of the network that operations are counted from."""

    name: str
    """Name in the store."""
    parameters: int
    """Weights, tied embeddings counted once; all are active for every token."""
    layers: int
    """Blocks."""
    heads: int
    """Query heads."""
    head_dim: int
    """Width of a head."""
    sha256: Mapping[str, str]
    """Digest of our weights file, by precision."""


def report(
    found: Findings, options: Options, model: Model, hardware: Mapping[str, Any], versions: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything as plain dicts, lists, numbers and strings."""
    keys = list(dict.fromkeys(sample.key for sample in found.samples))
    keys.sort(key=lambda key: (options.precisions.index(key[1]), key[2]))
    return {
        "bench": "engine",
        "quick": options.quick,
        "interrupted": found.interrupted,
        "hardware": dict(hardware),
        "versions": dict(versions),
        "contestants": found.about,
        "model": asdict(model),
        "prompts": {"workload": "ifeval", "seed": options.seed, "distinct": options.prompts},
        "new_tokens": options.new_tokens,
        "threads": options.threads,
        "rounds": options.rounds,
        "sample_count": len(found.samples),
        "requests_measured": sum(sample.requests for sample in found.samples),
        "same_prompt_tokens": same_prompts(found.samples),
        "figures": [_figures(found, key, options, model) for key in keys],
        "boundary": _boundary(found.pairs, options),
        "llama_batched_bench": _batched(found, options),
        "matrix_peak": [asdict(peak) for peak in found.peaks],
        "not_measured": found.not_measured,
    }


def _figures(found: Findings, key: Key, options: Options, model: Model) -> dict[str, Any]:
    contestant, precision, concurrency = key
    samples = found.samples
    decode = figure(samples, key, "decode_tokens_per_s")
    flops = _flops_per_token([sample for sample in samples if sample.key == key], options, model)
    achieved = decode.median * flops if decode else None
    return {
        "contestant": contestant,
        "precision": precision,
        "concurrency": concurrency,
        "requests": options.requests(concurrency),
        **{name: plain(figure(samples, key, name)) for name in FIGURES},
        "decode_tokens_per_s": plain(decode),
        "ratio_to_ours": {name: plain(ratio(samples, key, name)) for name in FIGURES},
        "agreement_with_ours": agreement(samples, key),
        "decode_flops_per_token": flops,
        "share_of_peak": {name: achieved / rate if achieved else None for name, rate in best(found.peaks).items()},
    }


def _flops_per_token(samples: Sequence[Sample], options: Options, model: Model) -> float:
    """Operations at the mean context of decoding: the prompt and half of the answer."""
    prompt = sum(sample.input_tokens for sample in samples) / sum(sample.requests for sample in samples)
    return decode_flops_per_token(
        parameters=model.parameters,
        layers=model.layers,
        heads=model.heads,
        head_dim=model.head_dim,
        context=prompt + options.new_tokens / 2,
    )


def _boundary(pairs: Sequence[Sample], options: Options) -> list[dict[str, Any]]:
    rows = []
    for precision in options.precisions:
        for concurrency in options.concurrency:
            cost = boundary_cost(pairs, precision, concurrency)
            if cost is not None:
                rows.append(
                    {
                        "precision": precision,
                        "concurrency": concurrency,
                        "cost_share": plain(cost),
                        "target": BOUNDARY_TARGET,
                        "met": cost.median <= BOUNDARY_TARGET,
                        "of": BARE,
                    }
                )
    return rows


def _batched(found: Findings, options: Options) -> list[dict[str, Any]]:
    """Decode-only rates, and their ratio to our rate while decoding in the same round."""
    rows = []
    for precision in options.precisions:
        for concurrency in options.concurrency:
            own = {
                number: row.decode_tokens_per_s
                for name, number, row in found.batched
                if (name, row.concurrency) == (precision, concurrency)
            }
            ours = {
                sample.round: sample.decode_tokens_per_s
                for sample in found.samples
                if sample.key == (OURS, precision, concurrency)
            }
            if own:
                ratios = [rate / ours[number] for number, rate in own.items() if number in ours]
                rows.append(
                    {
                        "precision": precision,
                        "concurrency": concurrency,
                        "decode_tokens_per_s": plain(spread(own.values())),
                        "ratio_to_ours": plain(spread(ratios)),
                    }
                )
    return rows


def plain(value: Spread | None) -> dict[str, Any] | None:
    """Return a spread as a dict; None is unknown."""
    return None if value is None else value._asdict()
