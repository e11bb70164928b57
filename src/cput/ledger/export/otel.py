"""Calls as OpenTelemetry traces: a span for the call, a GenAI client span per attempt, an event per outcome.

Names and types follow the GenAI semantic conventions (github.com/open-telemetry/semantic-conventions-genai, spans
``gen_ai.client.inference``, event ``gen_ai.evaluation.result``; all still in development), as OTLP's JSON encoding
has them: ids in hexadecimal, 64-bit integers as text. What has no conventional name begins with ``cput.``. Prompts and
answers are not exported.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cput.ledger.facts import answer_given
from cput.ledger.runs import CallRecord
from cput.ledger.verdict import verdict
from cput.records import Attempt, Call, Charge, Finish, Outcome, Role
from cput.units import NANO

Json = dict[str, Any]
PROVIDERS = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "x-ai": "x_ai",
}
"""Well-known values of ``gen_ai.provider.name`` where genai-prices spells a provider otherwise."""
_INTERNAL, _CLIENT = 1, 3
_ERROR = 2
_INFO = 9


def spans(record: CallRecord, threshold: float = 1.0) -> Iterator[Json]:
    """Yield the call's span, then one per attempt. ``threshold`` is the least outcome value that is useful."""
    call = record.call
    starts = [attempt.started_s for attempt in record.attempts] or [record.recorded_s]
    ends = [_end_s(attempt) for attempt in record.attempts] or [record.recorded_s]
    yield {
        "traceId": trace_id(call.id),
        "spanId": span_id(call.id, None),
        "name": f"call {call.workload}" if call.workload else "call",
        "kind": _INTERNAL,
        "startTimeUnixNano": _nano(min(starts)),
        "endTimeUnixNano": _nano(max(ends)),
        "attributes": attributes(
            call_attributes(call, record.charges)
            | {"cput.run": record.run, "cput.verdict": verdict(record.outcomes, threshold).value}
        ),
    }
    for attempt in record.attempts:
        yield _span(call, record, attempt)


def evaluations(record: CallRecord, threshold: float = 1.0) -> Iterator[Json]:
    """Yield one log record per outcome, all revisions, parented to the attempt whose answer it is about."""
    call, answer = record.call, answer_given(record)
    for outcome in record.outcomes:
        seq = outcome.attempt if outcome.attempt is not None else answer.seq if answer else None
        yield {
            "timeUnixNano": _nano(outcome.observed_s),
            "severityNumber": _INFO,
            "eventName": "gen_ai.evaluation.result",
            "traceId": trace_id(call.id),
            "spanId": span_id(call.id, seq),
            "attributes": attributes(
                {
                    "gen_ai.evaluation.name": outcome.name,
                    "gen_ai.evaluation.score.value": float(outcome.value),
                    "gen_ai.evaluation.score.label": _label(outcome, threshold),
                    "gen_ai.evaluation.explanation": _explanation(outcome),
                    "gen_ai.response.id": call.id,
                    "cput.outcome.id": outcome.id,
                    "cput.outcome.source": outcome.source.value,
                }
            ),
        }


def trace_id(call_id: str) -> str:
    """Return 16 bytes in hexadecimal: the call's UUID itself; of an id that is none, a digest."""
    try:
        found = uuid.UUID(call_id)
    except ValueError:
        return hashlib.sha256(call_id.encode()).hexdigest()[:32]
    return found.hex if found.int else hashlib.sha256(call_id.encode()).hexdigest()[:32]  # all zeros is no trace id


def span_id(call_id: str, seq: int | None) -> str:
    """Return 8 bytes in hexadecimal, always the same for an attempt (None: for the call)."""
    name = call_id if seq is None else f"{call_id}:{seq}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def attributes(values: Mapping[str, Any]) -> list[Json]:
    """Return OTLP's key and value pairs; what is None is left out."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None]


def call_attributes(call: Call, charges: Sequence[Charge]) -> Json:
    """Return what a span says about its call; what is unknown is None."""
    return {
        "gen_ai.conversation.id": call.episode,
        "cput.call.id": call.id,
        "cput.workload": call.workload,
        "cput.item": call.item,
        "cput.policy": call.policy,
        "cput.tenant": call.tenant,
        "cput.external_key": call.external_key,
        **_money(charges),
        **{f"cput.tag.{name}": value for name, value in call.tags.items()},
    }


def attempt_attributes(call: Call, attempt: Attempt, charges: Sequence[Charge], operation: str | None = None) -> Json:
    """Return what a span says about an attempt with these charges; what is unknown is None.

    ``operation`` is the convention's word for what was asked, where somebody knows it better than a call without text.
    """
    return {
        "gen_ai.operation.name": operation or operation_of(call, attempt),
        "gen_ai.provider.name": _provider(attempt),
        "error.type": "_OTHER" if attempt.finish is Finish.ERROR else None,
        "gen_ai.conversation.id": call.episode,
        "gen_ai.request.model": attempt.model,
        **_request(call),
        **_response(call, attempt),
        **_ours(attempt, charges),
    }


def _span(call: Call, record: CallRecord, attempt: Attempt) -> Json:
    said = attempt_attributes(call, attempt, [charge for charge in record.charges if charge.seq == attempt.seq])
    failed = attempt.finish is Finish.ERROR
    status = {"status": {"code": _ERROR, "message": attempt.error or "the attempt failed"}} if failed else {}
    return {
        "traceId": trace_id(call.id),
        "spanId": span_id(call.id, attempt.seq),
        "parentSpanId": span_id(call.id, None),
        "name": span_name(said),
        "kind": _CLIENT if attempt.provider is not None else _INTERNAL,
        "startTimeUnixNano": _nano(attempt.started_s),
        "endTimeUnixNano": _nano(_end_s(attempt)),
        "attributes": attributes(said),
        **status,
    }


def span_name(said: Mapping[str, Any]) -> str:
    """Return the name of an attempt's span: the operation and the model."""
    operation, model = said["gen_ai.operation.name"], said["gen_ai.request.model"]
    return f"{operation} {model}" if model else str(operation)


