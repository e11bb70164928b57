"""Writes a report so that a reader, or a full disk, never meets half a file."""

import os
import tempfile
from pathlib import Path

from cput.errors import SetupError


def write(html: str, path: str | os.PathLike[str]) -> Path:
    """Write ``html`` to ``path`` atomically, making its folder, and return the path.

    Raises:
        SetupError: when the folder cannot be made or written, or the disk is full; an older file is then unchanged.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as file:
            temporary = file.name
            file.write(html)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # noqa: PTH101  # a report is read by others; mkstemp makes it 0600
        os.replace(temporary, target)  # noqa: PTH105
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise SetupError(
            f"the report cannot be written to '{target}': {reason}; name another file or free space"
        ) from None
    return target
