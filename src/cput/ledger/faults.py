"""What a database says when it cannot, as a sentence for a person."""

import sqlite3

from cput.errors import CputError, InputError, SetupError

BUSY_TIMEOUT_S = 30.0
"""How long a transaction waits for another process's, and the writer for a server that does not answer."""
KEPT = "What was acknowledged before is safe."


def explain(error: BaseException, where: str) -> CputError:
    """Return the error to raise in place of a database ``error`` about the ledger at ``where``."""
    if isinstance(error, CputError):
        return error
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause, where)
    if state_of(cause) is not None:
        return _postgresql(cause, where)
    if _is_connection(cause):
        return _no_connection(_words(cause), where)
    return _refused(_words(cause), where)


def state_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a PostgreSQL error; None where it has none, as for a connection that was lost."""
    state: str | None = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return state


def is_full(error: BaseException) -> bool:
    """Whether the disk is full, so that a smaller transaction may still fit."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None) or 0
    return code & 0xFF == sqlite3.SQLITE_FULL or state_of(error) == "53100"


def _sqlite(cause: sqlite3.Error, where: str) -> CputError:
    """The primary result code is the low byte of SQLite's extended one (https://www.sqlite.org/rescode.html)."""
    match (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return SetupError(
                f"the disk is full: the ledger {where} cannot grow. {KEPT} Free space, or move it: CPUT_HOME"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return SetupError(f"the ledger {where} is read-only. {KEPT} Run: chmod u+w '{where}', or set CPUT_HOME")
        case sqlite3.SQLITE_CANTOPEN:
            return SetupError(
                f"the ledger {where} cannot be opened or created. Make its folder writable, or set CPUT_HOME"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return SetupError(
                f"another process has kept the ledger {where} locked for {BUSY_TIMEOUT_S:g} s. {KEPT} "
                "End that process, or set CPUT_HOME to a ledger of your own"
            )
        case sqlite3.SQLITE_NOTADB:
            return InputError(f"{where} is not a ledger: it is no SQLite database. Name another file, or set CPUT_HOME")
        case sqlite3.SQLITE_CORRUPT:
            return InputError(f"the ledger {where} is damaged ({cause}). Run: sqlite3 '{where}' .recover")
        case sqlite3.SQLITE_IOERR:
            return SetupError(f"the disk failed while the ledger {where} was written ({cause}). {KEPT} Check the disk")
        case _:
            return _refused(cause, where)


def _postgresql(cause: BaseException, where: str) -> CputError:
    """SQLSTATEs are PostgreSQL's (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    said = _words(cause)
    match state_of(cause):
        case "53100":
            return SetupError(f"the server's disk is full: the ledger {where} cannot grow. {KEPT} Free space there")
        case "25006":
            return SetupError(f"the ledger {where} is read-only ({said}). {KEPT} Name a server that takes writes")
        case "42501":
            return SetupError(f"the user of the ledger {where} may not do this ({said}). Let the owner GRANT it")
        case "55P03":
            return SetupError(
                f"another process has kept rows of the ledger {where} locked for {BUSY_TIMEOUT_S:g} s. {KEPT} "
                "End that process"
            )
        case "42P01" | "42703":
            return InputError(f"the ledger {where} has lost a part of its schema ({said}). Restore it from a backup")
        case "XX001" | "XX002":
            return InputError(f"the ledger {where} is damaged ({said}). Restore it from a backup")
        case "58030" | "58P01":
            return SetupError(f"the server's disk failed under the ledger {where} ({said}). {KEPT} Check the disk")
        case str(state) if state[:2] in {"08", "53", "57", "40"}:
            return SetupError(f"the server of the ledger {where} broke off ({said}). {KEPT} See to it and try again")
        case _:
            return _refused(said, where)


def _is_connection(cause: BaseException) -> bool:
    """Whether it is PostgreSQL's driver that could not connect, or lost its connection; it is not imported to ask."""
    return any(kind.__module__ == "psycopg" and kind.__name__ == "OperationalError" for kind in type(cause).__mro__)


def _no_connection(said: str, where: str) -> CputError:
    """Read the server's words, since on connecting there is no SQLSTATE; they may be in the server's own language."""
    if "password" in said:
        return SetupError(
            f"the server let nobody into the ledger {where}: {said}. Set PGPASSWORD, or put the password into ~/.pgpass"
        )
    if "database" in said and "does not exist" in said:
        return SetupError(
            f"there is no such database for the ledger {where}: {said}. "
            "Make it: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        )
    return SetupError(f"the server of the ledger {where} can't be reached: {said}. {KEPT} Start it, or set CPUT_LEDGER")


def _words(cause: BaseException) -> str:
    """Return the first line of what the driver says, without saying twice that it failed."""
    line = next(iter(str(cause).splitlines()), type(cause).__name__)
    return " ".join(line.removeprefix("connection failed: ").removeprefix("connection is bad: ").split())


def _refused(cause: object, where: str) -> InputError:
    return InputError(f"the ledger {where} refused a record: {cause}. {KEPT}")
