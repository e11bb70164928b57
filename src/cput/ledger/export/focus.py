"""Charges as rows of a FOCUS 1.2 dataset: one per charge in effect, idle time included.

A row's cost is the charge's incremental money, to the nano-dollar, so that BilledCost adds up to the ledger's. FOCUS
allows no cost to be null, and cput none to be 0 for "unknown": what has no known cost (an unpriced model, an attempt
that nobody charged), or no known time, is a row with the reason in ``x_WhyIncomplete``; the writer puts it into a file
of its own.

A call's useful tokens stand on one row alone, that of the attempt whose answer the caller got, and an attempt's tokens
on its first row, so that sums over rows are right: over both files, ``sum(BilledCost) / sum(x_CputUsefulTokens)`` is
the cost per useful token.
"""

from collections.abc import Iterator, Mapping

from cput.ledger.export.focus_parts import (
    CONSTANTS,
    ONE_REQUEST,
    WHY,
    FocusRow,
    consumed,
    hours,
    money,
    nine,
    period,
    quantities,
    reservation,
    unused,
    who,
)
from cput.ledger.export.scan import AnyRow, Bundle, Idle, in_effect
from cput.ledger.facts import answer_given
from cput.ledger.runs import CallRecord
from cput.ledger.verdict import verdict
from cput.records import Attempt, Verdict

ACCOUNT = "cput"
_TOKENS = ("x_CacheReadTokens", "x_CacheWriteTokens", "x_InputTokens", "x_OutputTokens", "x_ReasoningTokens")


def focus_rows(
    bundle: Bundle, devices: Mapping[str, str | None], *, threshold: float = 1.0, account: str = ACCOUNT
) -> Iterator[FocusRow]:
    """Yield a call's rows: its charges in effect, then its attempts that no charge is about.

    ``devices`` are the reserved windows' devices by window id, ``threshold`` the least value that is useful.
    """
    record = bundle.record()
    charges = in_effect(bundle.charges)
    rows = [_of_charge(charge, bundle, record, devices) for charge in charges]
    charged = {charge.seq for charge in charges}
    if None not in charged:  # a charge of the whole call stands for attempts that have none of their own
        rows += [_uncharged(attempt) for attempt in record.attempts if attempt.seq not in charged]
    common = _of_call(bundle.call, record, threshold) | {"BillingAccountId": account}
    place = _place_of_answer(rows, record)
    counted: set[int] = set()
    for number, row in enumerate(rows):
        useful = _useful(record, threshold) if number == place else 0
        yield common | _counted_once(row, counted) | {"x_CputUsefulTokens": useful}


def idle_row(idle: Idle, *, account: str = ACCOUNT) -> FocusRow:
    """Return the row of reserved time that no call used: the unused part of a capacity reservation."""
    charge, window = idle.charge, idle.window
    device = window.device if window is not None else None
    return {
        **CONSTANTS,
        **money(charge, "the price of the device is unknown"),
        **_span_of_idle(idle),
        **reservation(charge.window_id, device, "Unused"),
        **quantities(unused(idle), unused(idle)),
        **who(None),
        "BillingAccountId": account,
        "ChargeDescription": f"reserved time of {device or 'a device'} that no call used",
        "x_RunId": charge.run,
        "x_WorkloadName": idle.run.workload if idle.run is not None else None,
    }


def loose_row(charge: AnyRow, *, account: str = ACCOUNT) -> FocusRow:
    """Return the row of a charge whose call the ledger does not have: what is known of it, and no time."""
    return {
        **CONSTANTS,
        **money(charge, "no price is known"),
        **quantities(ONE_REQUEST, ONE_REQUEST),
        **who(None),
        "BillingAccountId": account,
        "ChargeDescription": "a charge of a call that is not in the ledger",
        "x_AttemptNumber": charge.seq,
        "x_CallId": charge.call_id,
        "x_RunId": charge.run,
        WHY: "its call is not in the ledger, so its time is unknown",
    }


def _of_call(call: AnyRow, record: CallRecord, threshold: float) -> FocusRow:
    tags = record.call.tags
    return {
        **CONSTANTS,
        "SubAccountId": call.tenant or None,
        "SubAccountName": call.tenant or None,
        "Tags": dict(tags) if tags else None,
        "x_CallId": call.id,
        "x_EpisodeId": call.episode,
        "x_ExternalKey": call.external_key,
        "x_ItemId": call.item,
        "x_PolicyName": call.policy,
        "x_RunId": call.run,
        "x_Verdict": verdict(record.outcomes, threshold).value,
        "x_WorkloadName": call.workload,
    }


