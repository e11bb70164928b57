"""What ``cput why`` prints: a card for people, the same as JSON for programs. No prompt or answer is in them."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cput.ledger.charged import charged, in_usd
from cput.ledger.runs import CallRecord
from cput.ledger.verdict import standing, verdict
from cput.records import Attempt, Grounds, Option
from cput.units import UNKNOWN, usd

REASONS = {
    "cache_exact": "the same call had been answered before",
    "cache_semantic": "a call that means the same had been answered before",
    "student_sure": "the student was sure enough",
    "router": "the router expected most of it",
    "stop_rule": "its answer satisfied its stop rule",
    "last_leg": "no other engine's answer satisfied its stop rule",
    "explored": "it was drawn to learn from",
    "alarm_fallback": "the alarm is on, and the strong engine answers all",
}


def card(call_id: str, grounds: Grounds | None, record: CallRecord | None) -> RenderableType:
    """Return the card."""
    parts: list[RenderableType] = [Text(f"call {call_id}", style="bold")]
    parts += [Text(line) for line in _lines(grounds, record)]
    if grounds is not None and grounds.options:
        parts.append(_options(grounds))
    if record is not None and record.attempts:
        parts.append(_attempts(record))
    if record is not None and record.outcomes:
        parts.append(_outcomes(record))
    return Group(*parts)


def said(call_id: str, grounds: Grounds | None, record: CallRecord | None) -> dict[str, Any]:
    """Return the same for programs; null is unknown."""
    nano = None if record is None else charged(record)
    return {
        "call_id": call_id,
        "grounds": None if grounds is None else asdict(grounds),
        "workload": None if record is None else record.call.workload,
        "policy": None if record is None else record.call.policy,
        "cost_usd": in_usd(nano),
        "verdict": None if record is None else verdict(record.outcomes).value,
        "attempts": [] if record is None else [_attempt(record, each) for each in record.attempts],
        "outcomes": [] if record is None else [_outcome(each) for each in record.outcomes],
    }


def _lines(grounds: Grounds | None, record: CallRecord | None) -> Iterable[str]:
    if grounds is None:
        yield "No policy chose for this call, or nobody wrote down why: there is nothing to explain but its attempts."
    else:
        policy = f" (policy {grounds.policy})" if grounds.policy else ""
        yield f"{grounds.chosen} answered: {REASONS.get(grounds.reason, grounds.reason)} [{grounds.reason}]{policy}"
        if grounds.propensity is not None:
            yield f"it was drawn so with probability {grounds.propensity:.4g}"
        if grounds.source_call is not None:
            yield f"the answer was that of call {grounds.source_call}"
    if record is None:
        yield "No engine was asked for it: the ledger has no attempt."
        return
    call, cost = record.call, in_usd(charged(record))
    about = [f"{name} {value}" for name, value in (("workload", call.workload), ("tenant", call.tenant)) if value]
    yield "; ".join([*about, f"cost {usd(cost)}", f"verdict {verdict(record.outcomes).value}"])


def _options(grounds: Grounds) -> Table:
    table = Table(title="who could have been asked", title_justify="left")
    for name, justify in (("engine", "left"), ("asked", "left"), ("score", "right"), ("threshold", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("expected USD", justify="right")
    table.add_column("what was found", overflow="fold")
    for option in grounds.options:
        chosen = option.engine == grounds.chosen and option.asked
        table.add_row(*_cells(option), style="bold" if chosen else None)
    return table


def _cells(option: Option) -> tuple[str, ...]:
    threshold = "-" if option.threshold is None else f"{option.threshold:.4g}"
    score = UNKNOWN if option.score is None and option.asked else "-" if option.score is None else f"{option.score:.4g}"
    cost = "-" if option.cost_usd is None else usd(option.cost_usd)
    return (option.engine, "yes" if option.asked else "no", score, threshold, cost, option.note)


def _attempts(record: CallRecord) -> Table:
    table = Table("attempt", "engine", "role", "end", title="attempts and their charges", title_justify="left")
    for name in ("input", "output", "seconds", "USD"):
        table.add_column(name, justify="right")
    for each in record.attempts:
        seconds = UNKNOWN if each.e2e_s is None else f"{each.e2e_s:.3f}"
        counts = (UNKNOWN if count is None else f"{count:,}" for count in (each.usage.input, each.usage.output))
        cells = (str(each.seq), each.engine, each.role.value, each.finish.value, *counts, seconds)
        table.add_row(*cells, usd(_cost(record, each)))
    return table


def _outcomes(record: CallRecord) -> Table:
    table = Table("outcome", "value", "source", "attempt", "counts", title="outcomes", title_justify="left")
    counted = {each.id for each in standing(record.outcomes)}
    for each in record.outcomes:
        attempt = "-" if each.attempt is None else str(each.attempt)
        counts = "yes" if each.id in counted else "no: revised"
        table.add_row(each.name, f"{each.value:g}", each.source.value, attempt, counts)
    return table


def _attempt(record: CallRecord, attempt: Attempt) -> dict[str, Any]:
    return {
        "seq": attempt.seq,
        "engine": attempt.engine,
        "model": attempt.model,
        "role": attempt.role.value,
        "finish": attempt.finish.value,
        "input_tokens": attempt.usage.input,
        "output_tokens": attempt.usage.output,
        "e2e_s": attempt.e2e_s,
        "cost_usd": _cost(record, attempt),
    }


def _outcome(outcome: Any) -> dict[str, Any]:
    names = ("id", "name", "value", "attempt", "observed_s")
    return {name: getattr(outcome, name) for name in names} | {"source": outcome.source.value}


def _cost(record: CallRecord, attempt: Attempt) -> float | None:
    """Return what one attempt cost; None where it has no charge, or one of an unknown amount."""
    amounts = [charge.incremental_nano_usd for charge in record.charges if charge.seq == attempt.seq]
    return None if not amounts or None in amounts else in_usd(sum(amount or 0 for amount in amounts))
