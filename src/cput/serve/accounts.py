"""The gate with keys: who asks, may they, how often, is there a place, is there money; and what it used in the end.

    accounts = Accounts(ledger, BookTariff(book), most_at_once=8, queue=64)
    async with accounts.admit(Asked(key=key, model="gpt-4o", prompt_tokens=12, max_new_tokens=64)) as admission:
        ...
        admission.settle(usage, nano_usd)
    await accounts.aclose()

The order is that of cost: a key is looked up in memory, limits are counted in memory, the line is waited in, and money,
which takes a transaction, is held last, so that shedding load costs nothing. Whatever is refused counts nowhere.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from cput.errors import CputError
from cput.ledger.store import Ledger
from cput.records import Usage
from cput.serve.budgets import Budget, read_budgets
from cput.serve.fresh import Fresh
from cput.serve.gate import Admission, Asked, Caller, Refused, too_late
from cput.serve.keys import Key, KeyState, by_digest, digest, is_well_formed
from cput.serve.limits import RateLimit, Rates, Taken, read_limits
from cput.serve.subjects import subjects_of
from cput.serve.tariff import Tariff
from cput.serve.till import LEASE_S, Hold, Till
from cput.serve.waiting import AGING_S, Line

REMEMBER_S = 2.0
"""How long keys, limits and budgets are remembered: a revocation, or a new budget, holds everywhere after that."""
_LOG = logging.getLogger("cput.serve")


class _Terms(NamedTuple):
    """What a call of one key for one model must keep to."""

    limits: tuple[RateLimit, ...]
    budgets: tuple[Budget, ...]


class Accounts:
    """A ``Gate`` on the keys, limits and budgets of a ledger. For one event loop; the ledger stays its owner's."""

    def __init__(
        self,
        ledger: Ledger,
        tariff: Tariff,
        *,
        most_at_once: int | None = None,
        queue: int = 64,
        aging_s: float = AGING_S,
        remember_s: float = REMEMBER_S,
        lease_s: float = LEASE_S,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wall_clock`` gives Unix seconds, for expiry and periods; ``clock`` seconds that never run backwards.

        Raises:
            InputError: when a number is not allowed.
        """
        self._tariff = tariff
        self._wall_clock = wall_clock
        self._line = Line(most_at_once=most_at_once, queue=queue, aging_s=aging_s, clock=clock)
        self._rates = Rates(clock)
        self._till = Till(ledger, lease_s=lease_s, clock=wall_clock)
        self._keys: Fresh[str, Key | None] = Fresh(
            lambda wanted: by_digest(ledger, wanted), life_s=remember_s, clock=clock
        )
        self._terms: Fresh[tuple[str, ...], _Terms] = Fresh(
            lambda subjects: _terms(ledger, subjects), life_s=remember_s, clock=clock
        )

    @property
    def line(self) -> Line:
        """The calls under way and those that wait, for metrics."""
        return self._line

    def admit(self, asked: Asked) -> AbstractAsyncContextManager[Admission]:
        """Let a request in for the time of the context; entering raises ``Refused``."""
        return self._admit(asked)

    async def identify(self, key: str | None) -> Caller:
        """Return whose key it is.

        Raises:
            Refused: 401 when it is missing, unknown, revoked or expired, all alike; 503 when nobody can tell now.
        """
        found = await self._key(key)
        return Caller(tenant=found.tenant, key_id=found.id, models=found.models)

    async def aclose(self) -> None:
        """Write what is still to be settled."""
        await self._till.aclose()

    @contextlib.asynccontextmanager
    async def _admit(self, asked: Asked) -> AsyncIterator[Admission]:
        due_at = None if asked.deadline_s is None else asyncio.get_running_loop().time() + asked.deadline_s
        if asked.deadline_s is not None and asked.deadline_s <= 0:
            raise too_late(f"the deadline is {asked.deadline_s:g} s from now: the call can't be in time")
        key = await self._key(asked.key)
        _require_model(key, asked.model)
        with _unavailable():
            terms = await self._terms.get(subjects_of(key, asked.model))
        taken = self._rates.take(terms.limits, (asked.prompt_tokens or 0) + asked.max_new_tokens)
        try:
            await self._line.enter(min(asked.priority, key.priority), due_at)
        except BaseException:
            taken.give_back()
            raise
        try:
            hold = await self._reserve(terms, asked)
        except BaseException:
            self._line.leave(served=False)
            taken.give_back()
            raise
        admission = Admission(tenant=key.tenant, key_id=key.id, due_at=due_at)
        try:
            yield admission
        finally:
            self._line.leave()
            await self._settle(asked, admission, taken, hold)

    async def _key(self, secret: str | None) -> Key:
        if secret is None or not is_well_formed(secret):
            raise _no_key()
        with _unavailable():
            key = await self._keys.get(digest(secret))
        if key is None or key.state(self._wall_clock()) is not KeyState.LIVE:
            raise _no_key()
        return key

    async def _reserve(self, terms: _Terms, asked: Asked) -> Hold | None:
        """Hold money in every budget that applies; None where none does, and the database is left alone."""
        if not terms.budgets:
            return None
        most = self._tariff.most(asked)
        with _unavailable():
            return await self._till.reserve(terms.budgets, most.nano_usd, most.why_unknown)

    async def _settle(self, asked: Asked, admission: Admission, taken: Taken, hold: Hold | None) -> None:
        used = admission.settlement
        if used is not None and (tokens := _tokens(used.usage)) is not None:
            taken.correct(tokens)
        if hold is None:
            return
        nano_usd = None if used is None else used.nano_usd
        if used is not None and nano_usd is None:
            nano_usd = self._tariff.cost(asked, used.usage)
        await self._till.settle(hold, nano_usd)


def _tokens(usage: Usage) -> int | None:
    """Return all tokens of a usage; None where some are unknown."""
    return None if usage.input is None or usage.output is None else usage.input + usage.output


def _terms(ledger: Ledger, subjects: tuple[str, ...]) -> _Terms:
    return _Terms(tuple(read_limits(ledger, subjects).values()), read_budgets(ledger, subjects))


def _require_model(key: Key, model: str) -> None:
    if not Caller(tenant=key.tenant, key_id=key.id, models=key.models).may_use(model):
        allowed = ", ".join(key.models or ())
        raise Refused(403, "model_not_allowed", f"this key may not use the model '{model}'; allowed: {allowed}")


def _no_key() -> Refused:
    """Return the one answer to a key that is missing, unknown, revoked or expired: which, is nobody's business."""
    return Refused(
        401,
        "invalid_api_key",
        "no valid API key was given; send Authorization: Bearer sk-cput-..., and ask its owner for a key",
    )


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    """Tell callers no more than that it does not work now; the sentence, which names the database, is for the log."""
    try:
        yield
    except Refused:
        raise
    except CputError as error:
        _LOG.error("keys and budgets can't be read: %s", error)
        raise Refused(
            503, "keys_unavailable", "keys and budgets can't be read at the moment; try again in 1 s", 1.0
        ) from error
