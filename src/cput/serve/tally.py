"""What the calls under way have used so far, over all their legs: for budgets, logs and metrics.

It stands between the meters and the ledger: every attempt is written down first, then counted here.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cput.ledger.meter import Sink
from cput.records import Attempt, Call, Charge, CountedBy, Usage

Heard = Callable[[Attempt, Charge | None], None]


@dataclass(slots=True)
class Legs:
    """One call's attempts so far."""

    attempts: list[Attempt] = field(default_factory=list)
    """The attempts that are on record."""
    nano_usd: int | None = 0
    """What they cost; None where one has no known charge."""

    @property
    def usage(self) -> Usage:
        """Tokens and device seconds over all attempts; a count is None where one attempt's is unknown.

        A call of which nothing was sent has used nothing, and that is certain.
        """
        each = [attempt.usage for attempt in self.attempts]
        if len(each) == 1:
            return each[0]
        return Usage(
            input_uncached=_sum([usage.input for usage in each]),
            output=_sum([usage.output for usage in each]),
            engine_s=_total([usage.engine_s for usage in each]),
            complete=all(usage.complete for usage in each),
            counted_by=each[-1].counted_by if each else CountedBy.ENGINE,
        )

    def add(self, attempt: Attempt, charge: Charge | None) -> None:
        """Count one more attempt."""
        self.attempts.append(attempt)
        amount = charge.incremental_nano_usd if charge is not None else None
        self.nano_usd = None if self.nano_usd is None or amount is None else self.nano_usd + amount


class Tally:
    """A ``Sink`` in front of the ledger; ``heard`` is told of every attempt on record."""

    def __init__(self, ledger: Sink, heard: Heard = lambda *_: None) -> None:
        self._ledger = ledger
        self._heard = heard
        self._open: dict[str, Legs] = {}

    @contextlib.contextmanager
    def following(self, call_id: str) -> Iterator[Legs]:
        """Follow a call's legs for the time of the context."""
        legs = self._open[call_id] = Legs()
        try:
            yield legs
        finally:
            del self._open[call_id]

    def unsettled(self, call_id: str) -> None:
        """Say that a call's work goes on, for others, after its caller has gone: what it costs is not known yet."""
        if (legs := self._open.get(call_id)) is not None:
            legs.nano_usd = None

    def next_seq(self, call_id: str) -> int:
        """Number the next attempt of a call."""
        return self._ledger.next_seq(call_id)

    async def record(
        self,
        call: Call,
        attempts: Sequence[Attempt],
        charges: Sequence[Charge] = (),
        *,
        run: str | None = None,
    ) -> None:
        """Write attempts down, then count them. A call whose caller does not wait for the disk is counted too."""
        try:
            await self._ledger.record(call, attempts, charges, run=run)
        finally:
            by_seq = {charge.seq: charge for charge in charges}
            for attempt in attempts:
                charge = by_seq.get(attempt.seq)
                if (legs := self._open.get(call.id)) is not None:
                    legs.add(attempt, charge)
                self._heard(attempt, charge)


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _total(seconds: list[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None
