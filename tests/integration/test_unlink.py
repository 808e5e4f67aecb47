"""Wires can be taken away while the pipe runs."""

from __future__ import annotations

import os

import pytest

from pipert2 import (
    MiddleRoutine,
    Pipe,
    PipeBuildError,
    PipeState,
    SourceRoutine,
    UnknownRoutineError,
    Wire,
)
from pipert2.testing import CollectingDestination, ListSource, SlowRoutine, wait_until
from tests.sources import Counting


class Endless(SourceRoutine):
    next = 0

    def main_logic(self) -> int:
        self.next += 1
        return self.next - 1


class Passes(MiddleRoutine):
    def main_logic(self, data: int) -> int:
        return data


def fork(source: SourceRoutine, *ends: object, **wire: object) -> Pipe:
    pipe = Pipe()
    for routine in (source, *ends):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(source, ends, **wire))
    return pipe


@pytest.mark.parametrize("lossless", [False, True])
def test_unlink_ends_one_destinations_stream_and_the_others_go_on(lossless):
    first, second = CollectingDestination("first"), CollectingDestination("second")
    with fork(Endless("numbers"), first, second, lossless=lossless) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(first.items()) > 20 and len(second.items()) > 20)
        pipe.unlink("numbers", "first")
        wait_until(lambda: pipe.status().routine("first").finished)
        wire = pipe.status().wire("numbers", "first")
        assert wire.unlinked
        assert wire.queued == 0
        items = first.items()
        assert len(items) == wire.received
        if lossless:
            # What the source was about to send when the wire went is counted as dropped.
            assert items == list(range(wire.received))
            assert wire.sent == wire.received + wire.dropped
        count = len(second.items())
        wait_until(lambda: len(second.items()) > count + 50)
        assert first.items() == items
        wires = pipe.get_pipe_structure()["Wires"]
        assert [wire["destinations"] for wire in wires] == [["second"]]


def test_unlink_frees_a_source_that_waits_for_room():
    stuck, quick = SlowRoutine(600, "stuck"), CollectingDestination("quick")
    end = CollectingDestination("end")
    with Pipe(lossless=True, kill_timeout=0.1) as pipe:
        numbers = Endless("numbers")
        for routine in (numbers, stuck, quick, end):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (stuck, quick), capacity=4), Wire(stuck, (end,)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("numbers", "stuck").blocked and pipe.status().routine("stuck").received)
        pipe.unlink("numbers", "stuck")
        count = len(quick.items())
        wait_until(lambda: len(quick.items()) > count + 50)


def test_unlink_while_blocked_ends_the_slow_destination_after_what_was_sent():
    slow, seen = SlowRoutine(0.02, "slow"), CollectingDestination("seen")
    with Pipe(lossless=True) as pipe:
        numbers = Endless("numbers")
        for routine in (numbers, slow, seen):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (slow,), capacity=4), Wire(slow, (seen,)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("numbers", "slow").blocked)
        pipe.unlink("numbers", "slow")
        wait_until(lambda: pipe.status().routine("seen").finished)
        received = pipe.status().wire("numbers", "slow").received
    assert seen.items() == list(range(received))


def test_unlink_before_build_is_as_if_the_wire_had_never_been():
    numbers, more = ListSource(range(5), "numbers"), ListSource(range(3), "more")
    first, second = CollectingDestination("first"), CollectingDestination("second")
    pipe = Pipe(lossless=True)
    for routine in (numbers, more, first, second):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(numbers, (first, second)), Wire(more, (first,)))
    pipe.unlink(numbers, first)
    assert pipe.run(timeout=60).ok
    assert (first.items(), second.items()) == ([0, 1, 2], [0, 1, 2, 3, 4])


def test_an_unlinked_destination_with_another_input_goes_on():
    numbers, more, seen = Endless("numbers"), Endless("more"), CollectingDestination("seen")
    with Pipe() as pipe:
        for routine in (numbers, more, seen):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (seen,)), Wire(more, (seen,)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("numbers", "seen").received > 10)
        pipe.unlink("numbers", "seen")
        wait_until(lambda: pipe.status().wire("numbers", "seen").unlinked)
        received = pipe.status().wire("more", "seen").received
        wait_until(lambda: pipe.status().wire("more", "seen").received > received + 20)
        assert pipe.status().state is PipeState.RUNNING


