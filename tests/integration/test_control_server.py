"""The control API's server: how it starts, streams, bears load, and ends."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipert2.control.client.discovery import running_pipes
from pipert2.control.http.server import ControlServer
from pipert2.errors import ControlError
from pipert2.testing import CollectingDestination, wait_until
from tests.integration.served import numbers, served

ENOUGH = 60.0


Serve = Callable[..., ControlServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers of a small pipe that runs in this process."""
    with contextlib.ExitStack() as stack:
        yield functools.partial(served, stack, "served")


def ask(server: ControlServer, method: str = "GET", path: str = "/api/v1/status", said: Any = None) -> tuple[int, Any]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=ENOUGH)) as connection:
        body = None if said is None else json.dumps(said).encode()
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")


class Stream:
    """A server-sent event stream, read event by event."""

    def __init__(self, server: ControlServer, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ENOUGH)
        self._connection.request(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        self.answer = self._connection.getresponse()
        self.status = self.answer.status

    def next(self) -> dict[str, Any]:
        """The next event: its ``event``, ``data`` and ``id``; empty at the stream's end."""
        found: dict[str, Any] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if not name and "data" in found:
                return found
            if name in ("event", "id"):
                found[name] = value
            elif name == "data":
                found[name] = json.loads(value)
        return {}

    def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that fits."""
        while event := self.next():
            if fits(event):
                return event
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@pytest.fixture
def _workers_have_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have nothing to do end at once; when the processor has time for it is the machine's affair."""
    monkeypatch.setattr("pipert2.control.http.server._WORKERS_SECONDS", ENOUGH)


@pytest.fixture
def listen() -> Iterator[Callable[..., Stream]]:
    with contextlib.ExitStack() as stack:

        def begin(*arguments: Any, **headers: str) -> Stream:
            stream = Stream(*arguments, **headers)
            stack.callback(stream.close)
            return stream

        yield begin


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("pipert2-http")}


def free(port: int) -> bool:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


# --- starting


@pytest.mark.usefixtures("_workers_have_time_to_end")
def test_it_serves_when_start_returns_and_is_gone_when_close_returns(serve: Serve) -> None:
    server = serve()
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert ask(server)[0] == 200

    server.close()

    assert free(server.port)
    assert not threads()
    assert not server.running
    server.close()


def test_starting_twice_changes_nothing_and_it_can_be_started_again(serve: Serve) -> None:
    server = serve()
    port = server.port
    assert server.start().port == port
    server.close()

    server.start()
    assert ask(server)[0] == 200


def test_a_taken_port_is_one_clear_error(serve: Serve) -> None:
    first = serve()

    with pytest.raises(ControlError, match=rf"port {first.port} of 127\.0\.0\.1.*in use.*port 0") as raised:
        serve(port=first.port)
    assert raised.value.field == "port"


@pytest.mark.parametrize("options", [{"host": "no.such.host.invalid"}, {"host": ""}, {"port": 70_000}, {"port": "80"}])
def test_an_address_that_is_none_is_one_clear_error(serve: Serve, options: dict[str, Any]) -> None:
    with pytest.raises(ControlError) as raised:
        serve(**options)
    assert "\n" not in raised.value.message
    assert raised.value.code == "bad_argument"


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]"])
def test_loopback_has_several_names(serve: Serve, host: str) -> None:
    try:
        server = serve(host=host)
    except ControlError as error:
        if "::1" in host and "listen" in error.message:
            pytest.skip("there is no IPv6 here")
        raise
    address = host.strip("[]")
    with contextlib.closing(http.client.HTTPConnection(address, server.port, timeout=ENOUGH)) as connection:
        connection.request("GET", "/api/v1/version")
        assert connection.getresponse().status == 200


