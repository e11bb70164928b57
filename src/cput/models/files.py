"""Folders that are whole or absent, locks between processes, digests.

A folder is built under ``<name>.partial``, written through to the disk, and renamed; a crash, a full disk or Ctrl-C
leaves only the partial folder, which the next attempt clears.
"""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from cput.errors import InputError, SetupError

PARTIAL = ".partial"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
_CHUNK = 1 << 20


def checked_name(name: str) -> str:
    """Return ``name`` if it is safe as one folder name; lower case is not forced, the user's spelling stays.

    Raises:
        InputError: for an empty name, a path, ``..``, a leading dot or dash, or one that ends like a partial folder.
    """
    if not _NAME.fullmatch(name) or ".." in name or name.endswith((PARTIAL, ".lock")):
        raise InputError(
            f"model name '{name[:140]}' is not allowed; use 1 to 128 letters, digits, '.', '_' or '-', "
            f"starting with a letter or digit, without '..'"
        )
    return name


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` against other processes and threads; waits for as long as it takes."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into a SetupError that names ``path`` and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            free = _free_bytes(path)
            raise SetupError(
                f"the disk is full: writing '{path}' failed with {free / 1e6:,.0f} MB free; nothing half-written was "
                f"kept as a model. Free space, or move the cache: export CPUT_HOME=/another/disk"
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise SetupError(
                f"'{path}' cannot be written ({error.strerror}); choose another cache: "
                f"export CPUT_HOME=/a/folder/of/yours"
            ) from error
        raise


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give an empty ``<target>.partial``; on success it replaces ``target``, on any failure it is removed.

    An earlier ``target`` stays until the new one is whole. The caller holds a lock.
    """
    partial = target.with_name(target.name + PARTIAL)
    with disk_errors(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            sync_folder(partial)
            replace_folder(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def replace_folder(new: Path, target: Path) -> None:
    """Rename ``new`` to ``target``; an old ``target`` is moved aside first and removed last."""
    old = target.with_name(target.name + ".old" + PARTIAL)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Write every file of ``folder`` through to the disk, so that a rename never shows a file without its bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    with suppress(OSError):  # Windows cannot open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _free_bytes(path: Path) -> int:
    for folder in (path, *path.parents):
        with suppress(OSError):
            return shutil.disk_usage(folder).free
    return 0
