"""The price book: what a usage costs at a model, by whose price, and why where nobody knows.

    book = PriceBook.load()
    priced = book.price(usage, model="gpt-4o", provider="openai")
    priced.nano_usd, priced.version      # 5_615_000, "genai-prices 0.2.3:openai/gpt-4o@2024-10-02"

Who wins: files given (``--prices``), then the user's ``prices.toml``, then cput's own files, then genai-prices. A model
that none of them knows is ``unpriced``: its cost is None, and never 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Self

from cput.ledger.price import hosted
from cput.ledger.price.card import Bill, Card, Line
from cput.ledger.price.file import open_file, shipped_files, users_file
from cput.ledger.price.fx import Exchange, Fx, parse_fx
from cput.ledger.price.model import ModelRow, parse_models, row_card
from cput.records import Attempt, Charge, CountedBy, Usage
from cput.units import to_nano_usd

UNPRICED = "unpriced"
"""The price version of a charge for which no price is known."""
UNCOUNTED = "uncounted"
"""What a price version ends with where the price is known and the usage is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What a usage costs, or why that is unknown."""

    usd: Decimal | None
    """US dollars, exact; None is unknown."""
    version: str
    """Which dated price: its source, provider, model and day, then what the figure rests on (a tier, a rate of
    exchange, ``estimated``, ``incomplete``, ``uncounted``); ``unpriced`` where there is none."""
    lines: tuple[Line, ...] = ()
    """One line per class of the usage; they add up to ``usd``."""
    why: str | None = None
    """Why the cost is unknown, as a sentence."""

    @property
    def nano_usd(self) -> int | None:
        """The cost in integer nano-dollars, rounded half to even once; None is unknown."""
        return None if self.usd is None else to_nano_usd(self.usd)


class PriceBook:
    """Dated prices from several sources; the first that knows a model wins."""

    def __init__(
        self,
        sources: Sequence[Sequence[ModelRow]] = (),
        *,
        exchange: Exchange | None = None,
        hosted_models: bool = True,
    ) -> None:
        """``sources`` are rows by falling precedence; ``hosted_models`` asks genai-prices after them."""
        self._sources = tuple(tuple(rows) for rows in sources)
        self._exchange = exchange or Exchange()
        self._hosted = hosted_models
        self._own = lru_cache(maxsize=4096)(self._find_own)
        self._cards: dict[tuple[str, Fx], Card] = {}

    @classmethod
    def load(cls, files: Sequence[Path] = (), *, force: bool = False) -> Self:
        """Read ``files``, the user's ``prices.toml`` and the shipped files, and load genai-prices.

        ``force`` takes implausible prices of the user's files as they are.

        Raises:
            InputError: when a file cannot be read or a row is wrong.
        """
        mine = users_file()
        user = [*(open_file(path) for path in files), *((mine,) if mine else ())]
        exchange = Exchange([row for file in user for row in parse_fx(file.text, file.name)])
        hosted.release()  # imports the library's data now, and not within the first call
        return cls(
            [
                *(parse_models(file.text, file.name, exchange, force=force) for file in user),
                *(parse_models(text, f"cput/{name}", exchange) for name, text in shipped_files()),
            ],
            exchange=exchange,
        )

    @property
    def exchange(self) -> Exchange:
        """The rates of exchange in use."""
        return self._exchange

    def price(
        self,
        usage: Usage,
        *,
        model: str | None,
        provider: str | None = None,
        at: datetime | None = None,
        service_tier: str | None = None,
    ) -> Priced:
        """Return what ``usage`` costs at a model, at a moment (None: now; a naive one is UTC).

        Without a provider, a row that names none is asked, then the maker whom the model's name tells.
        """
        moment = _utc(at)
        if not model:
            return _unpriced("nobody said which model it was")
        row = self._own(model, provider, moment.date())
        if row is not None:
            return self._at_row(row, usage, moment.date())
        found = hosted.find(model, provider) if self._hosted else None
        if found is not None:
            return _priced(*found.bill(usage, moment, service_tier), usage)
        where = f" at {provider}" if provider else ""
        return _unpriced(f"no price of '{model}'{where} is on file for {moment.date()}")

    def charge(self, attempt: Attempt) -> Charge | None:
        """Return the charge of an attempt; None where it is not billed by its usage but by a device's window.

        Billed by usage is what has a provider, and a model of one's own for which a price file has a row.
        """
        moment = datetime.fromtimestamp(attempt.started_s, UTC)
        if attempt.provider is None and not self._own(attempt.model or "", None, moment.date()):
            return None
        priced = self.price(
            attempt.usage,
            model=attempt.model,
            provider=attempt.provider,
            at=moment,
            service_tier=attempt.service_tier,
        )
        return Charge(
            call_id=attempt.call_id,
            seq=attempt.seq,
            incremental_nano_usd=priced.nano_usd,
            price_version=priced.version,
            basis="usage",
        )

    def matching(self, text: str, at: datetime | None = None) -> tuple[tuple[str | None, str], ...]:
        """Return provider and model of every known price whose ``provider/model`` holds ``text``, each once.

        A hosted entry that its own name does not find (a pattern of fine-tuned models) is left out.
        """
        day, wanted = _utc(at).date(), text.lower()
        own = [(row.provider, row.model) for rows in self._sources for row in rows if row.valid_from <= day]
        other = [found for found in hosted.every() if wanted in found.name.lower()] if self._hosted else []
        named = [(found.provider.id, found.model.id) for found in other if found.is_found_by_its_name()]
        return tuple(dict.fromkeys([*(pair for pair in own if wanted in f"{pair[0] or ''}/{pair[1]}"), *named]))

    def _find_own(self, model: str, provider: str | None, day: date) -> ModelRow | None:
        for rows in self._sources:
            held = [row for row in rows if row.valid_from <= day and row.holds(model, provider)]
            if held:
                return max(reversed(held), key=lambda row: row.precedence)  # of equals, the one written last
        return None

    def _at_row(self, row: ModelRow, usage: Usage, day: date) -> Priced:
        fx = self._exchange.usd_per(row.currency, day)
        if fx is None:
            return _unpriced(f"the price of '{row.model}' is in {row.currency}, of which no rate is on file for {day}")
        found = self._cards.get((row.version, fx)) or self._cards.setdefault((row.version, fx), row_card(row, fx))
        return _priced(found.bill(usage), found.version, usage)


def _priced(bill: Bill, version: str, usage: Usage) -> Priced:
    if bill.why_unknown is not None:
        return Priced(usd=None, version=f"{version};{UNCOUNTED}", why=bill.why_unknown)
    return Priced(
        usd=sum((line.usd for line in bill.lines), Decimal(0)), version=version + _caveat(usage), lines=bill.lines
    )


def _caveat(usage: Usage) -> str:
    """Say in the price version what the figure rests on, where that is not a final count."""
    if usage.counted_by is CountedBy.ESTIMATED:
        return ";estimated"
    return "" if usage.complete else ";incomplete"


def _unpriced(why: str) -> Priced:
    return Priced(usd=None, version=UNPRICED, why=why)


def _utc(at: datetime | None) -> datetime:
    moment = at or datetime.now(UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
