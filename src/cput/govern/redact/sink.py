"""Redacted: a sink in front of the ledger that takes personal data and secrets out before anything is stored.

    sink = Redacted(ledger, Redactor())
    engine = Metered(open_engine("..."), sink, keep_text=True)

An attempt is money, its text is not: where the redactor fails, or the process goes before it is done, the attempt is
stored without its text.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from cput.govern.redact.records import (
    chars,
    redacted_attempt,
    redacted_call,
    withheld_attempt,
    withheld_call,
)
from cput.govern.redact.redactor import Redactor
from cput.ledger.meter import Sink
from cput.records import Attempt, Call, Charge

INLINE_CHARS = 8_000
"""Most characters that are redacted in the event loop, in well under a millisecond; more go to a thread."""
Failed = Callable[[Call, BaseException], None]
_Records = tuple[Call, list[Attempt]]


class Redacted:
    """A ``Sink`` that stores what ``ledger`` is given without what ``redactor`` finds in it.

    ``failed`` is told of a call whose text had to be withheld, and why.
    """

    def __init__(self, ledger: Sink, redactor: Redactor, failed: Failed = lambda *_: None) -> None:
        self._ledger = ledger
        self._redactor = redactor
        self._failed = failed
        self._under_way: set[asyncio.Task[None]] = set()

    def next_seq(self, call_id: str) -> int:
        """Number the next attempt of a call."""
        return self._ledger.next_seq(call_id)

    async def record(
        self, call: Call, attempts: Sequence[Attempt], charges: Sequence[Charge] = (), *, run: str | None = None
    ) -> None:
        """Return when the redacted attempts and their charges are durable. A cancelled caller's are written as well."""
        size = chars(call, tuple(attempts))
        if size <= INLINE_CHARS and not (size and self._redactor.is_slow):
            kept, legs = self._kept(call, attempts)
            await self._ledger.record(kept, legs, charges, run=run)
            return
        task = asyncio.create_task(self._record_later(call, attempts, charges, run))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        await asyncio.shield(task)

    async def _record_later(
        self, call: Call, attempts: Sequence[Attempt], charges: Sequence[Charge], run: str | None
    ) -> None:
        """Redact in a thread, then write; a loop that ends meanwhile still hands the attempt over, without its text."""
        pause = partial(time.sleep, 0)  # lets go of the interpreter's lock, which the loop may be waiting for
        try:
            kept, legs = await asyncio.to_thread(self._kept, call, attempts, pause)
        except asyncio.CancelledError as error:
            kept, legs = self._withheld(call, attempts, error)
            await self._ledger.record(kept, legs, charges, run=run)  # is in the writer's queue before it waits
            raise
        await self._ledger.record(kept, legs, charges, run=run)

    def _kept(self, call: Call, attempts: Sequence[Attempt], pause: Callable[[], None] = lambda: None) -> _Records:
        def clean(text: str) -> str:
            return self._redactor.redact(text, tenant=call.tenant, pause=pause).text

        try:
            return redacted_call(call, self._redactor, clean), [redacted_attempt(each, clean) for each in attempts]
        except Exception as error:  # noqa: BLE001  # whatever it is, the attempt must be on record
            return self._withheld(call, attempts, error)

    def _withheld(self, call: Call, attempts: Sequence[Attempt], error: BaseException) -> _Records:
        self._failed(call, error)
        why = "cancelled" if isinstance(error, asyncio.CancelledError) else f"failed: {type(error).__name__}"
        return withheld_call(call, self._redactor, why), [withheld_attempt(each) for each in attempts]

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # it went to the caller; one who has left is told by nobody
