"""The pattern of MASS's multistaged analysis on plain pyzmq: stages joined by a queue process each, PUSH and PULL.

Every object is pickled and compressed for each stage. Nothing is acknowledged, and work is handed out in turn, ahead of
being asked for.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import pickle
import zlib
from multiprocessing.process import BaseProcess
from typing import Any

import zmq

from benchmarks.jobs import PLACE, Collector, Job, Worker, main, tasks

STAGES = ("work", "report")


def endpoint(stage: str, side: str) -> str:
    return f"ipc://{os.environ[PLACE]}/{stage}-{side}"


def queue(stage: str) -> None:
    """What waits for a stage."""
    with zmq.Context() as context, context.socket(zmq.PULL) as front, context.socket(zmq.PUSH) as back:
        front.bind(endpoint(stage, "in"))
        back.bind(endpoint(stage, "out"))
        with contextlib.suppress(zmq.ContextTerminated):
            zmq.proxy(front, back)


def receive(socket: zmq.Socket[bytes]) -> Any:
    return pickle.loads(zlib.decompress(socket.recv()))


def send(socket: zmq.Socket[bytes], data: Any) -> None:
    socket.send(zlib.compress(pickle.dumps(data, -1)))


def requests(job: Job) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as outputs:
        outputs.connect(endpoint("work", "in"))
        for task in tasks(job):
            send(outputs, task)


def work(job: Job) -> None:
    worker = Worker(job)
    with zmq.Context() as context, context.socket(zmq.PULL) as inputs, context.socket(zmq.PUSH) as outputs:
        inputs.connect(endpoint("work", "out"))
        outputs.connect(endpoint("report", "in"))
        while True:
            send(outputs, worker.do(receive(inputs)))


def report(job: Job) -> None:
    collector = Collector(job)
    with zmq.Context() as context, context.socket(zmq.PULL) as inputs:
        inputs.connect(endpoint("report", "out"))
        while not collector.add(receive(inputs)):
            pass
    collector.write()


def run(job: Job) -> None:
    context = mp.get_context("spawn")
    last: BaseProcess = context.Process(target=report, args=(job,))
    others: list[BaseProcess] = [context.Process(target=queue, args=(stage,)) for stage in STAGES]
    others += [context.Process(target=work, args=(job,)) for _ in range(2)]
    others.append(context.Process(target=requests, args=(job,)))
    for process in (last, *others):
        process.start()
    last.join()
    for process in others:  # it knows no end: nobody tells the stages that nothing will follow
        process.kill()
        process.join()


if __name__ == "__main__":
    main(run)
