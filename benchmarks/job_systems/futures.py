"""``concurrent.futures.ProcessPoolExecutor``, two processes; whoever submits collects.

A process that dies breaks it.
"""

from __future__ import annotations

import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor

from benchmarks.jobs import Collector, Job, Task, Worker, main, tasks


class _Here:
    worker: Worker


def begin(job: Job) -> None:
    _Here.worker = Worker(job)


def work(task: Task) -> Task:
    return _Here.worker.do(task)


def run(job: Job) -> None:
    collector = Collector(job)
    with ProcessPoolExecutor(2, mp.get_context("spawn"), begin, (job,)) as pool:
        for result in pool.map(work, tasks(job)):
            collector.add(result)
    collector.write()


if __name__ == "__main__":
    main(run)
