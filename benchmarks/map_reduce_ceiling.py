"""What pyzmq alone makes of the detector's images, with nothing around it: prints its figures as a line of JSON.

``workers``: processes that pull, each its share, and take the mean of a region; no order, no events, nobody who gets
the results. ``slots``: one process that pulls and copies each image into memory that others could look at, which is
what anything must do that puts streams together before workers get them. No framework is quicker on the same machine.
"""

from __future__ import annotations

import argparse
import json
import mmap
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq

SLOTS = 4
WAITING = 8  # messages; more of them only push one another out of the caches
LIMIT = 60_000  # milliseconds without a message


def pull(url: str, use: Callable[[Any], None], found: Any) -> None:
    """Receive until the end of the scan, or until somebody else has had it, and tell when the first and last came."""
    first = last = 0.0
    count = 0
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVHWM, WAITING)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(url)
        while socket.poll(1_000 if count else LIMIT):
            parts = socket.recv_multipart(copy=False)
            if len(parts) > 1:
                use(parts)
                count += 1
            last = time.monotonic()
            first = first or last
    found.put((count, first, last))


def mean(parts: Any) -> float:
    header = json.loads(parts[0].bytes)
    image = np.frombuffer(parts[1].buffer, header["type"]).reshape(header["shape"])
    return float(image[:2, 8:].mean())


def work(url: str, found: Any) -> None:
    def use(parts: Any) -> None:
        mean(parts)

    pull(url, use, found)


def fill(url: str, size: int, found: Any) -> None:
    length = 2 * size * size
    memory = mmap.mmap(-1, SLOTS * length)
    slots = [np.frombuffer(memory, np.uint8, length, at * length) for at in range(SLOTS)]
    turn = iter(range(sys.maxsize))

    def use(parts: Any) -> None:
        slots[next(turn) % SLOTS][:] = np.frombuffer(parts[1].buffer, np.uint8)

    pull(url, use, found)


def measure(given: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.detector", "--events", str(given.events), "--size", str(given.size)]
    detector = subprocess.Popen([*command, "--url", given.url], stdout=subprocess.PIPE, text=True)
    try:
        assert detector.stdout is not None
        url = detector.stdout.readline().strip()
        found: Any = multiprocessing.Queue()
        if given.kind == "slots":
            processes = [multiprocessing.Process(target=fill, args=(url, given.size, found))]
        else:
            processes = [multiprocessing.Process(target=work, args=(url, found)) for _ in range(given.workers)]
        for process in processes:
            process.start()
        told = [found.get(timeout=120) for _ in processes]
        for process in processes:
            process.join()
    finally:
        detector.kill()
        detector.wait()
    some = [one for one in told if one[0]]
    seconds = max(last for _, _, last in some) - min(first for _, first, _ in some)
    return {"seconds": seconds, "results": sum(count for count, _, _ in some)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map_reduce_ceiling", description=__doc__)
    parser.add_argument("kind", choices=("workers", "slots"))
    parser.add_argument("--url", default="tcp://127.0.0.1:*", help="where the detector is bound (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=1024)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
