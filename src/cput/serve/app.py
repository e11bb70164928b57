"""The application factory. ``application(door)`` is all that a server needs: uvicorn here, Ray Serve elsewhere."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cput.serve.answering import Answering
from cput.serve.dialects.base import Dialect
from cput.serve.dialects.chat import Chat
from cput.serve.dialects.completions import Completions
from cput.serve.dialects.embeddings import Embeddings
from cput.serve.dialects.messages import Messages
from cput.serve.dialects.responses import Responses
from cput.serve.door import Door
from cput.serve.edge import Edge
from cput.serve.exchange import exchange_of
from cput.serve.fault import Fault
from cput.serve.neighbours import Neighbours
from cput.serve.open_gate import OpenGate
from cput.serve.openapi.document import openapi
from cput.serve.outcomes import Outcomes
from cput.serve.pages import Pages

DIALECTS: dict[str, Dialect] = {
    "/v1/chat/completions": Chat(),
    "/v1/completions": Completions(),
    "/v1/responses": Responses(),
    "/v1/messages": Messages(),
    "/v1/embeddings": Embeddings(),
}
_OTHERWISE = DIALECTS["/v1/chat/completions"]


def application(door: Door) -> ASGIApp:
    """Return the ASGI application of a door; leaving its life span closes the door's engines, not its ledger."""
    answering = {path: Answering(door, dialect) for path, dialect in DIALECTS.items()}
    keyless = isinstance(door.gate, OpenGate)
    within = {path: Neighbours(endpoint) if keyless else endpoint for path, endpoint in answering.items()}
    straight = {path: Edge(endpoint, door, shape) for path, endpoint in within.items()}
    app = Straight(straight, _routed(door, answering, keyless=keyless))
    return app if door.traces is None else door.traces.around(app)


class Straight:
    """Goes straight to the endpoints that answer calls; a router's way there costs as much as reading the call."""

    def __init__(self, answering: Mapping[str, ASGIApp], other: ASGIApp) -> None:
        self._answering = answering
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        endpoint = self._answering.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        await (endpoint or self._other)(scope, receive, send)


def _routed(door: Door, answering: Mapping[str, ASGIApp], *, keyless: bool) -> Starlette:
    """Return the application of all paths; what answers calls is among them for the methods that it does not have."""
    outcomes, pages = Outcomes(door), Pages(door)
    routes = [
        *(Route(path, endpoint, methods=["POST"]) for path, endpoint in answering.items()),
        Route("/v1/models", pages.models, methods=["GET"]),
        Route("/v1/models/{model:path}", pages.model, methods=["GET"]),
        Route("/v1/outcomes", outcomes.post, methods=["POST"]),
        Route("/v1/outcomes", outcomes.delete, methods=["DELETE"]),
        Route("/v1/outcomes/{id:path}", outcomes.delete_one, methods=["DELETE"]),
        Route("/healthz", pages.healthz, methods=["GET"]),
        Route("/readyz", pages.readyz, methods=["GET"]),
        Route("/metrics", pages.metrics, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]

    @contextlib.asynccontextmanager
    async def life_span(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await door.aclose()

    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Edge, door=door, shape=shape),
            *([Middleware(Neighbours)] if keyless else []),
        ],
        exception_handlers={HTTPException: _refused},
        lifespan=life_span,
    )
    app.router.redirect_slashes = False  # it would name the Host that a client sent, as http behind a proxy of TLS
    return app


def shape(path: str, fault: Fault) -> bytes:
    """Return a fault in the shape of the dialect that a path speaks, or is below of; OpenAI's where it speaks none."""
    of_anthropic = path.startswith("/v1/messages/")  # such as count_tokens, which is not served
    return DIALECTS.get("/v1/messages" if of_anthropic else path, _OTHERWISE).fault(fault)


async def _refused(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: an unknown path, or a method that a path does not have."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        fault = Fault(status=404, code="unknown_url", message=f"there is nothing at {request.method} {path[:200]}")
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{path[:200]} does not take {request.method}; allowed: {allowed}"
        fault = Fault(status=405, code="method_not_allowed", message=message)
    else:
        fault = Fault(status=error.status_code, code="invalid_request", message=error.detail)
    exchange_of(request.scope).facts["code"] = fault.code
    return Response(shape(path, fault), fault.status, dict(error.headers or {}), media_type="application/json")
