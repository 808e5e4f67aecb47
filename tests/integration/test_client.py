"""The Python client against a real server, and against everything else that may listen on a port."""

from __future__ import annotations

import inspect
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipert2 import Pipe, PipeClient, Wire
from pipert2.control.client import client as client_module
from pipert2.control.client.connection import normalised
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.records import WireReply
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError
from pipert2.observe.snapshot import PipeState
from pipert2.testing import wait_until
from tests.integration.bench import Camera, Frames, Screen, bench

ODD = "zoom/50% ~1 ä?#"


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with bench(Camera(ODD)) as pipe:
        yield pipe


@pytest.fixture
def server(pipe: Pipe) -> Iterator[ControlServer]:
    with (
        ControlService(pipe) as service,
        ControlServer(service, port=0, tokens=Tokens.none(), announce=False) as server,
    ):
        yield server


@pytest.fixture
def client(server: ControlServer) -> Iterator[PipeClient]:
    with PipeClient(server.url) as client:
        yield client


# --- the same as the service


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_client_has_each_verb_with_the_services_arguments(verb: str) -> None:
    ours = inspect.signature(getattr(PipeClient, verb))
    theirs = inspect.signature(getattr(ControlService, verb))
    assert [(one.name, one.default) for one in ours.parameters.values()] == [
        (one.name, one.default) for one in theirs.parameters.values()
    ]
    assert ours.return_annotation == theirs.return_annotation


@pytest.mark.parametrize("verb", ["status", "structure", "events", "logs", "health", "version", "parameters"])
def test_what_the_client_returns_is_what_the_service_returns(
    client: PipeClient, server: ControlServer, pipe: Pipe, verb: str
) -> None:
    pipe.build()
    pipe.logger.warning("something to read", extra={"camera": 3})
    ours, theirs = getattr(client, verb)(), getattr(server.service, verb)()
    assert type(ours) is type(theirs)
    if verb != "status":  # that has its time in it
        assert ours == theirs
        return
    assert [one.name for one in ours.routines] == [one.name for one in theirs.routines]
    assert (ours.state, ours.wires) == (PipeState.BUILT, theirs.wires)
    assert [one.parameters for one in ours.routines] == [one.parameters for one in theirs.routines]


def test_a_pipe_is_driven_from_start_to_end(client: PipeClient) -> None:
    assert client.status().state is PipeState.NEW
    with pytest.raises(ControlError, match="was not started yet: there is no end to wait for") as early:
        client.join(timeout=0.0)
    assert early.value.code == "bad_state"
    assert client.start().results is None
    assert client.start(flow="out", wait=60).ok
    wait_until(lambda: client.status().state is PipeState.RUNNING)
    reply = client.event("ZOOM", routine=ODD, params={"factor": 2}, wait=60)
    assert reply.results is not None
    assert reply.results[ODD].value == {"factor": 2}
    assert client.set_parameters(ODD, {"factor": 4}).routines[ODD][0].value == 4.0
    assert client.parameters(ODD).routines[ODD][0].value == 4.0
    assert client.log_level(ODD, "DEBUG").level == "DEBUG"
    assert client.link(ODD, "view", lossless=True) == WireReply(ODD, "view", linked=True, changed=True)
    assert client.unlink(ODD, "view").linked is False
    assert client.preview(ODD, on=True, rate=30, size=64).on
    picture = wait_until(lambda: _frame(client), what="a picture")
    assert picture.jpeg.startswith(b"\xff\xd8")
    assert (picture.width, picture.height) == (48, 32)
    assert client.preview(ODD, on=False).on is False
    assert client.stop(wait=60).ok
    assert client.join(timeout=0.0).ended is False
    assert client.kill(wait=60).ok
    assert client.join(timeout=60).ended
    assert client.status().state is PipeState.ENDED


def _frame(client: PipeClient) -> Any:
    """The newest picture, None while there is none."""
    with suppress(ControlError):
        return client.frame(ODD)
    return None


