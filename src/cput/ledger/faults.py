"""What a database says when it cannot, as a sentence for a person."""

import sqlite3

from cput.errors import CputError, InputError, SetupError

BUSY_TIMEOUT_S = 30.0


def explain(error: BaseException, where: str) -> CputError:
    """Return the error to raise in place of a database ``error`` about the ledger at ``where``.

    The primary result code is the low byte of SQLite's extended one (https://www.sqlite.org/rescode.html).
    """
    if isinstance(error, CputError):
        return error
    cause = getattr(error, "orig", None) or error
    code = (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF
    kept = "What was acknowledged before is safe."
    match code:
        case sqlite3.SQLITE_FULL:
            return SetupError(
                f"the disk is full: the ledger {where} cannot grow. {kept} Free space, or move it: CPUT_HOME"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return SetupError(f"the ledger {where} is read-only. {kept} Run: chmod u+w '{where}', or set CPUT_HOME")
        case sqlite3.SQLITE_CANTOPEN:
            return SetupError(
                f"the ledger {where} cannot be opened or created. Make its folder writable, or set CPUT_HOME"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return SetupError(
                f"another process has kept the ledger {where} locked for {BUSY_TIMEOUT_S:g} s. {kept} "
                "End that process, or set CPUT_HOME to a ledger of your own"
            )
        case sqlite3.SQLITE_NOTADB:
            return InputError(f"{where} is not a ledger: it is no SQLite database. Name another file, or set CPUT_HOME")
        case sqlite3.SQLITE_CORRUPT:
            return InputError(f"the ledger {where} is damaged ({cause}). Run: sqlite3 '{where}' .recover")
        case sqlite3.SQLITE_IOERR:
            return SetupError(f"the disk failed while the ledger {where} was written ({cause}). {kept} Check the disk")
        case _:
            return InputError(f"the ledger {where} refused a record: {cause}. {kept}")