def test_a_wire_within_a_flow_can_be_unlinked_too():
    numbers, passes, first, second = (
        Endless("numbers"),
        Passes("passes"),
        CollectingDestination("1"),
        CollectingDestination("2"),
    )
    with Pipe(lossless=True) as pipe:
        pipe.create_flow("all", False, numbers, passes, first, second)
        pipe.link(Wire(numbers, (passes,), capacity=2), Wire(passes, (first, second), capacity=2))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(first.items()) > 20)
        pipe.unlink("passes", "1")
        wait_until(lambda: pipe.status().routine("1").finished)
        items = first.items()
        assert items == list(range(len(items)))
        count = len(second.items())
        wait_until(lambda: len(second.items()) > count + 20)


def test_unknown_wires_are_errors_with_the_nearest_name():
    with fork(Endless("numbers"), CollectingDestination("first"), CollectingDestination("second")) as pipe:
        pipe.build()
        with pytest.raises(UnknownRoutineError, match="did you mean 'numbers'"):
            pipe.unlink("number", "first")
        with pytest.raises(UnknownRoutineError, match="has no wire 'first -> numbers'"):
            pipe.unlink("first", "numbers")
        pipe.unlink("numbers", "first")
        with pytest.raises(UnknownRoutineError, match="has no wire 'numbers -> first'"):
            pipe.unlink("numbers", "first")


def test_all_replicas_of_a_flow_work_again_when_its_last_wire_comes_back():
    class Who(MiddleRoutine):
        def main_logic(self, data: int) -> int:
            self.wait(0.005)
            return os.getpid()

    numbers, who, seen, aside = (
        Endless("numbers"),
        Who("who"),
        CollectingDestination("seen"),
        CollectingDestination("a"),
    )
    pipe = Pipe(lossless=True)
    pipe.create_flow("numbers", False, numbers)
    pipe.create_flow("who", False, who, replicas=3)
    pipe.create_flow("seen", False, seen, aside)
    pipe.link(Wire(numbers, who), Wire(who, seen), Wire(numbers, aside, lossless=False))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(set(seen.items())) == 3)
        pipe.unlink(numbers, who)
        wait_until(lambda: pipe.status().routine("seen").finished)
        count = len(seen.items())
        pipe.link(Wire(numbers, who))
        wait_until(lambda: len(set(seen.items()[count:])) == 3)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_wire_from_replicas_that_comes_and_goes_carries_what_all_of_them_send(lossless):
    class Who(MiddleRoutine):
        def main_logic(self, data: int) -> tuple[int, int]:
            self.wait(0.004)
            return data, os.getpid()

    numbers, few, who = Counting("numbers", rest=0.001), ListSource([(0, 0)], "few"), Who("who")
    seen, later = CollectingDestination("seen"), CollectingDestination("later")
    pipe = Pipe(lossless=lossless)
    pipe.create_flow("numbers", False, numbers, few)
    pipe.create_flow("who", False, who, replicas=3)
    for routine in (seen, later):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(numbers, who, lossless=True), Wire(who, seen), Wire(few, later))
    with pipe:
        pipe.notify_event("start", wait=60)
        for _ in range(2):
            count = len(later.items())
            pipe.link(Wire(who, later))
            wait_until(lambda count=count: len({pid for _, pid in later.items()[count:] if pid}) == 3)
            pipe.unlink(who, later)
            wait_until(lambda: pipe.status().routine("later").finished)
        pipe.link(Wire(who, later))
        wait_until(lambda: not pipe.status().routine("later").finished)
        first = max(number for number, _ in seen.items()) + 100  # none of those that were worked on before
        wait_until(lambda: max(number for number, _ in later.items()) > first + 100)
        pipe.notify_event("END", wait=60)
        assert pipe.join(timeout=60)
    if lossless:
        assert {item for item in seen.items() if item[0] > first} == {item for item in later.items() if item[0] > first}


def test_a_wire_within_a_flow_with_replicas_goes_in_all_of_them_and_cannot_come() -> None:
    class Who(MiddleRoutine):
        def main_logic(self, data: int) -> int:
            self.wait(0.004)
            return os.getpid()

    numbers, who, near = Endless("numbers"), Who("who"), CollectingDestination("near")
    passes, seen = Passes("passes"), CollectingDestination("seen")
    pipe = Pipe(lossless=True)
    pipe.create_flow("numbers", False, numbers)
    pipe.create_flow("who", False, who, passes, replicas=3)
    pipe.create_flow("seen", False, seen, near)
    pipe.link(Wire(numbers, who), Wire(who, passes), Wire(who, near), Wire(passes, seen))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(set(seen.items())) == 3)
        pipe.unlink(who, passes)
        wait_until(lambda: pipe.status().routine("seen").finished)
        count, more = len(seen.items()), len(near.items()) + 100
        wait_until(lambda: len(near.items()) > more)
        assert len(seen.items()) == count
        with pytest.raises(PipeBuildError, match="within a flow with replicas: build the pipe with it"):
            pipe.link(Wire(who, passes))
