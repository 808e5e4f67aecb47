"""What is sent to a flow while its process is being replaced: its successor gets it, once and in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    EventHandlerError,
    MiddleRoutine,
    Parameter,
    Pipe,
    Routine,
    Wire,
    events,
)
from pipert2.testing import CollectingDestination, wait_until
from tests.processes import Journal
from tests.sources import OpenList

PATIENT = 600.0
"""Seconds for the message in hand: who leaves leaves by itself."""


class Gate:
    """Holds up who waits at it; one of these may be killed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self) -> None:
        self.path.touch()

    def wait(self) -> None:
        wait_until(self.path.exists)


class Work(MiddleRoutine):
    """Has a message in hand until the gate is opened; notes what it is asked, and in which of its lives."""

    service = True
    retries = 0
    gain = Parameter(1, minimum=0)

    def __init__(self, journal: Journal, name: str = "work") -> None:
        super().__init__(name)
        self.journal = journal
        self.gate = Gate(journal.path.with_name(f"gate of {name}"))

    def main_logic(self, data: Any) -> Any:
        if data == "fail":
            raise ValueError("no")
        if isinstance(data, int) and not self.journal.lines():  # not when it comes again
            self.journal.note("in hand", os.getpid())
            self.gate.wait()
        return data, os.getpid()

    @events("SAY")
    def say(self, word: object) -> tuple[object, int]:
        self.journal.note("said", word, os.getpid())
        return word, os.getpid()

    @events("HOLD")
    def hold(self) -> None:
        self.journal.note("in hand", os.getpid())
        self.gate.wait()


def said(journal: Journal) -> list[tuple[str, int]]:
    """What was said, and which process has heard it."""
    lines = [line.split() for line in journal.lines()]
    return [(words[1], int(words[2])) for words in lines if words[0] == "said"]


@contextmanager
def leaving(journal: Journal, work: Routine | None = None, **options: Any) -> Iterator[tuple[Pipe, Any, int]]:
    """A pipe, its routine and the process that it is in, which has a message in hand and is asked to leave."""
    with held(journal, work, **options) as (pipe, routine, pid):
        pipe.restart_flow("works")
        yield pipe, routine, pid
        routine.gate.set()


@contextmanager
def held(journal: Journal, work: Routine | None = None, **options: Any) -> Iterator[tuple[Pipe, Any, int]]:
    """A pipe, its routine, and the process that it is in, which has a message in hand."""
    routine: Any = work or Work(journal)
    numbers, seen = OpenList([1], "numbers"), CollectingDestination("seen")
    with Pipe(lossless=True, **{"kill_timeout": PATIENT, **options}) as pipe:
        pipe.create_flow("numbering", False, numbers)
        pipe.create_flow("works", False, routine)
        pipe.create_flow("seeing", False, seen)
        pipe.link(Wire(numbers, routine), Wire(routine, seen))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: "in hand" in " ".join(journal.lines()))
        try:
            yield pipe, routine, pipe.status().flow("works").pid or 0
        finally:
            routine.gate.set()


def successor(pipe: Pipe, old: int, flow: str = "works") -> int:
    """The process that has taken the place of another one."""

    def there() -> int:
        status = pipe.status().flow(flow)
        return status.pid or 0 if status.state == "running" and status.pid != old else 0

    return int(wait_until(there, 60.0, "another process"))


# ------------------------------------------------------------------------------------------------ events


def test_an_event_that_nobody_waits_for_is_handled_once_by_the_next_process(journal):
    with leaving(journal) as (pipe, work, old):
        pipe.notify_event("SAY", word="a")
        work.gate.set()
        new = successor(pipe, old)
        wait_until(lambda: said(journal))
        pipe.notify_event("SAY", wait=60, word="end")
    assert said(journal) == [("a", new), ("end", new)]


def test_whoever_waits_for_an_event_gets_the_answer_of_the_next_process(journal):
    with leaving(journal) as (pipe, work, old), ThreadPoolExecutor(1) as caller:
        answer = caller.submit(pipe.notify_event, "SAY", wait=60, word="a")
        wait_until(lambda: pipe._supervisor.flows["works"].waiting)
        work.gate.set()
        assert answer.result(60)["work"].unwrap() == ("a", successor(pipe, old))
    assert [word for word, _ in said(journal)] == ["a"]


