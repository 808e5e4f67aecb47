"""pipert2: a source, a flow with two replicas, a destination, on lossless wires."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterator

from benchmarks.jobs import Collector, Job, Task, Worker, main, tasks
from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, Restart, SourceRoutine, Wire

KILL_EACH = 5.0  # seconds


class Hand(SourceRoutine):
    def __init__(self, job: Job) -> None:
        super().__init__("hand")
        self.job = job

    def main_logic(self) -> Iterator[Task]:
        yield from tasks(self.job)


class Work(MiddleRoutine):
    def __init__(self, job: Job) -> None:
        super().__init__("work")
        self.job = job

    def setup(self) -> None:
        self.worker = Worker(self.job)

    def main_logic(self, data: Task) -> Task:
        return self.worker.do(data)


class Collect(DestinationRoutine):
    def __init__(self, job: Job) -> None:
        super().__init__("collect")
        self.job = job

    def setup(self) -> None:
        self.collector = Collector(self.job)

    def main_logic(self, data: Task) -> None:
        self.collector.add(data)

    def cleanup(self) -> None:
        self.collector.write()


def run(job: Job) -> None:
    hand, work, collect = Hand(job), Work(job), Collect(job)
    pipe = Pipe(lossless=True, restart=Restart(times=1_000_000, backoff=0.0))
    pipe.create_flow("input", False, hand)
    pipe.create_flow("workers", False, work, replicas=2)
    pipe.create_flow("output", False, collect)
    pipe.link(Wire(hand, (work,)), Wire(work, (collect,)))
    over = threading.Event()
    if job.key == "killed":
        threading.Thread(target=kill_now_and_then, args=(pipe, over), daemon=True).start()
    pipe.run()
    over.set()


def kill_now_and_then(pipe: Pipe, over: threading.Event) -> None:
    """Kill one worker after the other, in the middle of whatever it does."""
    for number in itertools.count():
        if over.wait(KILL_EACH):
            return
        workers = [flow for flow in pipe.status().flows if flow.name.startswith("workers")]
        pid = workers[number % len(workers)].pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(run)
