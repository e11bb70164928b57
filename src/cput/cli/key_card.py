"""Keys and budgets as people see them, and as programs do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from cput.serve.budgets import Budget, Standing
from cput.serve.keys import Key
from cput.serve.limits import RateLimit
from cput.units import from_nano_usd, usd


def key_table(pairs: Sequence[tuple[Key, RateLimit | None]], now_s: float) -> Table:
    """Return a row per key."""
    table = Table("key", "id", "tenant", "models", "limits", "priority", "made (UTC)", "expires (UTC)", "state")
    for key, limit in pairs:
        models = "all" if key.models is None else ", ".join(key.models)
        table.add_row(
            key.name,
            key.id,
            key.tenant,
            models,
            limit_words(limit),
            str(key.priority),
            _when(key.created_s),
            "never" if key.expires_s is None else _when(key.expires_s),
            key.state(now_s),
        )
    return table


def key_json(key: Key, limit: RateLimit | None, now_s: float) -> dict[str, Any]:
    """Return a key, without its secret, for programs."""
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "models": None if key.models is None else list(key.models),
        "priority": key.priority,
        "requests_per_min": None if limit is None else limit.requests_per_min,
        "tokens_per_min": None if limit is None else limit.tokens_per_min,
        "created_s": key.created_s,
        "expires_s": key.expires_s,
        "revoked_s": key.revoked_s,
        "state": key.state(now_s).value,
    }


def limit_words(limit: RateLimit | None) -> str:
    """Return a limit in words."""
    parts = []
    if limit is not None and limit.requests_per_min is not None:
        parts.append(f"{limit.requests_per_min:,} requests/min")
    if limit is not None and limit.tokens_per_min is not None:
        parts.append(f"{limit.tokens_per_min:,} tokens/min")
    return ", ".join(parts) or "no limit"


def budget_table(rows: Sequence[tuple[Budget, Standing]]) -> Table:
    """Return a row per budget, with how its present period stands."""
    table = Table("budget of", "period", "zone", "budget", "spent", "held", "calls", "not counted exactly", "unpriced")
    for budget, standing in rows:
        table.add_row(
            str(budget.subject),
            standing.period,
            budget.zone,
            _usd(budget.nano_usd),
            _usd(standing.spent),
            _usd(standing.held),
            f"{standing.calls:,}",
            _inexact(standing),
            budget.unpriced,
        )
    return table


def budget_json(budget: Budget, standing: Standing) -> dict[str, Any]:
    """Return a budget, and how its present period stands, for programs."""
    return {
        "id": budget.id,
        "subject": str(budget.subject),
        "per": budget.per.value,
        "zone": budget.zone,
        "nano_usd": budget.nano_usd,
        "unpriced": budget.unpriced.value,
        "period": standing.period,
        "spent_nano_usd": standing.spent,
        "held_nano_usd": standing.held,
        "calls": standing.calls,
        "assumed": standing.assumed,
        "unknown": standing.unknown,
        "lost": standing.lost,
    }


def _inexact(standing: Standing) -> str:
    parts = ((standing.assumed, "at their reserve"), (standing.unknown, "unknown"), (standing.lost, "lost"))
    return ", ".join(f"{count:,} {word}" for count, word in parts if count) or "none"


def _usd(nano_usd: int) -> str:
    return usd(from_nano_usd(nano_usd))


def _when(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
