"""HttpGet without a pipe: every URL gets its own answer, in order, whatever the others do."""

from __future__ import annotations

import asyncio
import gzip
import pickle
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipert2 import HttpGet, Page

T = TypeVar("T")
END = b"\r\n"


class Site:
    """A web server for the time of a test.

    Attributes:
        asked: path and headers of each request. most: how many it worked on at once.
    """

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.open = asyncio.Event()
        self.now = self.most = 0

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                headers: dict[str, str] = {}
                while (line := await reader.readline()) not in (END, b""):
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                self.asked.append((path, headers))
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    await self.answer(path, writer)
                finally:
                    self.now -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        status, headers, body = "200 OK", ["Content-Type: text/plain"], b"hello"
        if path == "/missing":
            status, body = "404 Not Found", b"no"
        elif path.startswith("/to/"):
            status, headers, body = "302 Found", [f"Location: {path[3:]}", "Set-Cookie: step=1; Path=/"], b""
        elif path.startswith("/away/"):
            status, headers, body = "302 Found", [f"Location: {self.url(path[5:], 'localhost')}"], b""
        elif path == "/circle":
            status, headers, body = "302 Found", ["Location: /circle"], b""
        elif path == "/elsewhere":
            status, headers, body = "302 Found", ["Location: file:///etc/passwd"], b""
        elif path == "/latin":
            headers, body = ["Content-Type: text/html; charset=iso-8859-2"], "Łódź".encode("iso-8859-2")
        elif path == "/unknown-charset":
            headers, body = ["Content-Type: text/html; charset=klingon"], "Łódź".encode()
        elif path == "/twice":
            headers = ["X-Found: a", "x-found: b", "Set-Cookie: one=1", "Set-Cookie: two=2"]
        elif path == "/bomb":
            headers, body = ["Content-Encoding: gzip"], gzip.compress(bytes(5_000_000))
        elif path == "/broken":
            headers, body = ["Content-Encoding: gzip"], b"this is not gzip"
        elif path == "/gate":
            await self.open.wait()
        elif path == "/drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            await self.open.wait()
        elif path == "/endless":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(bytes(10_000))
                await writer.drain()
        elif path == "/garbage":
            writer.write(b"what?\r\n\r\n")
            writer.close()
            return
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write(END.join(line.encode() for line in head) + END + END + body)
        await writer.drain()


@asynccontextmanager
async def site(context: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    connections = asyncio.all_tasks()
    try:
        yield made
    finally:
        made.open.set()
        server.close()
        left = asyncio.all_tasks() - connections
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await server.wait_closed()


def with_site(do: Callable[[Site, HttpGet], Awaitable[T]], **options: Any) -> T:
    """Run *do* with a site and a routine that has been set up, in a loop of its own."""

    async def run() -> T:
        async with site() as found:
            get = HttpGet(**options)
            get.setup()
            try:
                return await do(found, get)
            finally:
                await get.cleanup()

    return asyncio.run(asyncio.wait_for(run(), 30))


def fetch(path: str, **options: Any) -> Page:
    async def do(found: Site, get: HttpGet) -> Page:
        pages: list[Page] = await get.main_logic([found.url(path)])
        return pages[0]

    return with_site(do, **options)


def test_each_url_gets_its_answer_in_the_order_of_the_list() -> None:
    """A, extra: one URL is refused, the other one answers, in the order of the request."""

    async def do(found: Site, get: HttpGet) -> list[Page]:
        return list(await get.main_logic([found.url("/a"), "http://127.0.0.1:1/", found.url("/missing")]))

    first, refused, missing = with_site(do)
    assert (first.ok, first.status, first.text) == (True, 200, "hello")
    assert (refused.ok, refused.status) == (False, 0)
    assert refused.error is not None
    assert refused.error.startswith("ConnectError")
    assert (missing.ok, missing.status, missing.error) == (False, 404, None)


@pytest.mark.parametrize(
    "url", ["", "no url", "http://", "ftp://a/b", "http://[::1", "http://a:99999/", 7, None, "http://\x00/"]
)
def test_what_is_no_url_of_the_web_is_an_error_and_the_others_are_fetched(url: Any) -> None:
    async def do(found: Site, get: HttpGet) -> list[Page]:
        return list(await get.main_logic([url, found.url("/a")]))

    bad, good = with_site(do, timeout=5)
    assert bad.error
    assert good.ok


def test_a_job_is_answered_with_itself_and_its_pages() -> None:
    async def do(found: Site, get: HttpGet) -> tuple[dict[str, Any], list[tuple[str, dict[str, str]]]]:
        job = {
            "url_list": [found.url("/to/a")],
            "headers": {"X-Who": "me", "User-Agent": "mine"},
            "cookies": {"key": "k"},
            "id": 7,
        }
        return await get.main_logic(job), found.asked

    answer, asked = with_site(do)
    assert (answer["id"], answer["pages"][0].text) == (7, "hello")
    assert [path for path, _ in asked] == ["/to/a", "/a"]
    for _, headers in asked:
        assert (headers["x-who"], headers["user-agent"]) == ("me", "mine")
        assert "key=k" in headers["cookie"]


def test_cookies_do_not_go_to_another_host_nor_into_another_page() -> None:
    async def do(found: Site, get: HttpGet) -> list[tuple[str, dict[str, str]]]:
        await get.main_logic({"url_list": [found.url("/away/a")], "cookies": {"key": "k"}})
        await get.main_logic([found.url("/to/b")])
        await get.main_logic([found.url("/c")])
        return found.asked

    asked = dict(with_site(do))
    assert asked["/away/a"]["cookie"] == "key=k"
    assert "cookie" not in asked["/a"]
    assert asked["/b"]["cookie"] == "step=1"  # set on the way
    assert "cookie" not in asked["/c"]


def test_redirects_are_followed_and_told() -> None:
    page = fetch("/to/to/latin")
    assert (page.text, page.cookies) == ("Łódź", {"step": "1"})
    assert [url.partition("1:")[2].partition("/")[2] for url in (*page.history, page.url)] == [
        "to/to/latin",
        "to/latin",
        "latin",
    ]


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("/circle", {}, "TooManyRedirects"),
        ("/to/to/a", {"max_redirects": 1}, "TooManyRedirects"),
        ("/elsewhere", {}, "UnsupportedProtocol"),
        ("/gate", {"timeout": 0.1}, "took longer than 0.1 s"),
        ("/drip", {"timeout": 0.1}, "took longer than 0.1 s"),
        ("/endless", {"max_bytes": 100_000}, "larger than 100000 bytes"),
        ("/bomb", {"max_bytes": 100_000}, "larger than 100000 bytes"),
        ("/broken", {}, "DecodingError"),
        ("/garbage", {}, "RemoteProtocolError"),
    ],
)
def test_a_page_that_cannot_be_had_says_why(path: str, options: dict[str, Any], reason: str) -> None:
    page = fetch(path, **options)
    assert page.error is not None
    assert page.error.startswith(reason)
    assert not page.ok


