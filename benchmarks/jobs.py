"""Jobs that two workers share: what each is, how a worker does it, and what a system has to tell of it.

A system hands tasks, numbered from 0, to two workers that compete for them; each worker does :meth:`Worker.do` and
sends what that returns to one collector. The time counts from when a worker begins with a task first
until the last result is collected: how long the processes take to start does not.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Task = dict[str, Any]
PLACE = "PIPERT2_JOB"  # environment variable: the folder in which the processes of a run find one another


@dataclass(frozen=True, slots=True)
class Job:
    """`seconds` that each of the two workers takes for one task; `ideal` is what two perfect workers need in all."""

    key: str
    title: str
    tasks: int
    seconds: tuple[float, float]
    ideal: float | None = None


JOBS = {
    job.key: job
    for job in (
        Job("empty", "20,000 empty tasks", 20_000, (0, 0)),
        Job("short", "1,000 tasks of 10 ms", 1_000, (0.010, 0.010), 5.0),
        Job("uneven", "100 tasks, 100 ms or 10 ms", 100, (0.100, 0.010), 0.91),
        Job("killed", "empty tasks, a worker killed each 5 s", 300_000, (0, 0)),
    )
}


class Worker:
    """One of the two; which one it is, it finds out when it has its first task."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._number: int | None = None
        self._seconds = 0.0

    def do(self, task: Task) -> Task:
        began = time.monotonic_ns()
        if self._number is None:
            self._number = _ticket()
            self._seconds = self._job.seconds[self._number % 2]
        if self._seconds:
            time.sleep(self._seconds)
        return {"n": task["n"], "began": began, "worker": self._number}


def _ticket() -> int:
    """0 for who asks first, then 1, and so on."""
    number = 0
    while True:  # hundreds of times, where workers are killed for long
        try:
            os.close(os.open(Path(os.environ[PLACE]) / f"worker{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            number += 1
        else:
            return number


class Collector:
    """Counts what arrives."""

    def __init__(self, job: Job) -> None:
        self._seen = bytearray(job.tasks)
        self._job = job
        self._left = job.tasks
        self._began = 1 << 63
        self._ended = 0
        self._repeated = 0
        self._shares: Counter[int] = Counter()

    def add(self, result: Task) -> bool:
        """Take a result; whether all are there now."""
        number = result["n"]
        if self._seen[number]:
            self._repeated += 1
            return not self._left
        self._seen[number] = 1
        self._left -= 1
        self._began = min(self._began, result["began"])
        self._shares[result["worker"]] += 1
        self._ended = time.monotonic_ns()
        return not self._left

    def write(self) -> None:
        """Leave what was counted where :func:`main` finds it."""
        found = {
            "elapsed": (self._ended - self._began) / 1e9,
            "tasks": self._job.tasks,
            "missing": self._left,
            "repeated": self._repeated,
            "shares": sorted(self._shares.values()),
        }
        place = Path(os.environ[PLACE])
        (place / "part").write_text(json.dumps(found))
        (place / "part").rename(place / "result")


def tasks(job: Job) -> Iterator[Task]:
    """What is to be done."""
    return ({"n": number} for number in range(job.tasks))


def main(run: Callable[[Job], None]) -> None:
    """Command line of one system: does one job and prints its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--tasks", type=int)
    options = parser.parse_args()
    job = JOBS[options.job]
    if options.tasks is not None:
        job = replace(job, tasks=options.tasks)
    with tempfile.TemporaryDirectory(prefix="pipert2-jobs-") as place:
        os.environ[PLACE] = place
        run(job)
        print((Path(place) / "result").read_text())