def test_a_join_that_takes_longer_than_a_request_may_asks_again(
    client: PipeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LONGEST_REQUEST", 0.05)
    client.start(wait=60)
    joined: list[bool] = []
    thread = threading.Thread(target=lambda: joined.append(client.join().ended))
    thread.start()
    thread.join(0.3)  # several requests long
    assert not joined
    client.kill()
    thread.join(60)
    assert joined == [True]


# --- errors


@pytest.mark.parametrize(
    ("call", "code", "field", "nearest"),
    [
        (lambda client: client.start(routine="diskk"), "unknown_name", None, "disk"),
        (lambda client: client.event("ZOM"), "unknown_name", None, "ZOOM"),
        (lambda client: client.set_parameters(ODD, {"factor": 9}), "bad_argument", "factor", None),
        (lambda client: client.start(wait=-1), "bad_argument", "wait", None),
        (lambda client: client.event("ZOOM", params={"factor": object()}), "bad_argument", "params", None),
        (lambda client: client.event("ZOOM", params={"factor": float("nan")}), "bad_argument", "params", None),
        (lambda client: client.restart_flow(""), "bad_argument", "flow", None),
        (lambda client: client.restart_flow(".."), "unknown_name", None, None),
        (lambda client: client.log_level("..", "INFO"), "unknown_name", None, None),
        (lambda client: client.logs(limit=0), "bad_argument", "limit", None),
        (lambda client: next(client.follow_logs(level="LOUD")), "bad_argument", "level", None),
        (lambda client: next(client.follow_status(interval=0)), "bad_argument", "interval", None),
        (lambda client: client.event("ZOOM", params={"factor": "x" * 2_000_000}), "too_large", None, None),
    ],
)
def test_an_error_arrives_as_the_one_that_was_raised_there(
    client: PipeClient, pipe: Pipe, call: Callable[[PipeClient], Any], code: str, field: str | None, nearest: str | None
) -> None:
    pipe.build()
    with pytest.raises(ControlError) as caught:
        call(client)
    assert (caught.value.code, caught.value.field, caught.value.nearest) == (code, field, nearest)


def _unreachable(call: Callable[[], Any]) -> str:
    with pytest.raises(ControlError) as caught:
        call()
    assert caught.value.code == "unreachable", caught.value
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with PipeClient(url) as client:
            message = _unreachable(client.status)
    assert url in message
    assert "Connection refused" in message


def test_a_name_that_is_no_hosts_is_unreachable() -> None:
    with PipeClient("http://no-such-host.invalid:1") as client:
        assert "no-such-host.invalid" in _unreachable(client.status)


def test_a_server_that_accepts_and_says_nothing_is_unreachable_after_the_timeout() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        PipeClient(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.1) as client,
    ):
        assert "within 0.1 s" in _unreachable(client.status)
        assert "within 0.2 s" in _unreachable(lambda: client.stop(wait=0.1))


@pytest.mark.parametrize("said", [b"", b"hello\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
def test_a_server_that_talks_nonsense_is_unreachable(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with PipeClient(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            assert "broke" in _unreachable(client.status)
        thread.join()


@contextmanager
def _other_server(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A web server that is no pipe, and answers everything the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, b"<html>", "text/html", "HTTP 200 with text/html"),
        (404, b"no", "text/plain", "HTTP 404"),
        (404, b'{"detail": "Not Found"}', "application/json", "HTTP 404"),
        (500, b"{", "application/json", "HTTP 500"),
        (401, b'{"error": "token"}', "application/json", "HTTP 401"),
        (400, b'{"error": {"code": "other", "message": ""}}', "application/json", "HTTP 400"),
    ],
)
def test_something_else_than_a_pipe_is_said_to_be_that(status: int, body: bytes, kind: str, said: str) -> None:
    with _other_server(status, body, Content_Type=kind) as url, PipeClient(url) as client:
        message = _unreachable(client.status)
        assert "is no pipert2 control API" in message
        assert said in message
        assert said in _unreachable(lambda: next(client.follow_logs()))


def test_a_redirect_is_not_followed_with_the_token_in_hand() -> None:
    with (
        _other_server(302, b"", Location="http://elsewhere.invalid/") as url,
        PipeClient(url, token="t" * 20) as client,
    ):
        assert "elsewhere" in _unreachable(client.status)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"{", b'{"ended": []}'])
