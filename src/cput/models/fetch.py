"""Downloads one file: resumes by HTTP Range, checks size and digest, never leaves a wrong file under the right name.

Bytes arrive in ``<target>.part``; only a file whose digest fits is renamed to ``target``.
"""

import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cput.errors import SetupError
from cput.models.files import disk_errors, sha256_of

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, bytes so far, and bytes in all (None where unknown)."""

CHUNK = 1 << 20
TIMEOUT_S = 60.0
TRIES = 4


class Unreachable(SetupError):  # noqa: N818  # reads as the state it names
    """The server could not be reached, or the transfer kept breaking off; what has arrived is kept for the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A file somewhere else."""

    url: str
    """http or https."""
    name: str
    """What to call it in messages."""
    sha256: str | None = None
    """Expected digest; None where the source states none."""
    bytes: int | None = None
    """Expected size."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request, e.g. an authorization."""


def fetch(remote: Remote, target: Path, progress: Progress | None = None, *, wait_s: float = 1.0) -> Path:
    """Bring ``remote`` to ``target`` and return it; a ``target`` that already has the right digest is kept.

    A broken transfer is taken up where it stopped, ``TRIES`` times, with a pause that doubles from ``wait_s`` seconds;
    a later call goes on from the same place.

    Raises:
        Unreachable: no connection, or an HTTP error that is not about the file.
        SetupError: the file is not there, its digest is wrong (both digests are named), or the disk is full.
    """
    if target.exists() and (remote.sha256 is None or sha256_of(target) == remote.sha256):
        return target
    part = target.with_name(target.name + ".part")
    with disk_errors(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(TRIES):
            if attempt:
                time.sleep(wait_s * 2 ** (attempt - 1))
            problem = _transfer(remote, part, progress)
            if problem is None:
                return _accept(remote, part, target)
    raise Unreachable(f"'{remote.name}' could not be downloaded from {remote.url}: {problem}")


def read_json(url: str, headers: tuple[tuple[str, str], ...] = ()) -> Any:
    """Return the JSON that ``url`` answers with.

    Raises:
        Unreachable: no connection, an HTTP error, or an answer that is not JSON; ``status`` of the cause says which.
    """
    import json

    try:
        with _open(url, dict(headers)) as answer:
            return json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{url} did not answer as expected: {_reason(error)}") from error


def _transfer(remote: Remote, part: Path, progress: Progress | None) -> str | None:
    """Append to ``part`` until the file is whole; return None, or why the transfer broke off."""
    have = part.stat().st_size if part.exists() else 0
    if remote.bytes is not None and have > remote.bytes:
        part.unlink()  # cannot be the beginning of the file
        have = 0
    if have and have == remote.bytes:
        return None
    try:
        answer = _open(remote.url, {**dict(remote.headers), **({"Range": f"bytes={have}-"} if have else {})})
    except urllib.error.HTTPError as error:
        return _http_problem(remote, part, error)
    except (OSError, http.client.HTTPException) as error:
        return _reason(error)
    with answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        have = have if resumed else 0  # a server without ranges sends the whole file again
        total = _total(answer, have) or remote.bytes
        with part.open("ab" if resumed else "wb") as file:
            try:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    if progress:
                        progress(remote.name, have, total)
            except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
                return _reason(error)
            finally:
                file.flush()
                os.fsync(file.fileno())
    return None if total is None or have >= total else f"the connection closed after {have:,} of {total:,} bytes"


def _http_problem(remote: Remote, part: Path, error: urllib.error.HTTPError) -> str:
    """Return why to try again, or raise where another try cannot help."""
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
        return "the server has a shorter file than was begun"
    if error.code in {401, 403, 404, 410, 451}:
        raise SetupError(f"'{remote.name}' was refused: {remote.url} answered {error.code} {error.reason}") from error
    return f"it answered {error.code} {error.reason}"


def _accept(remote: Remote, part: Path, target: Path) -> Path:
    if remote.sha256 is not None:
        found = sha256_of(part)
        if found != remote.sha256:
            part.unlink()
            raise SetupError(
                f"'{remote.name}' from {remote.url} has the wrong checksum: sha256 {found}, expected {remote.sha256}. "
                f"The download was discarded and nothing else was touched; try again, or look at what stands between "
                f"this machine and the server"
            )
    part.replace(target)
    return target


def _open(url: str, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "cput"})  # noqa: S310  # scheme checked next
    for key, value in headers.items():
        # A hub redirects to storage elsewhere, which must not see the user's token; a range is meant for it.
        (request.add_header if key == "Range" else request.add_unredirected_header)(key, value)
    if request.type not in {"http", "https"}:
        raise SetupError(f"{url} is not an http or https address")
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310  # http or https only


def _total(answer: Any, have: int) -> int | None:
    length = answer.headers.get("Content-Length")
    return None if length is None else have + int(length)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error) or type(error).__name__