def test_it_can_be_found_while_it_serves(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    server = serve(announce=True)

    (found,) = [one for one in running_pipes() if one.url == server.url]
    assert (found.pipe, found.pid) == ("served", os.getpid())
    server.close()
    assert not [one for one in running_pipes() if one.url == server.url]


def test_it_touches_no_signals_and_no_log_handlers(serve: Serve) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    access = logging.getLogger("uvicorn.access")
    settings = access.propagate, list(access.handlers), logging.getLogger("uvicorn").handlers[:]
    server = serve()
    ask(server)

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert (access.propagate, access.handlers, logging.getLogger("uvicorn").handlers) == settings


# --- ending


@pytest.mark.usefixtures("_workers_have_time_to_end")
def test_kill_is_answered_then_the_port_is_free(serve: Serve) -> None:
    server = serve()
    ask(server, path="/start")

    assert ask(server, path="/kill")[0] == 200
    assert server.wait(ENOUGH)
    assert free(server.port)
    assert not threads()
    wait_until(lambda: ask_state(server) == "ended" or server.service.status().routines[0].state == "killed")


def ask_state(server: ControlServer) -> str:
    return server.service.status().state.value


def test_close_answers_what_is_in_progress(serve: Serve) -> None:
    server = serve()
    asked = ThreadPoolExecutor(1)
    with asked:
        answer = asked.submit(ask, server, "POST", "/api/v1/start", {"wait": 60})
        wait_until(lambda: ask_state(server) == "running")
        server.close()
        assert answer.result(ENOUGH)[0] in (200, 503)


@pytest.mark.usefixtures("_workers_have_time_to_end")
def test_close_does_not_wait_for_open_streams_idle_connections_and_stalled_viewers(
    serve: Serve, listen: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipert2.control.http.server._CLOSE_SECONDS", ENOUGH)  # the streams would go on for ever
    server = serve()
    for number in range(3_000):
        server.service.pipe.logger.warning("flood %d %s", number, "x" * 500)
    streams = [listen(server, "/api/v1/status/stream?interval=0.1"), listen(server, "/api/v1/logs/stream")]
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH))
        stack.enter_context(_stalled(server))

        server.close()

        assert not server.running
        assert not threads()
        assert free(server.port)
        assert idle.recv(1) == b""
    for stream in streams:
        while stream.next():
            pass


def test_a_request_that_waits_for_ever_does_not_hold_close_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    ask(server, path="/start")
    join, waits = server.service.pipe.join, threading.Event()
    monkeypatch.setattr(server.service.pipe, "join", lambda *arguments: waits.set() or join(*arguments))
    asked = ThreadPoolExecutor(1)
    with asked:
        answer = asked.submit(ask, server, "POST", "/api/v1/join", {"timeout": 30})
        assert waits.wait(ENOUGH)
        server.close()
        assert not server.running
        status, said = answer.result(ENOUGH)
        assert (status, said["error"]["message"]) == (503, "the server is shutting down")
        join(to_kill=True)  # what it waited for
    wait_until(lambda: not threads())


def test_a_server_can_be_asked_to_end_from_its_own_request(serve: Serve) -> None:
    server = serve()

    server.stop_soon()
    assert server.wait(ENOUGH)
    server.stop_soon()


# --- status, cached


def test_what_somebody_changed_is_in_the_next_status(serve: Serve) -> None:
    server = serve()

    for _ in range(5):
        assert ask(server)[1]["state"] in ("new", "built")
        assert ask(server, "POST", "/api/v1/start", {"wait": 60})[0] == 200
        assert ask(server)[1]["state"] == "running"
        assert ask(server, "POST", "/api/v1/stop", {"wait": 60})[0] == 200


def test_the_short_cut_answers_as_the_long_way(serve: Serve) -> None:
    server = serve()
    found = []
    for path in ("/api/v1/status", "/api/v1/status", "/api/v1/status/"):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=ENOUGH)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name != "date"}
            found.append((answer.status, headers, answer.read()))

    assert found[0] == found[1] == found[2]


