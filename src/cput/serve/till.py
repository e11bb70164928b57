"""Reserve, then settle: money is held before a call begins and counted when it is done, across processes.

    hold = await till.reserve(budgets, nano_usd)      # or Refused
    await till.settle(hold, what_it_cost)

All that waits goes into one transaction in a thread, so that a commit's wait for the disk is shared. A hold is a lease:
this process renews its own while calls are under way; those of a process that died expire after ``lease_s``, and no
longer take room. A settlement that the database does not take is tried again with every renewal.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cput.errors import CputError
from cput.ledger import schema
from cput.ledger.doors import writing
from cput.ledger.store import Ledger
from cput.records import new_id
from cput.serve.budgets import Budget
from cput.serve.spending import MOST_NANO_USD, Reserve, Settle, Spending

LEASE_S = 60.0
_LOG = logging.getLogger("cput.serve")


class Hold(NamedTuple):
    """Money that is kept for a call under way."""

    id: str
    """What its rows are called."""
    budget_ids: tuple[str, ...]
    """The budgets it is held in."""
    nano_usd: int | None
    """How much; None is unknown."""


@dataclass(slots=True)
class _Waiting:
    """What is to be decided, and who waits for it."""

    what: Reserve | Settle
    future: "asyncio.Future[None]"


class Till:
    """Holds and settlements of one process. For one event loop."""

    def __init__(self, ledger: Ledger, *, lease_s: float = LEASE_S, clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives Unix seconds; the clocks of processes that share a ledger must agree within ``lease_s``."""
        self._ledger = ledger
        self._lease_s = lease_s
        self._clock = clock
        self._worker = new_id()
        self._pending: list[_Waiting] = []
        self._owed: dict[str, Settle] = {}
        self._open: set[str] = set()
        self._runner: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def reserve(self, budgets: Sequence[Budget], nano_usd: int | None, why_unknown: str | None = None) -> Hold:
        """Hold what a call may cost in all of these budgets.

        Raises:
            Refused: when one of them has no room for it; nothing is held then.
            SetupError: when the database can't be reached or written.
        """
        amount = None if nano_usd is None else min(nano_usd, MOST_NANO_USD)
        hold = Hold(new_id(), tuple(budget.id for budget in budgets), amount)
        decided = self._put(Reserve(hold.id, hold.budget_ids, amount, why_unknown))
        try:
            await asyncio.shield(decided)
        except asyncio.CancelledError:
            decided.add_done_callback(lambda done: self._nobody_waits(hold, done))
            raise
        return hold

    async def settle(self, hold: Hold, nano_usd: int | None, *, counted: bool = True) -> None:
        """Count what a call cost in the place of its hold; None counts the hold itself, ``counted`` False nothing.

        It is done even where the caller is cancelled meanwhile, and later where the database fails now.
        """
        await asyncio.shield(self._settle(hold, nano_usd, counted=counted))

    async def aclose(self) -> None:
        """Do what waits, and stop renewing."""
        self._closing.set()
        if self._renewer is not None:
            await self._renewer
        while self._runner is not None:
            await self._runner
        self._put_owed()
        while self._runner is not None:
            await self._runner
        if self._owed:
            _LOG.error("%d settlements could not be written; their holds expire uncounted", len(self._owed))

    def _settle(self, hold: Hold, nano_usd: int | None, *, counted: bool) -> "asyncio.Future[None]":
        return self._put(Settle(hold.id, hold.budget_ids, nano_usd, counted))

    def _nobody_waits(self, hold: Hold, decided: "asyncio.Future[None]") -> None:
        """Give back what was held for a caller that was cancelled while it waited."""
        if not decided.cancelled() and decided.exception() is None:
            self._settle(hold, None, counted=False)

    def _put(self, what: Reserve | Settle) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(_Waiting(what, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        """Do all that waits, batch after batch; what arrives during one transaction is in the next."""
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                try:
                    decided = await asyncio.to_thread(self._transact, [waiting.what for waiting in batch])
                except Exception as error:  # noqa: BLE001  # those who wait must be woken, whatever it is
                    decided = [error] * len(batch)
                for waiting, result in zip(batch, decided, strict=True):
                    self._tell(waiting, result)
        finally:
            self._runner = None

    def _transact(self, batch: Sequence[Reserve | Settle]) -> Sequence[Exception | None]:
        now_s = self._clock()
        settles = [one for one in batch if isinstance(one, Settle)]
        with writing(self._ledger) as connection:
            spending = Spending(connection, (name for one in batch for name in one.budget_ids), now_s)
            if settles:
                spending.settle(settles)
            return [
                spending.reserve(one, self._worker, now_s + self._lease_s) if isinstance(one, Reserve) else None
                for one in batch
            ]

    def _tell(self, waiting: _Waiting, result: Exception | None) -> None:
        what, future = waiting.what, waiting.future
        if isinstance(what, Settle):
            if result is None:
                self._open.discard(what.id)
                self._owed.pop(what.id, None)
            else:
                _LOG.warning("a settlement was not written and is tried again: %s", result)
                self._owed[what.id] = what
        elif result is None:
            self._open.add(what.id)
            if self._renewer is None:
                self._renewer = asyncio.create_task(self._renew())
        if future.done():
            return
        if result is None or isinstance(what, Settle):
            future.set_result(None)
        else:
            future.set_exception(result)

    async def _renew(self) -> None:
        """Keep this process's holds from expiring, for as long as it has any."""
        try:
            while self._open:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), self._lease_s / 3)
                    return
                self._put_owed()
                try:
                    await asyncio.to_thread(self._lengthen)
                except CputError as error:
                    _LOG.warning("holds could not be renewed: %s", error)
        finally:
            self._renewer = None

    def _put_owed(self) -> None:
        for owed in list(self._owed.values()):
            self._put(owed)

    def _lengthen(self) -> None:
        holds = schema.budget_holds
        with writing(self._ledger) as connection:
            connection.execute(
                holds.update().where(holds.c.worker == self._worker).values(expires_s=self._clock() + self._lease_s)
            )
