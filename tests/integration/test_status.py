"""``status()``: what it tells of a running pipe is true, complete and consistent."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import psutil
import pytest

from pipert2 import (
    DestinationRoutine,
    EndOfStream,
    MiddleRoutine,
    Pipe,
    PipeState,
    QueueNetwork,
    Restart,
    SharedMemoryTransmitter,
    SourceRoutine,
    UnknownFlowError,
    UnknownRoutineError,
    Wire,
    events,
)
from pipert2.testing import CollectingDestination, FailingRoutine, ListSource, SlowRoutine, wait_until


class Numbers(SourceRoutine):
    """Sends numbers, resting *rest* seconds before each."""

    next = 0

    def __init__(self, name: str | None = None, rest: float = 0.0) -> None:
        super().__init__(name)
        self.rest = rest

    def main_logic(self) -> int:
        if self.rest:
            time.sleep(self.rest)
        self.next += 1
        return self.next - 1


class Gate(DestinationRoutine):
    """Takes messages only while it is open."""

    open = False

    @events("OPEN")
    def set_open(self) -> None:
        self.open = True

    def main_logic(self, data: Any) -> None:
        if not self.open:
            self.wait(600)


# ------------------------------------------------------------------------------------------------ counts


def test_on_every_wire_sent_is_received_dropped_and_queued(chain):
    numbers, slow, seen = Numbers("numbers"), SlowRoutine(0.002, "slow"), CollectingDestination("seen")
    newest, same_flow = SlowRoutine(0.003, "newest"), CollectingDestination("same-flow")
    with Pipe() as pipe:
        pipe.create_flow("in", False, numbers)
        pipe.create_flow("middle", False, slow, newest, same_flow)
        pipe.create_flow("out", False, seen)
        pipe.link(
            Wire(numbers, (slow,), lossless=True, capacity=7),
            Wire(numbers, (newest,)),
            Wire(newest, (same_flow,)),
            Wire(slow, (seen,), capacity=3),
        )
        for _ in range(3):
            pipe.notify_event("start", wait=60)
            received = pipe.status().routine("slow").received
            wait_until(lambda received=received: pipe.status().routine("slow").received > received + 30)
            pipe.notify_event("stop", wait=60)
            status = pipe.status()
            for wire in status.wires:
                assert wire.sent == wire.received + wire.dropped + wire.queued, wire
                assert wire.sent == status.routine(wire.source).sent or wire.lossless, wire
            for routine in status.routines:
                incoming = [wire.received for wire in status.wires if wire.destination == routine.name]
                assert routine.received == sum(incoming)
        assert status.wire("numbers", "newest").dropped > 0
        assert status.wire("numbers", "slow").dropped == 0


def test_counts_never_go_back_nor_contradict_each_other_while_the_pipe_runs(chain):
    with chain(Numbers("numbers"), SlowRoutine(0.0005, "slow"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        before = pipe.status()
        for _ in range(300):
            now = pipe.status()
            for new, old in zip(now.wires, before.wires, strict=True):
                assert new.sent >= old.sent
                assert new.received >= old.received
                assert new.dropped >= old.dropped
                assert 0 <= new.queued <= new.capacity
                assert abs(new.sent - new.received - new.dropped - new.queued) <= 1 + new.sent - old.sent
            before = now


class Locks(SourceRoutine):
    """Three things that cannot be sent, then two that can."""

    calls = 0

    def main_logic(self) -> Any:
        self.calls += 1
        if self.calls > 5:
            raise EndOfStream
        return threading.Lock() if self.calls <= 3 else self.calls


@pytest.mark.expects_errors
def test_data_that_cannot_be_sent_is_counted_as_dropped(chain):
    summary = chain(Locks("locks"), CollectingDestination("seen"), lossless=True).run(timeout=60)
    wire = summary.wires[0]
    assert (wire.received, wire.dropped, wire.queued) == (2, 3, 0)
    assert wire.sent == wire.received + wire.dropped + wire.queued
    assert {routine.name: routine.errors for routine in summary.routines}["locks"] == 3


@pytest.mark.expects_errors
def test_errors_are_counted_and_the_last_one_is_told(chain):
    fails = FailingRoutine(lambda number: number % 2, "fails")
    with chain(ListSource(range(10), "numbers"), fails, CollectingDestination("seen"), lossless=True) as pipe:
        pipe.notify_event("start")
        wait_until(lambda: pipe.status().state is PipeState.FINISHED)
        routine = pipe.status().routine("fails")
        assert routine.errors == 5
        assert routine.last_error == "main_logic: ValueError: 9 fails, as it was told to"
        assert (routine.received, routine.sent) == (10, 5)
        assert pipe.status().routine("seen").last_error is None


def test_a_source_that_waits_for_room_is_shown_as_blocked(chain):
    with chain(Numbers("numbers"), Gate("gate"), lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("numbers", "gate").queued == 64)
        wire = wait_until(lambda: (w := pipe.status().wire("numbers", "gate")).blocked and w)
        wait_until(lambda: pipe.status().wire("numbers", "gate").blocked_seconds > wire.blocked_seconds)
        pipe.notify_event("OPEN", wait=60)
        wait_until(lambda: pipe.status().routine("gate").received > 200)
        pipe.notify_event("stop", {"in-numbers": []}, wait=60)
        assert not pipe.status().wire("numbers", "gate").blocked
        stopped = pipe.status().wire("numbers", "gate").blocked_seconds
        assert pipe.status().wire("numbers", "gate").blocked_seconds == stopped > 0


def test_arrays_copied_for_a_hoarder_are_counted(chain):
    class Hoards(DestinationRoutine):
        def setup(self) -> None:
            self.hoard: list[Any] = []

        def main_logic(self, data: Any) -> None:
            self.hoard.append(data)
            assert all((array == number).all() for number, array in enumerate(self.hoard))

    frames = ListSource([np.full(10_000, number, np.uint8) for number in range(30)], "frames")
    hoards = Hoards("hoards")
    pipe = chain(frames, hoards, lossless=True, transmitter=SharedMemoryTransmitter())
    summary = pipe.run(timeout=60)
    assert summary.errors == 0
    assert 0 < summary.wires[0].copied < 30


# ------------------------------------------------------------------------------------------------ rates and latencies


def test_rates_and_latencies_are_those_of_the_data(chain):
    # Nothing is dropped and little may wait, so that all see the same data, however busy the machine is.
    little = QueueNetwork(max_queue_sizes=2, put_block=True)
    routines = Numbers("numbers", rest=0.01), SlowRoutine(0.004, "slow"), CollectingDestination("seen")
    with chain(*routines, network=little) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("seen").received >= 100)
        status = pipe.status()
    numbers, slow, seen = (status.routine(name) for name in ("numbers", "slow", "seen"))
    assert 0 < numbers.rate <= 105
    assert numbers.rate == pytest.approx(slow.rate, rel=0.3)
    assert slow.rate == pytest.approx(seen.rate, rel=0.3)
    assert 0.009 < numbers.logic_time.p50 <= numbers.logic_time.p99
    assert 0.0037 < slow.logic_time.p50 <= slow.logic_time.p99
    assert slow.logic_time.p50 < numbers.logic_time.p50
    assert numbers.age.p50 is None
    assert 0 < slow.age.p50 < seen.age.p50
    assert seen.age.p50 > 0.0037
    assert status.wire("slow", "seen").rate == pytest.approx(seen.rate, rel=0.1)


def test_the_message_in_hand_is_shown_with_its_time(chain):
    with chain(Numbers("numbers"), SlowRoutine(600, "stuck"), CollectingDestination("seen"), kill_timeout=0.1) as pipe:
        pipe.notify_event("start", wait=60)
        busy = wait_until(lambda: pipe.status().routine("stuck").busy_for)
        wait_until(lambda: pipe.status().routine("stuck").busy_for > busy + 0.05)
        assert pipe.status().routine("seen").busy_for == 0


# ------------------------------------------------------------------------------------------------ flows


def test_flows_tell_their_process(chain):
    with chain(Numbers("numbers"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().flow("in-numbers").cpu_percent > 0)
        for flow in pipe.status().flows:
            process = psutil.Process(flow.pid)
            assert flow.state == "running"
            assert flow.restarts == 0
            assert flow.last_exit is None
            assert flow.rss_bytes == pytest.approx(process.memory_info().rss, rel=0.5)
            assert 0 < flow.uptime <= time.time() - process.create_time() + 1.0
        assert len({flow.pid for flow in pipe.status().flows}) == 2
    assert {(flow.state, flow.pid, flow.last_exit) for flow in pipe.status().flows} == {("ended", None, "exit code 0")}


@pytest.mark.expects_errors
def test_a_death_and_the_restart_are_visible_everywhere(chain, caplog):
    slow, seen = SlowRoutine(0.1, "slow"), CollectingDestination("seen")
    pipe = chain(Numbers("numbers"), slow, seen, restart=Restart(backoff=1.0))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("slow").received > 3)
        pid = pipe.status().flow("in-slow").pid
        pipe.notify_event("SET_DELAY", wait=60, seconds=600)  # it is still at its message when it is killed
        wait_until(lambda: pipe.status().routine("slow").busy_for)
        os.kill(pid, signal.SIGKILL)
        flow = wait_until(lambda: (f := pipe.status().flow("in-slow")).state == "restarting" and f)
        assert (flow.pid, flow.last_exit) == (None, "killed by signal SIGKILL")
        wait_until(lambda: pipe.status().routine("slow").state == "running")
        received = pipe.status().routine("slow").received
        wait_until(lambda: pipe.status().routine("slow").received > received + 3)
        status = pipe.status()
    flow = status.flow("in-slow")
    assert (flow.state, flow.restarts, flow.last_exit) == ("running", 1, "killed by signal SIGKILL")
    assert flow.pid not in (None, pid)
    assert "in-slow' died (killed by signal SIGKILL)" in status.routine("slow").last_error
    assert status.routine("slow").interrupted == 1
    assert "flow 'in-slow' died (killed by signal SIGKILL); it is restarted in 1.0 s" in caplog.text
    assert status.flow("in-numbers").restarts == 0


def test_shared_memory_in_use_is_told(chain):
    class Frames(SourceRoutine):
        def main_logic(self) -> Any:
            return np.zeros(1_000_000, np.uint8)

    with chain(Frames("frames"), CollectingDestination("seen")) as pipe:
        pipe.build()
        before = pipe.status().shared_memory_bytes
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().shared_memory_bytes >= before + 1_000_000)


# ------------------------------------------------------------------------------------------------ the snapshot itself


def test_a_snapshot_is_frozen_and_stays_as_it_was(chain):
    with chain(Numbers("numbers"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        status = pipe.status()
        text = repr(status)
        wait_until(lambda: pipe.status().routine("seen").received > status.routine("seen").received)
        assert repr(status) == text
        with pytest.raises(dataclasses.FrozenInstanceError):
            status.routines[0].received = 5


def test_a_snapshot_can_be_written_as_json_in_every_state(chain):
    pipe = chain(Numbers("numbers"), CollectingDestination("seen"))
    found = [pipe.status()]
    with pipe:
        pipe.build()
        found.append(pipe.status())
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("seen").received)
        found.append(pipe.status())
    found.append(pipe.status())
    states = [json.loads(json.dumps(status.to_dict()))["state"] for status in found]
    assert states == ["new", "built", "running", "ended"]


def test_unknown_names_in_a_snapshot_are_errors_with_the_nearest(chain):
    with chain(Numbers("numbers"), CollectingDestination("seen")) as pipe:
        pipe.build()
        with pytest.raises(UnknownRoutineError, match="did you mean 'numbers'"):
            pipe.status().routine("number")
        with pytest.raises(UnknownFlowError, match="did you mean 'in-seen'"):
            pipe.status().flow("inseen")
        with pytest.raises(UnknownRoutineError, match="numbers -> seen"):
            pipe.status().wire("seen", "numbers")


def test_status_may_be_asked_from_any_thread_at_any_time(chain):
    stop, failures = threading.Event(), []

    def ask(pipe: Pipe) -> None:
        while not stop.is_set():
            try:
                pipe.status().to_dict()
            except BaseException as error:
                failures.append(error)
                return

    for _ in range(5):
        pipe = chain(Numbers("numbers"), CollectingDestination("seen"))
        threads = [threading.Thread(target=ask, args=(pipe,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda pipe=pipe: pipe.status().routine("seen").received > 10)
        stop.set()
        for thread in threads:
            thread.join()
        stop.clear()
    assert not failures


class Silent(MiddleRoutine):
    def main_logic(self, data: int) -> None:
        return None


def test_a_routine_that_sends_nothing_has_received_but_not_sent(chain):
    with chain(
        ListSource(range(25), "numbers"), Silent("silent"), CollectingDestination("seen"), lossless=True
    ) as pipe:
        pipe.notify_event("start")
        wait_until(lambda: pipe.status().state is PipeState.FINISHED)
        assert (pipe.status().routine("silent").received, pipe.status().routine("silent").sent) == (25, 0)
        assert pipe.status().wire("silent", "seen").sent == 0
