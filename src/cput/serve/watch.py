"""Reloads a policy file while it serves: when the file changes, a new stack is built, and takes over when it is ready.

A file that can't be read, or names a model that can't be opened, changes nothing: the log says why, the old policy
serves on, and the next change is tried again.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from cput.errors import CputError
from cput.serve.logs import note
from cput.serve.serving import Serving, Stack

LOOK_EVERY_S = 1.0


async def follow(
    path: Path,
    serving: Serving,
    build: Callable[[], Awaitable[Stack]],
    *,
    seen: str | None,
    every_s: float = LOOK_EVERY_S,
) -> None:
    """Look at the file every ``every_s`` seconds for ever; ``build`` reads it and makes what it says.

    ``seen`` is its digest before what serves now was made of it.
    """
    while True:
        await asyncio.sleep(every_s)
        now = digest(path)
        if now is None or now == seen:
            continue  # gone for a moment: an editor writes the file anew
        seen = now
        try:
            stack = await _loaded(build)
        except CputError as error:
            note("policy refused", logging.ERROR, policy=str(path), why=str(error))
            continue
        serving.replace(stack)
        note("policy replaced", policy=str(path), now=stack.words)


async def _loaded(build: Callable[[], Awaitable[Stack]]) -> Stack:
    stack = await build()
    try:
        await stack.load()
    except BaseException:
        await stack.close()
        raise
    return stack


def digest(path: Path) -> str | None:
    """Return the digest of a file's content; None where it can't be read now."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
