"""The pattern of py-zmq-pipeline on plain pyzmq: distributor, two workers that ask for work, collector.

The worker says that it is ready and gets one task for that (REQ, ROUTER); its result goes to the collector (PUSH,
PULL), which sends an acknowledgement for each to the distributor. Messages are msgpack, as its document describes.
Unlike the original this ends only when everything is acknowledged, so it loses nothing as long as nobody dies.
"""

from __future__ import annotations

import multiprocessing as mp
import os
from typing import Any

import msgpack
import zmq

from benchmarks.jobs import PLACE, Collector, Job, Worker, main, tasks

WORKERS = 2


def endpoint(name: str) -> str:
    return f"ipc://{os.environ[PLACE]}/{name}"


def pack(kind: str, data: dict[str, Any]) -> bytes:
    return bytes(msgpack.packb({"type": kind, "task": "job", "data": data}))


def distribute(job: Job) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as workers, context.socket(zmq.PULL) as acks:
        workers.bind(endpoint("workers"))
        acks.bind(endpoint("acks"))
        poller = zmq.Poller()
        poller.register(workers, zmq.POLLIN)
        poller.register(acks, zmq.POLLIN)
        todo, acknowledged, ended = tasks(job), 0, 0
        while acknowledged < job.tasks or ended < WORKERS:
            ready = dict(poller.poll())
            if acks in ready:
                msgpack.unpackb(acks.recv())
                acknowledged += 1
            if workers in ready:
                worker, _, message = workers.recv_multipart()
                msgpack.unpackb(message)
                task = next(todo, None)
                ended += task is None
                workers.send_multipart([worker, b"", pack("END", {}) if task is None else pack("DATA", task)])


def work(job: Job) -> None:
    worker = Worker(job)
    with zmq.Context() as context, context.socket(zmq.REQ) as inputs, context.socket(zmq.PUSH) as outputs:
        inputs.connect(endpoint("workers"))
        outputs.connect(endpoint("results"))
        while True:
            inputs.send(pack("RDY", {}))
            message = msgpack.unpackb(inputs.recv())
            if message["type"] == "END":
                return
            outputs.send(pack("DATA", worker.do(message["data"])))


def collect(job: Job) -> None:
    collector = Collector(job)
    with zmq.Context() as context, context.socket(zmq.PULL) as results, context.socket(zmq.PUSH) as acks:
        results.bind(endpoint("results"))
        acks.connect(endpoint("acks"))
        number, complete = 0, False
        while not complete:
            complete = collector.add(msgpack.unpackb(results.recv())["data"])
            number += 1
            acks.send(pack("ACK", {"_id": number}))
    collector.write()


def run(job: Job) -> None:
    context = mp.get_context("spawn")
    targets = [distribute, collect] + [work] * WORKERS
    processes = [context.Process(target=target, args=(job,)) for target in targets]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(run)
