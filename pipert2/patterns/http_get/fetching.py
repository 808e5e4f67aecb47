"""Fetching many web pages at once, each for itself: what goes wrong with one is that one's value."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pipert2.patterns.http_get.page import Page

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, ValueError)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a page may cost.

    Args:
        parallel: how many pages are fetched at once, whoever asks for them.
        max_bytes: of a page, unpacked.
        max_redirects: until a page is given up.
        connect_timeout: seconds to a connection. timeout: seconds to the end of the page, redirects included.
    """

    parallel: int = 300
    max_bytes: int = 10_000_000
    max_redirects: int = 20
    connect_timeout: float = 10.0
    timeout: float = 60.0

    def __post_init__(self) -> None:
        for name, least in (("parallel", 1), ("max_bytes", 0), ("max_redirects", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"HttpGet({name}=...) is a whole number, {least} or more, not {value!r}")
        for name in ("connect_timeout", "timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"HttpGet({name}=...) is a time in seconds above 0, not {value!r}")


class _Kept(httpx.AsyncBaseTransport):
    """Connections that outlive the client of one page."""

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


class Fetcher:
    """Fetches pages over connections that it keeps. An async context manager, for one event loop.

    Args:
        limits: what a page may cost.
        verify: check the certificates of HTTPS, by those that the system trusts or those of a file; False: by none.
        user_agent: what it says it is.
    """

    def __init__(
        self, limits: Limits | None = None, *, verify: bool | str | Path = True, user_agent: str = "pipert2"
    ) -> None:
        self._limits = limits or Limits()
        context: ssl.SSLContext | bool = (
            verify if isinstance(verify, bool) else ssl.create_default_context(cafile=str(verify))
        )
        parallel = self._limits.parallel
        bounds = httpx.Limits(max_connections=parallel, max_keepalive_connections=min(parallel, 100))
        self._connections = httpx.AsyncHTTPTransport(verify=context, limits=bounds, trust_env=False)
        self._transport = _Kept(self._connections)
        self._turns = asyncio.Semaphore(parallel)
        self._user_agent = user_agent

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def fetch_all(
        self,
        urls: Sequence[str],
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> list[Page]:
        """The pages of all *urls*, in their order; at once, as far as the limits allow."""
        tasks = [asyncio.ensure_future(self.fetch(url, headers, cookies)) for url in urls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def fetch(
        self, url: str, headers: Mapping[str, str] | None = None, cookies: Mapping[str, str] | None = None
    ) -> Page:
        """One page. Only being cancelled raises.

        Args:
            headers: sent along, in place of ours where they have the same name.
            cookies: sent along to the host of the URL, and to no other that it redirects to.
        """
        if not isinstance(url, str):
            return Page(str(url), str(url), error=f"{url!r} is not a URL")
        async with self._turns:
            try:
                return await asyncio.wait_for(self._fetch(url, headers or {}, cookies or {}), self._limits.timeout)
            except (asyncio.TimeoutError, TimeoutError):
                return Page(url, url, error=f"took longer than {self._limits.timeout:g} s")
            except _FAILURES as error:
                return Page(url, url, error=f"{type(error).__name__}: {error}".rstrip(": "))

    async def _fetch(self, url: str, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Page:
        limits = self._limits
        # A client for each page, so that no page sees the cookies of another; the connections are shared.
        client = httpx.AsyncClient(
            transport=self._transport,
            trust_env=False,
            headers={"user-agent": self._user_agent, **headers},
            cookies=_cookies_for(url, cookies),
            follow_redirects=True,
            max_redirects=limits.max_redirects,
            timeout=httpx.Timeout(limits.timeout, connect=limits.connect_timeout, pool=None),
        )
        async with client, client.stream("GET", url) as response:
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > limits.max_bytes:
                    return Page(
                        url, str(response.url), response.status_code, error=f"larger than {limits.max_bytes} bytes"
                    )
            return Page(
                asked=url,
                url=str(response.url),
                status=response.status_code,
                content=bytes(content),
                headers=tuple((name.lower(), value) for name, value in response.headers.multi_items()),
                cookies={cookie.name: cookie.value or "" for cookie in client.cookies.jar},
                history=tuple(str(step.url) for step in response.history),
                charset=response.charset_encoding,
            )


def _cookies_for(url: str, cookies: Mapping[str, str]) -> httpx.Cookies:
    jar = httpx.Cookies()
    host = urlsplit(url).hostname or ""
    domain = host if "." in host else f"{host}.local"  # as the standard library's jar calls it
    for name, value in cookies.items():
        jar.set(name, value, domain=domain)
    return jar
