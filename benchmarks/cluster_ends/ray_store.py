"""Ray: an actor on the other host that is called for each message; frames go through the object store.

``python -m benchmarks.cluster_ends.ray_store send WORK ENDPOINT``, on a host where a node of the cluster runs whose
other node has the resource ``receiver``.
"""

from __future__ import annotations

import json
import sys
from time import monotonic, sleep
from typing import Any

import numpy as np
import ray

from benchmarks.cluster_ends.cargo import SHAPE, Arrivals, Pace, Work, fill, message, work

_UNDER_WAY = 64


@ray.remote(num_cpus=0)
class Receiver:
    def __init__(self, what: Work) -> None:
        self.what = what
        self.arrivals = Arrivals(what.seconds)

    def take(self, data: Any) -> bool:
        self.arrivals.frame(data) if self.what.frames else self.arrivals.small(data)
        return self.arrivals.over

    def begun(self) -> bool:
        return self.arrivals.begun

    def figures(self) -> dict[str, float]:
        return self.arrivals.figures()


def _join(address: str) -> None:
    """Wait until the cluster is there, both of its nodes."""
    deadline = monotonic() + 30
    while True:
        try:
            ray.init(address=address, logging_level="error", log_to_driver=False)
            break
        except Exception:
            if monotonic() > deadline:
                raise
            sleep(1)
    while "receiver" not in ray.cluster_resources() and monotonic() < deadline:
        sleep(0.2)


def send(what: Work, address: str) -> None:
    _join(address)
    receiver = Receiver.options(resources={"receiver": 1}).remote(what)
    frame, pace, number = np.empty(SHAPE, np.uint8), Pace(what.rate), 0
    under_way: list[Any] = []
    begun = False
    most = 8 if what.frames else _UNDER_WAY
    while True:
        pace.wait()
        number += 1
        if what.frames:
            fill(frame, number)
            data = ray.put(frame)
        else:
            data = message(number)
        if not begun and number > most and ray.get(receiver.begun.remote()):
            begun = True
            print("begun", flush=True)
        under_way.append(receiver.take.remote(data))
        if len(under_way) >= most and ray.get(under_way.pop(0)):
            break
    print(json.dumps(ray.get(receiver.figures.remote())), flush=True)
    ray.kill(receiver)
    ray.shutdown()


if __name__ == "__main__":
    send(work(sys.argv[2]), sys.argv[3])
