"""Reads the rows that a fold needs, column by column: of the whole ledger, or of some calls."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)

from cput.ledger import schema
from cput.ledger.query.columns import UNCOUNTED, Coded, Floats, Ints
from cput.ledger.query.gather import NOBODY, Codes, Gatherer, Part, Places, Real, Texts, Whole, gather
from cput.records import Finish, Role

SERVING = (Role.SERVE.value, Role.HEDGE.value)
SERVES, EMBEDS = 1, 2
"""What a leg may do for the caller: answer, or make vectors, which is the answer where nothing else was asked for."""
ENDED, CUT, BROKEN = 0, 1, 2
"""How a leg ended: by itself, because its caller hung up, or otherwise."""
_STEP = 65_536  # rows that SQLite reads in one step
_NS = 1e9


class CallRows(NamedTuple):
    """Rows of ``calls``."""

    arrival: Ints
    ids: list[str]
    keys: list[str | None]
    episodes: list[str | None]
    workload: Coded
    policy: Coded
    tenant: Coded
    run: Coded
    tags: Coded


class AttemptRows(NamedTuple):
    """Rows of ``attempts``; ``call`` is the place of its call, or ``NOBODY``."""

    call: Ints
    seq: Ints
    serving: Ints
    finish: Ints
    input_tokens: Ints
    output_tokens: Ints
    engine_ns: Ints
    started_s: Floats
    model: Coded
    engine: Coded
    provider: Coded


class ChargeRows(NamedTuple):
    """Rows of ``charges``; ``arrival`` is the order in which they were written."""

    arrival: Ints
    call: Ints
    seq: Ints
    incremental: Ints
    unknown: Ints
    avoided: Ints
    basis: Coded
    version: Coded


class OutcomeRows(NamedTuple):
    """Rows of ``outcomes``; one may be here twice."""

    call: Ints
    keys: list[str | None]
    episodes: list[str | None]
    ids: list[str]
    name: Coded
    source: Coded
    value: Floats
    observed_s: Floats
    attempt: Ints
    retracting: list[str | None]


class Rows(NamedTuple):
    """All that is known about some calls."""

    calls: CallRows
    attempts: AttemptRows
    charges: ChargeRows
    outcomes: OutcomeRows


def scan(connection: Connection, ids: str | None = None) -> Rows:
    """Return the rows of the calls ``ids`` (a JSON array), or of all, in any order. Naming calls is for SQLite.

    Rows of other calls may be among them; they have no place.
    """
    calls = CallRows(*gather(connection, _calls(connection), _parts(connection, "calls", [schema.calls.c.id], ids)))
    place = {call: place for place, call in enumerate(calls.ids)}
    of_attempts = _parts(connection, "attempts", [schema.attempts.c.call_id], ids)
    of_charges = _parts(connection, "charges", [schema.charges.c.call_id], ids)
    of_outcomes = _parts(connection, "outcomes", list(_ABOUT), ids)
    return Rows(
        calls,
        AttemptRows(*gather(connection, _attempts(place), of_attempts)),
        ChargeRows(*gather(connection, _charges(place), of_charges)),
        OutcomeRows(*gather(connection, _outcomes(place), of_outcomes)),
    )


def _parts(connection: Connection, table: str, about: Sequence[Column[Any]], ids: str | None) -> list[Part]:
    """Return the parts that hold the rows about ``ids``, or all rows, of a table."""
    if ids is not None:
        return [Part(column.in_(_ABOUT.get(column, _listed())), {"some": ids}) for column in about]
    if connection.dialect.name != "sqlite":
        return [Part(None, {})]
    row: ColumnElement[int] = literal_column(f"{table}.rowid")
    last = connection.execute(select(func.max(row)).select_from(schema.metadata.tables[table])).scalar() or 0
    span = and_(row > bindparam("above"), row <= bindparam("to"))
    return [Part(span, {"above": above, "to": above + _STEP}) for above in range(0, last, _STEP)]


def _listed() -> Select[Any]:
    return select(func.json_each(bindparam("some")).table_valued("value").c.value)


def _of_listed(column: Column[Any]) -> Select[Any]:
    return select(column).where(column.is_not(None), schema.calls.c.id.in_(_listed()))


_ABOUT: Mapping[Column[Any], Select[Any]] = {
    schema.outcomes.c.call_id: _listed(),
    schema.outcomes.c.external_key: _of_listed(schema.calls.c.external_key),
    schema.outcomes.c.episode: _of_listed(schema.calls.c.episode),
}
"""What an outcome may be about, and where to find it for the listed calls."""


def _calls(connection: Connection) -> list[Gatherer]:
    """Return the columns of calls.

    SQLite's one writer at a time gives each row a number above all that are committed, so that the number says what is
    new. PostgreSQL's sequences don't: a transaction may commit a lower number than one that was read already.
    """
    c = schema.calls.c
    arrival: ColumnElement[int] = literal_column("calls.rowid") if connection.dialect.name == "sqlite" else literal(0)
    texts: list[Gatherer] = [Texts(column) for column in (c.id, c.external_key, c.episode)]
    codes: list[Gatherer] = [Codes(column) for column in (c.workload, c.policy, c.tenant, c.run, c.tags)]
    return [Whole(arrival), *texts, *codes]


def _attempts(place: Mapping[str, int]) -> list[Gatherer]:
    c = schema.attempts.c
    cached = func.coalesce(c.input_cache_read, 0) + func.coalesce(c.input_cache_write, 0)
    ended = case(
        (c.finish.in_((Finish.STOP.value, Finish.LENGTH.value)), ENDED),
        (c.finish == Finish.CANCELLED.value, CUT),
        else_=BROKEN,
    )
    return [
        Places(c.call_id, place),
        Whole(c.seq),
        Whole(case((c.role.in_(SERVING), SERVES), (c.role == Role.EMBED.value, EMBEDS), else_=0)),
        Whole(ended),
        Whole(func.coalesce(c.input_uncached + cached, UNCOUNTED)),
        Whole(func.coalesce(c.output, UNCOUNTED)),
        Whole(func.coalesce(cast(func.round(c.engine_s * _NS), BigInteger), 0)),
        Real(c.started_s),
        Codes(c.model),
        Codes(c.engine),
        Codes(c.provider),
    ]


def _charges(place: Mapping[str, int]) -> list[Gatherer]:
    c = schema.charges.c
    return [
        Whole(c.id),
        Places(c.call_id, place),
        Whole(func.coalesce(c.seq, NOBODY)),
        Whole(func.coalesce(c.incremental_nano_usd, 0)),
        Whole(case((c.incremental_nano_usd.is_(None), 1), else_=0)),
        Whole(c.avoided_nano_usd),
        Codes(c.basis),
        Codes(c.price_version),
    ]


def _outcomes(place: Mapping[str, int]) -> list[Gatherer]:
    c = schema.outcomes.c
    return [
        Places(c.call_id, place),
        Texts(c.external_key),
        Texts(c.episode),
        Texts(c.id),
        Codes(c.name),
        Codes(c.source),
        Real(c.value),
        Real(c.observed_s),
        Whole(func.coalesce(c.attempt, NOBODY)),
        Texts(case((c.detail.like('%"retracted"%'), c.detail))),  # few details are worth their length
    ]
