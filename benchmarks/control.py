"""What the control API costs a pipe: ``python -m benchmarks.control``.

1. A stream of 1080p frames at 60 per second, by turns left alone, with 1,000 requests a second of
   ``GET /api/v1/status``, and with as many of a server that only sends the same bytes (in another process, a loop
   around a socket): how far the p50 and p99 of the frames' latency move. The last says what of it is the load itself.
2. From ``POST /api/v1/start`` to the first message of a built pipe.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from pipert2 import (
    APIWrapper,
    DestinationRoutine,
    Pipe,
    PipeClient,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    events,
)

SHAPE = (1080, 1920, 3)


class Camera(SourceRoutine):
    """Lends its frames, stamped when they are sent."""

    def setup(self) -> None:
        self.set_const_fps(60)

    def main_logic(self) -> dict[str, Any]:
        frame = self.loan(SHAPE)
        frame[0, 0, 0] = 1
        return {"frame": frame, "sent": time.perf_counter()}


class Screen(DestinationRoutine):
    """Keeps how old each frame was."""

    def setup(self) -> None:
        self.ages: list[float] = []

    def main_logic(self, data: dict[str, Any]) -> None:
        self.ages.append(time.perf_counter() - data["sent"])

    @events("TAKE")
    def take(self) -> tuple[float, float, int]:
        """p50 and p99 in microseconds, and of how many frames, since it was last asked."""
        ages, self.ages = sorted(self.ages), []
        return 1e6 * ages[len(ages) // 2], 1e6 * ages[int(len(ages) * 0.99)], len(ages)


class First(DestinationRoutine):
    """Says when it got something first."""

    seen = 0.0

    def setup(self) -> None:
        self.seen = 0.0

    def main_logic(self, data: Any) -> None:
        self.seen = self.seen or time.perf_counter()

    @events("WHEN")
    def when(self) -> float:
        return self.seen


class Ticks(SourceRoutine):
    def main_logic(self) -> int:
        self.wait(0.001)
        return 1


def flood(url: str, seconds: float, rate: float) -> None:
    """Ask for the status *rate* times a second over one connection; prints when it begins, and the figures."""
    place = urlsplit(url)
    request = f"GET /api/v1/status HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
    times: list[float] = []
    with socket.create_connection((str(place.hostname), int(place.port or 80))) as connection:
        print("asking", flush=True)
        buffer, began = b"", time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            time.sleep(max(0.0, began + len(times) / rate - now))
            asked = time.perf_counter()
            connection.sendall(request)
            while b"\r\n\r\n" not in buffer:
                buffer += connection.recv(1 << 18)
            head, _, rest = buffer.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(rest) < length:
                rest += connection.recv(1 << 18)
            buffer = rest[length:]
            times.append(time.perf_counter() - asked)
    times.sort()
    middle, high = (1e3 * times[int(len(times) * share)] for share in (0.5, 0.99))
    print(json.dumps({"per_second": len(times) / seconds, "p50_ms": middle, "p99_ms": high}))


def echo() -> None:
    """Answer each request with what a status takes, and do nothing else; prints where."""
    body = b"x" * 4096
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(f"http://127.0.0.1:{server.getsockname()[1]}", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                while connection.recv(1 << 16):
                    connection.sendall(answer)


def stream(seconds: float, rounds: int, rate: float) -> None:
    """Measure the stream by turns alone and under load."""
    camera, screen = Camera("camera"), Screen("screen")
    pipe = Pipe("stream", data_transmitter=SharedMemoryTransmitter())
    pipe.create_flow("cameras", False, camera)
    pipe.create_flow("screens", False, screen)
    pipe.link(Wire(camera, screen))
    with pipe, APIWrapper(pipe, port=0, announce=False) as api:
        api.run()
        pipe.notify_event("start", wait=30)

        def take() -> tuple[float, float, int]:
            return tuple(pipe.notify_event("TAKE", wait=30)["screen"].unwrap())  # type: ignore[return-value]

        time.sleep(2.0)
        take()
        own = [sys.executable, "-m", "benchmarks.control"]
        with subprocess.Popen([*own, "--echo"], stdout=subprocess.PIPE, text=True) as bare:
            assert bare.stdout is not None
            places = {"alone": None, "status": api.url, "bare server": bare.stdout.readline().strip()}
            found: dict[str, list[float]] = {name: [] for name in places}
            for _ in range(rounds):
                for name, url in places.items():
                    if url is None:
                        time.sleep(seconds)
                        said = ""
                    else:
                        command = [*own, "--flood", url, str(seconds), str(rate)]
                        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
                            assert client.stdout is not None
                            client.stdout.readline()
                            take()  # what came while an interpreter started is not the requests' doing
                            asked = json.loads(client.stdout.readline())
                        said = "  {per_second:.0f} answers/s p50 {p50_ms:.2f} ms p99 {p99_ms:.2f} ms".format(**asked)
                    p50, p99, count = take()
                    found[name].append(p99)
                    print(f"{name:12} p50 {p50:6.0f} us  p99 {p99:6.0f} us  {count} frames{said}", flush=True)
            bare.kill()
    before, *after = (statistics.median(p99s) for p99s in found.values())
    print(f"p99 of the stream: {before:.0f} us alone")
    for name, p99 in zip(list(places)[1:], after, strict=True):
        print(f"  {p99:.0f} us with requests to {name}, {100 * (p99 / before - 1):+.0f} %")


def first_message(rounds: int) -> None:
    """Measure from the request to the first message."""
    found = []
    for _ in range(rounds):
        ticks, first = Ticks("ticks"), First("first")
        pipe = Pipe("first")
        pipe.create_flow("a", False, ticks)
        pipe.create_flow("b", False, first)
        pipe.link(Wire(ticks, first))
        with pipe, APIWrapper(pipe, port=0, announce=False) as api:
            api.run()
            pipe.build()
            with PipeClient(api.url) as client:
                client.version()  # the connection is there
                asked = time.perf_counter()
                client.start()
                while not (seen := pipe.notify_event("WHEN", wait=10)["first"].unwrap()):
                    time.sleep(0.002)
            found.append(1e3 * (seen - asked))
    print(f"start by HTTP to the first message: median {statistics.median(found):.1f} ms, most {max(found):.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description="What the control API costs.")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each turn (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns alone and under load (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--flood", nargs=3, metavar=("URL", "SECONDS", "RATE"), help=argparse.SUPPRESS)
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        echo()
        return
    if options.flood:
        flood(options.flood[0], float(options.flood[1]), float(options.flood[2]))
        return
    first_message(10)
    stream(options.seconds, options.rounds, options.rate)


if __name__ == "__main__":
    main()