def test_many_requests_at_once_make_few_snapshots(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipert2.control.http.snapshots.STATUS_AGE", 1.0)  # a thousand may take a minute
    server = serve()
    taken = []
    status = server.service.pipe.status
    monkeypatch.setattr(server.service.pipe, "status", lambda: taken.append(1) or status())

    def many() -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=ENOUGH)) as connection:
            good = 0
            for _ in range(50):
                connection.request("GET", "/api/v1/status")
                answer = connection.getresponse()
                good += answer.status == 200 and json.loads(answer.read())["name"] == "served"
            return good

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(lambda _: many(), range(20))) == 1000
    assert len(taken) < 500


# --- streams


def test_the_status_stream_shows_how_the_pipe_changes(serve: Serve, listen: Callable[..., Stream]) -> None:
    server = serve()
    stream = listen(server, "/api/v1/status/stream?interval=0.1")

    assert stream.answer.getheader("content-type") == "text/event-stream; charset=utf-8"
    assert stream.next()["data"]["state"] == "new"
    ask(server, path="/start")
    event = stream.until(lambda event: event["data"]["state"] == "running")
    assert event["event"] == "status"
    assert ask(server)[1].keys() == event["data"].keys()


def test_the_log_stream_shows_records_as_they_come_with_their_numbers(
    serve: Serve, listen: Callable[..., Stream]
) -> None:
    server = serve()
    logger = server.service.pipe.logger
    logger.warning("before")
    stream = listen(server, "/api/v1/logs/stream?level=WARNING")
    logger.warning("after %s", "all")
    logger.info("too quiet")

    event = stream.next()
    assert (event["event"], event["data"]["message"]) == ("log", "after all")
    assert int(event["id"]) == event["data"]["number"]


def test_a_log_stream_goes_on_behind_the_last_record_that_was_seen(serve: Serve, listen: Callable[..., Stream]) -> None:
    server = serve()
    for number in range(5):
        server.service.pipe.logger.warning("record %d", number)
    last = server.service.recent_logs.last

    assert listen(server, f"/api/v1/logs/stream?after={last - 2}").next()["data"]["message"] == "record 3"
    assert listen(server, "/api/v1/logs/stream", Last_Event_ID=str(last - 1)).next()["data"]["message"] == "record 4"
    assert listen(server, "/api/v1/logs/stream?after=0&text=RECORD").next()["data"]["message"] == "record 0"


def test_a_number_of_an_earlier_run_begins_with_what_there_is(serve: Serve, listen: Callable[..., Stream]) -> None:
    server = serve()
    server.service.pipe.logger.warning("here")

    event = listen(server, "/api/v1/logs/stream?text=here", Last_Event_ID="999999").next()
    assert event["data"]["message"] == "here"


def test_records_that_are_gone_are_counted(serve: Serve, listen: Callable[..., Stream]) -> None:
    server = serve()
    logger = server.service.pipe.logger
    logger.warning("first")
    first = server.service.recent_logs.last
    for number in range(10_050):
        logger.warning("flood %d", number)

    event = listen(server, f"/api/v1/logs/stream?after={first}").next()
    assert event["event"] == "missed"
    assert event["data"]["missed"] >= 50


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/status/stream?interval=0", "interval"),
        ("/api/v1/status/stream?interval=x", "interval"),
        ("/api/v1/status/stream?intervall=1", "intervall"),
        ("/api/v1/logs/stream?level=LOUD", "level"),
        ("/api/v1/logs/stream?after=-1", "after"),
        ("/api/v1/logs/stream?limit=5", "limit"),
        ("/api/v1/logs/stream?colour=red", "colour"),
    ],
)
def test_a_stream_with_a_wrong_argument_is_refused_and_the_argument_named(serve: Serve, path: str, field: str) -> None:
    status, said = ask(serve(), path=path)

    assert status == 422
    assert said["error"]["field"] == field


def test_streams_are_for_get_only(serve: Serve) -> None:
    assert ask(serve(), "POST", "/api/v1/status/stream")[0] in (404, 405)


