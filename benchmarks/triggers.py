"""How late triggers fire, and whether they drift: ``python -m benchmarks.triggers``.

A source with ``Every("100 ms")`` notes when it runs, for a minute of real time; its ticks are counted from the first.
Beside it a process that does nothing but sleep until the same moments shows how late the machine itself is: what is
above that is pipert2's own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

from pipert2 import EndOfStream, Every, Pipe, SourceRoutine

TARGET = 0.020  # seconds, p99


class Clockwork(SourceRoutine):
    """Notes the times of its runs."""

    def __init__(self, period: float, runs: int, path: Path) -> None:
        super().__init__("clockwork")
        self.trigger = Every(period)
        self.runs = runs
        self.path = path
        self.times: list[float] = []

    def main_logic(self) -> None:
        self.times.append(time.monotonic())
        if len(self.times) == self.runs:
            self.path.write_text(json.dumps(self.times))
            raise EndOfStream


def sleeper(period: float, runs: int, path: Path) -> None:
    """A bare process that sleeps until each tick, and notes when it woke."""
    times = [time.monotonic()]
    for number in range(1, runs):
        time.sleep(max(0.0, times[0] + number * period - time.monotonic()))
        times.append(time.monotonic())
    path.write_text(json.dumps(times))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.triggers", description="How late triggers fire.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: %(default)s)")
    parser.add_argument("--period", type=float, default=0.1, help="between two ticks (default: %(default)s)")
    options = parser.parse_args()
    runs = round(options.seconds / options.period) + 1
    with tempfile.TemporaryDirectory() as folder:
        path, bare = Path(folder) / "times", Path(folder) / "bare"
        pipe = Pipe()
        pipe.create_flow("clockwork", True, Clockwork(options.period, runs, path))
        beside = multiprocessing.get_context("spawn").Process(target=sleeper, args=(options.period, runs, bare))
        beside.start()
        pipe.run()
        beside.join()
        p99 = show("pipert2", json.loads(path.read_text()), options.period)
        machine = show("bare sleep", json.loads(bare.read_text()), options.period)
    reached = "reached" if p99 <= TARGET else "not reached"
    if p99 > TARGET and machine > TARGET:
        reached += ", nor by the machine itself, which has other things to do"
    print(f"p99 at most {1e3 * TARGET:.0f} ms: {reached}")


def show(name: str, times: list[float], period: float) -> float:
    """Print how late the ticks were, and return p99."""
    # Against the grid that fits best from below: a tick may be late, never early.
    late = [at - number * period for number, at in enumerate(times)]
    late = sorted(one - min(late) for one in late)
    half = len(times) // 2
    early, later = (sorted(at - number * period for number, at in part) for part in _halves(times, half))
    drift = later[len(later) // 2] - early[len(early) // 2]
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    figures = f"p50 {1e3 * p50:.2f} ms, p99 {1e3 * p99:.2f} ms, most {1e3 * late[-1]:.2f} ms"
    print(f"{name:10}: {len(times)} ticks late by {figures}; second half against first {1e3 * drift:+.2f} ms")
    return p99


def _halves(times: list[float], half: int) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    numbered = list(enumerate(times))
    return numbered[:half], numbered[half:]


if __name__ == "__main__":
    main()
