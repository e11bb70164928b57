"""Where a ledger is: a file of the user's own, or a database on a PostgreSQL server that a team shares.

    address("team.db")                                    # a file
    address("postgresql://anna@db.example/cput")          # a database; PGPASSWORD or ~/.pgpass has the password
    address(None)                                         # CPUT_LEDGER, else ledger.db under CPUT_HOME

What an address leaves out, libpq takes from its own places: PGHOST, PGUSER, PGPASSWORD, ~/.pgpass.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cput.errors import InputError

EXAMPLE = "postgresql://user@host/database"
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):(?P<slashes>/+)", re.IGNORECASE)
_SHOWN = ("host", "port", "dbname", "user", "options")


@dataclass(frozen=True, slots=True, repr=False)
class Server:
    """A database on a PostgreSQL server. As text it has no password, and may stand in messages."""

    url: URL
    """How to reach it, password included."""

    def __str__(self) -> str:
        url = self.url
        host = f"[{url.host}]" if url.host and ":" in url.host else url.host or ""
        where = f"{url.username + '@' if url.username else ''}{host}{f':{url.port}' if url.port else ''}"
        shown = [f"{name}={value}" for name in _SHOWN for value in url.normalized_query.get(name, ())]
        return f"postgresql://{where}/{url.database or ''}{'?' + '&'.join(shown) if shown else ''}"

    def __repr__(self) -> str:
        return f"Server({str(self)!r})"


Address = Path | Server


def default_path() -> Path:
    """Return ``$CPUT_HOME/ledger.db``, or ``ledger.db`` in the user's XDG data folder."""
    home = os.environ.get("CPUT_HOME")
    return (Path(home).expanduser() if home else user_data_path("cput")) / "ledger.db"


def address(where: Address | str | None) -> Address:
    """Return the address that ``where`` spells: a file, or a URL of a PostgreSQL database.

    None is ``$CPUT_LEDGER``, which may be either, and ``default_path()`` where that is not set.

    Raises:
        InputError: when it is a URL of something else, or one that cannot be read; it is not shown, for its password.
    """
    if isinstance(where, Server):
        return where
    text = str(where or os.environ.get("CPUT_LEDGER") or default_path())
    match = _SCHEME.match(text)
    if match is None:
        return Path(text).expanduser()
    scheme, whole = match["scheme"].lower(), len(match["slashes"]) > 1
    if scheme in _SCHEMES and whole:
        return Server(_url(text))
    if scheme in _SCHEMES:  # what a Path makes of a URL; the slashes that it took away can't be guessed
        raise InputError(f"the ledger's address begins with '{scheme}:/'; allowed: {EXAMPLE}, as text, not as a path")
    if whole:
        raise InputError(f"a ledger can't be at '{scheme}://...'; allowed: the name of a file, or {EXAMPLE}")
    return Path(text).expanduser()


def _url(text: str) -> URL:
    """Read a URL without ever showing it: whoever mistypes it may have mistyped the password."""
    if text.partition("?")[0].count("@") > 1:
        raise InputError(
            "the ledger's address has more than one '@' (it is not shown); write those of a password as %40, "
            f"or leave the password out and set PGPASSWORD. Allowed: {EXAMPLE}"
        )
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            "the ledger's address can't be read, perhaps for its port (it is not shown, for its password); "
            "allowed: postgresql://user@host:5432/database"
        ) from error
    return url.set(drivername="postgresql+psycopg")
