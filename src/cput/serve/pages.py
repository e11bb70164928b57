"""The small endpoints: what is served, whether it lives, whether it is ready, and its counters."""

import asyncio
import hmac
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from cput.errors import CputError
from cput.ledger.snapshot import snapshot
from cput.serve.door import Door
from cput.serve.exchange import exchange_of
from cput.serve.fault import BadRequest
from cput.serve.gate import Caller
from cput.serve.head import head_of


def json_response(body: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


class Pages:
    """The endpoints."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._opened_s = int(time.time())

    async def models(self, request: Request) -> Response:
        """List the models that the caller may use, as OpenAI and Anthropic both list them."""
        listed = await self._listed(request)
        ids = [entry["id"] for entry in listed]
        ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
        return json_response({"object": "list", "data": listed, "has_more": False, **ends})

    async def model(self, request: Request) -> Response:
        """Show one model."""
        wanted = request.path_params["model"]
        for entry in await self._listed(request):
            if entry["id"] == wanted:
                return json_response(entry)
        sentence = f"the model '{wanted[:80]}' is not served here; GET /v1/models lists those that are"
        raise BadRequest(sentence, param="model", code="model_not_found", status=404)

    async def healthz(self, request: Request) -> Response:
        """Say that the process answers."""
        exchange_of(request.scope).endpoint = "healthz"
        return json_response({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Say whether new calls should come here: not while draining, nor where the ledger can't be read."""
        exchange_of(request.scope).endpoint = "readyz"
        if self._door.draining:
            return json_response({"status": "draining"}, 503)
        try:
            await asyncio.to_thread(self._read_ledger)
        except CputError:
            return json_response({"status": "the ledger can't be read"}, 503)
        return json_response({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """Show the counters; with a token set, only to its bearer."""
        exchange_of(request.scope).endpoint = "metrics"
        wanted = self._door.admin_token
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), (wanted or "").encode())
        if wanted is not None and not right:
            raise BadRequest("/metrics wants the admin token as a bearer token", code="invalid_admin_token", status=401)
        page = self._door.telemetry.page() if self._door.gather is None else await self._door.gather()
        return Response(page, media_type="text/plain; version=0.0.4")

    async def _listed(self, request: Request) -> list[dict[str, Any]]:
        caller = await self._caller(request, "models")
        found = [self._entry(name, model.owner) for name, model in sorted(self._door.models.items())]
        if self._door.list_other is not None:
            known = {entry["id"] for entry in found}
            others = [entry for entry in await self._door.list_other() if isinstance(entry.get("id"), str)]
            found += [self._entry(entry["id"], "upstream") | entry for entry in others if entry["id"] not in known]
        return [entry for entry in found if caller.may_use(entry["id"])]

    async def _caller(self, request: Request, endpoint: str) -> Caller:
        exchange = exchange_of(request.scope)
        exchange.endpoint = endpoint
        return await self._door.gate.identify(head_of(request.scope, exchange.request_id).key)

    def _entry(self, name: str, owner: str) -> dict[str, Any]:
        since = datetime.fromtimestamp(self._opened_s, UTC).isoformat().replace("+00:00", "Z")
        openai = {"id": name, "object": "model", "created": self._opened_s, "owned_by": owner}
        return openai | {"type": "model", "display_name": name, "created_at": since}

    def _read_ledger(self) -> None:
        with snapshot(self._door.ledger) as connection:
            connection.execute(text("select 1"))
