"""Records to rows and back. A row is a tuple in the column order of its table in ``schema``.

Writing is the hot path: few allocations, JSON by msgspec, inter-token gaps as raw doubles.
"""

import math
import sys
from array import array
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Row

from cput.errors import InputError
from cput.ledger.runs import Run, Window
from cput.records import (
    Attempt,
    Call,
    Charge,
    CountedBy,
    Finish,
    Grounds,
    Message,
    Outcome,
    Role,
    Sampling,
    Source,
    Usage,
)

RowTuple = tuple[Any, ...]
_encode = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(tuple[Message, ...])
_embed = msgspec.json.Decoder(tuple[str | tuple[int, ...], ...])
_sampling = msgspec.json.Decoder(Sampling)
_object = msgspec.json.Decoder(dict[str, Any])


def call_row(call: Call, run: str | None, recorded_s: float) -> RowTuple:
    """Return the row of ``calls``."""
    return (
        call.id,
        run,
        call.workload,
        call.item,
        call.tenant,
        call.external_key,
        _json(call.tags),
        _encode(call.messages).decode() if call.messages else None,
        call.prompt,
        _sampling_json(call.sampling),
        recorded_s,
        call.policy,
        call.episode,
        _encode(call.embed).decode() if call.embed else None,
        call.dimensions,
    )


def attempt_row(attempt: Attempt) -> RowTuple:
    """Return the row of ``attempts``."""
    usage = attempt.usage
    return (
        attempt.call_id,
        attempt.seq,
        attempt.role.value,
        attempt.engine,
        attempt.model,
        usage.input_uncached,
        usage.input_cache_read,
        usage.input_cache_write,
        usage.output,
        usage.reasoning,
        usage.engine_s,
        int(usage.complete),
        usage.counted_by.value,
        attempt.started_s,
        attempt.ttft_s,
        attempt.e2e_s,
        attempt.finish.value,
        attempt.error,
        attempt.text,
        _doubles(attempt.gaps_s) if attempt.gaps_s else None,
        _json(usage.parts),
        attempt.provider,
        attempt.service_tier,
        attempt.propensity,
    )


def charge_row(charge: Charge, run: str | None, window: str | None, repricing: str | None = None) -> RowTuple:
    """Return the row of ``charges``; its id is given by the database."""
    return (
        None,
        charge.call_id,
        charge.seq,
        run,
        window,
        charge.incremental_nano_usd,
        charge.avoided_nano_usd,
        charge.price_version,
        charge.basis,
        repricing,
    )


def outcome_row(outcome: Outcome) -> RowTuple:
    """Return the row of ``outcomes``.

    Raises:
        InputError: when the value is not in 0..1, nothing says which call it is about, or a number is impossible.
    """
    if not 0.0 <= outcome.value <= 1.0:  # also false for NaN
        raise InputError(f"outcome '{outcome.name}' has value {outcome.value}; allowed: 0 (useless) to 1 (useful)")
    if outcome.call_id is None and outcome.external_key is None and outcome.episode is None:
        raise InputError(
            f"outcome '{outcome.name}' ({outcome.id}) names neither a call_id nor an external_key nor an episode"
        )
    if outcome.attempt is not None and outcome.attempt < 0:
        raise InputError(f"outcome '{outcome.name}' names attempt {outcome.attempt}; allowed: 0, 1, 2, ...")
    if not math.isfinite(outcome.observed_s):
        raise InputError(f"outcome '{outcome.name}' was observed at {outcome.observed_s}; allowed: Unix seconds")
    return (
        outcome.id,
        outcome.call_id,
        outcome.external_key,
        outcome.name,
        float(outcome.value),
        outcome.source.value,
        outcome.observed_s,
        _json(outcome.detail),
        outcome.attempt,
        outcome.episode,
    )


def grounds_row(call_id: str, grounds: Grounds, decided_s: float) -> RowTuple:
    """Return the row of ``grounds``. A score that is not finite is kept as null."""
    return (
        call_id,
        grounds.chosen,
        grounds.reason,
        grounds.policy,
        grounds.propensity,
        grounds.source_call,
        _encode(grounds.options).decode() if grounds.options else None,
        decided_s,
    )


def run_row(run: Run) -> RowTuple:
    """Return the row of ``runs``."""
    return (
        run.id,
        run.kind,
        run.workload,
        run.workload_digest,
        run.engine,
        _json(run.config),
        _json(run.environment),
        run.started_s,
    )