def test_events_before_and_after_the_order_to_restart_stay_in_order_and_each_is_handled_once(journal):
    with held(journal) as (pipe, work, old), ThreadPoolExecutor(1) as caller:
        for number in range(10):
            pipe.notify_event("SAY", word=number)
        last = caller.submit(pipe.notify_event, "SAY", wait=60, word="last-of-the-old")
        wait_until(lambda: pipe._supervisor.bus.next_deadline())
        pipe.restart_flow("works")
        for number in range(10, 20):
            pipe.notify_event("SAY", word=number)
        work.gate.set()
        assert last.result(60)["work"].unwrap()[1] == old
        new = successor(pipe, old)
        assert pipe.notify_event("SAY", wait=60, word="end")["work"].unwrap() == ("end", new)
    assert said(journal) == [
        *((str(number), old) for number in range(10)),
        ("last-of-the-old", old),
        *((str(number), new) for number in range(10, 20)),
        ("end", new),
    ]


def test_events_without_end_over_many_restarts_are_each_handled_once_and_in_order(journal):
    with held(journal) as (pipe, work, old):
        work.gate.set()
        count = 0
        for _ in range(5):
            pipe.restart_flow("works")
            while pipe.status().flow("works").pid in (old, None):
                pipe.notify_event("SAY", word=count)
                count += 1
            old = successor(pipe, old)
        pipe.notify_event("SAY", wait=60, word="end")
    assert [word for word, _ in said(journal)] == [*map(str, range(count)), "end"]


def test_what_an_event_was_given_is_what_it_was_when_it_was_sent(journal):
    with leaving(journal) as (pipe, work, _):
        word = ["a"]
        pipe.notify_event("SAY", word=word)
        word.append("b")
        work.gate.set()
        wait_until(lambda: said(journal))
    assert [found for found, _ in said(journal)] == ["['a']"]


def test_a_start_of_a_flow_that_is_being_replaced_is_answered_by_the_next_process(journal):
    work = Work(journal)
    with Pipe(kill_timeout=PATIENT) as pipe, ThreadPoolExecutor(1) as caller:
        pipe.create_flow("works", False, work)
        pipe.build()
        old = pipe.status().flow("works").pid or 0
        pipe.notify_event("HOLD")
        wait_until(journal.lines)
        pipe.restart_flow("works")
        started = caller.submit(pipe.notify_event, "start", wait=60)
        wait_until(lambda: pipe._supervisor.flows["works"].waiting)
        work.gate.set()
        assert started.result(60)["work"].unwrap() is None
        assert pipe.status().routine("work").state == "running"
        assert pipe.call("work", "x", timeout=60) == ("x", successor(pipe, old))


def test_a_wire_that_is_taken_away_by_an_event_meanwhile_is_gone_and_that_is_the_answer(journal):
    with leaving(journal) as (pipe, work, old), ThreadPoolExecutor(1) as caller:
        answer = caller.submit(pipe.notify_event, "unlink", {"works": ["work"]}, wait=60, unlink_routine_name="seen")
        wait_until(lambda: pipe._supervisor.flows["works"].waiting)
        work.gate.set()
        assert answer.result(60)["work"].unwrap() is True
        successor(pipe, old)
        assert pipe.status().wire("work", "seen").unlinked


def test_parameters_that_are_set_meanwhile_are_those_of_the_next_process(journal):
    with leaving(journal) as (pipe, work, old), ThreadPoolExecutor(1) as caller:
        done = caller.submit(pipe.set_parameters, "work", {"gain": 7}, wait=60)
        wait_until(lambda: pipe._supervisor.flows["works"].waiting)
        work.gate.set()
        done.result(60)
        successor(pipe, old)
        assert [one.value for one in pipe.parameters("work")] == [7]


# ------------------------------------------------------------------------------------------------ calls, dead letters


def test_a_call_waits_for_the_next_process(journal):
    with leaving(journal) as (pipe, work, old), ThreadPoolExecutor(1) as caller:
        reply = caller.submit(pipe.call, "work", "x", timeout=60)
        wait_until(lambda: pipe._supervisor.calls._waiting)
        work.gate.set()
        assert reply.result(60) == ("x", successor(pipe, old))