def test_a_reply_that_this_version_does_not_know_is_said_to_be_that(body: bytes) -> None:
    with _other_server(200, body, Content_Type="application/json") as url, PipeClient(url) as client:
        with pytest.raises(ControlError, match="version") as caught:
            client.join(timeout=1)
        assert caught.value.code == "failed"


def test_a_reply_that_knows_more_than_this_version_is_read() -> None:
    body = json.dumps({"ended": True, "since": "a later version"}).encode()
    with _other_server(200, body, Content_Type="application/json") as url, PipeClient(url) as client:
        assert client.join().ended


def test_tokens_decide(pipe: Pipe) -> None:
    tokens = Tokens([("look" * 5, Scope.READ), ("drive" * 5, Scope.CONTROL)])
    with ControlService(pipe) as service, ControlServer(service, port=0, tokens=tokens, announce=False) as server:
        for token, code in ((None, "unauthorized"), ("wrong" * 5, "unauthorized"), ("look" * 5, "forbidden")):
            with PipeClient(server.url, token=token) as client:
                with pytest.raises(ControlError) as caught:
                    client.start()
                assert caught.value.code == code
        with PipeClient(server.url, token="look" * 5) as client:
            assert client.version().pipe == "bench"
        with PipeClient(server.url, token="drive" * 5) as client:
            assert client.start(wait=60).ok


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    made = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(made), "-out", str(made.with_name("certificate.pem")), "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    made.write_text(made.read_text() + made.with_name("certificate.pem").read_text())
    return made


def test_a_server_with_tls_is_trusted_by_its_certificate(pipe: Pipe, certificate: Path) -> None:
    with (
        ControlService(pipe) as service,
        ControlServer(service, port=0, tokens=Tokens.none(), certificate=certificate, announce=False) as server,
    ):
        with PipeClient(server.url, verify=str(certificate)) as client:
            assert client.version().pipe == "bench"
        with PipeClient(server.url, verify=False) as client:
            assert client.version().pipe == "bench"
        with PipeClient(server.url) as client:
            message = _unreachable(client.version)
            assert "not trusted" in message
            assert "verify=" in message
        with PipeClient(server.url.replace("https", "http")) as client:
            assert "https://" in _unreachable(client.version)


def test_tls_where_there_is_none_is_said_to_be_that(server: ControlServer) -> None:
    with PipeClient(server.url.replace("http", "https")) as client:
        assert "http://" in _unreachable(client.version)


def test_a_file_that_holds_no_certificates_is_a_bad_argument(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ControlError) as caught:
            PipeClient("https://127.0.0.1", verify=str(tmp_path / name))
        assert (caught.value.code, caught.value.field) == ("bad_argument", "verify")


# --- streams


def test_log_records_are_followed_as_they_come(client: PipeClient, pipe: Pipe) -> None:
    pipe.logger.warning("before")
    followed = client.follow_logs(after=0, level="WARNING")
    first = next(followed)
    pipe.logger.info("too quiet")
    pipe.logger.warning("line\u2028separator", extra={"camera": 3})
    second = next(followed)
    followed.close()  # type: ignore[attr-defined]
    assert (first.message, second.message, second.extra) == ("before", "line\u2028separator", {"camera": 3})
    again = client.follow_logs(after=first.number)
    assert next(again).number > first.number
    again.close()  # type: ignore[attr-defined]


def test_the_status_is_followed(client: PipeClient, pipe: Pipe) -> None:
    pipe.build()
    followed = client.follow_status(interval=0.1)
    states = [next(followed).state for _ in range(3)]
    followed.close()  # type: ignore[attr-defined]
    assert states == [PipeState.BUILT] * 3


def test_a_stream_ends_with_its_server(client: PipeClient, server: ControlServer) -> None:
    followed = client.follow_status(interval=0.1)
    next(followed)
    server.close()
    with suppress(ControlError):  # if its connection was cut
        assert all(status.state is PipeState.NEW for status in followed)


