"""``/v1/outcomes``: evidence about calls, by response id, call id, external key or episode.

    POST   /v1/outcomes        {"response_id": "chatcmpl-...", "name": "thumbs", "value": 1, "source": "user"}
    POST   /v1/outcomes        {"outcomes": [{...}, {...}]}        all of them or none
    DELETE /v1/outcomes        as POST: what the same source said under the same name is taken back
    DELETE /v1/outcomes/{id}   that outcome is taken back

Nothing is ever erased: a retraction is a later word of the same observer. The fields are those of ``cput outcome
import``. An ``id``, or the header ``Idempotency-Key``, makes a repeated request one outcome; without one, every request
is a word of its own. Callers with a tenant speak of their own calls only: their ids, external keys and episodes are
kept as ``TENANT/KEY``, so that two tenants' order 17 are two orders. A bad outcome evicts what the cache gave.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from cput.govern.redact import Redactor
from cput.govern.redact.records import redacted_outcome
from cput.ledger import schema
from cput.ledger.outcome_file import ALIASES, read_outcome
from cput.ledger.outcomes import Added, add, retraction
from cput.ledger.rows import to_outcome
from cput.ledger.snapshot import snapshot
from cput.records import Outcome, new_id
from cput.serve.body import json_of, read_body, shown
from cput.serve.door import Door
from cput.serve.exchange import exchange_of
from cput.serve.fault import BadRequest
from cput.serve.gate import Caller
from cput.serve.head import NAME, Head, head_of, scoped
from cput.serve.pages import json_response

_RESPONSE_ID = re.compile(r"^(?:chatcmpl-|cmpl-|msg_|resp_|embd-)(?=[0-9a-f]{8}-[0-9a-f]{4}-)")
_NAMES = ("id", "call_id", "external_key", "episode", "name")
"""Fields that rows are found by; a database's index takes no more than a few thousand bytes."""


def call_id_of(text: str) -> str:
    """Return the call id in a response id of any dialect; a call id is given back as it is.

    >>> call_id_of("chatcmpl-0199aaaa-0000-7000-8000-000000000000")
    '0199aaaa-0000-7000-8000-000000000000'
    """
    return _RESPONSE_ID.sub("", text)


