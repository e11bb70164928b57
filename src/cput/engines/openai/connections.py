"""Connections to a server: kept alive for the next call, and made anew where the server has dropped the kept one.

A server may close an idle connection at the moment at which the next request goes out on it (llama-server does so after
a few seconds). Nothing of an answer has come then, and the request goes out once more, on a connection of its own, as
browsers and curl do it (RFC 9112, 9.3.1). On a new connection the same failure is an error.
"""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp


class Connections:
    """The sessions of one server. An event loop that replaced the first one gets sessions of its own."""

    def __init__(self, connect_timeout_s: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        self._kept: aiohttp.ClientSession | None = None
        self._single: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, url: str, *, body: Mapping[str, Any], headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a request and return the response once its head has come.

        Raises:
            aiohttp.ClientError, ConnectionError: the server can't be reached.
        """
        self._leave_old_loop()
        sent = SimpleNamespace(reused=False)
        if self._kept is None or self._kept.closed:
            self._kept = self._session(force_close=False)
        try:
            return await self._kept.post(url, json=body, headers=headers, trace_request_ctx=sent, allow_redirects=False)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not sent.reused:
                raise
        if self._single is None or self._single.closed:
            self._single = self._session(force_close=True)
        return await self._single.post(url, json=body, headers=headers, trace_request_ctx=sent, allow_redirects=False)

    async def aclose(self) -> None:
        """Close all connections; a later call opens new ones."""
        sessions, self._kept, self._single = (self._kept, self._single), None, None
        for session in sessions:
            if session is not None:
                await session.close()

    def _leave_old_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._kept = self._single = None
            self._loop = loop

    def _session(self, *, force_close: bool) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_reused)
        connector = aiohttp.TCPConnector(limit=0, force_close=force_close)
        return aiohttp.ClientSession(timeout=self._timeout, connector=connector, trust_env=True, trace_configs=[trace])


async def _reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    context.trace_request_ctx.reused = True
