"""HttpGet: a routine that fetches web pages for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipert2.graph.routine import MiddleRoutine
from pipert2.patterns.http_get.fetching import Fetcher, Limits
from pipert2.patterns.http_get.page import Page

_KEYS = ("headers", "cookies")


class HttpGet(MiddleRoutine):
    """Fetches the pages of a list of URLs, all at once; a page that cannot be had is a value with an error.

    Its input is a list of URLs, or a dict with such a list as ``"url_list"`` and perhaps ``"headers"`` and
    ``"cookies"`` to send. For a list the answer is a list of :class:`Page` in the same order, for a dict that dict
    with it as ``"pages"``. Certificates are checked, redirects followed, charsets respected.

    Args:
        name: of the routine.
        parallel: pages that are fetched at once, of all messages that it works on.
        max_bytes: of a page, unpacked; larger ones are errors.
        max_redirects: until a page is given up.
        connect_timeout: seconds to a connection. timeout: seconds to the end of a page, redirects included.
        verify: check the certificates of HTTPS; a file of those to trust, or False to trust everybody.
        user_agent: what it says it is.
        service: it is there to be called, and on no wire.
    """

    concurrency = 300

    def __init__(
        self,
        name: str | None = None,
        *,
        parallel: int = 300,
        max_bytes: int = 10_000_000,
        max_redirects: int = 20,
        connect_timeout: float = 10.0,
        timeout: float = 60.0,
        verify: bool | str | Path = True,
        user_agent: str = "pipert2",
        service: bool = False,
    ) -> None:
        super().__init__(name)
        self.service = service
        self._limits = Limits(
            parallel=parallel,
            max_bytes=max_bytes,
            max_redirects=max_redirects,
            connect_timeout=connect_timeout,
            timeout=timeout,
        )
        self._verify = verify
        self._user_agent = user_agent

    def setup(self) -> None:
        self._fetcher = Fetcher(self._limits, verify=self._verify, user_agent=self._user_agent)

    async def main_logic(self, data: Any) -> Any:
        """Fetch what a message asks for."""
        if not isinstance(data, Mapping):
            return await self._fetcher.fetch_all(_urls(data))
        headers, cookies = (_texts(data, key) for key in _KEYS)
        if "url_list" not in data:
            raise ValueError('what HttpGet gets is a list of URLs or a dict with one as "url_list"')
        pages: list[Page] = await self._fetcher.fetch_all(_urls(data["url_list"]), headers, cookies)
        return {**data, "pages": pages}

    async def cleanup(self) -> None:
        """Close the connections."""
        await self._fetcher.aclose()


def _urls(data: Any) -> Sequence[str]:
    if isinstance(data, str):
        return [data]
    if not isinstance(data, Sequence):
        raise TypeError(f'what HttpGet gets is a list of URLs or a dict with one as "url_list", not {data!r:.100}')
    return data


def _texts(job: Mapping[str, Any], key: str) -> Mapping[str, str]:
    found = job.get(key) or {}
    if not isinstance(found, Mapping) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise TypeError(f"{key!r} of a job for HttpGet is a dict of texts, not {found!r:.100}")
    return found
