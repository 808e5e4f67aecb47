"""The HTTP under the client: addresses as people write them, and each way to fail as one clear error."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipert2.control.client.server_sent_events import ServerSentEvent, read_events
from pipert2.control.http.errors import error_in
from pipert2.control.http.routes import API
from pipert2.errors import ControlError

DEFAULT_PORT = 8320


class ClientConnection:
    """Sends requests to one pipe's control API. Safe to use from any thread. Closes twice without complaint.

    Args:
        url: where it is.
        token: shown with each request.
        timeout: seconds that an answer may take, besides what the request itself asks to wait.
        verify: of a server with TLS: True: its certificate must be one that the world trusts; a path: one that is
            signed by what is in this file; False: any certificate, so that anybody in between can read along.

    Raises:
        ControlError: ``bad_argument``.
    """

    def __init__(self, url: str, token: str | None, timeout: float, verify: bool | str) -> None:
        self.url = normalised(url)
        self._timeout = _checked_timeout(timeout)
        headers = {"Accept": "application/json"}
        if token:
            if not (token.isascii() and token.isprintable()) or " " in token:
                raise ControlError("bad_argument", "token: it has characters that no token has", "token")
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(
            headers=headers,
            verify=_verification(self.url, verify),
            trust_env=not _is_loopback(self.url),  # a proxy of the environment does not lead to this machine
            follow_redirects=False,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        wait: float = 0.0,
    ) -> bytes:
        """The JSON of a good answer.

        Args:
            method, path: such as ``"GET"``, ``"/api/v1/status"``.
            query: arguments in the query string. body: JSON.
            wait: seconds that the server was asked to wait before it answers.

        Raises:
            ControlError: what the server answered; or ``unreachable``: nothing did, or something else than a pipe.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        limit = httpx.Timeout(self._timeout, read=self._timeout + wait)
        with self._failures(self._timeout + wait):
            response = self._client.request(
                method, self.url + path, params=query or None, content=body, headers=headers, timeout=limit
            )
        self._check(response, "application/json")
        return response.content

    def events(self, path: str, *, query: Mapping[str, Any], silence: float) -> Iterator[ServerSentEvent]:
        """The events of a stream, until the server ends it.

        Args:
            silence: seconds without a sign of life after which the server is given up.

        Raises:
            ControlError: ``unreachable`` also if the connection is lost.
        """
        limit = httpx.Timeout(self._timeout, read=silence)
        headers = {"Accept": "text/event-stream"}
        with (
            self._failures(silence),
            self._client.stream("GET", self.url + path, params=query, headers=headers, timeout=limit) as response,
        ):
            if response.status_code != 200:
                response.read()
            self._check(response, "text/event-stream")
            try:
                yield from read_events(response.iter_bytes())
            except ValueError as error:
                raise self._not_a_pipe(f"sent {error}") from None

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _check(self, response: httpx.Response, media: str) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if response.is_success and kind == media:
            return
        error = None
        if kind == "application/json":
            try:
                error = error_in(response.json())
            except ValueError:
                error = None
        if error is not None:
            raise error
        what = f"HTTP {response.status_code}"
        if response.has_redirect_location:
            what += f", elsewhere: {response.headers['location']:.200}"
        elif response.is_success:
            what += f" with {kind or 'a body'} that is not {media}"
        raise self._not_a_pipe(f"answered {what}")

    def _not_a_pipe(self, what: str) -> ControlError:
        return ControlError("unreachable", f"{self.url} is no pipert2 control API: it {what}")

    @contextmanager
    def _failures(self, seconds: float) -> Iterator[None]:
        """Every way in which the network fails as a :class:`ControlError`."""
        if self._client.is_closed:
            raise ControlError("bad_state", "this client is closed")
        try:
            yield
        except httpx.ConnectTimeout:
            text = f"nothing answers at {self.url} within {self._timeout:g} s"
            raise ControlError("unreachable", text) from None
        except httpx.TimeoutException:
            text = f"no answer from {self.url} within {seconds:g} s; what was asked may still be done"
            raise ControlError("unreachable", text) from None
        except httpx.ConnectError as error:
            raise ControlError("unreachable", self._no_connection(error)) from None
        except httpx.RequestError as error:
            reason = str(error).rstrip(".") or type(error).__name__
            hint = "" if self.url.startswith("https:") else " (does it want https:// ?)"
            raise ControlError("unreachable", f"the connection to {self.url} broke: {reason}{hint}") from None
        except (httpx.InvalidURL, RuntimeError) as error:  # closed meanwhile, by another thread
            raise ControlError("unreachable", f"{self.url}: {error}") from None

    def _no_connection(self, error: httpx.ConnectError) -> str:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {self.url} is not trusted ({cause.verify_message}): "
                "name the file with the certificate that signed it, as in PipeClient(verify='ca.pem'), or in PIPERT2_CA"
                " for the command line"
            )
        if cause is not None:
            return f"no TLS with {self.url} ({cause.reason or cause}): does it want http:// ?"
        reason = str(error).partition("] ")[2] or str(error) or type(error).__name__
        return f"nothing listens at {self.url} ({reason}): does the pipe run, with its API on?"


def normalised(url: str) -> str:
    """An address as ``scheme://host[:port][/path]``: ``8320``, ``host``, ``host:8320`` and a slash at the end will do.

    Raises:
        ControlError: ``bad_argument``: it is no address.

    >>> normalised("localhost:8320/"), normalised("https://robot.local/api/v1"), normalised("8320")
    ('http://localhost:8320', 'https://robot.local', 'http://127.0.0.1:8320')
    """
    text = url.strip() if isinstance(url, str) else ""
    example = "such as http://127.0.0.1:8320"
    if not text or not text.isprintable() or any(letter.isspace() for letter in text):
        raise ControlError("bad_argument", f"url: {url!r} is no address, {example}", "url")
    whole = "://" in text
    if not whole:
        text = f"http://127.0.0.1:{text.removeprefix(':')}" if text.removeprefix(":").isdecimal() else f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ControlError("bad_argument", f"url: {url!r} is no address: {error}", "url") from None
    if parts.scheme not in ("http", "https"):
        raise ControlError("bad_argument", f"url: {url!r} is neither http nor https", "url")
    if not parts.hostname:
        raise ControlError("bad_argument", f"url: {url!r} names no host, {example}", "url")
    if parts.username is not None or parts.password is not None:
        raise ControlError("bad_argument", "url: it has a user or password in it; a token goes into token=", "url")
    if parts.query or parts.fragment:
        raise ControlError("bad_argument", f"url: {url!r} has more behind its path, {example}", "url")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is None and not whole:
        port = DEFAULT_PORT
    path = parts.path.rstrip("/").removesuffix(API).rstrip("/")
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _verification(url: str, verify: bool | str) -> bool | ssl.SSLContext:
    if not url.startswith("https:"):
        return False  # reading the certificates that the world trusts takes longer than most requests
    if isinstance(verify, bool):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        text = f"verify: no certificates can be read from {verify!r}: {reason}"
        raise ControlError("bad_argument", text, "verify") from None


def _checked_timeout(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise ControlError("bad_argument", f"timeout: it is a time in seconds above 0, not {timeout!r}", "timeout")
    return float(timeout)
