"""kill -9 of any flow at any moment: no hang, no corrupted frame, nothing lost but messages in hand, and it goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    BasicTransmitter,
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    Restart,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
)
from pipert2.testing import wait_until
from tests.chaos.checked_frames import Camera, Passes, Relay, Viewer

pytestmark = pytest.mark.expects_errors

KILLS = 100
SIZES = (0, 100, 3_000, 40_000, 300_000, 1_000_000)
ALWAYS = Restart(times=1_000_000, window=1.0, backoff=0.0)


class Again(MiddleRoutine):
    """Sends every third frame in place of the one after it, too."""

    def setup(self) -> None:
        self.previous: dict[str, Any] | None = None
        self.number = 0

    def main_logic(self, data: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        if self.number % 3 or self.previous is None:
            self.previous = data
        return {**self.previous, "number": self.number, "life": os.getpid()}


class Counter(SourceRoutine):
    """Small messages as fast as can be."""

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> tuple[int, int]:
        self.number += 1
        return os.getpid(), self.number - 1


class Ledger(DestinationRoutine):
    """Keeps a book, which a kill does not touch, of what came: lives of the source, messages missing, disorder."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name)
        self.path = path
        np.zeros(5, np.int64).tofile(path)

    def setup(self) -> None:
        self.book = np.memmap(self.path, np.int64, "r+")

    def main_logic(self, data: tuple[int, int]) -> None:
        book = self.book
        life, number = data
        last_life, last = int(book[0]), int(book[1])
        expected = last + 1 if life == last_life else 0
        count, missing, disorder = (
            int(book[2]) + 1,
            int(book[3]) + number - expected,
            int(book[4]) + (number < expected),
        )
        book[:] = life, number, count, missing, disorder  # at once: a kill in between would have it count twice

    def read(self) -> dict[str, int]:
        _, _, count, missing, disorder = np.fromfile(self.path, np.int64)
        return {"count": int(count), "missing": int(missing), "disorder": int(disorder)}


def busy_pipe(journal: Any, ledger: Ledger) -> Pipe:
    """Real-time and lossless, large and small, copied and by reference, passed on, fanned out, sent twice, hoarded."""
    camera, counter, passes = Camera("camera", SIZES), Counter("counter"), Passes("passes")
    relay, again = Relay("relay", journal, 4), Again("again")
    newest, hoarder = Viewer("newest", journal, 3), Viewer("hoarder", journal, 14)
    every, copies = Viewer("every", journal, 2), Viewer("copies", journal, 2)
    repeated = Viewer("repeated", journal, 3)
    pipe = Pipe(data_transmitter=SharedMemoryTransmitter(), restart=ALWAYS, kill_timeout=1.0)
    pipe.create_flow("camera", False, camera)
    pipe.create_flow("relay", False, relay)
    pipe.create_flow("again", False, again)
    pipe.create_flow("viewers", False, newest, hoarder, repeated)
    pipe.create_flow("more viewers", False, every, copies)
    pipe.create_flow("counter", False, counter)
    pipe.create_flow("passes", False, passes)
    pipe.create_flow("ledger", False, ledger)
    pipe.link(
        Wire(camera, (relay, newest)),
        Wire(camera, (every,), lossless=True, capacity=8),
        Wire(camera, (again,)),
        Wire(again, (repeated,)),
        Wire(relay, (hoarder,)),
        Wire(relay, (copies,), data_transmitter=BasicTransmitter()),
        Wire(counter, (passes,), lossless=True, capacity=16),
        Wire(passes, (ledger,), lossless=True),
    )
    return pipe


def received(pipe: Pipe) -> dict[str, int]:
    return {routine.name: routine.received for routine in pipe.status().routines if routine.kind != "source"}


def assert_goes_on(pipe: Pipe, timeout: float = 60.0) -> None:
    """Everybody gets data."""
    before = received(pipe)

    def moved() -> bool:
        now = received(pipe)
        return all(now[name] > before[name] for name in before)

    try:
        wait_until(moved, timeout)
    except TimeoutError:
        still = [name for name, count in received(pipe).items() if count == before[name]]
        pytest.fail(f"nothing arrives any more at {still}\n{pipe.status()}")


def kill_one(pipe: Pipe, chance: random.Random) -> None:
    pids = [flow.pid for flow in pipe.status().flows if flow.pid is not None]
    for pid in chance.sample(pids, min(len(pids), chance.choice((1, 1, 1, 2, 4)))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_any_flow_can_be_killed_at_any_moment(journal, tmp_path):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    ledger = Ledger("ledger", tmp_path / "book")
    with busy_pipe(journal, ledger) as pipe:
        pipe.notify_event("start", wait=60)
        assert_goes_on(pipe)
        for number in range(KILLS):
            time.sleep(chance.expovariate(1 / 0.02))  # the moment is what is tested
            kill_one(pipe, chance)
            if number % 4 == 0:
                assert_goes_on(pipe)
        assert_goes_on(pipe)
        pipe.notify_event("stop", wait=60)
        deaths = {flow.name: flow.restarts for flow in pipe.status().flows}
        status = pipe.status()
    assert journal.lines() == [], f"seed {seed}"
    assert sum(deaths.values()) >= KILLS / 2  # some were dead already, and nobody had noticed
    book = ledger.read()
    assert book["disorder"] == 0, f"seed {seed}: {book}"
    assert book["missing"] <= deaths["passes"] + deaths["ledger"], f"seed {seed}: {book}, {deaths}"
    for wire in status.wires:
        assert wire.sent == wire.received + wire.dropped + wire.queued, f"seed {seed}: {wire}"
    assert sum(routine.errors for routine in status.routines) == 0, f"seed {seed}: {status.routines}"
