"""``cput price``: what a usage would cost at these models."""

import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from cput.cli.price_card import PriceList, Row
from cput.cli.when import moment
from cput.errors import InputError
from cput.ledger.price import UNPRICED, Fx, PriceBook
from cput.ledger.usage import tier_of, usage_of
from cput.records import CountedBy, Usage


def price(
    *,
    input_: Annotated[int | None, Parameter(name="--input")] = None,
    cached: int | None = None,
    cache_write: int | None = None,
    output: int | None = None,
    body: Path | None = None,
    model: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    all_matching: str | None = None,
    provider: str | None = None,
    tier: str | None = None,
    at: str | None = None,
    currency: str = "USD",
    prices: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    force: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Show what a usage would cost at these models, the cheapest first.

    Parameters
    ----------
    input_: int
        All input tokens, cached ones included.
    cached: int
        Those of them that were read from the provider's cache.
    cache_write: int
        Those of them that were written to it.
    output: int
        Output tokens, reasoning included.
    body: Path
        Take the usage, the model and the tier from a response body (JSON; - is standard input).
    model: tuple[str, ...]
        A model's name; may be repeated.
    all_matching: str
        Every known model whose provider/model holds this text.
    provider: str
        Who bills it, as genai-prices names providers; by default the maker whom the model's name tells.
    tier: str
        Tier of service: flex, priority, batch.
    at: str
        Prices of this day or moment (UTC); by default now.
    currency: str
        Show amounts in this currency, at the day's reference rate.
    prices: tuple[Path, ...]
        A price file that wins over all others; may be repeated.
    force: bool
        Take implausible prices of the price files as they are.
    as_json: bool
        Print JSON.
    """
    when = moment(at, "--at") if at is not None else datetime.now(UTC)
    book = PriceBook.load(prices, force=force)
    fx = _exchange(book, currency, when)
    if (body is None) == (input_ is None and output is None and cached is None and cache_write is None):
        raise InputError("give the usage once: --input and --output, or --body FILE")
    told = _read(body) if body is not None else {}
    usage = usage_of(told) if told else _counts(input_, cached, cache_write, output)
    served = tier if tier is not None else tier_of(told)
    models = _models(book, model or _named(told, all_matching), all_matching, provider, when)
    rows = [_row(book, usage, pair, served, when) for pair in models]
    found = PriceList(
        usage=usage,
        tier=served,
        at=when,
        currency=currency.upper(),
        fx=fx,
        rows=tuple(sorted(rows, key=_cheapest_first)),
    )
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        Console().print(found.table())


def _counts(whole: int | None, cached: int | None, cache_write: int | None, output: int | None) -> Usage:
    given = {"--input": whole, "--cached": cached, "--cache-write": cache_write, "--output": output}
    for flag, value in given.items():
        if value is not None and value < 0:
            raise InputError(f"{flag} is {value}; allowed: 0 or more tokens")
    parts = (cached or 0) + (cache_write or 0)
    if whole is None and parts:
        raise InputError(f"--cached and --cache-write are parts of --input; give --input {parts} or more")
    if whole is not None and parts > whole:
        raise InputError(f"--cached and --cache-write are {parts} of {whole} input tokens; allowed: at most --input")
    return Usage(
        input_uncached=None if whole is None else whole - parts,
        input_cache_read=cached,
        input_cache_write=cache_write,
        output=output,
        complete=True,
        counted_by=CountedBy.PROVIDER,
    )


def _models(
    book: PriceBook, named: Sequence[str], all_matching: str | None, provider: str | None, when: datetime
) -> tuple[tuple[str | None, str], ...]:
    """Return provider and model of each row, each once."""
    pairs = [(provider, name) for name in named]
    if all_matching is not None:
        found = book.matching(all_matching, when)
        pairs += [pair for pair in found if provider is None or pair[0] == provider]
        if not pairs:
            raise InputError(f"no known model holds '{all_matching}'; try a shorter text")
    if not pairs:
        raise InputError("no model is named; give --model NAME, or --all-matching TEXT")
    return tuple(dict.fromkeys(pairs))


def _named(body: Mapping[str, Any], all_matching: str | None) -> tuple[str, ...]:
    """Return the model that a body names, where no other is asked for."""
    name = body.get("model") or body.get("modelVersion")
    return (name,) if isinstance(name, str) and all_matching is None else ()


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        body = json.loads(text)
    except OSError as error:
        raise InputError(f"the body {path} cannot be read ({error.strerror}); name a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body {path} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InputError(
            f"the body {path} is a JSON {type(body).__name__}; allowed: one object, a response or its usage"
        )
    return body


def _exchange(book: PriceBook, currency: str, when: datetime) -> Fx:
    found = book.exchange.usd_per(currency, when.date())
    if found is None:
        raise InputError(f"no rate of {currency} is on file for {when.date()}; give an [[fx]] row in a price file")
    return found


def _row(book: PriceBook, usage: Usage, pair: tuple[str | None, str], tier: str | None, when: datetime) -> Row:
    provider, model = pair
    priced = book.price(usage, model=model, provider=provider, at=when, service_tier=tier)
    hint = _hint(book, provider, model, when) if priced.version == UNPRICED else None
    return Row(provider, model, priced, hint)


def _hint(book: PriceBook, provider: str | None, model: str, when: datetime) -> str | None:
    """Return what may have been meant: the model at another provider, or another model's name."""
    known = book.matching("", when)
    sellers = sorted({maker for maker, name in known if maker is not None and name == model.lower()} - {provider})
    if sellers:
        return f"give --provider {' or '.join(sellers[:5])}"
    near = difflib.get_close_matches(model, sorted({name for maker, name in known if provider in {None, maker}}), n=1)
    return f"did you mean '{near[0]}'?" if near else None


def _cheapest_first(row: Row) -> tuple[bool, Decimal, str, str]:
    return row.priced.usd is None, row.priced.usd or Decimal(0), row.provider or "", row.model
