"""Requests and tokens per minute, of a key and of all keys of a tenant together.

Each is a sliding window of 60 s (``window``), held in the memory of the process that serves: several workers each give
the whole limit, so that a tenant of N workers may reach N times it. Money is different: budgets hold across processes.

A call counts its prompt and all tokens that it may generate when it is let in, and what it really used once it is
settled. A call that is refused counts nothing.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from cput.errors import InputError
from cput.ledger import schema
from cput.ledger.doors import writing
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.serve.gate import Refused
from cput.serve.subjects import Subject
from cput.serve.window import SlidingWindow

_MOST = 2**62
_CODE = "rate_limit_exceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How much may happen within any 60 s."""

    subject: Subject
    """A key or a tenant."""
    requests_per_min: int | None = None
    """Requests let in; None is no limit."""
    tokens_per_min: int | None = None
    """Tokens of prompts and answers; None is no limit."""

    def __post_init__(self) -> None:
        for name, value in (("requests", self.requests_per_min), ("tokens", self.tokens_per_min)):
            if value is not None and not 1 <= value <= _MOST:
                raise InputError(f"the limit of {self.subject} is {value} {name} per minute; allowed: 1 or more")


def read_limits(ledger: Ledger, subjects: Sequence[str] | None = None) -> Mapping[str, RateLimit]:
    """Return limits by their subject's text: those of some subjects, or all."""
    query = select(schema.rate_limits)
    if subjects is not None:
        query = query.where(schema.rate_limits.c.subject.in_(subjects))
    with snapshot(ledger) as connection:
        rows = connection.execute(query).all()
    return {
        row.subject: RateLimit(
            subject=Subject.of(row.subject), requests_per_min=row.requests_per_min, tokens_per_min=row.tokens_per_min
        )
        for row in rows
    }


def set_limit(ledger: Ledger, limit: RateLimit) -> None:
    """Write a limit in the place of the subject's earlier one; without any number it is taken away."""
    table = schema.rate_limits
    with writing(ledger) as connection:
        connection.execute(table.delete().where(table.c.subject == str(limit.subject)))
        if (limit.requests_per_min, limit.tokens_per_min) != (None, None):
            connection.execute(
                table.insert().values(
                    subject=str(limit.subject),
                    requests_per_min=limit.requests_per_min,
                    tokens_per_min=limit.tokens_per_min,
                )
            )


class _Windows:
    """What a subject did in the last minute."""

    __slots__ = ("requests", "tokens")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.requests = SlidingWindow(clock)
        self.tokens = SlidingWindow(clock)


class Taken:
    """What a call was counted with; to be corrected once, when it is known better."""

    __slots__ = ("_slots", "_tokens")

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._slots: list[tuple[_Windows, int, int]] = []

    def take(self, windows: _Windows) -> None:
        """Count the call in a subject's windows."""
        self._slots.append((windows, windows.requests.add(1), windows.tokens.add(self._tokens)))

    def correct(self, tokens: int) -> None:
        """Say how many tokens it really used."""
        for windows, _, slot in self._slots:
            windows.tokens.correct(slot, tokens - self._tokens)
        self._tokens = tokens

    def give_back(self) -> None:
        """Count nothing: the call was not let in after all."""
        self.correct(0)
        for windows, slot, _ in self._slots:
            windows.requests.correct(slot, -1)
        self._slots = []


class Rates:
    """What happened in the last minute, subject by subject, in this process. Not for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self._clock = clock
        self._windows: dict[str, _Windows] = {}

    def take(self, limits: Iterable[RateLimit], tokens: int) -> Taken:
        """Count a call under all limits at once, or under none.

        Raises:
            Refused: 429 when one of them is reached, with the seconds after which it will have room.
        """
        held = [(limit, self._of(limit.subject)) for limit in limits]
        refusals = [refused for limit, windows in held for refused in _refusals(limit, windows, tokens)]
        if refusals:
            raise max(
                refusals, key=lambda refused: math.inf if refused.retry_after_s is None else refused.retry_after_s
            )
        taken = Taken(tokens)
        for _, windows in held:
            taken.take(windows)
        return taken

    def _of(self, subject: Subject) -> _Windows:
        name = str(subject)
        found = self._windows.get(name)
        if found is None:
            found = self._windows[name] = _Windows(self._clock)
        return found


def _refusals(limit: RateLimit, windows: _Windows, tokens: int) -> Iterator[Refused]:
    """Yield why a call is refused under one subject's limits; nothing where it is not."""
    requests = _refusal(limit.subject, "requests", limit.requests_per_min, windows.requests, 1)
    used = _refusal(limit.subject, "tokens", limit.tokens_per_min, windows.tokens, tokens)
    yield from (refused for refused in (requests, used) if refused is not None)


def _refusal(subject: Subject, what: str, most: int | None, window: SlidingWindow, amount: int) -> Refused | None:
    """Return the refusal, worded as OpenAI's, or None; a call that can never fit is told so, and not to wait."""
    wait_s = 0.0 if most is None else window.wait_s(amount, most)
    if wait_s <= 0:
        return None
    if math.isinf(wait_s):
        said = (
            f"the call asks for {amount} {what} (its prompt and all that it may generate) and this {subject.scope} is "
        )
        return Refused(429, _CODE, f"{said}allowed {most} per minute: ask for fewer")
    used = f"allowed {most}, used {window.total}, asked {amount}"
    return Refused(
        429, _CODE, f"{what} per minute reached for this {subject.scope}: {used}; try again in {wait_s:.1f} s", wait_s
    )