def _stream_then(what: Callable[[socket.socket], None]) -> tuple[str, threading.Thread]:
    """A server that sends a log record in a stream, and then does *what*."""
    listener = socket.create_server(("127.0.0.1", 0))
    record = {"number": 1, "time": 0, "level": "INFO", "logger": "x", "flow": None, "routine": None}
    record |= {"message": "m", "traceback": None, "extra": {}}
    part = f"event: log\ndata: {json.dumps(record)}\n\n".encode()

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            what(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", thread


def test_a_lost_connection_is_unreachable() -> None:
    url, thread = _stream_then(lambda connection: None)
    with PipeClient(url) as client:
        followed = client.follow_logs()
        assert next(followed).message == "m"
        assert "broke" in _unreachable(lambda: next(followed))
    thread.join()


def test_a_server_that_falls_silent_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE", 1.0)
    over = threading.Event()
    url, thread = _stream_then(lambda connection: over.wait(10) and None)
    with PipeClient(url) as client:
        followed = client.follow_logs()
        next(followed)
        assert "no answer" in _unreachable(lambda: next(followed))
    over.set()
    thread.join()


def test_an_error_in_a_stream_is_raised() -> None:
    error = b'event: error\ndata: {"error": {"code": "failed", "message": "no more"}}\n\n'
    url, thread = _stream_then(lambda connection: connection.sendall(b"%x\r\n%s\r\n" % (len(error), error)))
    with PipeClient(url) as client:
        followed = client.follow_logs()
        next(followed)
        with pytest.raises(ControlError, match="no more"):
            next(followed)
    thread.join()


# --- the client itself


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://127.0.0.1:8320", "http://127.0.0.1:8320"),
        ("http://127.0.0.1:8320/", "http://127.0.0.1:8320"),
        ("http://127.0.0.1:8320/api/v1/", "http://127.0.0.1:8320"),
        ("HTTP://Robot.Local:80/pipes/a/", "http://robot.local:80/pipes/a"),
        ("https://robot.local", "https://robot.local"),
        ("robot.local", "http://robot.local:8320"),
        ("robot.local:1234", "http://robot.local:1234"),
        ("localhost", "http://localhost:8320"),
        ("8321", "http://127.0.0.1:8321"),
        (":8321", "http://127.0.0.1:8321"),
        ("[::1]:8320", "http://[::1]:8320"),
        (" http://[::1] ", "http://[::1]"),
    ],
)
def test_addresses_are_read_as_people_write_them(given: str, meant: str) -> None:
    assert normalised(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "ftp://host",
        "tcp://127.0.0.1:1234",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://user:secret@host",
        "http://host/?token=x",
        "http://host/#x",
        "http://ho st",
        "http://ho\nst",
        "http://[::1",
        None,
        8320,
    ],
)
def test_what_is_no_address_is_a_bad_argument(given: Any) -> None:
    with pytest.raises(ControlError) as caught:
        PipeClient(given)
    assert (caught.value.code, caught.value.field) == ("bad_argument", "url")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "10", None, True])
def test_a_timeout_is_a_time(timeout: Any) -> None:
    with pytest.raises(ControlError) as caught:
        PipeClient("http://127.0.0.1", timeout=timeout)
    assert caught.value.field == "timeout"


@pytest.mark.parametrize("token", ["a b", "a\r\nX: y", "ä" * 20])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ControlError) as caught:
        PipeClient("http://127.0.0.1", token=token)
    assert caught.value.field == "token"
    assert token not in str(caught.value)


def test_a_closed_client_says_so_and_closes_again(server: ControlServer) -> None:
    client = PipeClient(server.url)
    client.version()
    client.close()
    client.close()
    with pytest.raises(ControlError, match="closed") as caught:
        client.version()
    assert caught.value.code == "bad_state"


def test_a_proxy_of_the_environment_does_not_come_between_this_machine_and_itself(
    server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with PipeClient(server.url) as client:
        assert client.version().pipe == "bench"


def test_flows_in_processes_are_restarted_from_outside() -> None:
    pipe = Pipe("real")
    pipe.create_flow("in", True, Frames("frames"), Camera("cam"))
    pipe.create_flow("out", False, Screen("view"))
    pipe.link(Wire(pipe.routine("cam"), pipe.routine("view")))
    with (
        pipe,
        ControlService(pipe) as service,
        ControlServer(service, port=0, tokens=Tokens.none(), announce=False) as server,
        PipeClient(server.url) as client,
    ):
        client.start(wait=60)
        before = client.status().flow("out").pid
        assert client.restart_flow("out").flow == "out"
        wait_until(lambda: client.health().ready and client.status().flow("out").pid not in (None, before))
