"""Bare TCP: one ``sendall`` for each frame, received into the same memory again and again: what the kernel alone costs.

``python -m benchmarks.cluster_ends.tcp_bare send|receive WORK ENDPOINT``, for frames.
"""

from __future__ import annotations

import socket
import sys
import threading
from time import sleep

import numpy as np

from benchmarks.cluster_ends.cargo import SHAPE, Arrivals, Pace, fill, wait_for_the_end, work


def _address(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.removeprefix("tcp/").rpartition(":")
    return host, int(port)


def send(key: str, endpoint: str) -> None:
    what = work(key)
    while True:
        try:
            connection = socket.create_connection(_address(endpoint), 5)
            break
        except OSError:
            sleep(0.05)
    threading.Thread(target=_send_on, args=(connection, Pace(what.rate)), daemon=True).start()
    wait_for_the_end()


def _send_on(connection: socket.socket, pace: Pace) -> None:
    frame, number = np.empty(SHAPE, np.uint8), 0
    while True:
        pace.wait()
        number += 1
        fill(frame, number)
        connection.sendall(frame.reshape(-1))


def receive(key: str, endpoint: str) -> None:
    arrivals = Arrivals(work(key).seconds)
    frame = np.empty(SHAPE, np.uint8)
    view = memoryview(frame.reshape(-1))
    with socket.create_server(_address(endpoint)) as server:
        connection, _ = server.accept()
        said = False
        while not arrivals.over:
            at = 0
            while at < len(view):
                at += connection.recv_into(view[at:])
            arrivals.frame(frame)
            if arrivals.begun and not said:
                said = True
                print("begun", flush=True)
    arrivals.say()
    wait_for_the_end()


if __name__ == "__main__":
    _, end, key, endpoint = sys.argv[:4]
    receive(key, endpoint) if end == "receive" else send(key, endpoint)
