"""API keys: made once, shown once, kept as a hash, revoked within seconds everywhere.

    made = create(ledger, "web shop", tenant="shop", models=("gpt-4o*",))
    made.secret                       # sk-cput-..., shown now and never again
    by_secret(ledger, made.secret)    # the key, or None
    revoke(ledger, "web shop")

A key is 32 random bytes, so that one SHA-256 of it is as safe as any slow hash: those slow down guessing, and 2^256
keys can't be guessed at any speed (OWASP asks for slow hashes for passwords, which people choose). A slow hash would
cost every request tens of milliseconds instead.
"""

import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, select
from sqlalchemy.exc import IntegrityError

from cput.errors import InputError, unknown
from cput.ledger import schema
from cput.ledger.doors import writing
from cput.ledger.snapshot import snapshot
from cput.ledger.store import Ledger
from cput.serve.gate import HIGHEST_PRIORITY, LOWEST_PRIORITY

PREFIX = "sk-cput-"
_SECRET = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[^\s:,*?][^:,*?\x00-\x1f\x7f]{0,98}[^\s:,*?]|[^\s:,*?]")
_ID = "key-"


class KeyState(StrEnum):
    """Whether a key lets anybody in."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key, without its secret."""

    id: str
    """What it is called in rows, limits and budgets."""
    name: str
    """What people call it; no two keys that are not revoked share one."""
    tenant: str
    """Whose it is: part of every cache key and every row of its calls."""
    models: tuple[str, ...] | None = None
    """Models it may use, names or patterns with * and ?; None is all."""
    priority: int = 0
    """The highest priority that its calls may ask for."""
    created_s: float
    """When it was made (Unix seconds)."""
    expires_s: float | None = None
    """From when on it lets nobody in; None is never."""
    revoked_s: float | None = None
    """When it was revoked; None is not."""

    def state(self, now_s: float) -> KeyState:
        """Return whether it lets anybody in at a moment (Unix seconds)."""
        if self.revoked_s is not None:
            return KeyState.REVOKED
        return KeyState.LIVE if self.expires_s is None or now_s < self.expires_s else KeyState.EXPIRED


class Made(NamedTuple):
    """A new key, and the only copy of its secret."""

    key: Key
    """What is kept."""
    secret: str
    """What its owner sends as ``Authorization: Bearer ...``; it is not kept."""


def create(
    ledger: Ledger,
    name: str,
    *,
    tenant: str,
    models: tuple[str, ...] | None = None,
    priority: int = 0,
    expires_s: float | None = None,
) -> Made:
    """Make a key.

    Raises:
        InputError: when a name is not allowed or taken, no model is allowed, or it would have expired already.
        SetupError: when the ledger cannot be written.
    """
    now_s = time.time()
    if models == ():
        raise InputError(
            "a key without any model is of no use; allowed: one or more names, or none at all for every model"
        )
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise InputError(f"the priority is {priority}; allowed: {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}")
    if expires_s is not None and expires_s <= now_s:
        raise InputError("the key would have expired already; allowed: a moment to come")
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(
        id=_ID + secrets.token_hex(6),
        name=checked_name(name, "key"),
        tenant=checked_name(tenant, "tenant"),
        models=models,
        priority=priority,
        created_s=now_s,
        expires_s=expires_s,
    )
    try:
        with writing(ledger) as connection:
            connection.execute(schema.api_keys.insert().values(_values(key, secret)))
    except InputError as error:
        if isinstance(error.__cause__, IntegrityError):
            raise InputError(
                f"there is a key named '{name}' already; revoke it first, or choose another name"
            ) from error
        raise
    return Made(key, secret)


def revoke(ledger: Ledger, which: str) -> Key:
    """Revoke the key of that id or name, and return it; revoking it again changes nothing.

    Gateways that run follow within the life of what they remember (``Fresh``), 2 s unless told.
    """
    key = find(ledger, which)
    table = schema.api_keys
    with writing(ledger) as connection:
        connection.execute(
            table.update().where(table.c.id == key.id, table.c.revoked_s.is_(None)).values(revoked_s=time.time())
        )
    return find(ledger, key.id)


def by_secret(ledger: Ledger, secret: str) -> Key | None:
    """Return the key that a secret opens, whatever its state; None where there is none."""
    return None if _SECRET.fullmatch(secret) is None else by_digest(ledger, digest(secret))


def by_digest(ledger: Ledger, wanted: str) -> Key | None:
    """Return the key whose secret has that digest.

    The index finds it by the hash, of which a stranger learns nothing that leads back to a key; that the whole hash is
    equal is then seen in constant time.
    """
    table = schema.api_keys
    found = _read(ledger, select(table).where(table.c.digest == wanted))
    return next((_key(row) for row in found if hmac.compare_digest(row.digest, wanted)), None)


def digest(secret: str) -> str:
    """Return what is kept of a secret: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_well_formed(secret: str) -> bool:
    """Whether a text could be a key at all; no database is asked about one that could not."""
    return _SECRET.fullmatch(secret) is not None


def every(ledger: Ledger) -> tuple[Key, ...]:
    """Return all keys, revoked ones too, oldest first."""
    table = schema.api_keys
    return tuple(_key(row) for row in _read(ledger, select(table).order_by(table.c.created_s, table.c.id)))


def find(ledger: Ledger, which: str) -> Key:
    """Return the key of that id or name; of several by one name the one not revoked, then the latest.

    Raises:
        InputError: when there is none; the text is not shown where it may be a key itself.
    """
    keys = every(ledger)
    if which.startswith(PREFIX):
        raise InputError("that is a key itself (it is not shown); name its id or its name, which `cput key list` shows")
    found = [key for key in keys if which in {key.id, key.name}]
    if not found:
        raise unknown("key", which, [key.name for key in keys])
    return max(found, key=lambda key: (key.id == which, key.revoked_s is None, key.created_s))


def checked_name(name: str, kind: str) -> str:
    """Return a name of a key, tenant or model as it may stand in ``kind:NAME``.

    Raises:
        InputError: when it is empty, too long, or has characters that would make a subject ambiguous.
    """
    if _NAME.fullmatch(name) is None or name.startswith((PREFIX, _ID)):
        shown = f"'{name}'" if not name.startswith(PREFIX) else "a key itself (it is not shown)"
        raise InputError(
            f"the {kind}'s name is {shown}; allowed: 1 to 100 characters without : , * ? and control characters, "
            f"no space at an end, not beginning with {PREFIX} or {_ID}"
        )
    return name


def _read(ledger: Ledger, query: Select[Any]) -> list[Row[Any]]:
    with snapshot(ledger) as connection:
        return list(connection.execute(query).all())


def _values(key: Key, secret: str) -> dict[str, Any]:
    return {
        "id": key.id,
        "digest": digest(secret),
        "name": key.name,
        "tenant": key.tenant,
        "models": None if key.models is None else json.dumps(key.models),
        "priority": key.priority,
        "created_s": key.created_s,
        "expires_s": key.expires_s,
        "revoked_s": key.revoked_s,
    }


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        tenant=row.tenant,
        models=None if row.models is None else tuple(json.loads(row.models)),
        priority=row.priority,
        created_s=row.created_s,
        expires_s=row.expires_s,
        revoked_s=row.revoked_s,
    )
