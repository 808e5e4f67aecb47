"""Two processes that do half of the tasks each, and get them from nobody: what the tasks themselves take here.

A sleep of 10 ms takes some 0.1 to 0.2 ms more than that on most machines, whoever asks for it.
"""

from __future__ import annotations

import multiprocessing as mp
from itertools import islice
from multiprocessing.connection import Connection

from benchmarks.jobs import Collector, Job, Worker, main, tasks


def do_half(job: Job, half: int, results: Connection) -> None:
    worker = Worker(job)
    for done in [worker.do(task) for task in islice(tasks(job), half, None, 2)]:
        results.send(done)
    results.close()


def run(job: Job) -> None:
    collector, context = Collector(job), mp.get_context("spawn")
    ends = [context.Pipe(duplex=False) for _ in range(2)]
    halves = [
        context.Process(target=do_half, args=(job, half, sender), daemon=True) for half, (_, sender) in enumerate(ends)
    ]
    for process in halves:
        process.start()
    for _, sender in ends:
        sender.close()
    for receiver, _ in ends:
        while True:
            try:
                collector.add(receiver.recv())
            except EOFError:
                break
    collector.write()


if __name__ == "__main__":
    main(run)
