"""Bare Zenoh: one put for each message, received by a callback. ``python -m benchmarks.cluster_ends.zenoh_bare``"""

from __future__ import annotations

import json
import pickle
import sys
import threading
from time import sleep
from typing import Any

import numpy as np
import zenoh

from benchmarks.cluster_ends.cargo import SHAPE, Arrivals, Pace, fill, message, wait_for_the_end, work


def _open(listen: list[str], connect: list[str]) -> Any:
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("listen/endpoints", json.dumps(listen))
    config.insert_json5("connect/endpoints", json.dumps(connect))
    config.insert_json5("transport/shared_memory/enabled", "false")
    return zenoh.open(config)


def send(key: str, endpoint: str, express: bool) -> None:
    what, pace = work(key), Pace(work(key).rate)
    session = _open([], [endpoint])
    publisher = session.declare_publisher(
        "bench/there", congestion_control=zenoh.CongestionControl.BLOCK, express=express
    )
    while not publisher.matching_status.matching:
        sleep(0.01)
    threading.Thread(target=_send_on, args=(what, pace, publisher), daemon=True).start()
    wait_for_the_end()


def _send_on(what: Any, pace: Pace, publisher: Any) -> None:
    memory = bytearray(int(np.prod(SHAPE)))  # ZBytes takes bytes and bytearrays only
    frame = np.frombuffer(memory, np.uint8).reshape(SHAPE)
    number = 0
    while True:
        pace.wait()
        number += 1
        if what.frames:
            fill(frame, number)
            publisher.put(memory)
        else:
            publisher.put(pickle.dumps(message(number), 5))


def receive(key: str, endpoint: str) -> None:
    what = work(key)
    arrivals, begun, done = Arrivals(what.seconds), threading.Event(), threading.Event()

    def heard(sample: Any) -> None:
        data = sample.payload.to_bytes()
        if what.frames:
            arrivals.frame(np.frombuffer(data, np.uint8).reshape(SHAPE))
        else:
            arrivals.small(pickle.loads(data))
        if arrivals.begun and not begun.is_set():
            begun.set()
        if arrivals.over:
            done.set()

    with _open([endpoint], []) as session:
        session.declare_subscriber("bench/there", heard)
        begun.wait(60)
        print("begun", flush=True)
        done.wait(60)
        arrivals.say()
        wait_for_the_end()  # so that its processor time can be read


if __name__ == "__main__":
    _, end, key, endpoint = sys.argv[:4]
    # Express sends each message by itself; otherwise Zenoh puts small ones together.
    express = "--express" in sys.argv or work(key).delay
    receive(key, endpoint) if end == "receive" else send(key, endpoint, express)