def test_a_call_meanwhile_goes_to_the_other_replica(journal):
    work = Work(journal)
    with Pipe(kill_timeout=PATIENT) as pipe, ThreadPoolExecutor(1) as caller:
        pipe.create_flow("works", False, work, replicas=2)
        pipe.notify_event("start", wait=60)
        busy = caller.submit(pipe.call, "work", 1, timeout=60)
        wait_until(journal.lines)
        old = int(journal.lines()[0].split()[-1])
        first = next(flow for flow in pipe._supervisor.flows.values() if flow.handle.pid == old)
        pipe._supervisor.lives.replace(first.name)
        for word in ("a", "b", "c"):
            text, pid = pipe.call("work", word, timeout=60)
            assert text == word
            assert pid != old
        work.gate.set()
        assert busy.result(60) == (1, old)


@pytest.mark.expects_errors
def test_a_dead_letter_that_is_tried_again_meanwhile_is_done_by_the_next_process(journal):
    work = Work(journal)
    numbers = OpenList(["fail", 1], "numbers")
    with Pipe(lossless=True, kill_timeout=PATIENT) as pipe, ThreadPoolExecutor(1) as caller:
        pipe.create_flow("numbering", False, numbers)
        pipe.create_flow("works", False, work)
        pipe.create_flow("seeing", False, seen := CollectingDestination("seen"))
        pipe.link(Wire(numbers, work), Wire(work, seen))
        pipe.notify_event("start", wait=60)
        wait_until(journal.lines)
        (letter,) = pipe.dead_letters()
        pipe.restart_flow("works")
        done = caller.submit(pipe.requeue_dead_letter, letter.number, wait=60)
        wait_until(lambda: pipe._supervisor.flows["works"].waiting)
        work.gate.set()
        with pytest.raises(EventHandlerError, match="no"):
            done.result(60)  # it was tried, once more in vain
        assert [one.number for one in pipe.dead_letters()] == [letter.number]


# ------------------------------------------------------------------------------------------------ stop and kill


def test_a_stop_meanwhile_is_answered_and_the_next_process_rests(journal):
    with leaving(journal) as (pipe, work, old), ThreadPoolExecutor(1) as caller:
        pipe.notify_event("SAY", word="before")
        stopped = caller.submit(pipe.notify_event, "stop", {"works": []}, wait=60)
        wait_until(lambda: len(pipe._supervisor.flows["works"].waiting) == 2)
        pipe.notify_event("SAY", word="after")
        work.gate.set()
        assert stopped.result(60)["work"].error is None
        new = successor(pipe, old)
        pipe.notify_event("SAY", wait=60, word="end")
        assert pipe.status().routine("work").state == "idle"
        assert said(journal) == [("before", new), ("after", new), ("end", new)]
        pipe.notify_event("start", wait=60)
        assert pipe.call("work", "x", timeout=60) == ("x", new)


class Waits(Work):
    """Has a message in hand until it is told to end."""

    def main_logic(self, data: Any) -> Any:
        self.journal.note("in hand", os.getpid())
        while not self.wait(60.0):
            pass


class WaitsForRoom(Work):
    """Has results that nobody takes."""

    def main_logic(self, data: Any) -> Any:
        self.journal.note("in hand", os.getpid())
        yield from range(1000)


class Asleep(DestinationRoutine):
    def main_logic(self, data: Any) -> None:
        while not self.wait(60.0):
            pass


@pytest.mark.parametrize("how", ["kill", "stop", "join"])
def test_who_leaves_and_waits_for_room_is_ended_at_once(journal, how):
    work = WaitsForRoom(journal)
    with Pipe(lossless=True, kill_timeout=PATIENT) as pipe:
        pipe.create_flow("numbering", False, numbers := OpenList([1], "numbers"))
        pipe.create_flow("works", False, work)
        pipe.create_flow("sleeping", False, asleep := Asleep("asleep"))
        pipe.link(Wire(numbers, work), Wire(work, asleep))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("work", "asleep").blocked)
        old = pipe.status().flow("works").pid or 0
        pipe.restart_flow("works")
        if how == "join":
            assert pipe.join(to_kill=True, timeout=30.0)
        else:
            assert pipe.notify_event(how, {"works": []}, wait=30)["work"].error is None
        if how == "stop":
            successor(pipe, old)
        else:
            wait_until(lambda: pipe.status().flow("works").state == "ended", 30.0)
        assert pipe.status().flow("works").last_exit == "exit code 0"


