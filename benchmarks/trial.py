"""One run of one work by one peer, in a process of its own that prints its result as one line of JSON.

Every peer is a module with a function that takes a `Trial`, runs the work through its system and returns; see
`benchmarks.peers`. It is called as `python -m benchmarks.peers.NAME W3 --variant shm --seconds 4`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import stamps
from benchmarks.stamps import Sink, Source, open_cells
from benchmarks.works import WORKS, Work

SETTLED = 0.3  # seconds without a new arrival after which a stream counts as drained


@dataclass(frozen=True, slots=True)
class Trial:
    """What a peer is to do. Picklable: it goes along into the peer's processes."""

    work: Work
    variant: str
    seconds: float
    warmup: float
    folder: Path

    def source(self) -> Source:
        """The sending end, to be opened in the process that sends."""
        return Source(self.folder, self.work, seconds=self.seconds, warmup=self.warmup)

    def sink(self, index: int = 0) -> Sink:
        """A receiving end, to be opened in the process that receives."""
        return Sink(self.folder, self.work, index, seconds=self.seconds, warmup=self.warmup)

    def is_over(self) -> bool:
        """Whether the source has sent its last message."""
        return bool(self._cells("source")[stamps.OVER])

    def wait(self) -> None:
        """Waits until the source is done and nothing has arrived for a moment. The caller limits the time."""
        while not self.is_over():
            time.sleep(0.05)
        before: list[int] = []
        while (arrived := [cells[stamps.TOTAL] for cells in self.sinks()]) != before:
            if all(total == self._cells("source")[stamps.SENT] for total in arrived):
                return
            before = arrived
            time.sleep(SETTLED)

    def sinks(self) -> list[memoryview]:
        return [self._cells(f"sink{index}") for index in range(self.work.sinks)]

    def result(self) -> dict[str, Any]:
        """The figures of the run: rates per second, latencies in microseconds, CPU in microseconds per message."""
        source, sinks = self._cells("source"), self.sinks()
        received = [cells[stamps.COUNT] for cells in sinks]
        result: dict[str, Any] = {
            "sent": source[stamps.SENT],
            "received": [cells[stamps.TOTAL] for cells in sinks],
            "missing": sum(source[stamps.SENT] - cells[stamps.TOTAL] for cells in sinks),
            "torn": sum(cells[stamps.TORN] for cells in sinks),
            "disorder": sum(cells[stamps.DISORDER] for cells in sinks),
        }
        spans = [cells[stamps.LAST_NS] - cells[stamps.FIRST_NS] for cells in sinks]
        if min(received) < 2 or min(spans) <= 0:
            return result
        due = sum(cells[stamps.LAST_SEQ] - cells[stamps.FIRST_SEQ] + 1 for cells in sinks)
        rates = [(count - 1) * 1e9 / span for count, span in zip(received, spans, strict=True)]
        result |= {"rate": sum(rates) / len(rates), "lost": 1 - sum(received) / due}
        if self.work.rate:
            # A file is as long as it has room for samples, which may be fewer than messages were counted.
            samples = [
                np.asarray(cells)[stamps.SAMPLES :][:count] for cells, count in zip(sinks, received, strict=True)
            ]
            p50, p99 = np.percentile(np.concatenate(samples), (50, 99)) / 1e3
            result |= {"p50": float(p50), "p99": float(p99)}
            if source[stamps.CPU_SENT]:
                result["cpu"] = source[stamps.CPU_NS] / source[stamps.CPU_SENT] / 1e3
        return result

    def _cells(self, name: str) -> memoryview:
        return open_cells(self.folder / name, stamps.SAMPLES)


def main(run: Callable[[Trial], dict[str, Any] | None]) -> None:
    """Runs a peer from the command line. What `run` returns is added to the printed result."""
    parser = argparse.ArgumentParser(description=f"One benchmark run of {run.__module__}.")
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--variant", default="", help="how the system is set up; see the module")
    parser.add_argument("--seconds", type=float, default=None, help="measured time after the warm-up")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds at the start that do not count")
    args = parser.parse_args()
    # Peers print and log as they please: their output goes to standard error, the result alone to standard output.
    output = os.dup(1)
    os.dup2(2, 1)
    work = WORKS[args.work]
    with tempfile.TemporaryDirectory(prefix="pipert2-bench-") as folder:
        trial = Trial(
            work=work,
            variant=args.variant,
            seconds=work.seconds if args.seconds is None else args.seconds,
            warmup=0.0 if work.messages else args.warmup,
            folder=Path(folder),
        )
        extra = run(trial) or {}
        line = json.dumps(trial.result() | extra)
    os.write(output, line.encode() + b"\n")
