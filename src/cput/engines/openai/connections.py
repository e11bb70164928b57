"""Connections to a server: kept alive for the next call, and made anew where the server has dropped the kept one.

A server may close an idle connection at the moment at which the next request goes out on it (llama-server does so after
a few seconds). Nothing of an answer has come then, and the request goes out once more, on a connection of its own, as
browsers and curl do it (RFC 9112, 9.3.1). On a new connection the same failure is an error.
"""

import asyncio
import urllib.request
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL


class Connections:
    """The sessions of one server. An event loop that replaced the first one gets sessions of its own."""

    def __init__(self, connect_timeout_s: float, *, resend: bool = True) -> None:
        """``resend`` False leaves the second sending to a wrapper, under which each is an attempt of its own."""
        self._resend = resend
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        self._kept: aiohttp.ClientSession | None = None
        self._single: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, url: URL, *, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a JSON body and return the response once its head has come.

        Raises:
            aiohttp.ClientError, ConnectionError: the server can't be reached.
        """
        self._leave_old_loop()
        sent = SimpleNamespace(reused=False) if self._resend else None
        if self._kept is None or self._kept.closed:
            self._kept = self._session(url, force_close=False)
        try:
            return await self._post(self._kept, url, body, headers, sent)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if sent is None or not sent.reused:
                raise
        if self._single is None or self._single.closed:
            self._single = self._session(url, force_close=True)
        return await self._post(self._single, url, body, headers, sent)

    async def _post(
        self, session: aiohttp.ClientSession, url: URL, body: bytes, headers: Mapping[str, str], sent: Any
    ) -> aiohttp.ClientResponse:
        return await session.post(url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=sent)

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

    def _session(self, url: URL, *, force_close: bool) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_reused)
        proxy, proxy_auth = _proxy_of(url)
        return aiohttp.ClientSession(
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=0, force_close=force_close),
            headers={"Content-Type": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),  # one client's cookie must not go out with another's call
            proxy=proxy,
            proxy_auth=proxy_auth,
            trace_configs=[trace] if self._resend else [],
        )


def _proxy_of(target: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """Return the proxy that the environment names for a URL, and its credentials.

    Asked once per session: aiohttp's ``trust_env`` reads the environment and the user's netrc for every request, which
    took a third of the gateway's time, and would send netrc's passwords to a server that was given no key.
    """
    if target.host is None or urllib.request.proxy_bypass(target.host):
        return None, None
    named = urllib.request.getproxies().get(target.scheme)
    if not named:
        return None, None
    proxy = URL(named)
    auth = aiohttp.BasicAuth(proxy.user, proxy.password or "") if proxy.user else None
    return proxy.with_user(None), auth


async def _reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    context.trace_request_ctx.reused = True
