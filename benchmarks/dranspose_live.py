"""dranspose's live system over what ``benchmarks/detector.py`` pushes: prints figures as a line of JSON.

Run by an interpreter that has dranspose 0.2.0 and cbor2 < 6, where ``redis-server`` is installed and port 5000 is free,
which dranspose's controller insists on. Redis, controller, reducer, two workers and the ingester are processes of their
own, as they are meant to be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONTROLLER = "http://127.0.0.1:5000/api/v1"
FIGURES = "BENCHMARK_FIGURES"
LIMIT = 60.0


class Mean:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def process_event(self, event: Any, *args: Any) -> Any:
        from dranspose.middlewares.stream1 import parse  # type: ignore[import-not-found]

        message = parse(event.streams["xrd"])
        if not hasattr(message, "data"):
            return None
        return float(message.data[:2, 8:].mean()), message.sent


class Meter:
    """Notes when results come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.ages: list[float] = []
        self.began = 0.0

    def process_result(self, result: Any, *args: Any) -> None:
        now = time.monotonic()
        self.began = self.began or now
        self.ended = now
        self.ages.append(now - result.payload[1])

    def finish(self, *args: Any, **kwargs: Any) -> None:
        ages = sorted(self.ages)
        figures = {
            "seconds": self.ended - self.began,
            "results": len(ages),
            "p50": ages[len(ages) // 2],
            "p99": ages[int(len(ages) * 0.99)],
        }
        part = Path(os.environ[FIGURES] + ".part")
        part.write_text(json.dumps(figures))
        part.rename(os.environ[FIGURES])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def running(commands: list[list[str]], environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes, which end with the block."""
    found: list[subprocess.Popen[bytes]] = []
    try:
        found += [
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in commands
        ]
        yield found
    finally:
        for one in reversed(found):
            one.terminate()
        for one in reversed(found):
            try:
                one.wait(5)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


def ask(path: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{CONTROLLER}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        return json.load(answer)


def is_ready(workers: int) -> bool:
    state = ask("config")
    streams = {stream for one in state["ingesters"] for stream in one["streams"]}
    return len(state["workers"]) == workers and "xrd" in streams and state["reducer"] is not None


def until(what: str, condition: Any, limit: float = LIMIT) -> Any:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if found := condition():
                return found
        time.sleep(0.1)
    raise TimeoutError(f"{what} took longer than {limit:g} s")


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    redis, figures = free_port(), folder / "figures"
    environment = {
        **os.environ,
        FIGURES: str(figures),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "LOG_LEVEL": "ERROR",
        "SERVICE_REDIS_DSN": f"redis://127.0.0.1:{redis}/0",
    }
    own, module = str(Path(sys.executable).with_name("dranspose")), "benchmarks.dranspose_live"
    server = shutil.which("redis-server")
    if server is None:
        raise FileNotFoundError("redis-server is not installed")
    detector = [sys.executable, "-m", "benchmarks.detector", "--events", str(given.events), "--size", str(given.size)]
    url = f"tcp://127.0.0.1:{free_port()}"
    first = [[server, "--port", str(redis), "--save", "", "--dir", str(folder)]]
    with running(first, environment):
        until("redis-server", lambda: socket.create_connection(("127.0.0.1", redis), 1).close() is None)
        commands = [
            [own, "controller"],
            [own, "reducer", "-p", str(free_port()), "-c", f"{module}:Meter"],
            *([own, "worker", "-n", f"w{at}", "-c", f"{module}:Mean"] for at in range(given.workers)),
            [own, "ingester", "-c", "ZmqPullSingleIngester", "-u", url, "-n", "xrd"],
        ]
        with (
            running(commands, environment),
            running([[*detector, "--url", url, "--rate", str(given.rate)]], environment),
        ):
            until("getting everybody together", lambda: is_ready(given.workers))
            cells = [[{"tags": ["generic"], "constraint": at // given.batch}] for at in range(given.events)]
            sequence = {"parts": {"main": {"xrd": cells}}, "sequence": ["main"]}
            until("taking the sequence", lambda: ask("sequence", sequence))  # at first it may still say 400
            until("the scan", figures.exists, LIMIT + given.events / 100)
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dranspose_live", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=1, help="events in a row that go to the same worker")
    with tempfile.TemporaryDirectory(prefix="dranspose-bench-") as folder:
        print(json.dumps(measure(parser.parse_args(), Path(folder))))


if __name__ == "__main__":
    main()
