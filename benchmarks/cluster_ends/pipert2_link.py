"""pipert2: a pipe on each host, source and egress here, ingress and destination there, a flow each.

``python -m benchmarks.cluster_ends.pipert2_link send|receive WORK ENDPOINT``
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from time import sleep, thread_time
from typing import Any

import numpy as np

from benchmarks.cluster_ends.cargo import SHAPE, Arrivals, Work, fill, message, wait_for_the_end, work
from pipert2 import (
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    QueueNetwork,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    events,
)
from pipert2.engine.link import Egress, Ingress, LinkSettings
from pipert2.testing import wait_until


class Sends(SourceRoutine):
    def __init__(self, what: Work) -> None:
        super().__init__("source")
        self.what = what
        self.number = 0
        self.set_const_fps(what.rate)

    def main_logic(self) -> Any:
        self.number += 1
        if not self.what.frames:
            return message(self.number)
        frame = self.loan(SHAPE, np.uint8)
        fill(frame, self.number)
        return frame


class Detects(MiddleRoutine):
    """Uses the processor, always for as long."""

    def __init__(self, what: Work) -> None:
        super().__init__("detector")
        self.what = what

    def main_logic(self, data: Any) -> Any:
        until = thread_time() + self.what.cost
        while thread_time() < until:
            pass
        return data


class Counts(DestinationRoutine):
    def __init__(self, what: Work) -> None:
        super().__init__("sink")
        self.what = what

    def setup(self) -> None:
        self.arrivals = Arrivals(self.what.seconds)

    def main_logic(self, data: Any) -> None:
        self.arrivals.frame(data) if self.what.frames else self.arrivals.small(data)

    @events("BEGUN")
    def begun(self) -> bool:
        return self.arrivals.begun

    @events("FIGURES")
    def figures(self) -> Any:
        return self.arrivals.figures() if self.arrivals.over else None


def pipe_of(what: Work, first: Any, second: Any) -> Pipe:
    many = 1 if what.frames or what.delay else 256 if what.lossless else 1024
    pipe = Pipe(lossless=what.lossless, network=QueueNetwork(max_queue_sizes=many))
    pipe.create_flow(f"flow of {first.name}", False, first)
    pipe.create_flow(f"flow of {second.name}", False, second)
    way = [first, second]
    if what.replicas and isinstance(first, Ingress):
        way.insert(1, Detects(what))
        pipe.create_flow("detectors", False, way[1], replicas=what.replicas)
    pipe.link(*(Wire(one, other, data_transmitter=SharedMemoryTransmitter()) for one, other in pairwise(way)))
    return pipe


def send(what: Work, endpoint: str) -> None:
    link = LinkSettings(connect=(endpoint,), insecure=True)
    credit = what.replicas or None  # as an engine gives it: no more than the replicas there can work on
    egress = Egress("egress", key="bench", link=link, lossless=what.lossless, credit=credit)
    with pipe_of(what, Sends(what), egress) as pipe:
        pipe.notify_event("start")
        wait_for_the_end()
        if "--show" in sys.argv:
            print(pipe.status(), [(one.name, one.text) for one in pipe.results("egress").values], file=sys.stderr)


def receive(what: Work, endpoint: str) -> None:
    ingress = Ingress(
        "ingress", key="bench", link=LinkSettings(listen=(endpoint,), insecure=True), lossless=what.lossless
    )
    with pipe_of(what, ingress, Counts(what)) as pipe:
        pipe.notify_event("start")

        def figures() -> Any:
            return pipe.notify_event("FIGURES", wait=5.0)["sink"].value

        wait_until(lambda: pipe.notify_event("BEGUN", wait=5.0)["sink"].value, 60)
        print("begun", flush=True)
        sleep(what.seconds)
        print(json.dumps(wait_until(figures, 60)), flush=True)
        wait_for_the_end()  # so that its processor time can be read
        if "--show" in sys.argv:
            print([(one.name, one.text) for one in pipe.results("ingress").values], file=sys.stderr)


if __name__ == "__main__":
    _, end, key, endpoint = sys.argv[:4]
    receive(work(key), endpoint) if end == "receive" else send(work(key), endpoint)
