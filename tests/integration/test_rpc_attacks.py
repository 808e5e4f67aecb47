"""What a peer of the zerorpc server can do wrong, or on purpose: the server survives it, and serves the others."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from pipert2 import Pipe
from pipert2.control.rpc.server import LARGEST_MESSAGE, MOST_CALLS_OF_ONE
from pipert2.control.rpc.wrapper import RPCPipeWrapper
from pipert2.observe.recent_logs import MOST_RECORDS
from pipert2.testing import CollectingDestination, ListSource, wait_until

ROOT = Path(__file__).resolve().parents[2]
HEARTBEAT = 3.0  # the peers in here send none, and so their calls are given up after 6 to 9 s


class Peer:
    """Sends what it likes to the server, and reads answers."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 1000)
        self._socket.set(zmq.SNDHWM, 0)
        self._socket.connect(endpoint)
        self._number = 0

    def send(self, *frames: bytes) -> None:
        self._socket.send_multipart(frames)

    def event(self, header: Any, name: Any, args: Any) -> None:
        self.send(b"", msgpack.packb((header, name, args)))

    def call(self, name: str, *args: Any, **header: Any) -> bytes:
        """Begin a call; its id."""
        self._number += 1
        number = f"call-{id(self)}-{self._number}".encode()
        self.event({"message_id": number, "v": 3, **header}, name, args)
        return number

    def answer(self, number: bytes, timeout: float = 60.0) -> tuple[str, Any]:
        """The next event of this call that is no heartbeat."""
        deadline = time.monotonic() + timeout
        while self._socket.poll(max(0.0, deadline - time.monotonic()) * 1000):
            header, name, args = msgpack.unpackb(self._socket.recv_multipart()[-1])
            if header.get("response_to") == number and not name.startswith("_zpc_"):
                return name, args
        raise TimeoutError("no answer")

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Exiting(Pipe):
    """Ends the program, or fails with what nobody foresaw, when it is asked for its status."""

    trouble: BaseException | None = None

    def status(self) -> Any:
        if self.trouble is not None:
            raise self.trouble
        return super().status()


@pytest.fixture
def pipe() -> Iterator[Exiting]:
    logger = logging.getLogger("pipert2.attacked")
    made = Exiting("attacked", inline=True, logger=logger)
    made.create_flow("all", True, ListSource([1]), CollectingDestination("seen"))
    with made:
        yield made
        made.trouble = None


@pytest.fixture
def wrapper(pipe: Pipe) -> Iterator[RPCPipeWrapper]:
    with RPCPipeWrapper(pipe, heartbeat=HEARTBEAT) as made:
        made.start_rpc_server("tcp://127.0.0.1:*")
        yield made


@pytest.fixture
def endpoint(wrapper: RPCPipeWrapper) -> str:
    return str(wrapper.endpoint)