def _request(call: Call) -> Json:
    sampling = call.sampling
    return {
        "gen_ai.request.max_tokens": sampling.max_new_tokens,
        "gen_ai.request.temperature": float(sampling.temperature),
        "gen_ai.request.top_p": float(sampling.top_p),
        "gen_ai.request.top_k": sampling.top_k,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.request.stop_sequences": list(sampling.stop) or None,
        "gen_ai.request.presence_penalty": float(sampling.presence_penalty) or None,
        "gen_ai.request.frequency_penalty": float(sampling.frequency_penalty) or None,
    }


def _response(call: Call, attempt: Attempt) -> Json:
    usage = attempt.usage
    ended = attempt.finish in {Finish.STOP, Finish.LENGTH}
    return {
        "gen_ai.response.id": call.id,
        "gen_ai.response.model": attempt.model,
        "gen_ai.response.finish_reasons": [attempt.finish.value if ended else "error"],
        "gen_ai.response.time_to_first_chunk": attempt.ttft_s,
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.cache_read.input_tokens": usage.input_cache_read,
        "gen_ai.usage.cache_write.input_tokens": usage.input_cache_write,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
        "openai.response.service_tier": attempt.service_tier if attempt.provider == "openai" else None,
    }


def _ours(attempt: Attempt, charges: Sequence[Charge]) -> Json:
    return {
        "cput.role": attempt.role.value,
        "cput.attempt": attempt.seq,
        "cput.engine": attempt.engine,
        "cput.engine_s": attempt.usage.engine_s,
        "cput.finish": attempt.finish.value,
        "cput.usage.counted_by": attempt.usage.counted_by.value,
        "cput.usage.complete": attempt.usage.complete,
        "cput.propensity": attempt.propensity,
        **_money(charges),
        "cput.charge.avoided_nano_usd": sum(charge.avoided_nano_usd for charge in charges) if charges else None,
        "cput.charge.price_version": charges[-1].price_version if charges else None,
    }


def _money(charges: Sequence[Charge]) -> Json:
    """Return what charges add up to, exactly and as a number that a dashboard can add; None where one is unknown."""
    amounts = [charge.incremental_nano_usd for charge in charges if charge.incremental_nano_usd is not None]
    known = sum(amounts) if charges and len(amounts) == len(charges) else None
    return {
        "cput.charge.incremental_nano_usd": known,
        "cput.charge.incremental_usd": None if known is None else known / float(NANO),
    }


def operation_of(call: Call, attempt: Attempt) -> str:
    """Return the operation's name; a call whose text is not kept counts as a chat unless it scored a prompt."""
    if attempt.role is Role.EMBED:
        return "embeddings"
    return "text_completion" if call.prompt is not None or call.sampling.echo else "chat"


def _provider(attempt: Attempt) -> str:
    """Return who provides the model: the convention's word for who bills, or one's own engine."""
    if attempt.provider is None:
        return attempt.engine
    return PROVIDERS.get(attempt.provider, attempt.provider)


def _label(outcome: Outcome, threshold: float) -> str:
    if outcome.detail.get("retracted") is True:
        return "retracted"
    return verdict([outcome], threshold).value


def _explanation(outcome: Outcome) -> str | None:
    said = outcome.detail.get("why") or outcome.detail.get("explanation")
    return said if isinstance(said, str) else None


def _value(value: Any) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
        case _:
            return {"stringValue": str(value)}


def _end_s(attempt: Attempt) -> float:
    return attempt.started_s + (attempt.e2e_s or 0.0)


def _nano(seconds: float) -> str:
    return str(round(seconds * 1e9))
