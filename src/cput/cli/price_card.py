"""What ``cput price`` prints: a table for people, the same as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from cput.ledger.price import Fx, Line, Priced
from cput.records import Usage
from cput.units import UNKNOWN, usd


class Row(NamedTuple):
    """One model's price of the usage."""

    provider: str | None
    """Who bills it; None where the model's name tells."""
    model: str
    """The model as it was named."""
    priced: Priced
    """What it costs there, or why nobody knows."""
    hint: str | None
    """What may have been meant, where it has no price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """A usage at several models."""

    usage: Usage
    """The token counts."""
    tier: str | None
    """Tier of service."""
    at: datetime
    """The moment whose prices these are."""
    currency: str
    """ISO 4217 code of the amounts shown."""
    fx: Fx
    """Its rate of exchange."""
    rows: tuple[Row, ...]
    """One per model, the cheapest first and the unknown last."""

    def table(self) -> Table:
        """Return the table for people; under each model its price version."""
        rate = f"; 1 {self.currency} = {self.fx.usd:.6g} USD ({self.fx.day})" if self.fx.day else ""
        title = f"{_words(self.usage, self.tier)}; prices of {self.at:%Y-%m-%d}{rate}"
        table = Table(title=title, title_justify="left", caption=self._why(), caption_justify="left", show_lines=True)
        table.add_column(f"model (amounts in {self.currency})", overflow="fold")
        for column in ("input", "output", "other", "total", "x least"):
            table.add_column(column, justify="right", no_wrap=True)
        least = next((row.priced.usd for row in self.rows if row.priced.usd), None)
        for row in self.rows:
            name = Text(row.model if row.provider is None else f"{row.provider}/{row.model}")
            table.add_row(name.append(f"\n{row.priced.version}", style="dim"), *self._cells(row.priced, least))
        return table

    def as_json(self) -> dict[str, Any]:
        """Return the same for programs; amounts are exact texts."""
        return {
            "usage": asdict(self.usage),
            "tier": self.tier,
            "at": self.at.isoformat(),
            "currency": self.currency,
            "usd_per_unit": str(self.fx.usd),
            "prices": [self._row_json(row) for row in self.rows],
        }

    def _row_json(self, row: Row) -> dict[str, Any]:
        priced = row.priced
        return {
            "provider": row.provider,
            "model": row.model,
            "usd": None if priced.usd is None else str(priced.usd),
            "nano_usd": priced.nano_usd,
            "amount": None if priced.usd is None else str(priced.usd / self.fx.usd),
            "price_version": priced.version,
            "why_unknown": priced.why,
            "lines": [{"what": line.what, "amount": str(line.amount), "usd": str(line.usd)} for line in priced.lines],
        }

    def _cells(self, priced: Priced, least: Decimal | None) -> tuple[str, ...]:
        if priced.usd is None:
            return "", "", "", UNKNOWN, ""
        shown = [self._money(amount) for amount in (*_split(priced.lines), priced.usd)]
        return *shown, f"{priced.usd / least:.2f}" if least else ""

    def _money(self, amount: Decimal) -> str:
        text = usd(amount / self.fx.usd)
        return text if self.currency == "USD" else text.replace("$", "")

    def _why(self) -> str | None:
        """Say why a price is unknown, and which model may have been meant."""
        told = [
            f"{row.model}: {row.priced.why}" + (f"; {row.hint}" if row.hint else "")
            for row in self.rows
            if row.priced.why is not None
        ]
        return "\n".join(told) or None


def _split(lines: Sequence[Line]) -> tuple[Decimal, Decimal, Decimal]:
    """Return what input, output and all else cost."""
    sums = {"input": Decimal(0), "output": Decimal(0), "": Decimal(0)}
    for line in lines:
        sums[line.direction] += line.usd
    return sums["input"], sums["output"], sums[""]


def _words(usage: Usage, tier: str | None) -> str:
    parts = [
        f"{_count(usage.input)} input",
        *([f"{usage.input_cache_read:,} of them cached"] if usage.input_cache_read else []),
        *([f"{usage.input_cache_write:,} of them written to the cache"] if usage.input_cache_write else []),
        f"{_count(usage.output)} output tokens",
        *([f"tier {tier}"] if tier else []),
    ]
    return ", ".join(parts)


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"
