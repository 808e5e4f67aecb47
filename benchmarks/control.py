"""What the control API costs a pipe: ``python -m benchmarks.control``.

1. A stream of 1080p frames at 60 per second, by turns left alone and with 1,000 requests a second of
   ``GET /api/v1/status``: how far the p50 and p99 of the frames' latency move.
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
    """Ask for the status *rate* times a second over one connection, as fast as that can be; prints what came of it."""
    place = urlsplit(url)
    request = f"GET /api/v1/status HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
    times: list[float] = []
    with socket.create_connection((str(place.hostname), int(place.port or 80))) as connection:
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
        quiet: list[float] = []
        loaded: list[float] = []
        for _ in range(rounds):
            time.sleep(seconds)
            p50, p99, count = take()
            quiet.append(p99)
            print(f"alone       p50 {p50:6.0f} us  p99 {p99:6.0f} us  {count} frames")
            command = [sys.executable, "-m", "benchmarks.control", "--flood", api.url, str(seconds), str(rate)]
            asked = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            p50, p99, count = take()
            loaded.append(p99)
            print(
                f"{asked['per_second']:5.0f}/s     p50 {p50:6.0f} us  p99 {p99:6.0f} us  {count} frames;"
                f"  answers p50 {asked['p50_ms']:.2f} ms  p99 {asked['p99_ms']:.2f} ms"
            )
    before, after = statistics.median(quiet), statistics.median(loaded)
    print(f"p99 of the stream: {before:.0f} us alone, {after:.0f} us under load, {100 * (after / before - 1):+.0f} %")


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
    options = parser.parse_args()
    if options.flood:
        flood(options.flood[0], float(options.flood[1]), float(options.flood[2]))
        return
    first_message(10)
    stream(options.seconds, options.rounds, options.rate)


if __name__ == "__main__":
    main()
