"""Facts by workload, model, engine, policy, tenant, slice and period, each group with its figures.

    for group in by(facts, ["model", "day"], zone="Asia/Shanghai"):
        print(group.key, group.calls, group.coverage, group.cput)

Every call is in exactly one group, one whose key is unknown under None; so calls and money add up to the whole.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from cput.errors import InputError, unknown
from cput.ledger.cput import cost_per_useful_answer, coverage, cput, useful_rate
from cput.ledger.facts import Fact
from cput.ledger.interval import Interval
from cput.ledger.zones import time_zone

FIELDS = ("workload", "model", "engine", "policy", "tenant")
"""Keys that are a fact's own fields."""
PERIODS = ("hour", "day", "week", "month")
"""Keys that are the calendar period in which a call started."""
TAG = "tag:"
"""Start of a key that is a slice: ``tag:language`` groups by the tag ``language``."""
_NANO = 1_000_000_000

Key = Callable[[Fact], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The calls that share a key, and the metric of them."""

    key: Mapping[str, str | None]
    """Value of each key asked for, in the order asked; None is unknown."""
    facts: tuple[Fact, ...]
    """The calls themselves, for whatever else is asked of them (``ppi``, ``compare``)."""
    calls: int
    """How many."""
    coverage: float
    """Share of them with a verdict."""
    useful_rate: Interval
    """Share of judged calls that were useful, exact 95 % interval."""
    cput: Interval
    """Cost per useful token with its 95 % interval; unknown where a call is unpriced."""
    cost_per_useful_answer: Interval
    """Cost per useful answer, likewise."""
    cost_nano: int
    """Sum of the known costs in billionths of their unit (nano-dollars), exact: groups add up to the last one."""
    unpriced: int
    """Calls whose cost is unknown; they are in none of the sums."""


def by(
    facts: Iterable[Fact], keys: Sequence[str], *, zone: str = "UTC", seed: int = 0, resamples: int = 4000
) -> tuple[Group, ...]:
    """Return one group per combination of ``keys`` that occurs, sorted by key, unknown ones last.

    Keys are those of ``FIELDS``, of ``PERIODS`` (in the time zone ``zone``; weeks are ISO 8601's) and ``tag:NAME``.
    Without keys all calls are one group.

    Raises:
        InputError: when a key or a time zone is unknown, or a call's time is none.
        SetupError: when the machine has no time zone data.
    """
    read = {key: _key(key, zone) for key in keys}
    grouped: dict[tuple[str | None, ...], list[Fact]] = {}
    for fact in facts:
        grouped.setdefault(tuple(value(fact) for value in read.values()), []).append(fact)
    in_order = sorted(grouped.items(), key=lambda group: [(value is None, value or "") for value in group[0]])
    return tuple(_group(dict(zip(read, key, strict=True)), tuple(kept), seed, resamples) for key, kept in in_order)


def period(started_s: float, length: str, zone: tzinfo = UTC) -> str:
    """Return the hour, day, week or month of a Unix time: 2026-05-04T13:00+02:00, 2026-05-04, 2026-W19 or 2026-05.

    The hour carries its offset, since one hour a year occurs twice.
    """
    moment = datetime.fromtimestamp(started_s, zone)
    if length == "hour":
        return moment.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")
    if length == "week":
        year, week, _ = moment.isocalendar()
        return f"{year:04d}-W{week:02d}"
    return moment.date().isoformat()[: len("2026-05-04" if length == "day" else "2026-05")]


def _key(key: str, zone: str) -> Key:
    if key in FIELDS:
        return lambda fact: getattr(fact, key)
    if key in PERIODS:
        where = time_zone(zone)
        return lambda fact: _period_of(fact, key, where)
    if key.startswith(TAG) and (name := key.removeprefix(TAG)):
        return lambda fact: fact.tags.get(name)
    raise unknown("key", key, (*FIELDS, *PERIODS, f"{TAG}NAME"))


def _period_of(fact: Fact, length: str, zone: tzinfo) -> str | None:
    if fact.started_s is None:
        return None
    try:
        return period(fact.started_s, length, zone)
    except (ValueError, OverflowError, OSError):
        raise InputError(
            f"call '{fact.id}' started at {fact.started_s} s; allowed: seconds since 1970 within the calendar"
        ) from None


def _group(key: Mapping[str, str | None], facts: tuple[Fact, ...], seed: int, resamples: int) -> Group:
    return Group(
        key=key,
        facts=facts,
        calls=len(facts),
        coverage=coverage(facts),
        useful_rate=useful_rate(facts),
        cput=cput(facts, seed=seed, resamples=resamples),
        cost_per_useful_answer=cost_per_useful_answer(facts, seed=seed, resamples=resamples),
        cost_nano=sum(round(fact.cost * _NANO) for fact in facts if fact.cost is not None),
        unpriced=sum(fact.cost is None for fact in facts),
    )