def test_a_charset_that_nobody_knows_is_utf_8() -> None:
    assert fetch("/unknown-charset").text == "Łódź"


def test_headers_that_are_there_twice_are_kept() -> None:
    page = fetch("/twice")
    assert [value for name, value in page.headers if name == "x-found"] == ["a", "b"]
    assert (page.header("X-FOUND"), page.header("none")) == ("a", None)
    assert page.cookies == {"one": "1", "two": "2"}


def test_a_page_can_be_sent() -> None:
    page = fetch("/a")
    assert pickle.loads(pickle.dumps(page)) == page


def test_as_many_are_fetched_at_once_as_is_allowed_and_no_more() -> None:
    async def do(found: Site, get: HttpGet) -> tuple[int, int, list[Page]]:
        jobs = [asyncio.ensure_future(get.main_logic([found.url("/gate")] * 10)) for _ in range(3)]
        while found.now < 7:
            await asyncio.sleep(0.001)
        found.open.set()
        answers = await asyncio.gather(*jobs)
        return found.most, len(found.asked), [page for pages in answers for page in pages]

    most, asked, pages = with_site(do, parallel=7)
    assert (most, asked) == (7, 30)
    assert all(page.ok for page in pages)


def test_a_message_that_is_given_up_leaves_no_request_behind() -> None:
    async def do(found: Site, get: HttpGet) -> bool:
        job = asyncio.ensure_future(get.main_logic([found.url("/gate")] * 3))
        while found.now < 3:
            await asyncio.sleep(0.001)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        return bool((await get.main_logic([found.url("/a")]))[0].ok)

    assert with_site(do, parallel=3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "a list of URLs"),
        ({"urls": []}, "a list of URLs"),
        ({"url_list": 5}, "a list of URLs"),
        ({"url_list": [], "headers": ["a"]}, "'headers' of a job"),
        ({"url_list": [], "cookies": {"a": 1}}, "'cookies' of a job"),
    ],
)
def test_what_is_no_job_raises(data: Any, message: str) -> None:
    async def do(_: Site, get: HttpGet) -> None:
        await get.main_logic(data)

    with pytest.raises((TypeError, ValueError), match=message):
        with_site(do)


@pytest.mark.parametrize(
    "options",
    [{"parallel": 0}, {"parallel": 1.5}, {"timeout": 0}, {"timeout": "1"}, {"connect_timeout": -1}, {"max_bytes": -1}],
)
def test_a_limit_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"HttpGet\({next(iter(options))}=\.\.\.\)"):
        HttpGet(**options)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_certificates_are_checked(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def fetch_with(verify: bool | Path) -> Page:
        async with site(context) as found:
            get = HttpGet(verify=verify)
            get.setup()
            try:
                page: Page = (await get.main_logic([found.url("/a", scheme="https")]))[0]
                return page
            finally:
                await get.cleanup()

    unknown = asyncio.run(fetch_with(True))
    assert unknown.error is not None
    assert "CERTIFICATE_VERIFY_FAILED" in unknown.error
    assert asyncio.run(fetch_with(certificate)).ok
    assert asyncio.run(fetch_with(False)).ok