def assert_serves(endpoint: str) -> None:
    """zerorpc's own client is served."""
    code = f"""
import zerorpc
c = zerorpc.Client({endpoint!r}, heartbeat={HEARTBEAT})
print(c.call("version")["pipe"])
c.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "attacked\n", "")


def packed(header: Any, name: Any = "status", args: Any = ()) -> bytes:
    return bytes(msgpack.packb((header, name, args)))


CALL = {"message_id": b"id", "v": 3}
MESSAGES = {
    "answers a list": packed({**CALL, "response_to": []}, "_zpc_hb", (0,)),
    "answers a map": packed({**CALL, "response_to": {}}, "_zpc_hb", (0,)),
    "answers nothing": packed({**CALL, "response_to": None}, "_zpc_hb", (0,)),
    "answers nobody": packed({**CALL, "response_to": b"nobody"}, "_zpc_hb", (0,)),
    "no header": packed([]),
    "a header of text": packed("header"),
    "a large header": packed({**CALL, **{str(number): number for number in range(10_000)}}),
    "no id": packed({"v": 3}),
    "an id that is a list": packed({"message_id": [], "v": 3}),
    "an id with a line break": packed({"message_id": "a\nERROR b", "v": 3}),
    "an endless id": packed({"message_id": b"x" * 100_000, "v": 3}),
    "no version": packed({"message_id": b"id"}),
    "version 1": packed({"message_id": b"id", "v": 1}),
    "a version of text": packed({"message_id": b"id", "v": "3"}),
    "a name that is a number": packed(CALL, 5),
    "a name that is a list": packed(CALL, []),
    "an endless name": packed(CALL, "x" * 100_000),
    "arguments by name": packed(CALL, "status", {"a": 1}),
    "no arguments": packed(CALL, "status", None),
    "many arguments": packed(CALL, "status", [0] * 100_000),
    "two parts of three": bytes(msgpack.packb((CALL, "status"))),
    "a number": b"\x01",
    "nothing": b"",
    "not msgpack": b"\xc1" * 100,
    "cut short": packed(CALL)[:-1],
    "more behind": packed(CALL) + b"\x00",
    "a list that says it is long": b"\xdd\xff\xff\xff\xff",
    "a map that says it is long": b"\xdf\xff\xff\xff\xff",
    "text that says it is long": b"\xdb\xff\xff\xff\xff",
    "nested deep": b"\x91" * 100_000,
    "text that is not UTF-8": b"\x93\x82\xa1v\x03\xaamessage_id\xa1i\xa2\xff\xfe\x90",
    "a type of its own": bytes(msgpack.packb((CALL, "status", [msgpack.ExtType(5, b"x")]))),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_malformed_message_is_dropped(endpoint: str, message: bytes) -> None:
    with Peer(endpoint) as peer:
        peer.send(b"", message)
        number = peer.call("_zerorpc_name")  # behind it on the same connection
        assert peer.answer(number) == ("OK", ["attacked"])
    assert_serves(endpoint)


@pytest.mark.parametrize("frames", [[b""], [b"", b""], [packed(CALL)], [b"x", packed(CALL)], [b"", b"", packed(CALL)]])
def test_a_message_of_other_frames_is_dropped(endpoint: str, frames: list[bytes]) -> None:
    with Peer(endpoint) as peer:
        peer.send(*frames)
        assert peer.answer(peer.call("_zerorpc_name")) == ("OK", ["attacked"])
    assert_serves(endpoint)


def test_thousands_of_junk_messages_hold_up_nobody(endpoint: str) -> None:
    with Peer(endpoint) as peer, Peer(endpoint) as other:
        for number in range(20_000):
            peer.send(b"", list(MESSAGES.values())[number % 4])
        assert other.answer(other.call("_zerorpc_name")) == ("OK", ["attacked"])
        assert peer.answer(peer.call("_zerorpc_name")) == ("OK", ["attacked"])
    assert_serves(endpoint)


@pytest.mark.expects_errors
@pytest.mark.parametrize("trouble", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_an_exit_in_a_call_ends_the_call_only(pipe: Exiting, endpoint: str, trouble: BaseException) -> None:
    with Peer(endpoint) as peer:
        pipe.trouble = trouble
        name, (code, message, trace) = peer.answer(peer.call("status"))
        assert (name, code, trace) == ("ERR", "internal", None)
        assert message == "something went wrong here; the pipe's log tells what"
        pipe.trouble = None
        assert peer.answer(peer.call("status"))[0] == "OK"
    assert_serves(endpoint)


@pytest.mark.expects_errors
def test_an_error_nobody_foresaw_tells_the_client_nothing(pipe: Exiting, endpoint: str) -> None:
    with Peer(endpoint) as peer:
        pipe.trouble = KeyError("/secret/path")
        answer = peer.answer(peer.call("status"))
        pipe.trouble = None
    assert answer == ("ERR", ["internal", "something went wrong here; the pipe's log tells what", None])
    assert_serves(endpoint)


def test_fifty_megabytes_of_arguments_are_not_taken(endpoint: str) -> None:
    with Peer(endpoint) as peer:
        number = peer.call("execute", "start", "x" * 50_000_000)
        with pytest.raises(TimeoutError):
            peer.answer(number, timeout=2.0)
    assert_serves(endpoint)


def test_arguments_of_half_the_limit_are_taken(endpoint: str) -> None:
    with Peer(endpoint) as peer:
        name, args = peer.answer(peer.call("execute", "NOBODY", json.dumps({"text": "x" * (LARGEST_MESSAGE // 2)})))
    assert (name, args[0]) == ("ERR", "unknown_name")


def test_heartbeats_of_no_call_leave_nothing_behind(wrapper: RPCPipeWrapper, endpoint: str) -> None:
    with Peer(endpoint) as peer:
        for name in ("_zpc_hb", "_zpc_more", "_zpc_else"):
            for number in range(2000):
                peer.event({"message_id": f"{name}{number}".encode(), "v": 3}, name, (0,))
        assert peer.answer(peer.call("_zerorpc_name")) == ("OK", ["attacked"])
        assert wrapper.calls <= 1
    assert_serves(endpoint)


def test_a_call_cannot_be_flooded(pipe: Pipe, endpoint: str) -> None:
    with Peer(endpoint) as peer:
        number = peer.call("log")
        assert peer.answer(number)[0] == "STREAM"
        odd = [("_zpc_more", (-5,)), ("_zpc_more", ("1",)), ("_zpc_more", (2**63,)), ("_zpc_more", 5), ("status", ())]
        for turn in range(2000):
            name, args = odd[turn % len(odd)]
            peer.event({"message_id": f"{turn}".encode(), "v": 3, "response_to": number}, name, args)
            peer.event({"message_id": f"{turn}".encode(), "v": 3, "response_to": number}, "_zpc_hb", (0,))
        assert peer.answer(peer.call("_zerorpc_name"))[0] == "OK"  # so far the server has come
        peer.event({"message_id": b"more", "v": 3, "response_to": number}, "_zpc_more", (5,))
        pipe.logger.warning("still there")
        name, record = peer.answer(number)
        assert (name, record["message"]) == ("STREAM", "still there")
    assert_serves(endpoint)


def test_a_call_belongs_to_who_made_it(pipe: Pipe, endpoint: str) -> None:
    with Peer(endpoint) as victim, Peer(endpoint) as thief:
        number = victim.call("log")
        assert victim.answer(number)[0] == "STREAM"
        for turn in range(100):
            thief.event({"message_id": f"{turn}".encode(), "v": 3, "response_to": number}, "_zpc_more", (100,))
        thief.event({"message_id": number, "v": 3}, "_zerorpc_name", ())  # takes the call's id for one of its own
        assert thief.answer(thief.call("_zerorpc_name")) == ("OK", ["attacked"])
        victim.event({"message_id": b"more", "v": 3, "response_to": number}, "_zpc_more", (1,))
        pipe.logger.warning("for the victim")
        assert victim.answer(number)[1]["message"] == "for the victim"
        pipe.logger.warning("there is no room for this one")
        with pytest.raises(TimeoutError):
            victim.answer(number, timeout=0.5)


def test_who_calls_too_much_at_once_is_refused_and_the_others_are_not(
    wrapper: RPCPipeWrapper, pipe: Pipe, endpoint: str
) -> None:
    with Peer(endpoint) as peer:
        numbers = [peer.call("log") for _ in range(2 * MOST_CALLS_OF_ONE)]
        answers = [peer.answer(number) for number in (numbers[0], numbers[-1])]
        assert answers[0][0] == "STREAM"
        assert answers[1][0] == "ERR"
        assert answers[1][1][0] == "no_room"
        assert wrapper.calls == MOST_CALLS_OF_ONE
        assert_serves(endpoint)
    wait_until(lambda: wrapper.calls == 0, timeout=40.0, what="that its calls are given up")


def test_a_reader_that_takes_nothing_misses_records_and_is_told_so(pipe: Pipe) -> None:
    with RPCPipeWrapper(pipe, heartbeat=60) as wrapper:
        wrapper.start_rpc_server("tcp://127.0.0.1:*")
        with Peer(str(wrapper.endpoint)) as peer:
            number = peer.call("log")
            assert peer.answer(number)[0] == "STREAM"
            pipe.logger.warning("before")  # waits in the server: there is no room for it
            wait_until(lambda: peer.answer(peer.call("_zerorpc_name"))[0] == "OK")
            for line in range(2 * MOST_RECORDS):
                pipe.logger.warning("line %d", line)
            messages: list[str] = []
            while not messages or messages[-1] != f"line {2 * MOST_RECORDS - 1}":
                if len(messages) % 100 == 0:
                    peer.event({"message_id": b"more", "v": 3, "response_to": number}, "_zpc_more", (100,))
                messages.append(peer.answer(number)[1]["message"])
    missing = [int(message.split()[0]) for message in messages if "records are missing here" in message]
    assert sum(missing) > 0
    assert sum(missing) + len(messages) - len(missing) == 1 + 2 * MOST_RECORDS


def test_connections_that_say_nothing_hold_up_nobody(endpoint: str) -> None:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(200)]
    try:
        assert_serves(endpoint)
    finally:
        for one in silent:
            one.close()
    assert_serves(endpoint)


def test_connections_that_talk_nonsense_hold_up_nobody(endpoint: str) -> None:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    for nonsense in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 1000,
        b"\xff" * 1000,
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03",
    ):
        for _ in range(20):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(nonsense)
    assert_serves(endpoint)


# --- a web page


def post_that_is_a_call(port: int, name: str, *args: Any) -> bytes:
    """What a browser sends for fetch("http://127.0.0.1:PORT/", {method: "POST", mode: "no-cors", body: ...}).

    Read as ZMTP/1.0, the header's letters are the lengths of frames, the last of which ends somewhere in the body.
    """
    event = packed({"message_id": b"from-a-web-page", "v": 3}, name, args)
    call = b"\x01\x01" + b"\xff" + (len(event) + 1).to_bytes(8, "big") + b"\x00" + event
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: keep-alive\r\nContent-Length: 500\r\n"
        "Content-Type: text/plain\r\nOrigin: http://evil.example\r\nSec-Fetch-Mode: no-cors\r\n\r\n"
    ).encode()
    place = 0
    while place < len(head):
        place += 1 + head[place]
    ends_the_message_of_the_letters = b"\x01\x00"
    body = b" " * (place - len(head)) + ends_the_message_of_the_letters + call
    return head + body.ljust(500)


@contextmanager
def stock_server() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    code = """
import gevent, zerorpc
class Methods:
    def mark(self):
        print("marked", flush=True)
server = zerorpc.Server(Methods())
server.bind("tcp://127.0.0.1:*")
print(server._events._socket.get(zerorpc.zmq.LAST_ENDPOINT).decode().rpartition(":")[2], flush=True)
server.run()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rstrip("\0\n")), process
        finally:
            process.kill()


def test_zerorpcs_own_server_can_be_called_by_a_web_page() -> None:
    """Shows that the request below is the attack that it claims to be."""
    with stock_server() as (port, process), socket.create_connection(("127.0.0.1", port)) as browser:
        browser.sendall(post_that_is_a_call(port, "mark"))
        assert process.stdout is not None
        assert process.stdout.readline() == "marked\n"


def test_this_server_cannot_be_called_by_a_web_page(pipe: Pipe, endpoint: str) -> None:
    port = int(endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as browser:
        browser.sendall(post_that_is_a_call(port, "execute", "start"))
        try:
            while browser.recv(1000):  # the server ends the connection
                pass
        except ConnectionError:
            pass
    assert_serves(endpoint)
    assert pipe.status().state.value == "new"  # nobody started it
