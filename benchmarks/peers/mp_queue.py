"""`multiprocessing.Queue`: one bounded queue per receiver, lossless, the data pickled through a pipe."""

from __future__ import annotations

import multiprocessing as mp
from multiprocessing.queues import Queue
from typing import Any

from benchmarks.trial import Trial, main

CAPACITY_SMALL, CAPACITY_FRAMES = 1024, 4


def send(trial: Trial, outputs: list[Queue[Any]]) -> None:
    # The queue pickles in a thread of its own, later: a frame must stay as it is until the queue has passed it on.
    for message in trial.source().messages(buffers=CAPACITY_FRAMES + 2):
        for output in outputs:
            output.put(message)
    for output in outputs:
        output.put(None)


def forward(inputs: Queue[Any], output: Queue[Any]) -> None:
    while (message := inputs.get()) is not None:
        output.put(message)
    output.put(None)


def receive(trial: Trial, index: int, inputs: Queue[Any]) -> None:
    sink = trial.sink(index)
    while (message := inputs.get()) is not None:
        sink.take(message)


def run(trial: Trial) -> None:
    context = mp.get_context("spawn")
    capacity = CAPACITY_FRAMES if trial.work.frames else CAPACITY_SMALL
    links = [context.Queue(capacity) for _ in range(trial.work.middles + trial.work.sinks)]
    ends = links[trial.work.middles :]
    processes = [context.Process(target=receive, args=(trial, index, link)) for index, link in enumerate(ends)]
    processes += [
        context.Process(target=forward, args=(links[hop], links[hop + 1])) for hop in range(trial.work.middles)
    ]
    processes.append(context.Process(target=send, args=(trial, links[:1] if trial.work.middles else ends)))
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(run)
