"""Waits for what another task, thread or process does; there is nothing to await."""

import asyncio
from collections.abc import Callable


async def eventually(true: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110  # nobody sets an event
            await asyncio.sleep(0.002)