def test_a_kill_meanwhile_is_answered_and_so_is_what_waits(journal):
    with leaving(journal) as (pipe, work, _), ThreadPoolExecutor(2) as callers:
        answer = callers.submit(pipe.notify_event, "SAY", wait=60, word="a")
        wait_until(lambda: pipe._supervisor.flows["works"].waiting)
        killed = callers.submit(pipe.notify_event, "kill", {"works": []}, wait=60)
        wait_until(lambda: pipe._supervisor.flows["works"].exiting)
        work.gate.set()
        assert killed.result(60)["work"].error is None
        with pytest.raises(EventHandlerError, match="its flow 'works' ended"):
            answer.result(60)["work"].unwrap()
        wait_until(lambda: pipe.status().flow("works").state == "ended")
    assert not said(journal)


def test_a_routine_that_is_killed_meanwhile_stays_so_and_its_neighbour_goes_on(journal):
    work, other = Work(journal), Work(journal, "other")
    with Pipe(kill_timeout=PATIENT) as pipe, ThreadPoolExecutor(1) as caller:
        pipe.create_flow("works", False, work, other)
        pipe.notify_event("start", wait=60)
        old = pipe.status().flow("works").pid or 0
        pipe.notify_event("HOLD", {"works": ["work"]})
        wait_until(journal.lines)
        pipe.restart_flow("works")
        killed = caller.submit(pipe.notify_event, "kill", {"works": ["work"]}, wait=60)
        wait_until(lambda: pipe._supervisor.flows["works"].waiting)
        work.gate.set()
        assert killed.result(60)["work"].error is None
        assert pipe.call("other", "x", timeout=60) == ("x", successor(pipe, old))
        wait_until(lambda: pipe.status().routine("work").state == "killed")


@pytest.mark.parametrize("how", ["hang", "death"])
def test_who_does_not_leave_by_itself_is_replaced_all_the_same_and_the_next_one_gets_the_events(journal, how):
    with leaving(journal, kill_timeout=0.2 if how == "hang" else PATIENT) as (pipe, _, old):
        pipe.notify_event("SAY", word="a")
        if how == "death":
            os.kill(old, signal.SIGKILL)
        assert pipe.notify_event("SAY", wait=60, word="b")["work"].unwrap() == ("b", new := successor(pipe, old))
    assert said(journal) == [("a", new), ("b", new)]


# ------------------------------------------------------------------------------------------------ answers


class Asks(Routine):
    """Asks another routine for something, and notes what came back."""

    def __init__(self, journal: Journal) -> None:
        super().__init__("asks")
        self.journal = journal

    @events("ASK")
    def ask(self, whom: str) -> Any:
        self.journal.note("asks", whom, os.getpid())
        return self.notify_event("TELL", {whom: [whom]}, wait=60.0)[whom].unwrap()


class Tells(Routine):
    def __init__(self, journal: Journal, name: str) -> None:
        super().__init__(name)
        self.gate = Gate(journal.path.with_name(f"gate of {name}"))

    @events("TELL")
    def tell(self) -> str:
        self.gate.wait()
        return self.name


@pytest.mark.expects_errors
def test_an_answer_goes_to_the_process_that_has_asked_and_not_to_its_successor(journal):
    one, two = Tells(journal, "one"), Tells(journal, "two")
    with Pipe() as pipe, ThreadPoolExecutor(1) as caller:
        for routine in (Asks(journal), one, two):
            pipe.create_flow(routine.name, False, routine)
        pipe.build()
        old = pipe.status().flow("asks").pid or 0
        pipe.notify_event("ASK", whom="one")
        wait_until(journal.lines)
        wait_until(lambda: pipe._supervisor.bus.next_deadline())
        os.kill(old, signal.SIGKILL)
        successor(pipe, old, "asks")
        asked = caller.submit(pipe.notify_event, "ASK", {"asks": []}, wait=60, whom="two")
        wait_until(lambda: len(journal.lines()) == 2)
        wait_until(lambda: len(pipe._supervisor.bus._waiting) == 3)
        one.gate.set()
        wait_until(lambda: len(pipe._supervisor.bus._waiting) == 2)
        two.gate.set()
        assert asked.result(60)["asks"].unwrap() == "two"