def window_row(window: Window) -> RowTuple:
    """Return the row of ``windows``."""
    return (
        window.id,
        window.run,
        window.started_s,
        window.ended_s,
        window.rate_nano_usd_per_h,
        window.price_version,
        window.device,
    )


def to_call(row: Row[Any]) -> Call:
    """Read a row of ``calls``."""
    return Call(
        id=row.id,
        messages=_messages.decode(row.messages) if row.messages else (),
        prompt=row.prompt,
        sampling=_sampling.decode(row.sampling) if row.sampling else Sampling(),
        workload=row.workload,
        item=row.item,
        tenant=row.tenant,
        external_key=row.external_key,
        tags=to_object(row.tags),
        policy=row.policy,
        episode=row.episode,
        embed=_embed.decode(row.embed) if row.embed else (),
        dimensions=row.dimensions,
    )


def to_attempt(row: Row[Any]) -> Attempt:
    """Read a row of ``attempts``."""
    return Attempt(
        call_id=row.call_id,
        seq=row.seq,
        role=Role(row.role),
        engine=row.engine,
        model=row.model,
        usage=Usage(
            input_uncached=row.input_uncached,
            input_cache_read=row.input_cache_read,
            input_cache_write=row.input_cache_write,
            output=row.output,
            reasoning=row.reasoning,
            parts=to_object(row.usage_parts),
            engine_s=row.engine_s,
            complete=bool(row.usage_complete),
            counted_by=CountedBy(row.counted_by),
        ),
        started_s=row.started_s,
        ttft_s=row.ttft_s,
        e2e_s=row.e2e_s,
        finish=Finish(row.finish),
        error=row.error,
        text=row.text,
        gaps_s=_from_doubles(row.gaps_s) if row.gaps_s else (),
        provider=row.provider,
        service_tier=row.service_tier,
        propensity=row.propensity,
    )


def to_charge(row: Row[Any]) -> Charge:
    """Read a row of ``charges``."""
    return Charge(
        call_id=row.call_id,
        seq=row.seq,
        incremental_nano_usd=row.incremental_nano_usd,
        avoided_nano_usd=row.avoided_nano_usd,
        price_version=row.price_version,
        basis=row.basis,
    )


def to_outcome(row: Row[Any]) -> Outcome:
    """Read a row of ``outcomes``."""
    return Outcome(
        id=row.id,
        call_id=row.call_id,
        external_key=row.external_key,
        name=row.name,
        value=row.value,
        source=Source(row.source),
        observed_s=row.observed_s,
        detail=to_object(row.detail),
        attempt=row.attempt,
        episode=row.episode,
    )


def to_run(row: Row[Any], ended_s: float | None) -> Run:
    """Read a row of ``runs``, with its last end."""
    return Run(
        id=row.id,
        kind=row.kind,
        workload=row.workload,
        workload_digest=row.workload_digest,
        engine=row.engine,
        config=to_object(row.config),
        environment=to_object(row.environment),
        started_s=row.started_s,
        ended_s=ended_s,
    )


def to_window(row: Row[Any]) -> Window:
    """Read a row of ``windows``."""
    return Window(
        id=row.id,
        run=row.run,
        started_s=row.started_s,
        ended_s=row.ended_s,
        rate_nano_usd_per_h=row.rate_nano_usd_per_h,
        price_version=row.price_version,
        device=row.device,
    )


def to_object(text: str | None) -> dict[str, Any]:
    """Read a JSON object; nothing is an empty one."""
    return _object.decode(text) if text else {}


def _json(value: Mapping[str, Any]) -> str | None:
    if not value:
        return None
    try:
        return _encode(value if type(value) is dict else dict(value)).decode()
    except (TypeError, ValueError, UnicodeError) as error:
        raise InputError(f"{dict(value)!r} cannot be written as JSON: {error}") from error


@lru_cache(maxsize=256)
def _sampling_json(sampling: Sampling) -> str:
    """Encode once per distinct sampling: a workload's calls share one."""
    return _encode(sampling).decode()


def _doubles(values: tuple[float, ...]) -> bytes:
    numbers = array("d", values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _from_doubles(data: bytes) -> tuple[float, ...]:
    numbers = array("d", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)
