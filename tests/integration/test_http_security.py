"""Each threat to the HTTP API over real sockets: it is shut out, and clients such as curl still work."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import logging
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2.control.http.connection import Connection
from pipert2.control.http.listener import BACKLOG, MOST_CONNECTIONS, Listener
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError
from pipert2.testing import wait_until
from tests.integration.served import served

CONTROL = "control-token-of-the-tests"
READ = "read-token-of-the-tests-00"
TOKENS = Tokens([(CONTROL, Scope.CONTROL), (READ, Scope.READ)])
ENOUGH = 60.0

Serve = Callable[..., ControlServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers of a small pipe that runs in this process."""
    with contextlib.ExitStack() as stack:
        yield functools.partial(served, stack, "guarded")


def ask(
    server: ControlServer,
    method: str = "GET",
    path: str = "/api/v1/version",
    body: bytes | None = None,
    context: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, Any]:
    """The status and the body of an answer, as a plain client gets them."""
    where = ("127.0.0.1", server.port)
    if context is None:
        connection = http.client.HTTPConnection(*where, timeout=ENOUGH)
    else:
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=ENOUGH, context=context)
    with contextlib.closing(connection):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if said else None


def raw(server: ControlServer, sent: bytes, *, finish: bool = False) -> bytes:
    """All that comes back for these bytes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def everything(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            found += part
    return found


def state(server: ControlServer) -> str:
    return server.service.status().state.value


# --- pages in the operator's browser


def test_a_plain_client_needs_nothing_on_loopback(serve: Serve) -> None:
    server = serve()

    assert ask(server)[0] == 200
    assert ask(server, path="/start")[0] in (200, 202)
    wait_until(lambda: state(server) == "running")


def test_curl_as_it_is_works(serve: Serve) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl here")
    server = serve(tokens=TOKENS)
    command = [curl, "-sS", "-m", "10", "-H", f"Authorization: Bearer {CONTROL}"]

    done = subprocess.run([*command, f"{server.url}/api/v1/version"], capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["pipe"] == "guarded"
    more = ["-X", "POST", "-H", "Content-Type: application/json", "-d", "{}", f"{server.url}/api/v1/start"]
    done = subprocess.run([*command, *more], capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["ok"] is True


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param(421, {"Host": "evil.example"}, id="dns-rebinding"),
        pytest.param(421, {"Host": "evil.example:{port}"}, id="dns-rebinding-with-port"),
        pytest.param(403, {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}, id="fetch"),
        pytest.param(403, {"Origin": "null", "Sec_Fetch_Site": "cross-site"}, id="sandboxed-frame"),
        pytest.param(403, {"Origin": "http://127.0.0.1:1"}, id="another-server-on-this-machine"),
        pytest.param(403, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "image"}, id="img"),
        pytest.param(403, {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"}, id="link-or-form"),
        pytest.param(403, {"Sec_Purpose": "prefetch;prerender", "Sec_Fetch_Site": "none"}, id="prefetch"),
        pytest.param(
            403,
            {
                "Origin": "https://evil.example",
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec_WebSocket_Version": "13",
            },
            id="websocket",
        ),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/start"), ("POST", "/api/v1/start")])
def test_a_foreign_page_cannot_drive_the_pipe(
    serve: Serve, status: int, headers: dict[str, str], method: str, path: str
) -> None:
    server = serve()
    filled = {name: value.format(port=server.port) for name, value in headers.items()}

    assert ask(server, method, path, **filled)[0] == status
    assert state(server) == "new"


def test_a_foreign_page_that_asks_beforehand_gets_no_leave(serve: Serve) -> None:
    server = serve(allowed_origins=["https://panel.example"])
    asked = {"Access_Control_Request_Method": "POST"}

    assert ask(server, "OPTIONS", "/api/v1/start", Origin="https://evil.example", **asked)[0] == 403
    assert ask(server, "OPTIONS", "/api/v1/start", Origin="https://panel.example", **asked)[0] == 204
    assert ask(server, "POST", "/api/v1/start", Origin="https://panel.example", Sec_Fetch_Site="cross-site")[0] == 202


# --- tokens


def test_a_wrong_token_is_refused_and_the_right_one_works(serve: Serve) -> None:
    server = serve(tokens=TOKENS)

    assert ask(server)[0] == 401
    assert ask(server, Authorization="Bearer wrong-wrong-wrong-wrong")[0] == 401
    assert ask(server, path=f"/api/v1/version?token={CONTROL}")[0] == 401
    assert ask(server, Authorization=f"Bearer {CONTROL}")[0] == 200
    assert ask(server, path="/healthz")[0] == 200


@pytest.mark.parametrize(
    "path", ["/start", "/start/", "//start", "/start//", "/./start", "/%73tart", "/start?x=1", "/START"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_the_read_token_starts_nothing_however_the_path_is_written(serve: Serve, method: str, path: str) -> None:
    server = serve(tokens=TOKENS)

    status, _ = ask(server, method, path, Authorization=f"Bearer {READ}")

    assert status in (400, 403, 404, 405)
    assert state(server) == "new"


def test_the_read_token_may_look(serve: Serve) -> None:
    server = serve(tokens=TOKENS)

    assert ask(server, path="/api/v1/status", Authorization=f"Bearer {READ}")[0] == 200
    assert ask(server, "POST", "/api/v1/start", Authorization=f"Bearer {READ}")[0] == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_loopback_it_does_not_start_without_a_token(
    serve: Serve, host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPERT2_TOKEN", raising=False)
    monkeypatch.delenv("PIPERT2_READ_TOKEN", raising=False)

    for tokens in (None, Tokens.none()):
        with pytest.raises(ControlError, match="PIPERT2_TOKEN") as raised:
            serve(host=host, tokens=tokens)
        assert raised.value.field == "tokens"


def test_the_environments_token_counts_where_none_is_given(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPERT2_TOKEN", CONTROL)
    server = serve(tokens=None)

    assert ask(server)[0] == 401
    assert ask(server, Authorization=f"Bearer {CONTROL}")[0] == 200


# --- too much, too slow, too many


def test_a_huge_body_is_refused_and_its_sender_gets_to_know(serve: Serve) -> None:
    server = serve()

    status, said = ask(server, "POST", "/api/v1/start", b" " * (3 * 1024 * 1024), Content_Type="application/json")
    assert (status, said["error"]["code"]) == (413, "too_large")
    assert state(server) == "new"


def test_a_huge_body_in_chunks_is_refused(serve: Serve) -> None:
    server = serve()
    head = b"POST /api/v1/start HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    answer = raw(server, head + chunk * 40 + b"0\r\n\r\n")
    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    assert state(server) == "new"


def test_a_large_body_within_the_bound_works(serve: Serve) -> None:
    server = serve()
    body = b'{"wait": 5' + b" " * 1_000_000 + b"}"

    assert ask(server, "POST", "/api/v1/start", body, Content_Type="application/json")[0] == 200


@pytest.mark.parametrize(("path", "status"), [("/" + "x" * 5_000, 414), ("/start?x=" + "y" * 30_000, 414)])
def test_a_long_path_or_query_is_refused(serve: Serve, path: str, status: int) -> None:
    server = serve()

    assert ask(server, path=path)[0] == status
    assert state(server) == "new"


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_an_endless_head_is_cut(serve: Serve, begin: bytes) -> None:
    server = serve()

    answer = raw(server, begin + b"x" * 1_000_000)
    assert answer == b"" or b" 400 " in answer.split(b"\r\n", 1)[0]
    assert ask(server)[0] == 200


def test_headers_behind_a_body_are_refused(serve: Serve) -> None:
    server = serve()
    head = b"POST /start HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = raw(server, head + b"2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n")

    assert answer == b"" or b" 400 " in answer.split(b"\r\n", 1)[0]
    assert state(server) == "new"


def test_an_offer_to_speak_another_protocol_is_passed_over(serve: Serve) -> None:
    server = serve()
    offer = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"

    assert b" 200 " in raw(server, offer).split(b"\r\n", 1)[0]


def test_a_body_that_comes_too_slowly_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipert2.control.http.server.BODY_SECONDS", 0.3)
    server = serve()
    head = b"POST /api/v1/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"

    assert b" 408 " in raw(server, head + b"{").split(b"\r\n", 1)[0]
    assert state(server) == "new"


def test_a_head_that_comes_byte_by_byte_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "head_seconds", 0.3)
    server = serve()

    with socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH) as connection:
        connection.settimeout(0.02)
        bytes_to_come = iter(b"GET /start HTTP/1.1\r\n" + b"X: y\r\n" * 10_000)

        def cut() -> bool:
            try:
                connection.send(bytes([next(bytes_to_come)]))
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_until(cut)
    assert state(server) == "new"


def test_a_connection_that_says_nothing_is_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "head_seconds", 0.2)
    server = serve()

    assert raw(server, b"") == b""


def test_a_second_request_that_comes_too_slowly_is_given_up_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()

    with socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(Connection, "head_seconds", 0.3)
        connection.sendall(b"GET /start HT")
        assert everything(connection) == b""


def test_hundreds_of_idle_connections_keep_nobody_out(serve: Serve) -> None:
    server = serve()

    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH))
        assert ask(server)[0] == 200


def test_more_connections_than_there_is_room_for_cost_the_oldest_idle_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listener, "most", BACKLOG + 20)  # more than can come at once
    server = serve()

    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH))
        for _ in range(BACKLOG + 40):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH))
        assert everything(first) == b""
        assert ask(server)[0] == 200
    assert MOST_CONNECTIONS >= 250


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00" * 1000,
        bytes(range(256)) * 20,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,  # TLS where there is none
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + b"\x00" * 64,  # ZeroMQ
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /start\r\n\r\n",
        b"GET /start HTTP/1.1\r\n\r\n",
        b"GET /start HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/start HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%00%0a%0dstart HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /start HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_junk_is_answered_or_cut_and_does_nothing(serve: Serve, junk: bytes) -> None:
    server = serve()

    answer = raw(server, junk, finish=True)
    assert answer == b"" or answer.split(b" ", 2)[1][:1] == b"4"
    assert ask(server)[0] == 200
    assert state(server) == "new"


def test_junk_behind_a_request_in_progress_does_no_harm(serve: Serve) -> None:
    server = serve()
    ask(server, path="/start")

    raw(server, b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n\x00\x01junk\r\n\r\n", finish=True)
    assert ask(server)[0] == 200


def test_what_a_client_sends_stands_in_no_log_as_it_is(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve()
    forged = "2026-01-01 CRITICAL forged"

    with caplog.at_level(logging.DEBUG):
        ask(server, path=f"/%0d%0a{forged.replace(' ', '%20')}%1b[31m")
        ask(server, path=f"/nothing/{forged.replace(' ', '%20')}", Host="evil.example\t" + forged)
        ask(
            server,
            "POST",
            "/api/v1/start",
            json.dumps({"flow": f"x\n{forged}"}).encode(),
            Content_Type="application/json",
        )
    for record in caplog.records:
        line = record.getMessage()
        assert "\n" not in line
        assert "\x1b" not in line


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    files = ["-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=60)
    return made


def test_with_a_certificate_it_speaks_tls_and_nothing_else(serve: Serve, certificate: tuple[Path, Path]) -> None:
    server = serve(certificate=certificate[0], key=certificate[1], tokens=TOKENS)
    context = ssl.create_default_context(cafile=str(certificate[0]))

    assert server.url.startswith("https://")
    assert ask(server, context=context, Authorization=f"Bearer {CONTROL}")[0] == 200
    assert ask(server, context=context)[0] == 401
    assert b"pipert2" not in raw(server, b"GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n")


def test_old_tls_is_not_spoken(serve: Serve, certificate: tuple[Path, Path]) -> None:
    server = serve(certificate=certificate[0], key=certificate[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(certificate[0]))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(OSError):
        ask(server, context=context)


def test_handshakes_that_do_not_happen_keep_nobody_out(
    serve: Serve, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipert2.control.http.uvicorn_server.HANDSHAKE_SECONDS", 0.5)
    monkeypatch.setattr(Listener, "most", 20)
    server = serve(certificate=certificate[0], key=certificate[1])
    context = ssl.create_default_context(cafile=str(certificate[0]))

    def answered() -> bool:
        try:
            return ask(server, context=context)[0] == 200
        except OSError:
            return False

    with contextlib.ExitStack() as stack:
        for _ in range(60):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH))
        wait_until(answered)


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_certificate_that_is_none_is_one_clear_error(serve: Serve, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "certificate.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ControlError, match=r"certificate\.pem") as raised:
        serve(certificate=file)
    assert "\n" not in raised.value.message


def test_a_key_alone_is_an_error(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="without a certificate"):
        serve(key=tmp_path / "key.pem")
