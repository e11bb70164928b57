"""What a request says in its headers: who asks, under which ids, for which workload, how urgently."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import Scope

from cput.policy.cache.wish import WISHES
from cput.records import new_id
from cput.serve.body import shown
from cput.serve.fault import BadRequest

_REQUEST_ID = re.compile(r"^[\x21-\x7e]{1,128}\Z")
NAME = re.compile(r"^[^\x00-\x1f\x7f]{1,256}\Z")
"""What may stand in a row, a log line and a counter: 1 to 256 characters, none of them for control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The headers of a request that the door reads."""

    key: str | None = field(repr=False)
    """The API key (``Authorization: Bearer`` or ``X-Api-Key``); shown nowhere."""
    request_id: str
    """``X-Request-Id`` as it came, else made here; it comes back in the response and goes on to the upstream."""
    workload: str | None = None
    """``X-Cput-Workload``."""
    external_key: str | None = None
    """``X-Cput-External-Key``: a key of the caller's by which outcomes may arrive."""
    episode: str | None = None
    """``X-Cput-Episode``: an id that several calls share."""
    priority: int = 0
    """``X-Cput-Priority``: higher is sooner."""
    deadline_s: float | None = None
    """``X-Cput-Deadline-S``: seconds after which the answer is of no use."""
    cache: str | None = None
    """``X-Cput-Cache`` (auto, on, off, fresh), else ``Cache-Control``: no-store is off, no-cache is fresh."""


def head_of(scope: Scope, request: str) -> Head:
    """Return what the headers say; ``request`` is the id that the request goes by.

    Raises:
        BadRequest: one of the door's own headers has a value that is not allowed.
    """
    headers = _texts(scope)
    return Head(
        key=_key(headers),
        request_id=request,
        workload=_name(headers, "x-cput-workload"),
        external_key=_name(headers, "x-cput-external-key"),
        episode=_name(headers, "x-cput-episode"),
        priority=int(_number(headers, "x-cput-priority", "a whole number", whole=True) or 0),
        deadline_s=_deadline(headers),
        cache=_cache(headers),
    )


def scoped(tenant: str | None, key: str | None) -> str | None:
    """Return an external key or episode as it is kept: with its tenant, where there is one.

    No two pairs are kept as one: a tenant's own slashes are escaped.

    >>> scoped("a", "b/c"), scoped("a/b", "c")
    ('a/b/c', 'a%2Fb/c')
    """
    if tenant is None or key is None:
        return key
    return f"{tenant.replace('%', '%25').replace('/', '%2F')}/{key}"


def request_id(scope: Scope) -> str:
    """Return the client's ``X-Request-Id`` where it is printable ASCII of at most 128 characters, else a new id."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1").strip()
            return given if _REQUEST_ID.match(given) else new_id()
    return new_id()


def _texts(scope: Scope) -> dict[str, str]:
    texts = {}
    for name, value in scope["headers"]:
        try:
            texts[name.decode("latin-1")] = value.decode("utf-8").strip()
        except UnicodeDecodeError:
            texts[name.decode("latin-1")] = value.decode("latin-1").strip()
    return texts


def _key(headers: Mapping[str, str]) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key") or None


def _name(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    if not value:
        return None
    if not NAME.match(value):
        raise BadRequest(f"the header {name} is {shown(value)}; allowed: 1 to 256 characters", param=name)
    return value


def _cache(headers: Mapping[str, str]) -> str | None:
    given = headers.get("x-cput-cache", "").lower()
    if given and given not in WISHES:
        allowed = ", ".join(WISHES)
        raise BadRequest(f"the header x-cput-cache is {shown(given)}; allowed: {allowed}", param="x-cput-cache")
    said = {word.strip().lower() for word in headers.get("cache-control", "").split(",")}
    return given or ("off" if "no-store" in said else "fresh" if "no-cache" in said else None)


def _deadline(headers: Mapping[str, str]) -> float | None:
    seconds = _number(headers, "x-cput-deadline-s", "seconds above 0")
    if seconds is not None and seconds <= 0:
        raise BadRequest(f"the header x-cput-deadline-s is {seconds:g}; allowed: seconds above 0", param="deadline")
    return seconds


def _number(headers: Mapping[str, str], name: str, allowed: str, *, whole: bool = False) -> float | None:
    value = headers.get(name)
    if not value:
        return None
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e9:
        raise BadRequest(f"the header {name} is {shown(value)}; allowed: {allowed}", param=name)
    return number
