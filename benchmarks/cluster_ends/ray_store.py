"""Ray: an actor on the other host that is called for each message; frames go through the object store.

``python -m benchmarks.cluster_ends.ray_store send WORK ENDPOINT``, on a host where a node of the cluster runs whose
other node has the resource ``receiver``.
"""

from __future__ import annotations

import json
import sys
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

    def figures(self) -> dict[str, float]:
        return self.arrivals.figures()


def send(what: Work, address: str) -> None:
    ray.init(address=address, logging_level="error", log_to_driver=False)
    receiver = Receiver.options(resources={"receiver": 1}).remote(what)
    frame, pace, number = np.empty(SHAPE, np.uint8), Pace(what.rate), 0
    under_way: list[Any] = []
    most = 8 if what.frames else _UNDER_WAY
    while True:
        pace.wait()
        number += 1
        if what.frames:
            fill(frame, number)
            data = ray.put(frame)
        else:
            data = message(number)
        under_way.append(receiver.take.remote(data))
        if len(under_way) >= most and ray.get(under_way.pop(0)):
            break
    print("begun", flush=True)
    print(json.dumps(ray.get(receiver.figures.remote())), flush=True)
    ray.kill(receiver)
    ray.shutdown()


if __name__ == "__main__":
    send(work(sys.argv[2]), sys.argv[3])
