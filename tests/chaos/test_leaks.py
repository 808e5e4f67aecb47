"""Starting and ending pipes again and again leaves nothing: no process, thread, descriptor, shared memory, folder."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipert2 import Pipe, SharedMemoryTransmitter, Wire, destination, source
from pipert2.testing import wait_until
from pipert2.transport.leftovers import runs_folder

OWN = f"pr2-{os.getpid():x}-"  # other processes may have shared memory that comes and goes


@source(name="frames")
def frames():
    while True:
        yield np.zeros(50_000, np.uint8)


@destination(name="sink")
def sink(frame: object) -> None:
    pass


def short_pipe() -> Pipe:
    pipe = Pipe(data_transmitter=SharedMemoryTransmitter())
    pipe.create_flow("in", False, source(frames.function, name="frames"))
    pipe.create_flow("out", False, destination(sink.function, name="sink"))
    (first,), (second,) = pipe.blueprint.flows.values()
    pipe.link(Wire(first, (second,)))
    return pipe


def killed() -> None:
    pipe = short_pipe()
    pipe.notify_event("start")
    pipe.join(to_kill=True)


def killed_while_data_flows() -> None:
    with short_pipe() as pipe:
        pipe.notify_event("start")
        wait_until(lambda: pipe.status().routine("sink").received > 2)


def built_only() -> None:
    with short_pipe() as pipe:
        pipe.build()


def ran() -> None:
    short_pipe().run(timeout=0.01)


def in_use() -> dict[str, int]:
    """What this process has, and what lies about."""
    gc.collect()
    multiprocessing.active_children()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "children": len(psutil.Process().children(recursive=True)),
        "shared memory": sum(OWN in file.name for file in Path("/dev/shm").iterdir()),
        "mappings": sum("pr2-" in line for line in Path("/proc/self/maps").read_text().splitlines()),
        "folders": len(list(runs_folder().iterdir())) if runs_folder().is_dir() else 0,
    }


def check_for_leaks(ends: Callable[[], None], times: int) -> None:
    for _ in range(3):
        ends()
    before = in_use()
    tracemalloc.start()
    try:
        ends()
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            ends()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - memory
    finally:
        tracemalloc.stop()
    try:
        wait_until(lambda: all(count <= before[what] for what, count in in_use().items()))
    except TimeoutError:
        pytest.fail(f"before {before}, after {times} pipes {in_use()}")
    # The logging module keeps the logger of every pipe that has had a name of its own, about 500 bytes.
    assert grown < 20_000 + 2_000 * times, f"{grown / times:.0f} bytes of memory are lost with each pipe"


@pytest.mark.parametrize("ends", [killed, killed_while_data_flows, built_only, ran])
def test_starting_and_killing_a_pipe_15_times_leaks_nothing(ends):
    check_for_leaks(ends, 15)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ends", [killed, killed_while_data_flows, built_only, ran])
def test_starting_and_killing_a_pipe_200_times_leaks_nothing(ends):
    check_for_leaks(ends, 200)
