"""Reading a run out of the ledger: everything a report shows comes from here, so a resumed run reads like any other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from cput.ledger.allocate import allocate
from cput.ledger.charged import charged, in_usd
from cput.ledger.cput import cost_per_useful_answer, coverage, cput, useful_rate, waterfall
from cput.ledger.facts import Fact, answer_given, fact_of
from cput.ledger.runs import CallRecord, Run, Window
from cput.ledger.store import Ledger
from cput.measure.result import CallRow, Level, Measurement, Percentiles, SliceRow
from cput.records import Attempt
from cput.units import from_nano_usd
from cput.workloads import Slo, Workload

MOST_SLICES = 40


@dataclass(frozen=True, slots=True)
class Timing:
    """What one caller saw, in seconds; None where it was not seen."""

    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float | None
    gaps_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A run as numbers: one fact and one timing per call."""

    facts: tuple[Fact, ...]
    timings: tuple[Timing, ...]
    records: tuple[CallRecord, ...]
    window_s: float
    priced: bool
    by_tokens: bool
    cost_usd: float | None
    engine_s: float | None


def read(ledger: Ledger, run: Run, workload: Workload) -> Reading:
    """Return the facts of a run.

    Costs are dollars where the attempts were charged by their tokens (a hosted model; one without a price makes its
    call's cost unknown), else where the windows have a rate. Without either they are device seconds.
    """
    records = ledger.calls(run=run.id)
    windows = ledger.windows(run.id)
    last_seen_s = ledger.last_seen_s(run.id)
    window_s = sum(_length(window, last_seen_s) for window in windows)
    attempts = [attempt for record in records for attempt in record.attempts]
    rate = _rate(windows)
    # Without a price, the window's seconds are split in the same way: at 3,600 an hour, one "dollar" is a second.
    split = allocate(window_s, rate if rate is not None else Decimal(3600), [a.usage.engine_s for a in attempts])
    shares = iter(split.full_nano_usd)
    by_window = [sum(next(shares) for _ in record.attempts) for record in records]
    by_tokens = any(charged_by_tokens(record, windows) for record in records)
    nano_usd: list[int | None] = [charged(record) for record in records] if by_tokens else [*by_window]
    costs = [in_usd(amount) for amount in nano_usd]
    held = run.config.get("held_back") is True
    timings = tuple(timing_of(record, held=held) for record in records)
    facts = tuple(
        fact_of(record, cost=cost, slo_met=slo_met(workload.slo, timing, record))
        for record, cost, timing in zip(records, costs, timings, strict=True)
    )
    known = [a.usage.engine_s for a in attempts if a.usage.engine_s is not None]
    return Reading(
        facts=facts,
        timings=timings,
        records=records,
        window_s=window_s,
        priced=by_tokens or rate is not None,
        by_tokens=by_tokens,
        cost_usd=in_usd(_total(nano_usd)) if by_tokens or rate is not None else None,
        engine_s=sum(known) if known else None,
    )


def measurement(
    ledger: Ledger, run: Run, workload: Workload, *, rate_source: str, notes: Sequence[str] = ()
) -> Measurement:
    """Return what a run found."""
    reading = read(ledger, run, workload)
    facts, timings, records = reading.facts, reading.timings, reading.records
    attempts = [attempt for record in records for attempt in record.attempts]
    output = _total(attempt.usage.output for attempt in attempts)
    rate = _rate(ledger.windows(run.id))
    met = [fact.slo_met for fact in facts if fact.slo_met is not None]
    failed = sum(answer_given(record) is None for record in records)
    if reading.by_tokens and rate is not None:
        notes = (*notes, "The device's rate is not used: these calls are charged by their tokens.")
    if (unpriced := sum(fact.cost is None for fact in facts)) and reading.priced:
        notes = (
            *notes,
            f"{unpriced} of {len(facts)} calls have an attempt without a price: what they cost is unknown.",
        )
    if len(records) < len(workload.items):
        notes = (*notes, f"{len(records)} of the workload's {len(workload.items)} items were asked.")
    return Measurement(
        run=run.id,
        workload=workload.name,
        engine=run.engine,
        load=str(run.config.get("load", "unknown")),
        started_s=run.started_s,
        duration_s=reading.window_s,
        calls=len(records),
        failed=failed,
        attempts=len(attempts),
        input_tokens=_total(attempt.usage.input for attempt in attempts),
        output_tokens=output,
        tokens_per_s=output / reading.window_s if output is not None and reading.window_s else None,
        busy_share=None if reading.engine_s is None else min(1.0, reading.engine_s / max(reading.window_s, 1e-9)),
        ttft=percentiles(t.ttft_s for t in timings),
        tpot=percentiles(t.tpot_s for t in timings),
        itl=percentiles(gap for t in timings for gap in t.gaps_s),
        e2e=percentiles(t.e2e_s for t in timings),
        slo=workload.slo.limits(),
        goodput_share=sum(met) / len(met) if met else None,
        goodput_calls_per_s=sum(met) / reading.window_s if met and reading.window_s else None,
        useful_rate=useful_rate(facts),
        coverage=coverage(facts),
        rate_usd_per_h=None if rate is None else float(rate),
        rate_source=rate_source,
        cost_usd=reading.cost_usd,
        cput=cput(facts),
        cput_unit="USD" if reading.priced else "device-seconds",
        cost_per_useful_answer=cost_per_useful_answer(facts),
        floor=workload.floor.useful_rate if workload.floor else None,
        waterfall=_waterfall(facts, reading),
        slices=_slices(facts),
        rows=tuple(_row(*row) for row in zip(records, facts, timings, strict=True)),
        environment=dict(run.environment) | {"calls": len(records), "seed": run.config.get("seed")},
        notes=tuple(notes),
    )


