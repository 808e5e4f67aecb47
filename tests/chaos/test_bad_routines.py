"""Slow, failing, hanging and crashing routines: each harms itself only, and everything is told."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, Restart, Routine, SourceRoutine, Wire, events
from pipert2.testing import CollectingDestination, FailingRoutine, SlowRoutine, wait_until

pytestmark = pytest.mark.expects_errors


class Numbers(SourceRoutine):
    next = 0

    def main_logic(self) -> int:
        self.wait(0.001)
        self.next += 1
        return self.next - 1


class Acts(MiddleRoutine):
    """Does something terrible once in each *every* messages."""

    def __init__(self, act: Callable[[Any], Any], every: int = 20, name: str = "acts") -> None:
        super().__init__(name)
        self.act = act
        self.every = every
        self.count = 0

    def main_logic(self, data: int) -> int:
        self.count += 1
        if self.count % self.every == 0:
            self.act(self)
        return data


def row(*routines: Routine, **options: Any) -> Pipe:
    pipe = Pipe(**options)
    for routine in routines:
        pipe.create_flow(f"in-{routine.name}", False, routine)
    for first, second in pairwise(routines):
        pipe.link(Wire(first, (second,)))
    return pipe


def segfault(_routine: Any) -> None:
    ctypes.string_at(0)


CRASHES = {
    "os._exit(0)": (lambda _: os._exit(0), "exit code 0"),
    "os._exit(3)": (lambda _: os._exit(3), "exit code 3"),
    "segfault": (segfault, "killed by signal SIGSEGV"),
    "abort": (lambda _: os.abort(), "killed by signal SIGABRT"),
    "SIGTERM": (lambda _: os.kill(os.getpid(), 15), "killed by signal SIGTERM"),
    "SIGKILL": (lambda _: os.kill(os.getpid(), 9), "killed by signal SIGKILL"),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_is_told_with_its_cause_and_the_flow_is_restarted(crash, capfd):
    act, cause = CRASHES[crash]
    seen = CollectingDestination("seen")
    # However late somebody looks, it is not dead for good: it can die more often than it gets the time to.
    with row(Numbers("numbers"), Acts(act), seen, lossless=True, restart=Restart(times=1000, backoff=0.01)) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().flow("in-acts").restarts >= 2)
        count = len(seen.items())
        items = wait_until(lambda: len(found := seen.items()) > count and found)
        status = pipe.status()  # after what was seen: it tells of all deaths that came before
    assert status.flow("in-acts").last_exit == cause
    assert cause in status.routine("acts").last_error
    assert status.routine("acts").interrupted >= 2
    assert status.flow("in-numbers").restarts == status.flow("in-seen").restarts == 0
    missing = sorted(set(range(items[-1])) - set(items))
    assert items == sorted(set(items))
    assert len(missing) <= status.flow("in-acts").restarts


def test_a_flow_that_dies_too_often_stays_dead_and_run_says_so():
    pipe = row(
        Numbers("numbers"),
        Acts(lambda _: os._exit(7), every=1),
        CollectingDestination("seen"),
        restart=Restart(2, backoff=0),
    )
    summary = pipe.run(timeout=60)
    assert not summary.ok
    assert "in-acts" in summary.reason
    assert "exit code 7" in summary.reason
    assert {flow.name: flow.restarts for flow in summary.flows} == {"in-numbers": 0, "in-acts": 2, "in-seen": 0}
    assert {flow.name: flow.state for flow in summary.flows}["in-acts"] == "failed"


def test_without_restarts_the_first_death_is_the_last():
    summary = row(Numbers("numbers"), Acts(lambda _: os._exit(7)), CollectingDestination("seen"), restart=0).run(
        timeout=60
    )
    assert (summary.ok, sum(flow.restarts for flow in summary.flows)) == (False, 0)


def test_the_rest_of_the_pipe_goes_on_beside_a_flow_that_stays_dead():
    numbers, dies, lives = Numbers("numbers"), Acts(lambda _: os._exit(7), name="dies"), CollectingDestination("lives")
    behind = CollectingDestination("behind")
    with Pipe(restart=0) as pipe:
        for routine in (numbers, dies, lives, behind):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (dies, lives), lossless=True, capacity=4), Wire(dies, (behind,)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().flow("dies").state == "failed")
        count = len(lives.items())
        wait_until(lambda: len(lives.items()) > count + 50)


class DiesInSetup(DestinationRoutine):
    def setup(self) -> None:
        os._exit(9)

    def main_logic(self, data: object) -> None:
        pass


def test_a_setup_that_crashes_its_process_ends_in_a_summary_too():
    summary = row(Numbers("numbers"), DiesInSetup("dies"), restart=Restart(2, backoff=0)).run(timeout=60)
    assert not summary.ok
    assert "in-dies" in summary.reason


HANGS: dict[str, Callable[[Any], Any]] = {
    "in Python": lambda _: time.sleep(600),
    "in C, with the interpreter's lock": lambda _: ctypes.PyDLL(None).sleep(600),
    "for a lock": lambda routine: [threading.Lock().acquire(), (lock := threading.Lock()).acquire(), lock.acquire()],
}


@pytest.mark.parametrize("hang", HANGS)
def test_a_hang_is_found_killed_and_restarted(hang, caplog):
    seen = CollectingDestination("seen")
    options = {"lossless": True, "hang_timeout": 1.0, "kill_timeout": 0.2, "restart": Restart(times=50, backoff=0.0)}
    with row(Numbers("numbers"), Acts(HANGS[hang]), seen, **options) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().flow("in-acts").restarts >= 1)
        count = len(seen.items())
        wait_until(lambda: len(seen.items()) > count)
        status = pipe.status()
    assert "routine 'acts' hung for" in caplog.text
    assert "hung" in status.flow("in-acts").last_exit
    assert status.flow("in-seen").restarts == status.flow("in-numbers").restarts == 0


class Patient(DestinationRoutine):
    """Waits in our own calls, and answers slowly by events of its own."""

    def setup(self) -> None:
        threading.Thread(target=self.ask, daemon=True).start()

    def ask(self) -> None:
        while not self.wait(0.05):
            self.notify_event("NAP", wait=60)

    def main_logic(self, data: int) -> None:
        self.wait(2.0)


class Naps(Numbers):
    @events("NAP")
    def nap(self) -> None:
        time.sleep(0.1)


def test_waiting_in_calls_of_the_runtime_is_no_hang():
    with row(Naps("numbers"), Patient("patient"), lossless=True, hang_timeout=1.5) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("patient").received >= 2)
        wait_until(lambda: pipe.status().wire("numbers", "patient").blocked, what="the source waiting for its wire")
        assert [flow.restarts for flow in pipe.status().flows] == [0, 0]


def test_a_slow_consumer_slows_nobody_on_real_time_wires():
    numbers, slow, quick = Numbers("numbers"), SlowRoutine(1.0, "slow"), CollectingDestination("quick")
    with Pipe() as pipe:
        for routine in (numbers, slow, quick, end := CollectingDestination("end")):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (slow, quick)), Wire(slow, (end,)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("numbers", "slow").dropped > 100, timeout=60)
        wait_until(lambda: pipe.status().routine("quick").received > 100, timeout=60)
        status = pipe.status()
    assert status.routine("quick").received > 5 * status.routine("slow").received


def test_a_routine_that_always_fails_costs_nobody_else_anything():
    numbers, fails, good = Numbers("numbers"), FailingRoutine(lambda _: True, "fails"), CollectingDestination("good")
    with Pipe(lossless=True) as pipe:
        for routine in (numbers, fails, good, end := CollectingDestination("end")):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (fails, good)), Wire(fails, (end,)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("fails").errors >= 100)
        wait_until(lambda: len(good.items()) >= 100)
        assert end.items() == []


class AlwaysFails(SourceRoutine):
    calls = 0

    def main_logic(self) -> None:
        self.calls += 1
        raise OSError("no camera")


def test_a_source_that_always_fails_does_not_burn_the_processor():
    with row(AlwaysFails("camera"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        errors = wait_until(lambda: (found := pipe.status().routine("camera").errors) >= 8 and found)
        assert not pipe.notify_event("stop", wait=60)["camera"].error
        assert errors < 30


def test_an_event_to_a_flow_that_is_being_restarted_is_handled_once_it_is_back(journal):
    class Hears(DestinationRoutine):
        def main_logic(self, data: object) -> None:
            pass

        @events("SAY")
        def say(self, word: str) -> str:
            journal.note(word)
            return word

    with row(Numbers("numbers"), Hears("hears"), restart=Restart(backoff=0.3)) as pipe:
        pipe.notify_event("start", wait=60)
        os.kill(pipe.status().flow("in-hears").pid, 9)
        wait_until(lambda: (flow := pipe.status().flow("in-hears")).state == "restarting" or flow.restarts)
        pipe.notify_event("SAY", word="one")
        assert pipe.notify_event("SAY", wait=60, word="two")["hears"].unwrap() == "two"
        assert journal.lines() == ["one", "two"]


def test_unlink_while_the_source_is_being_restarted_holds_afterwards():
    numbers, first, second = Numbers("numbers"), CollectingDestination("first"), CollectingDestination("second")
    with Pipe(restart=Restart(backoff=0.3)) as pipe:
        for routine in (numbers, first, second):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (first, second)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: first.items() and second.items())
        os.kill(pipe.status().flow("numbers").pid, 9)
        wait_until(lambda: (flow := pipe.status().flow("numbers")).state == "restarting" or flow.restarts)
        pipe.unlink("numbers", "first")
        count = len(second.items())
        wait_until(lambda: len(second.items()) > count + 50)
        assert pipe.status().wire("numbers", "first").unlinked
        wait_until(lambda: pipe.status().routine("first").finished)
