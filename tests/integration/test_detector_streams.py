"""Detectors of each protocol are analysed live: what their sockets send becomes events."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pipert2 import Pipe
from pipert2.patterns.map_reduce.pipes import map_reduce
from pipert2.patterns.streams import panda_tcp
from pipert2.patterns.streams.messages import Data
from pipert2.patterns.streams.panda_stream import PandaStream
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.zmq_stream import ZmqStream
from pipert2.testing import wait_until
from tests import stream_messages

zmq: Any = pytest.importorskip("zmq")

OVER_ZMQ = [name for name in stream_messages.RECEIVED if name != "PCAP_RAW"]


@contextmanager
def device(pattern: str) -> Iterator[Any]:
    """The socket of a device that pushes, or publishes: then it says when somebody listens."""
    context = zmq.Context()
    opened = context.socket(zmq.PUSH if pattern == "pull" else zmq.XPUB)
    opened.setsockopt(zmq.LINGER, 0)
    opened.bind("tcp://127.0.0.1:*")
    yield opened
    opened.close()
    context.term()


def reports(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("name", OVER_ZMQ)
def test_a_scan_of_a_device_becomes_events(name: str, tmp_path: Path) -> None:
    protocol = protocol_of(name)
    assert protocol is not None

    def read(event: Any, parse: Any = protocol.parse) -> Any:
        message = parse(event["it"])
        return message.number if isinstance(message, Data) else None

    report = tmp_path / "scans"
    pipe = Pipe(lossless=True, inline=True)
    with device(protocol.pattern) as sender:
        source = ZmqStream("it", sender.getsockopt_string(zmq.LAST_ENDPOINT), protocol=name)
        key = "count" if name == "contrast" else "number"
        map_reduce(pipe, source, read, lambda result: None, streams=["it"], workers=1, report=report, key={"it": key})
        with pipe:
            pipe.notify_event("start", wait=60)
            if protocol.pattern == "sub":
                assert sender.poll(20_000)
            for parts in stream_messages.RECEIVED[name]:
                sender.send_multipart(parts)
            wait_until(lambda: reports(report), timeout=60)
    (scan,) = reports(report)
    assert (scan["state"], scan["done"]) == ("done", 5)


def test_a_numbered_stream_and_a_counted_one_meet(tmp_path: Path) -> None:
    met = tmp_path / "met"

    def both(event: Any) -> Any:
        from pipert2.patterns.streams import contrast, xspress3

        point, spectra = contrast.parse(event["points"]), xspress3.parse(event["spectra"])
        return (point.data["sx"], spectra.number) if isinstance(point, Data) and isinstance(spectra, Data) else None

    def note(result: Any) -> None:
        with met.open("a") as file:
            file.write(f"{result.payload}\n")

    report = tmp_path / "scans"
    pipe = Pipe(lossless=True, inline=True)
    with device("sub") as points, device("sub") as spectra:
        sources = [
            ZmqStream("points", points.getsockopt_string(zmq.LAST_ENDPOINT), protocol="contrast"),
            ZmqStream("spectra", spectra.getsockopt_string(zmq.LAST_ENDPOINT), protocol="xspress"),
        ]
        map_reduce(
            pipe, sources, both, note, streams=["points", "spectra"], workers=1, report=report, key={"points": "count"}
        )
        with pipe:
            pipe.notify_event("start", wait=60)
            assert points.poll(20_000)
            assert spectra.poll(20_000)
            for parts in stream_messages.RECEIVED["contrast"]:
                points.send_multipart(parts)
            for parts in stream_messages.XSPRESS3_IN_SINGLE_PARTS:
                spectra.send_multipart(parts)
            wait_until(lambda: reports(report), timeout=60)
    assert met.read_text().splitlines() == ["(-2.0, 0)", "(-1.0, 1)", "(0.0, 2)"]


class Panda:
    """A PandABox that answers, and sends a capture to each that connects, in small pieces."""

    def __init__(self, answer: bytes = b"OK\n", capture: bytes = b"") -> None:
        self.answer, self.capture = answer, capture
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, name="pipert2-test-panda", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            with connected, suppress(ConnectionError):
                self.connections += 1
                connected.recv(255)
                connected.sendall(self.answer)
                for at in range(0, len(self.capture), 7):
                    connected.sendall(self.capture[at : at + 7])

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(60)


@contextmanager
def panda(**options: bytes) -> Iterator[Panda]:
    made = Panda(**options)
    yield made
    made.close()


class ByField:
    """A worker that keeps the names of fields from the start of the scan."""

    def process_event(self, event: Any) -> Any:
        found = panda_tcp.parse(event["panda"], getattr(self, "fields", ()))
        if isinstance(found, Data):
            return found.data["PCAP.TS_TRIG.Value"]
        self.fields = found.header.get("fields")
        return None


def run_panda(port: int, folder: Path) -> Pipe:
    def note(result: Any) -> None:
        with (folder / "values").open("a") as file:
            file.write(f"{result.payload}\n")

    pipe = Pipe(lossless=True, inline=True)
    source = PandaStream("panda", "127.0.0.1", port)
    map_reduce(pipe, source, ByField, note, streams=["panda"], workers=1, key="count", report=folder / "scans")
    return pipe


def test_a_pandabox_is_read_by_itself(tmp_path: Path) -> None:
    capture = b"".join(parts[0] for parts in stream_messages.PANDA_TCP)
    with panda(capture=capture) as box, run_panda(box.port, tmp_path) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: reports(tmp_path / "scans"), timeout=60)
    scan = reports(tmp_path / "scans")[0]
    assert (scan["state"], scan["done"]) == ("done", 5)
    assert (tmp_path / "values").read_text().split()[:3] == ["0.32175968", "0.43175968", "nan"]


def test_a_pandabox_that_goes_away_ends_its_scan(tmp_path: Path) -> None:
    capture = b"".join(parts[0] for parts in stream_messages.PANDA_TCP[:3])
    with panda(capture=capture) as box, run_panda(box.port, tmp_path) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: reports(tmp_path / "scans"), timeout=60)
    assert reports(tmp_path / "scans")[0]["done"] == 4


def test_a_pandabox_that_is_not_there_or_refuses_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with panda(answer=b"ERR no such option\n") as box, run_panda(box.port, tmp_path) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: box.connections >= 2, timeout=60)
    assert [one.getMessage() for one in caplog.records if "no PandABox answers" in one.getMessage()] == [
        f"stream panda: no PandABox answers at 127.0.0.1:{box.port} (ERR no such option); it is asked again every 1 s"
    ]
