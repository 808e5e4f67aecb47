"""kill -9 of the main process: its flows end by themselves, and the next run starts clean."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from pipert2 import Pipe, Wire
from pipert2.testing import CollectingDestination, ListSource, wait_until
from pipert2.transport.leftovers import runs_folder

SCRIPT = """
import time
import numpy as np
from pipert2 import *

class Frames(SourceRoutine):
    def main_logic(self):
        return np.zeros(300_000, np.uint8)

class Sink(DestinationRoutine):
    first = True
    def main_logic(self, data):
        if self.first:
            self.first = False
            print("ready", flush=True)
        {work}

    def cleanup(self):
        {cleanup}

frames, passes, sink = Frames("frames"), middle(lambda frame: frame, name="passes"), Sink("sink")
pipe = Pipe(data_transmitter=SharedMemoryTransmitter(), lossless={lossless}, start_method={method!r})
for routine in (frames, passes, sink):
    pipe.create_flow(routine.name, False, routine)
pipe.link(Wire(frames, (passes,)), Wire(passes, (sink,)))
pipe.notify_event("start")
pipe.join()
"""


def start(scripts, **changes: object) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    settings = {"work": "pass", "cleanup": "pass", "lossless": False, "method": None, **changes}
    process = scripts.start(SCRIPT.format(**settings))
    assert scripts.read_line(process) == "ready\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    return process, children


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            pass
    return found


def shared_memory(*owners: int) -> set[str]:
    """What these processes made; other test processes have theirs."""
    prefixes = [f"pr2-{owner:x}-" for owner in owners]
    return {file.name for file in Path("/dev/shm").iterdir() if any(prefix in file.name for prefix in prefixes)}


def runs() -> set[str]:
    return {folder.name for folder in runs_folder().iterdir()} if runs_folder().is_dir() else set()


def run_something() -> None:
    numbers, seen = ListSource(range(10), "numbers"), CollectingDestination("seen")
    pipe = Pipe(lossless=True)
    pipe.create_flow("in", False, numbers)
    pipe.create_flow("out", False, seen)
    pipe.link(Wire(numbers, (seen,)))
    assert pipe.run(timeout=60).ok
    assert seen.items() == list(range(10))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lossless": True},
        {"work": "time.sleep(600)"},
        {"work": "time.sleep(600)", "lossless": True},
        {"cleanup": "time.sleep(600)"},
    ],
    ids=["real-time", "lossless", "hanging", "hanging and lossless", "hanging cleanup"],
)
def test_flows_end_by_themselves_and_the_next_run_starts_clean(scripts, changes):
    before = runs()
    process, children = start(scripts, **changes)
    (run,) = [name for name in runs() - before if name.startswith(f"pr2-{process.pid:x}-")]
    (sockets,) = (runs_folder() / run / "folders").read_text().splitlines()  # of its fork server
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not alive(children), what="the end of all flows")
    process.communicate()
    assert shared_memory(process.pid)
    assert Path(sockets).is_dir()
    run_something()
    assert not Path(sockets).exists()
    assert (shared_memory(process.pid, os.getpid()), runs() - before) == (set(), set())


def test_forked_flows_are_gone_as_well(scripts):
    process, children = start(scripts, method="fork")
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not alive(children), what="the end of all flows")
    process.communicate()
    run_something()


def test_flows_that_cannot_even_hear_are_killed_by_the_next_run(scripts):
    process, children = start(scripts, work="import ctypes; ctypes.PyDLL(None).sleep(600)")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert alive(children)
    run_something()
    wait_until(lambda: not alive(children))


def test_a_run_that_lives_is_left_alone_by_others_that_start(scripts):
    process, children = start(scripts)
    for _ in range(3):
        run_something()
    assert len(alive(children)) == len(children)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    wait_until(lambda: not alive(children))


def test_many_main_processes_can_start_at_once_and_be_killed_at_once(scripts):
    started = [scripts.start(SCRIPT.format(work="pass", cleanup="pass", lossless=True, method=None)) for _ in range(4)]
    assert [scripts.read_line(process) for process in started] == ["ready\n"] * 4
    children = [child for process in started for child in psutil.Process(process.pid).children(recursive=True)]
    for process in started:
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not alive(children))
    for process in started:
        process.communicate()
    run_something()