def _of_charge(charge: AnyRow, bundle: Bundle, record: CallRecord, devices: Mapping[str, str | None]) -> FocusRow:
    window = _window_of(charge, bundle)
    reserved = reservation(window, devices.get(window), "Used") if window is not None else {}
    attempt = next((leg for leg in record.attempts if leg.seq == charge.seq), None)
    about = _of_whole_call(record) if attempt is None else _of_attempt(attempt, charge.basis, window)
    return {**about, **money(charge, _why(charge, window)), **reserved}


def _of_attempt(attempt: Attempt, basis: str, window: str | None) -> FocusRow:
    usage = attempt.usage
    used = consumed(attempt)
    priced = hours(usage.engine_s) if window is not None and usage.engine_s is not None else used
    return {
        **period(attempt.started_s, attempt.started_s + (attempt.e2e_s or 0.0)),
        **who(attempt.provider),
        **quantities(used, ONE_REQUEST if basis == "flat" else priced),
        "ChargeDescription": f"{attempt.role.value} by {attempt.model or attempt.engine}, attempt {attempt.seq}",
        "x_AttemptNumber": attempt.seq,
        "x_CacheReadTokens": usage.input_cache_read,
        "x_CacheWriteTokens": usage.input_cache_write,
        "x_CountedBy": usage.counted_by.value,
        "x_EngineName": attempt.engine,
        "x_EngineSeconds": None if usage.engine_s is None else nine(usage.engine_s),
        "x_FinishReason": attempt.finish.value,
        "x_InputTokens": usage.input,
        "x_ModelName": attempt.model,
        "x_OutputTokens": usage.output,
        "x_ReasoningTokens": usage.reasoning,
        "x_Role": attempt.role.value,
        "x_ServiceTier": attempt.service_tier,
        "x_UsageComplete": usage.complete,
    }


def _of_whole_call(record: CallRecord) -> FocusRow:
    """Return what a charge has that is about a call and none of its attempts."""
    starts = [attempt.started_s for attempt in record.attempts] or [record.recorded_s]
    ends = [attempt.started_s + (attempt.e2e_s or 0.0) for attempt in record.attempts] or [record.recorded_s]
    providers = {attempt.provider for attempt in record.attempts}
    return {
        **period(min(starts), max(ends)),
        **who(providers.pop() if len(providers) == 1 else None),
        **quantities(ONE_REQUEST, ONE_REQUEST),
        "ChargeDescription": "the whole call",
    }


def _uncharged(attempt: Attempt) -> FocusRow:
    return {**_of_attempt(attempt, "usage", None), WHY: "nobody charged this attempt"}


def _why(charge: AnyRow, window: str | None) -> str:
    if window is not None:
        return "its device time is unknown: its cost lies in the reservation's unused part"
    return f"no price is known ({charge.price_version})"


def _window_of(charge: AnyRow, bundle: Bundle) -> str | None:
    """Return the reserved window of a charge; one of a repricing stands in the place of one that names it."""
    same = [row.window_id for row in bundle.charges if (row.seq, row.basis) == (charge.seq, charge.basis)]
    named: str | None = next((window for window in reversed(same) if window is not None), None)
    return named


def _span_of_idle(idle: Idle) -> FocusRow:
    """Return when the reserved time was; a moment where only its beginning is known."""
    if idle.window is not None:
        return period(idle.window.started_s, idle.window.ended_s or idle.window.started_s)
    if idle.run is not None:
        return period(idle.run.started_s, idle.run.started_s)
    return {WHY: "it names neither a window nor a run, so its time is unknown"}


def _counted_once(row: FocusRow, counted: set[int]) -> FocusRow:
    """Leave an attempt's tokens on its first row; a second charge of it (a flat one) is one more request."""
    seq = row.get("x_AttemptNumber")
    if seq is None or seq not in counted:
        counted.update(() if seq is None else (seq,))
        return row
    once = {"ConsumedQuantity": ONE_REQUEST.amount, "ConsumedUnit": ONE_REQUEST.unit, "x_EngineSeconds": None}
    return row | dict.fromkeys(_TOKENS) | once


def _useful(record: CallRecord, threshold: float) -> int | None:
    judged = verdict(record.outcomes, threshold)
    answer = answer_given(record)
    tokens = answer.usage.output if answer else None
    return {Verdict.USEFUL: tokens, Verdict.USELESS: 0, Verdict.PENDING: None}[judged]


def _place_of_answer(rows: list[FocusRow], record: CallRecord) -> int:
    """Return which of a call's rows carries its useful tokens: the first one about the answer, else the first."""
    answer = answer_given(record)
    seq = answer.seq if answer else None
    return next((place for place, row in enumerate(rows) if row.get("x_AttemptNumber") == seq), 0)
