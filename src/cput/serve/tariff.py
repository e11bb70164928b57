"""What a call may cost at most, before it begins, and what it did cost where its engine did not say.

BookTariff(PriceBook.load())                                             # hosted models, by their price
DeviceTariff(Decimal("0.80"), prefill_tokens_per_s=9000, decode_tokens_per_s=400)    # one's own device, by time
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from cput.errors import InputError
from cput.ledger.price import PriceBook
from cput.records import CountedBy, Usage
from cput.serve.gate import Asked
from cput.units import SECONDS_PER_HOUR, to_nano_usd


class Most(NamedTuple):
    """The most that a call may cost."""

    nano_usd: int | None
    """Nano-dollars; None is unknown."""
    why_unknown: str | None = None
    """Why, as the beginning of a sentence."""


class Tariff(Protocol):
    """Prices calls for a budget."""

    def most(self, asked: Asked) -> Most:
        """Return what the call costs if its prompt is read and all that it may generate is generated."""
        ...

    def cost(self, asked: Asked, usage: Usage) -> int | None:
        """Return what a usage costs in nano-dollars; None is unknown."""
        ...


class BilledAs(NamedTuple):
    """Under which name a model is priced."""

    model: str
    """The model as its provider names it."""
    provider: str | None = None
    """Who bills it, as genai-prices names providers; None is the maker whom the name tells."""


class BookTariff:
    """Prices by tokens, from the price book.

    The reserve counts the whole prompt as not cached. A provider that asks more for writing to its cache than for
    reading a prompt may charge up to that much more: what is settled is what it charged.
    """

    def __init__(self, book: PriceBook, billed_as: Callable[[str], BilledAs] = BilledAs) -> None:
        """``billed_as`` says which model and provider stand behind the name that callers use."""
        self._book = book
        self._billed_as = billed_as

    def most(self, asked: Asked) -> Most:
        """Return the price of the prompt and of all that may be generated."""
        prompt = asked.prompt_bound if asked.prompt_tokens is None else asked.prompt_tokens
        if prompt is None:
            return Most(None, "nobody counted the tokens of its prompt")
        usage = Usage(
            input_uncached=prompt,
            output=asked.max_new_tokens,
            complete=True,
            counted_by=CountedBy.ESTIMATED,
        )
        billed = self._billed_as(asked.model)
        priced = self._book.price(usage, model=billed.model, provider=billed.provider)
        return Most(priced.nano_usd, priced.why)

    def cost(self, asked: Asked, usage: Usage) -> int | None:
        """Return the price of a usage."""
        billed = self._billed_as(asked.model)
        return self._book.price(usage, model=billed.model, provider=billed.provider).nano_usd


@dataclass(frozen=True, slots=True)
class DeviceTariff:
    """Prices by device time: the device's rate, times an estimate of the seconds before and the measured ones after.

    This is the price of use. Idle time is the window's (see the ledger), and no call's.
    """

    usd_per_h: Decimal
    """What an hour of the device costs."""
    prefill_tokens_per_s: float
    """Prompt tokens per second of the whole device, as measured."""
    decode_tokens_per_s: float
    """Generated tokens per second of the whole device, all calls together, as measured."""

    def __post_init__(self) -> None:
        for name in ("usd_per_h", "prefill_tokens_per_s", "decode_tokens_per_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; allowed: more than 0")

    def most(self, asked: Asked) -> Most:
        """Return the rate times the seconds that the call would take of the device."""
        if asked.prompt_tokens is None:
            return Most(None, "nobody counted the tokens of its prompt")
        prefill_s = Decimal(asked.prompt_tokens) / Decimal(repr(self.prefill_tokens_per_s))
        decode_s = Decimal(asked.max_new_tokens) / Decimal(repr(self.decode_tokens_per_s))
        return Most(self._nano_usd(prefill_s + decode_s))

    def cost(self, asked: Asked, usage: Usage) -> int | None:  # noqa: ARG002  # every model of it costs the same second
        """Return the rate times the device seconds of a usage."""
        return None if usage.engine_s is None else self._nano_usd(Decimal(repr(usage.engine_s)))

    def _nano_usd(self, seconds: Decimal) -> int:
        return to_nano_usd(seconds * self.usd_per_h / SECONDS_PER_HOUR)