class Outcomes:
    """The endpoints."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def post(self, request: Request) -> Response:
        """Add outcomes."""
        return await self._add(request, retracted=False)

    async def delete(self, request: Request) -> Response:
        """Take back what the same sources said under the same names."""
        return await self._add(request, retracted=True)

    async def delete_one(self, request: Request) -> Response:
        """Take one outcome back, by its id."""
        head, caller = await self._caller(request)
        wanted = request.path_params["id"]
        said = await asyncio.to_thread(_stored, self._door, wanted, caller.tenant)
        if said is None:
            sentence = (
                f"there is no outcome '{wanted[:80]}'; to take back by call, name and source: DELETE /v1/outcomes"
            )
            raise BadRequest(sentence, param="id", code="outcome_not_found", status=404)
        # Observed after what it takes back, also where clocks differ; its id makes a second DELETE change nothing.
        moment = max(time.time(), said.observed_s + 1e-6)
        back = replace(retraction(said), id=f"{said.id}:retracted", observed_s=moment)
        return await self._written([back], head)

    async def _add(self, request: Request, *, retracted: bool) -> Response:
        head, caller = await self._caller(request)
        limits = self._door.limits
        raw = await read_body(request.scope, request.receive, max_bytes=limits.body_bytes, within_s=limits.body_s)
        given = _listed(json_of(raw, max_depth=limits.depth), limits.outcomes)
        key = request.headers.get("idempotency-key")
        outcomes = said = _read(given, key, caller, retracted=retracted)
        if (redactor := self._door.redactor) is not None:
            outcomes = await asyncio.to_thread(_redacted, outcomes, redactor, caller.tenant)
        await asyncio.to_thread(_require_own_calls, self._door, outcomes, caller)
        for outcome in outcomes:
            self._door.telemetry.outcomes.add((outcome.source.value,))
        answered = await self._written(outcomes, head)
        if self._door.cache is not None:
            await self._door.cache.judged(said, tenant=caller.tenant)
        for heard in self._door.judging.values():
            await heard(said)
        return answered

    async def _caller(self, request: Request) -> tuple[Head, Caller]:
        exchange = exchange_of(request.scope)
        exchange.endpoint = "outcomes"
        head = head_of(request.scope, exchange.request_id)
        return head, await self._door.gate.identify(head.key)

    async def _written(self, outcomes: Sequence[Outcome], head: Head) -> Response:
        added = await asyncio.to_thread(add, self._door.ledger, outcomes)
        said = _figures(added) | {"ids": [outcome.id for outcome in outcomes], "request_id": head.request_id}
        return json_response(said, 409 if added.differing and not added.new else 200)


def _figures(added: Added) -> dict[str, Any]:
    return {
        "object": "outcomes",
        "new": added.new,
        "repeated": added.repeated,
        "differing": list(added.differing),
        "waiting_for_their_call": added.waiting,
    }


def _listed(body: Any, most: int) -> list[Mapping[str, Any]]:
    """Return the outcomes of a body: one object, a list, or an object with a list."""
    if isinstance(body, dict) and isinstance(body.get("outcomes"), list):
        body = body["outcomes"]
    found = body if isinstance(body, list) else [body]
    if not 1 <= len(found) <= most:
        raise BadRequest(f"there are {len(found):,} outcomes in the body; allowed: 1 to {most:,}", param="outcomes")
    for at, each in enumerate(found):
        if not isinstance(each, dict):
            raise BadRequest(f"'outcomes[{at}]' is {shown(each)}; it must be an object", param=f"outcomes[{at}]")
    return found


def _read(given: Sequence[Mapping[str, Any]], key: str | None, caller: Caller, *, retracted: bool) -> list[Outcome]:
    """Return the outcomes, or raise BadRequest with everything that is wrong."""
    outcomes, wrong, now_s = [], [], time.time()
    for at, each in enumerate(given):
        fields = {ALIASES.get(name, name): value for name, value in each.items()}
        mine = new_id() if key is None else key if len(given) == 1 else f"{key}:{at}"
        fields["id"] = fields.get("id") or mine
        if retracted:
            fields["retracted"] = True
        for name in _NAMES:
            if isinstance(fields.get(name), str) and fields[name] and NAME.match(fields[name]) is None:
                raise BadRequest(
                    f"'outcomes[{at}].{name}' is {shown(fields[name])}; allowed: 1 to 256 characters; none was written",
                    param=f"outcomes[{at}].{name}",
                )
        read = read_outcome(at + 1, fields, Counter(), now_s)
        wrong += [(f"outcomes[{at}]", problem) for problem in read.wrong]
        if read.outcome is not None:
            outcomes.append(_placed(read.outcome, caller))
    if wrong:
        where, first = wrong[0]
        param = f"{where}.{first.field}" if first.field else where
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise BadRequest(f"'{param}': {first.message}{more}; none was written", param=param)
    return outcomes


def _placed(outcome: Outcome, caller: Caller) -> Outcome:
    return replace(
        outcome,
        id=scoped(caller.tenant, outcome.id) or outcome.id,
        call_id=None if outcome.call_id is None else call_id_of(outcome.call_id),
        external_key=scoped(caller.tenant, outcome.external_key),
        episode=scoped(caller.tenant, outcome.episode),
    )


def _redacted(outcomes: Sequence[Outcome], redactor: Redactor, tenant: str | None) -> list[Outcome]:
    return [redacted_outcome(outcome, redactor, tenant) for outcome in outcomes]


def _require_own_calls(door: Door, outcomes: Sequence[Outcome], caller: Caller) -> None:
    """Refuse outcomes about calls that are on record as somebody else's; those without a call yet may wait for it."""
    ids = sorted({outcome.call_id for outcome in outcomes if outcome.call_id is not None})
    if caller.tenant is None or not ids:
        return
    calls = schema.calls.c
    with snapshot(door.ledger) as connection:
        found = connection.execute(select(calls.id, calls.tenant).where(calls.id.in_(ids))).all()
    for row in found:
        if row.tenant != caller.tenant:
            sentence = f"there is no call '{row.id}' of yours"
            raise BadRequest(sentence, param="call_id", code="call_not_found", status=404)


def _stored(door: Door, outcome_id: str, tenant: str | None) -> Outcome | None:
    """Return the outcome of that id; None where there is none, or it is about somebody else's calls."""
    table, calls = schema.outcomes, schema.calls
    named = {outcome_id, scoped(tenant, outcome_id)}  # as it was given, or as the answer to the POST said it
    with snapshot(door.ledger) as connection:
        row = connection.execute(select(table).where(table.c.id.in_(named))).first()
        if row is None:
            return None
        outcome = to_outcome(row)
        if tenant is None:
            return outcome
        if outcome.call_id is not None:
            owner = connection.execute(select(calls.c.tenant).where(calls.c.id == outcome.call_id)).scalar()
            return outcome if owner == tenant else None
    keys = (outcome.external_key, outcome.episode)
    mine = scoped(tenant, "") or ""
    return outcome if all(key is None or key.startswith(mine) for key in keys) else None
