"""Keeps web pages out of a door without keys: it listens to this machine alone, and a browser is on this machine.

Any page that a person opens may send a POST to ``http://127.0.0.1:8000`` without asking (a "simple" request of the
fetch standard), and would spend that person's money; one whose name is rebound to 127.0.0.1 may read the answers too.
Both show in what a browser can't leave out: the page's ``Origin``, and the name in ``Host``. Programs send no Origin,
and call the machine by a name that only a machine nearby has. A door with keys needs none of this: a page has no key.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from cput.serve.fault import BadRequest

NEARBY = ("localhost", "local", "internal", "lan", "home.arpa")
"""Domains that no public name server answers for (RFC 6761, 6762, 8375, ICANN's ``internal``); containers have some."""


class Neighbours:
    """An ASGI layer that refuses requests of web pages, but for pages of this machine itself (403)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or raise ``BadRequest``."""
        if scope["type"] == "http":
            require_neighbour(scope)
        await self._app(scope, receive, send)


def require_neighbour(scope: Scope) -> None:
    """Raise BadRequest (403) where the request comes from a page of elsewhere, or names a public host."""
    for name, value in scope["headers"]:
        if name == b"host" and not is_nearby(_host(f"//{value.decode('latin-1')}")):
            raise _refused("host", value, "the name of this machine, or its address")
        if name == b"origin" and not is_nearby(_host(value.decode("latin-1"))):
            raise _refused("origin", value, "none, or a page of this machine")


def is_nearby(host: str) -> bool:
    """Return whether a host is an address or a name that is no public one.

    >>> is_nearby("127.0.0.1"), is_nearby("docker-host"), is_nearby("a.example.org"), is_nearby("")
    (True, True, False, False)
    """
    name = host.strip("[]").removesuffix(".").lower()
    if not name or name == "null":
        return False
    if "." not in name and ":" not in name:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.endswith(tuple(f".{domain}" for domain in NEARBY))
    return True


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _refused(header: str, value: bytes, allowed: str) -> BadRequest:
    shown = value.decode("latin-1")[:80]
    sentence = f"the header {header} is '{shown}'; allowed: {allowed}. To serve others, want keys: cput serve --keys"
    return BadRequest(sentence, param=header, code="foreign_page", status=403)