def charged_by_tokens(record: CallRecord, windows: Sequence[Window]) -> bool:
    """Return whether an attempt of the call has a charge that is not its window's."""
    versions = {window.price_version for window in windows}
    return any(charge.basis == "usage" and charge.price_version not in versions for charge in record.charges)


def timing_of(record: CallRecord, *, held: bool) -> Timing:
    """Return what the caller saw of a call: from the first leg's sending to the given answer's tokens.

    ``held`` says that answers are held back until a check has passed them: the first token then comes with the last
    one, and there is no time per token.
    """
    answer = answer_given(record)
    if answer is None or answer.e2e_s is None:
        return Timing(None, None, None, ())
    before_s = max(0.0, answer.started_s - record.attempts[0].started_s)
    e2e_s = before_s + answer.e2e_s
    if held:
        return Timing(e2e_s, None, e2e_s, ())
    return Timing(None if answer.ttft_s is None else before_s + answer.ttft_s, tpot_s(answer), e2e_s, answer.gaps_s)


def tpot_s(attempt: Attempt) -> float | None:
    """Return (E2E - TTFT) / (output tokens - 1); None below two tokens."""
    tokens = attempt.usage.output
    if attempt.e2e_s is None or attempt.ttft_s is None or tokens is None or tokens < 2:
        return None
    return (attempt.e2e_s - attempt.ttft_s) / (tokens - 1)


def slo_met(slo: Slo, timing: Timing, record: CallRecord) -> bool | None:
    """Return whether a call kept every limit that is stated; a failed call misses, no limits give None."""
    limits = slo.limits()
    if not limits:
        return None
    if answer_given(record) is None:
        return False
    seen = {"ttft_s": timing.ttft_s, "tpot_s": timing.tpot_s, "e2e_s": timing.e2e_s}
    return all((value := seen[name]) is None or value <= limit for name, limit in limits.items())


def percentiles(values: Iterable[float | None]) -> Percentiles:
    """Return mean, p50, p95 and p99 (linear interpolation) of the known values."""
    known = [value for value in values if value is not None]
    if not known:
        return Percentiles(None, None, None, None)
    p50, p95, p99 = (float(value) for value in np.percentile(known, [50, 95, 99]))
    return Percentiles(float(np.mean(known)), p50, p95, p99)


def _rate(windows: Sequence[Window]) -> Decimal | None:
    rates = [window.rate_nano_usd_per_h for window in windows]
    return None if not rates or rates[-1] is None else from_nano_usd(rates[-1])


def _length(window: Window, last_seen_s: float | None) -> float:
    """A window that a kill left open lasted at least until the run's last recorded attempt ended."""
    end = window.ended_s if window.ended_s is not None else last_seen_s
    return max(0.0, (end if end is not None else window.started_s) - window.started_s)


def _total(counts: Iterable[int | None]) -> int | None:
    listed = list(counts)
    return None if None in listed else sum(count or 0 for count in listed)


def _waterfall(facts: Sequence[Fact], reading: Reading) -> tuple[Level, ...]:
    """Return the metric's waterfall in both units: money where it is known, and device seconds."""
    return tuple(
        Level(
            label=level.label,
            calls=level.calls,
            output_tokens=level.output_tokens or 0,
            usd_per_m=None if reading.cost_usd is None else level.cost_per_m,
            device_s_per_m=reading.window_s * 1e6 / level.output_tokens if level.output_tokens else None,
        )
        for level in waterfall(facts)
    )


def _slices(facts: Sequence[Fact]) -> tuple[SliceRow, ...]:
    groups: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        for tag, value in fact.tags.items():
            groups.setdefault((tag, value), []).append(fact)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:MOST_SLICES]
    return tuple(
        SliceRow(tag=tag, value=value, calls=len(kept), useful_rate=useful_rate(kept), cput=cput(kept, resamples=1000))
        for (tag, value), kept in sorted(largest)
    )


def _row(record: CallRecord, fact: Fact, timing: Timing) -> CallRow:
    errors = [attempt.error for attempt in record.attempts if attempt.error]
    answer = answer_given(record)
    return CallRow(
        item=record.call.item or record.call.id,
        verdict=fact.verdict.value,
        slo_met=fact.slo_met,
        ttft_s=timing.ttft_s,
        tpot_s=timing.tpot_s,
        e2e_s=timing.e2e_s,
        output_tokens=answer.usage.output if answer else None,
        attempts=len(record.attempts),
        error=errors[-1] if errors and answer is None else None,
    )
