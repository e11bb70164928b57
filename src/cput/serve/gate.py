"""The seam where a request is let in: who asks, may they, is there room, and what it used in the end.

    async with gate.admit(Asked(key=key, model="m", prompt_tokens=12, max_new_tokens=64)) as admission:
        async with admission.in_time():                  # the caller's deadline, if it gave one
            text = await engine.answer(call).text()
        admission.settle(answer.ending.usage, nano_usd)  # or not: see ``Admission``

    caller = await gate.identify(key)                    # for what no engine answers: /v1/models, /v1/outcomes

Both raise ``Refused``, ``admit`` on entering; whoever stands at the wire turns it into the dialect's error body. The
context may be entered and left by different tasks; ``in_time`` may not.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol

from cput.errors import CputError, InputError
from cput.records import Usage

LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a gate needs to know of a request."""

    key: str | None = field(repr=False)
    """The API key as it came, or None; it never stands in a message, nor in this record's text."""
    model: str
    """The model as the caller names it."""
    prompt_tokens: int | None
    """Tokens of the prompt; None where nobody counted them."""
    prompt_bound: int | None = None
    """The most tokens that it can have, where nobody counted them; a budget holds their price. None is unknown."""
    max_new_tokens: int
    """The most tokens that may be generated, over all choices (``n``) together."""
    priority: int = 0
    """Higher is sooner, -100 to 100 (what is beyond counts as that); the key says how high it may go."""
    deadline_s: float | None = None
    """Seconds from now after which the answer is of no use to the caller; None is no deadline."""

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "prompt_bound", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{name} is {value}; allowed: 0 or more")
        if self.deadline_s is not None and not math.isfinite(self.deadline_s):
            raise InputError(f"the deadline is {self.deadline_s} s; allowed: a number of seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, without asking an engine for anything."""

    tenant: str | None
    """Whose rows may be read and written; None where the gate knows no tenants."""
    key_id: str | None
    """Which key asked; an id and not the key."""
    models: tuple[str, ...] | None = None
    """Models that may be used, names or patterns with * and ?; None is all."""

    def may_use(self, model: str) -> bool:
        """Whether a model, as callers name it, is among them."""
        return self.models is None or any(fnmatchcase(model, allowed) for allowed in self.models)


class Refused(CputError):  # noqa: N818  # reads as the sentence it stands for
    """A request that is not let in, as HTTP says it. The message never shows a key.

    Statuses: 401 no valid key, 403 not with this key, 429 too much or too many, 503 cannot tell now, 504 too late.
    """

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        """``code`` is OpenAI's word for it where it has one; ``retry_after_s`` is None where waiting would not help."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class Settlement(NamedTuple):
    """What an admitted request used, as its caller says."""

    usage: Usage
    """Tokens and device time over all attempts."""
    nano_usd: int | None
    """What they cost; None is unknown."""


@dataclass(slots=True)
class Admission:
    """A request that is let in.

    Left without a settlement, or with an unknown cost, it is not forgotten: what was reserved for it counts as spent,
    and is marked as assumed. A request that used nothing (its engine could not be reached) is settled with 0.
    """

    tenant: str | None
    """Whose request it is; part of every cache key and every row."""
    key_id: str | None
    """Which key asked; an id and not the key."""
    due_at: float | None = None
    """When the answer is of no use any more, by the event loop's clock; None is never."""
    settlement: Settlement | None = None
    """What was settled last."""

    def settle(self, usage: Usage, nano_usd: int | None) -> None:
        """Say what the request used in all; it takes effect when the context is left. The last word counts.

        Raises:
            InputError: when the amount is negative.
        """
        if nano_usd is not None and nano_usd < 0:
            raise InputError(f"a request can't cost {nano_usd} nano-dollars; allowed: 0 or more, or None for unknown")
        self.settlement = Settlement(usage, nano_usd)

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Cancel the work inside at the deadline, and raise ``Refused`` (504) in its place."""
        timer = asyncio.timeout_at(self.due_at)
        try:
            async with timer:
                yield
        except TimeoutError as error:
            if not timer.expired():
                raise  # somebody else's timeout
            raise too_late("the answer was not ready by the deadline and was broken off") from error


class Gate(Protocol):
    """Lets requests in, or refuses them."""

    def admit(self, asked: Asked) -> AbstractAsyncContextManager[Admission]:
        """Let a request in for the time of the context; entering raises ``Refused``."""
        ...

    async def identify(self, key: str | None) -> Caller:
        """Return whose key it is, or raise ``Refused`` (401); no limit or budget is touched."""
        ...


def too_late(message: str) -> Refused:
    """Return the refusal of a request whose deadline has passed; sending the same again may go well."""
    return Refused(504, "deadline_exceeded", message)
