"""``cput key``: who may use the gateway, how often, and for how much money."""

import contextlib
import json
import re
import time
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from cput.cli.key_card import budget_json, budget_table, key_json, key_table, limit_words
from cput.cli.when import moment
from cput.errors import InputError, unknown
from cput.ledger.store import Ledger
from cput.serve import keys
from cput.serve.budgets import Per, Unpriced, remove_budget, set_budget, standings
from cput.serve.limits import RateLimit, read_limits, set_limit
from cput.serve.subjects import Scope, Subject, subject

key = App(name="key", help="API keys of the gateway: who may ask, how often, and for how much money.")
budget = App(name="budget", help="Money per day or month: of a key, a tenant, or a model.")
key.command(budget)

_DURATION = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[hd])")
_SECONDS = {"h": 3600, "d": 86_400}


@key.command
def create(
    name: str,
    *,
    tenant: str,
    model: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    priority: int = 0,
    expires: str | None = None,
    requests_per_min: int | None = None,
    tokens_per_min: int | None = None,
    ledger: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Make a key and show it, this once: only its hash is kept.

    Parameters
    ----------
    name: str
        What people call it.
    tenant: str
        Whose it is. Tenants share no cache, and see none of each other's calls.
    model: tuple[str, ...]
        A model that it may use, or a pattern with * and ?; may be repeated. By default all.
    priority: int
        The highest priority that its calls may ask for, -100 to 100.
    expires: str
        When it ends: a date or time (UTC unless it says otherwise), or 12h, 30d from now.
    requests_per_min: int
        Requests within any minute, in each process that serves.
    tokens_per_min: int
        Tokens of prompts and answers within any minute, in each process that serves.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    limit = RateLimit(
        subject=Subject(Scope.KEY, name), requests_per_min=requests_per_min, tokens_per_min=tokens_per_min
    )
    with contextlib.closing(Ledger.open(ledger)) as book:
        made = keys.create(
            book,
            name,
            tenant=tenant,
            models=model or None,
            priority=priority,
            expires_s=None if expires is None else _until(expires),
        )
        limit = replace(limit, subject=Subject(Scope.KEY, made.key.id))
        set_limit(book, limit)
    if as_json:
        print(json.dumps({**key_json(made.key, limit, time.time()), "key": made.secret}))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Made the key '{made.key.name}' ({made.key.id}) of tenant '{made.key.tenant}'.", markup=False)
    console.print("It is shown this once, and only its hash is kept:\n", markup=False)
    print(f"    {made.secret}")


@key.command(name="list")
def list_(
    *,
    everything: Annotated[bool, Parameter(name="--all", negative=())] = False,
    ledger: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """List the keys that let somebody in.

    Parameters
    ----------
    everything: bool
        Also those that are revoked or expired.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    now_s = time.time()
    with contextlib.closing(Ledger.open(ledger)) as book:
        limits = read_limits(book)
        found = [one for one in keys.every(book) if everything or one.state(now_s) is keys.KeyState.LIVE]
    pairs = [(one, limits.get(f"{Scope.KEY}:{one.id}")) for one in found]
    if as_json:
        print(json.dumps({"keys": [key_json(one, limit, now_s) for one, limit in pairs]}))
    else:
        Console().print(key_table(pairs, now_s))


@key.command
def show(
    which: str,
    *,
    ledger: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Show a key with its limits and the budgets that its calls keep to. The key itself cannot be shown again.

    Parameters
    ----------
    which: str
        Its name or its id.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    now_s = time.time()
    with contextlib.closing(Ledger.open(ledger)) as book:
        one = keys.find(book, which)
        limits = read_limits(book)
        names = {f"{Scope.KEY}:{one.id}", f"{Scope.TENANT}:{one.tenant}"}
        rows = [pair for pair in standings(book, now_s) if str(pair[0].subject) in names]
    own, tenants = limits.get(f"{Scope.KEY}:{one.id}"), limits.get(f"{Scope.TENANT}:{one.tenant}")
    if as_json:
        budgets = [budget_json(found, standing) for found, standing in rows]
        shared = None if tenants is None else limit_words(tenants)
        print(json.dumps({**key_json(one, own, now_s), "tenant_limit": shared, "budgets": budgets}))
        return
    console = Console()
    console.print(key_table([(one, own)], now_s))
    if tenants is not None:
        console.print(f"All keys of tenant '{one.tenant}' together: {limit_words(tenants)}.", markup=False)
    console.print(budget_table(rows))


@key.command
def revoke(which: str, *, ledger: str | None = None) -> None:
    """Revoke a key: within seconds it lets nobody in. It stays on the list, and can't be brought back.

    Parameters
    ----------
    which: str
        Its name or its id.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    """
    with contextlib.closing(Ledger.open(ledger)) as book:
        one = keys.revoke(book, which)
    said = f"The key '{one.name}' ({one.id}) is revoked; gateways that run let it in for 2 s more at most."
    Console(highlight=False, soft_wrap=True).print(said, markup=False)


@key.command
def limit(
    about: str,
    *,
    requests_per_min: int | None = None,
    tokens_per_min: int | None = None,
    ledger: str | None = None,
) -> None:
    """Limit how much a key, or all keys of a tenant together, may do within any minute; without a number, lift it.

    The limit holds in each process that serves.

    Parameters
    ----------
    about: str
        Whom: key:NAME-OR-ID or tenant:NAME.
    requests_per_min: int
        Requests.
    tokens_per_min: int
        Tokens of prompts and answers.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    """
    with contextlib.closing(Ledger.open(ledger)) as book:
        wanted = RateLimit(
            subject=subject(book, about, (Scope.KEY, Scope.TENANT)),
            requests_per_min=requests_per_min,
            tokens_per_min=tokens_per_min,
        )
        set_limit(book, wanted)
    Console(highlight=False, soft_wrap=True).print(f"{wanted.subject}: {limit_words(wanted)}.", markup=False)


@budget.command(name="set")
def set_(
    about: str,
    usd: str,
    *,
    per: str,
    zone: str = "UTC",
    unpriced: str = Unpriced.REFUSE,
    ledger: str | None = None,
) -> None:
    """Set how many dollars may be spent per day or month, in the place of an earlier budget for the same.

    It holds across all processes on one ledger: what a call may cost is held before it begins.

    Parameters
    ----------
    about: str
        Whom: key:NAME-OR-ID, tenant:NAME, or model:NAME as callers name it.
    usd: str
        US dollars, such as 20 or 0.50.
    per: str
        day or month.
    zone: str
        Time zone in which days and months begin, such as Asia/Shanghai.
    unpriced: str
        refuse or allow calls of which nobody knows what they may cost.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    """
    amount, length = _usd(usd), _per(per)
    if unpriced not in set(Unpriced):
        raise unknown("rule for unpriced calls", unpriced, list(Unpriced))
    with contextlib.closing(Ledger.open(ledger)) as book:
        made = set_budget(book, subject(book, about), amount, per=length, zone=zone, unpriced=Unpriced(unpriced))
    said = f"{made.subject}: ${amount:f} per {made.per} ({made.zone}); calls without a price: {made.unpriced}."
    Console(highlight=False, soft_wrap=True).print(said, markup=False)


@budget.command(name="list")
def list_budgets(
    *, ledger: str | None = None, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False
) -> None:
    """List all budgets with what is spent and held in their present day or month.

    Parameters
    ----------
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    with contextlib.closing(Ledger.open(ledger)) as book:
        rows = standings(book)
    if as_json:
        print(json.dumps({"budgets": [budget_json(found, standing) for found, standing in rows]}))
    else:
        Console().print(budget_table(rows))


@budget.command
def remove(about: str, *, per: str, ledger: str | None = None) -> None:
    """Take a budget away, with what was counted under it; the ledger's calls and charges stay.

    Parameters
    ----------
    about: str
        Whom: key:NAME-OR-ID, tenant:NAME or model:NAME.
    per: str
        day or month.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    """
    length = _per(per)
    with contextlib.closing(Ledger.open(ledger)) as book:
        whom = subject(book, about)
        remove_budget(book, whom, length)
    Console(highlight=False, soft_wrap=True).print(f"{whom} has no budget per {length} any more.", markup=False)


def _until(text: str) -> float:
    """Return a moment (Unix seconds) from a date, a time, or a duration from now."""
    match = _DURATION.fullmatch(text.strip())
    if match is not None:
        return time.time() + int(match["count"]) * _SECONDS[match["unit"]]
    return moment(text, "--expires").timestamp()


def _usd(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise InputError(f"the budget is '{text}'; allowed: US dollars, such as 20 or 0.50")
    return amount


def _per(text: str) -> Per:
    if text not in set(Per):
        raise unknown("period", text, list(Per))
    return Per(text)
