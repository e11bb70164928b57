"""A file that is whole or not there: it is written under another name beside its place and moved there at the end."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cput.errors import InputError, SetupError


@contextlib.contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file to write; ``path`` appears when the block ends, and not at all where it fails or is interrupted.

    Raises:
        InputError: when ``path`` is a folder, its folder is not there, or it exists and may not be overwritten.
        SetupError: when it cannot be written.
    """
    check(path, overwrite=overwrite)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be written ({error.strerror or error}); free space or name another place"
        ) from (error)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def check(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where no file can be put, before any work is done."""
    if path.is_dir():
        raise InputError(f"--out {path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.parent}; make it first")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; name another file, or give --overwrite")
