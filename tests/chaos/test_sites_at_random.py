"""Wires that come and go, sites lost, flows killed, all stopped and started, at random: the pipe ends all the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable

import pytest

from pipert2 import EndOfStream, MiddleRoutine, Pipe, PipertError, Restart, SourceRoutine, Wire
from pipert2.testing import CollectingDestination
from tests.ray_nodes import HAVE_RAY
from tests.sites_here import LosableSite, sites_here

pytestmark = [
    pytest.mark.skipif(not HAVE_RAY, reason='an engine needs Ray and Zenoh: pip install "pipert2[cluster]"'),
    pytest.mark.expects_errors,
]

COUNT = 150
Item = tuple[str, int, tuple[str, ...]]
"""Which source's, its number, and what it has come through."""


class Numbers(SourceRoutine):
    number = 0

    def main_logic(self) -> Item | None:
        if self.wait(0.002):
            return None
        if self.number == COUNT:
            self.number = 0  # another start sends it all again
            raise EndOfStream
        self.number += 1
        assert self.name is not None
        return self.name, self.number, ()


class Passes(MiddleRoutine):
    retries = 100  # deaths of its process

    def main_logic(self, item: Item) -> Item:
        name, number, way = item
        return name, number, (*way, str(self.name))


class Storm:
    """Does things to a pipe."""

    def __init__(self, pipe: Pipe, found: dict[str, LosableSite], wires: list[tuple[str, str]], seed: int) -> None:
        self._pipe = pipe
        self._found = found
        self._wires = wires
        self._random = random.Random(seed)
        self._live: set[tuple[str, str]] = set()
        self._losing: list[threading.Thread] = []

    def rage(self, steps: int) -> None:
        deeds: list[Callable[[], object]] = [self._wire] * 4 + [self._lose] * 2 + [self._kill, self._stop]
        for _ in range(steps):
            with contextlib.suppress(PipertError):  # a site is lost just now
                self._random.choice(deeds)()
            threading.Event().wait(self._random.choice((0.0, 0.05, 0.3)))
        for thread in self._losing:
            thread.join(60)

    def _wire(self) -> None:
        one = self._random.choice(self._wires)
        if one in self._live:
            self._live.discard(one)
            self._pipe.unlink(*one)
        else:
            self._pipe.link(Wire(*(self._pipe.routine(name) for name in one)))
            self._live.add(one)

    def _lose(self) -> None:
        site = self._found[self._random.choice("ab")]
        thread = threading.Thread(target=site.lose, daemon=True)
        thread.start()
        self._losing.append(thread)
        if self._random.random() < 0.5:
            self._wire()

    def _kill(self) -> None:
        sites = [site._site for site in self._found.values() if site._site is not None]
        supervisor = self._random.choice(sites).pipe._supervisor
        handles = [flow.handle for flow in supervisor.flows.values()] if supervisor is not None else []
        pid = self._random.choice([handle.pid for handle in handles if handle is not None] or [None])
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _stop(self) -> None:
        self._pipe.notify_event("stop", wait=self._random.choice((None, 1.0)))
        self._pipe.notify_event("start")


@pytest.mark.parametrize(("seed", "lossless"), [(1, True), (2, False)])
def test_a_pipe_over_three_sites_ends_and_what_is_lossless_has_arrived(seed: int, lossless: bool) -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        one, two, near, far = Numbers("one"), Numbers("two"), Passes("near"), Passes("far")
        seen = CollectingDestination("seen")
        pipe = Pipe("storm", engine="ray", lossless=lossless, restart=Restart(times=100, backoff=0.05))
        pipe.create_flow("one", False, one)
        pipe.create_flow("seen", False, seen)
        pipe.create_flow("two", False, two, host="a")
        pipe.create_flow("near", False, near, host="a")
        pipe.create_flow("far", False, far, host="b")
        pipe.link(Wire(one, near), Wire(two, far), Wire(near, seen), Wire(far, seen))
        with pipe:
            pipe.notify_event("start", wait=60)
            Storm(pipe, found, [("one", "far"), ("two", "near"), ("near", "far")], seed).rage(6)
            pipe.notify_event("start", wait=60)
            assert pipe.join(timeout=120), {
                one.handle.name: (one.reason, sorted(one.progress.finished) if one.progress is not None else None)
                for one in pipe._cluster.sites.records.values()
            }
        if lossless:
            wanted = {(name, number, way) for name, way in (("one", ("near",)), ("two", ("far",)))
                      for number in range(1, COUNT + 1)}  # fmt: skip
            assert wanted <= set(seen.items())
