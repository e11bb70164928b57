"""The reckoning of the fault load test: what clients were told, what the ledger has, and what the upstreams read.

Each law is checked call by call; ``broken`` has a sentence for each call that breaks one. Where the upstreams' count
and the ledger's attempts differ, every difference must have its reason: the connection was refused (nothing was sent),
the leg was hung up or its upstream killed before it was read, or the gateway was killed while it was under way.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from faults_clients import Kind, Told

from cput.ledger.store import CallRecord
from cput.records import Attempt, Finish, Role

KILL_S = 3.0
"""A call that ended in the seconds before a kill, or at it, may have been under way in the gateway."""


@dataclass(slots=True)
class Reckoning:
    """What was found."""

    counts: Counter[str] = field(default_factory=Counter)
    """Calls, attempts and tokens, by what they are."""
    broken: list[str] = field(default_factory=list)
    """One sentence for each call that breaks a law."""

    def want(self, true: bool, sentence: str) -> None:
        """Write a broken law down."""
        if not true:
            self.broken.append(sentence)


def reckon(
    told: Sequence[Told], records: Iterable[CallRecord], seen: Iterable[str], killed_at: Sequence[float]
) -> Reckoning:
    """Compare the three books."""
    found = Reckoning()
    by_name: defaultdict[str, list[CallRecord]] = defaultdict(list)
    for record in records:
        by_name[record.call.external_key or ""].append(record)
    read = Counter(seen)
    names = {each.name for each in told}
    found.want(len(names) == len(told), "a client asked twice under one name")
    for stranger in (set(by_name) | set(read)) - names:
        found.broken.append(f"{stranger!r} was never asked, and is on record or was read")
    for each in told:
        mine = by_name[each.name]
        found.want(len(mine) <= 1, f"{each.name} is {len(mine)} calls")
        _call(found, each, mine[0] if mine else None)
        _legs(found, each, mine[0].attempts if mine else [], read[each.name], killed_at)
    return found


def _call(found: Reckoning, told: Told, record: CallRecord | None) -> None:
    """What a client was told is on record, once, and says the same."""
    assert told.kind is not None
    counts = found.counts
    counts[f"calls {told.kind.value}"] += 1
    stopped = [a for a in (record.attempts if record else []) if a.finish is Finish.STOP]
    where = f"{told.name} ({told.kind.value}, {told.why or 'as it should be'})"
    if told.call_id is not None and record is not None:
        found.want(told.call_id == record.call.id, f"{where} is on record under another id")
    if told.kind is Kind.WHOLE:
        counts["tokens acknowledged"] += told.tokens or 0
        found.want(not told.why, f"{where}: the answer is wrong")
        found.want(record is not None, f"{where} is not on record")
        found.want(len(stopped) == 1, f"{where} has {len(stopped)} attempts that ended well")
        recorded = sum(attempt.usage.output or 0 for attempt in stopped)
        counts["tokens on record"] += recorded
        found.want(recorded == told.tokens, f"{where}: {told.tokens} tokens told, {recorded} on record")
    elif told.kind is Kind.ERROR:
        counts["calls error, with a call id"] += told.call_id is not None
        found.want((told.call_id is None) == (record is None), f"{where}: call id {told.call_id}, record {record}")
        found.want(not stopped, f"{where} ended well on record")
    else:
        what = "absent" if record is None else "ended well" if stopped else record.attempts[-1].finish.value
        counts[f"calls {told.kind.value}, on record: {what}"] += 1


def _legs(found: Reckoning, told: Told, attempts: Sequence[Attempt], read: int, killed_at: Sequence[float]) -> None:
    """Each attempt was read by an upstream, and each request that an upstream read is an attempt, or has a reason."""
    counts = found.counts
    for attempt in attempts:
        counts[f"attempts {attempt.finish.value}"] += 1
        counts["attempts hedge"] += attempt.role is Role.HEDGE
    refused = sum("Cannot connect" in (attempt.error or "") for attempt in attempts)
    doubtful = sum(_doubtful(attempt) for attempt in attempts)
    unread = len(attempts) - refused - read
    counts["attempts"] += len(attempts)
    counts["requests read by upstreams"] += read
    counts["attempts refused a connection"] += refused
    if unread > 0:
        counts["attempts hung up or cut before they were read"] += unread
        late = sum(_late(attempt) for attempt in attempts)
        counts["attempts hung up as late before they were read"] += max(0, unread - (doubtful - late))
        errors = "; ".join(f"{attempt.finish.value} {attempt.error or ''}" for attempt in attempts)
        found.want(unread <= doubtful, f"{told.name}: {unread} attempts were never read, {doubtful} could be: {errors}")
    elif unread < 0:
        counts["requests under way at a kill of the gateway"] += -unread
        at_kill = told.kind in {Kind.LOST, Kind.GAVE_UP} and any(
            -KILL_S < moment - told.ended_at < KILL_S for moment in killed_at
        )
        found.want(at_kill, f"{told.name} ({told.kind}) was read {-unread} times more than it is on record")


def _doubtful(attempt: Attempt) -> bool:
    """Whether an upstream may not have read it.

    It was hung up on, by its client, for a hedge that won, or since it was late; or the connection broke before an
    answer's head.
    """
    error = attempt.error or ""
    broken = "can't be reached" in error and "Cannot connect" not in error
    return attempt.finish is Finish.CANCELLED or broken or _late(attempt)


def _late(attempt: Attempt) -> bool:
    """Whether the gateway hung up on it before its head came; an upstream that is busy may not have read it by then."""
    return "gave no answer in time" in (attempt.error or "")