def test_viewers_are_counted_and_leave_room_when_they_go(
    serve: Serve, listen: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipert2.control.http.streams.MOST_VIEWERS", 3)
    server = serve()
    streams = [listen(server, "/api/v1/status/stream") for _ in range(3)]
    for stream in streams:
        stream.next()

    assert ask(server, path="/api/v1/logs/stream?after=0")[0] == 503
    streams[0].close()

    def there_is_room() -> bool:
        stream = listen(server, "/api/v1/status/stream")
        try:
            return stream.status == 200
        finally:
            stream.close()

    wait_until(there_is_room)


def test_quiet_streams_show_that_they_live(
    serve: Serve, listen: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipert2.control.http.streams.PING_SECONDS", 0.1)
    server = serve()

    for path in ("/api/v1/logs/stream", "/api/v1/status/stream?interval=3600"):
        answer = listen(server, path).answer
        wait_until(lambda answer=answer: answer.readline() == b": \n")


# --- clients that behave badly do not disturb the pipe


@contextlib.contextmanager
def _stalled(server: ControlServer) -> Iterator[socket.socket]:
    """A viewer that asks for much and reads nothing."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(ENOUGH)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(b"GET /api/v1/logs/stream?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield connection


def test_fifty_clients_and_some_that_vanish_do_not_disturb_the_pipe(serve: Serve) -> None:
    sink = CollectingDestination("sink")
    server = serve(numbers, sink)
    ask(server, path="/start")
    wait_until(sink.items)

    def client(number: int) -> bool:
        if number % 5 == 0:  # vanishes in the middle of a stream
            with socket.create_connection(("127.0.0.1", server.port), timeout=ENOUGH) as connection:
                connection.sendall(b"GET /api/v1/status/stream?interval=0.1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return connection.recv(100).startswith(b"HTTP/1.1 200")
        return all(ask(server, path=path)[0] == 200 for path in ("/api/v1/status", "/api/v1/structure", "/api/v1/logs"))

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(client, range(50)))
    before = len(sink.items())
    wait_until(lambda: len(sink.items()) > before)
    status = server.service.status()
    assert status.state.value == "running"
    assert not any(routine.errors for routine in status.routines)


def test_a_stalled_viewer_costs_no_memory_and_keeps_nobody_waiting(serve: Serve, listen: Callable[..., Stream]) -> None:
    server = serve()
    logger = server.service.pipe.logger
    with _stalled(server):
        for number in range(5_000):
            logger.warning("flood %d %s", number, "x" * 500)
        stream = listen(server, f"/api/v1/logs/stream?after={server.service.recent_logs.last - 1}")
        assert stream.next()["event"] == "log"
        connections = server._server.server_state.connections if server._server is not None else ()
        waiting = [one.transport.get_write_buffer_size() for one in connections]
        assert max(waiting) < 2_000_000  # a page of records, not the flood


def test_flows_that_a_request_starts_have_the_priority_of_the_program(serve: Serve) -> None:
    server = serve(inline=False)
    assert ask(server, "POST", "/api/v1/start", {"wait": 60})[0] == 200

    (flow,) = ask(server)[1]["flows"]
    assert os.getpriority(os.PRIO_PROCESS, flow["pid"]) == os.getpriority(os.PRIO_PROCESS, 0)


def test_more_requests_than_can_be_worked_on_are_told_to_come_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setattr("pipert2.control.http.wsgi.MOST_AT_WORK", 0)

    status, said = ask(server, path="/api/v1/structure")
    assert (status, said["error"]["code"]) == (503, "no_room")


def test_answers_are_sent_at_once(serve: Serve) -> None:
    server = serve()

    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=ENOUGH)) as connection:
        connection.request("GET", "/api/v1/version")
        connection.getresponse().read()
        (open_one,) = server._server.server_state.connections if server._server is not None else ()
        taken = open_one.transport.get_extra_info("socket")
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
