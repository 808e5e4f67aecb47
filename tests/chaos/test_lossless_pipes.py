"""A lossless pipe whose processes are killed again and again: nothing is missing at its end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    CallError,
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    Restart,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    middle,
)
from pipert2.testing import CollectingDestination, wait_until

pytestmark = [pytest.mark.expects_errors, pytest.mark.timeout(600)]

KILLS = 100
ALWAYS = Restart(times=1_000_000, window=1.0, backoff=0.0)


class Numbers(SourceRoutine):
    """Counts until it is told to end."""

    max_in_flight = 50

    def __init__(self, name: str, *, frames: bool = False) -> None:
        super().__init__(name)
        self.frames = frames

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> Any:
        self.number += 1
        return np.full(50_000, self.number % 251, np.uint8) if self.frames else self.number


def kill_again_and_again(pipe: Pipe, flows: list[str], times: int) -> None:
    """Kill one of the flows' processes at a moment that nobody chose, when they have done something since the last."""
    dice = random.Random(7)
    for _ in range(times):
        flow = dice.choice(flows)

        def pid(flow: str = flow) -> int | None:
            one = pipe.status().flow(flow)
            return one.pid if one.state == "running" else None

        victim = wait_until(pid, timeout=60)
        before = pipe.status().routine("results").received
        wait_until(lambda before=before: pipe.status().routine("results").received > before, timeout=60)
        time.sleep(dice.random() * 0.01)  # the moment
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda flow=flow, pid=victim: pipe.status().flow(flow).pid != pid, timeout=60)


def finish(pipe: Pipe, numbers: str) -> int:
    """End the stream of the source; how many it has sent."""
    assert pipe._supervisor is not None
    pipe.notify_event("stop", {numbers: []}, wait=60)
    queues = pipe._supervisor.memory.queues.all()
    wait_until(lambda: not any(queue.table.under_way() for queue in queues), timeout=60, what="the end of all")
    return pipe.status().routine("numbers").sent


@pytest.mark.parametrize("concurrency", [1, 4])
def test_nothing_is_missing_when_the_flow_in_the_middle_is_killed_again_and_again(concurrency: int) -> None:
    class Parts(MiddleRoutine):
        def main_logic(self, number: int) -> Iterator[Any]:
            yield number, "a"
            yield number, "b"

    @middle(name="work", concurrency=concurrency)
    def work(part: Any) -> Any:
        return part

    pipe, results = Pipe(lossless=True, restart=ALWAYS), CollectingDestination("results")
    numbers, parts = Numbers("numbers"), Parts("parts")
    pipe.create_flow("first", True, numbers)
    pipe.create_flow("middle", True, parts, work)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(numbers, parts), Wire(work, results))
    parts.retries = work.retries = 1_000
    with pipe:
        pipe.notify_event("start", wait=60)
        kill_again_and_again(pipe, ["middle"], KILLS)
        sent = finish(pipe, "first")
        wait_until(lambda: pipe.status().flow("middle").restarts == KILLS, what="the last restart")  # all may be done
        assert pipe.dead_letters() == ()
    assert set(results.items()) == {(number, part) for number in range(1, sent + 1) for part in "ab"}


def test_nothing_is_missing_when_any_flow_behind_the_source_is_killed() -> None:
    class Sums(MiddleRoutine):
        retries = 1_000

        def main_logic(self, frame: np.ndarray) -> Any:
            assert (frame == frame[0]).all()
            return self.message.sequence, frame

    class Keeps(CollectingDestination):
        retries = 1_000

        def main_logic(self, data: Any) -> None:
            sequence, frame = data
            assert (frame == sequence % 251).all()
            super().main_logic(sequence)

    pipe = Pipe(lossless=True, restart=ALWAYS, data_transmitter=SharedMemoryTransmitter())
    numbers, sums, results = Numbers("numbers", frames=True), Sums("sums"), Keeps("results")
    pipe.create_flow("first", True, numbers)
    pipe.create_flow("middle", True, sums, replicas=2)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(numbers, sums), Wire(sums, results))
    with pipe:
        pipe.notify_event("start", wait=60)
        kill_again_and_again(pipe, ["middle", "middle#2", "last"], 40)
        sent = finish(pipe, "first")
        assert pipe.dead_letters() == ()
        assert pipe.status().routine("sums").errors == 0
    assert set(results.items()) == set(range(1, sent + 1))


def test_what_goes_round_in_a_circle_is_not_lost_when_its_flows_are_killed() -> None:
    class Step(MiddleRoutine):
        retries = 1_000

        def main_logic(self, item: Any) -> Any:
            number, left = item if isinstance(item, tuple) else (item, 5)
            return number, left - 1

    pipe, results = Pipe(lossless=True, restart=ALWAYS), CollectingDestination("results")
    numbers, step, back = Numbers("numbers"), Step("step"), Step("back")
    pipe.create_flow("first", True, numbers)
    pipe.create_flow("step", True, step)
    pipe.create_flow("back", True, back)
    pipe.create_flow("last", True, results)
    pipe.link(
        Wire(numbers, step),
        Wire(step, back, where=lambda item: item[1] > 0),
        Wire(back, step, feedback=True),
        Wire(step, results, where=lambda item: item[1] <= 0),
    )
    with pipe:
        pipe.notify_event("start", wait=60)
        kill_again_and_again(pipe, ["step", "back"], 30)
        sent = finish(pipe, "first")
    assert {number for number, _ in results.items()} == set(range(1, sent + 1))


def test_every_call_ends_while_the_service_is_killed_again_and_again() -> None:
    class Doubles(DestinationRoutine):
        service = True
        concurrency = 3

        def main_logic(self, number: int) -> int:
            time.sleep(0.002)  # the work itself
            return 2 * number

    pipe = Pipe(restart=ALWAYS)
    pipe.create_flow("service", False, Doubles("doubles"), replicas=2)
    with pipe, ThreadPoolExecutor(5) as clients:
        pipe.notify_event("start", wait=60)
        over: list[bool] = []

        def client(who: int) -> tuple[int, int]:
            answered = failed = 0
            while not over or not answered:
                try:
                    assert pipe.call("doubles", who, timeout=60) == 2 * who
                    answered += 1
                except CallError:
                    failed += 1
            return answered, failed

        running = [clients.submit(client, who) for who in range(4)]
        dice = random.Random(3)
        for number in range(20):
            name = ("service", "service#2")[number % 2]
            pid = wait_until(
                lambda name=name: (one := pipe.status().flow(name)).state == "running" and one.pid, timeout=60
            )
            time.sleep(dice.random() * 0.05)  # the moment
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda name=name, pid=pid: pipe.status().flow(name).pid not in (pid, None), timeout=60)
        over.append(True)
        assert all(one.result(60)[0] for one in running)
