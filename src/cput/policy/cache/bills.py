"""What the answers under way were charged, so that a hit can say what it avoided. A ``Sink`` between meters and ledger.

bills = Bills(ledger)
engine = Cached(Metered(leaf, bills, prices=book), cache, bills)
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cput.ledger.meter import Sink
from cput.records import Attempt, Call, Charge


@dataclass(slots=True)
class Bill:
    """One call's attempts so far, with their charges."""

    legs: dict[int, tuple[Attempt, Charge | None]] = field(default_factory=dict)
    """By number."""

    def of(self, attempt: int | None) -> tuple[str | None, Charge | None]:
        """Return engine and charge of the attempt that gave the answer; its number may be unknown where it is alone."""
        if attempt is None and len(self.legs) == 1:
            (attempt,) = self.legs
        found = self.legs.get(-1 if attempt is None else attempt)
        return (None, None) if found is None else (found[0].engine, found[1])


class Bills:
    """Passes attempts on to ``ledger`` and remembers those of the calls that are followed.

    ``unsettled`` is told of a call whose caller has gone while its answer is still made, for others: what it costs is
    not known when it is settled.
    """

    def __init__(self, ledger: Sink, unsettled: Callable[[str], None] = lambda _: None) -> None:
        self._ledger = ledger
        self.unsettled = unsettled
        self._open: dict[str, Bill] = {}

    @contextlib.contextmanager
    def following(self, call_id: str) -> Iterator[Bill]:
        """Follow a call's charges for the time of the context."""
        bill = self._open[call_id] = Bill()
        try:
            yield bill
        finally:
            self._open.pop(call_id, None)

    def next_seq(self, call_id: str) -> int:
        """Number the next attempt of a call."""
        return self._ledger.next_seq(call_id)

    async def record(
        self, call: Call, attempts: Sequence[Attempt], charges: Sequence[Charge] = (), *, run: str | None = None
    ) -> None:
        """Write attempts down, then remember them."""
        await self._ledger.record(call, attempts, charges, run=run)
        if (bill := self._open.get(call.id)) is not None:
            by_seq = {charge.seq: charge for charge in charges}
            bill.legs |= {attempt.seq: (attempt, by_seq.get(attempt.seq)) for attempt in attempts}
