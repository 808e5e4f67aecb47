"""Flows that die while events are on their way: what was not begun is handled by the next process, and once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import EventHandlerError, Parameter, Pipe, Restart, Routine, events
from pipert2.testing import wait_until
from tests.processes import Journal

pytestmark = pytest.mark.expects_errors
SOON = Restart(times=100, backoff=0.0)


class Hears(Routine):
    """Notes what it begins with; holds until it is let go, or dies."""

    gain = Parameter(1, minimum=0)

    def __init__(self, journal: Journal, name: str = "hears") -> None:
        super().__init__(name)
        self.journal = journal
        self.gate: Path = journal.path.with_name(f"gate of {name}")

    @events("SAY")
    def say(self, word: object) -> tuple[object, int]:
        self.journal.note(word)
        return word, os.getpid()

    @events("HOLD")
    def hold(self) -> None:
        self.journal.note("hold")
        wait_until(self.gate.exists)

    @events("DIE")
    def die(self) -> None:
        self.journal.note("die")
        os.kill(os.getpid(), signal.SIGKILL)


def pipe_of(*routines: Routine, **options: Any) -> Pipe:
    pipe = Pipe(**options)
    pipe.create_flow("ears", False, *routines)
    return pipe


def pid_of(pipe: Pipe, before: int = 0) -> int:
    """The process of the flow, once it is up and another one than that before."""

    def there() -> int:
        flow = pipe.status().flow("ears")
        return flow.pid or 0 if flow.state == "running" and flow.pid != before else 0

    return int(wait_until(there))


def in_inbox(pipe: Pipe, journal: Journal) -> int:
    """Hold the routine in a handler, so that what comes next waits; its process."""
    pid = pid_of(pipe)
    pipe.notify_event("HOLD", {"ears": ["hears"]})
    wait_until(lambda: "hold" in journal.lines())
    return pid


def test_events_that_a_dead_process_had_not_begun_with_are_handled_by_the_next_one(journal):
    with pipe_of(Hears(journal), restart=SOON) as pipe:
        pipe.build()
        old = in_inbox(pipe, journal)
        for number in range(20):
            pipe.notify_event("SAY", word=number)
        killer = threading.Timer(0.05, os.kill, (old, signal.SIGKILL))
        killer.start()
        word, new = pipe.notify_event("SAY", wait=60, word="waited-for")["hears"].unwrap()
        killer.join()
        assert (word, new) == ("waited-for", pid_of(pipe))
        assert new != old
    assert journal.lines() == ["hold", *map(str, range(20)), "waited-for"]


def test_an_event_that_kills_its_process_is_not_tried_again_but_what_follows_is_handled(journal):
    with pipe_of(Hears(journal), restart=SOON) as pipe:
        pipe.build()
        for number in range(5):
            pipe.notify_event("SAY", word=f"before-{number}")
            pipe.notify_event("DIE")
            pipe.notify_event("SAY", word=f"after-{number}")
        with pytest.raises(EventHandlerError, match="died"):
            pipe.notify_event("DIE", wait=60)["hears"].unwrap()
        pipe.notify_event("SAY", wait=60, word="end")
        assert pipe.status().flow("ears").restarts == 6
    each = [line for number in range(5) for line in (f"before-{number}", "die", f"after-{number}")]
    assert journal.lines() == [*each, "die", "end"]


def test_each_routine_of_the_flow_gets_what_it_had_not_begun_with_itself(journal):
    with pipe_of(Hears(journal), Hears(journal, "other"), restart=SOON) as pipe:
        pipe.build()
        old = in_inbox(pipe, journal)
        pipe.notify_event("SAY", word="both")
        wait_until(lambda: "both" in journal.lines())  # the other one
        os.kill(old, signal.SIGKILL)
        pipe.notify_event("SAY", wait=60, word="end")
    assert journal.lines()[:2] == ["hold", "both"]
    assert sorted(journal.lines()[2:]) == ["both", "end", "end"]  # two threads


def test_events_without_end_over_many_deaths_come_in_order_and_none_twice(journal):
    deaths = 8
    with pipe_of(Hears(journal), restart=SOON) as pipe:
        pipe.build()
        count = pid = 0
        for _ in range(deaths):
            pid = pid_of(pipe, pid)
            for _ in range(50):
                pipe.notify_event("SAY", word=count)
                count += 1
            os.kill(pid, signal.SIGKILL)
            for _ in range(50):
                pipe.notify_event("SAY", word=count)
                count += 1
        pipe.notify_event("SAY", wait=60, word=count)
    words = list(map(int, journal.lines()))
    assert words == sorted(set(words))
    assert len(words) >= count + 1 - deaths  # what was in hand at a death may not have been noted any more


@contextlib.contextmanager
def killed_soon(pid: int) -> Iterator[None]:
    """A process is killed while something goes on."""
    killer = threading.Timer(0.05, os.kill, (pid, signal.SIGKILL))
    killer.start()
    yield
    killer.join()


def test_a_parameter_that_was_set_just_before_a_death_is_set(journal):
    with pipe_of(Hears(journal), restart=SOON) as pipe:
        pipe.build()
        with killed_soon(in_inbox(pipe, journal)):
            pipe.set_parameters("hears", {"gain": 7}, wait=60)
        assert [one.value for one in pipe.parameters("hears")] == [7]


def test_a_start_that_was_not_begun_with_is_answered_by_the_next_process(journal):
    with pipe_of(Hears(journal), restart=SOON) as pipe:
        pipe.build()
        old = in_inbox(pipe, journal)
        with killed_soon(old):
            assert pipe.notify_event("start", wait=60)["hears"].error is None
        assert pid_of(pipe) != old
        assert pipe.status().routine("hears").state == "running"


def test_a_kill_that_was_not_begun_with_is_done_by_the_next_process_and_nothing_after_it(journal):
    hears, other = Hears(journal), Hears(journal, "other")
    with pipe_of(hears, other, restart=SOON) as pipe:
        pipe.build()
        old = in_inbox(pipe, journal)
        pipe.notify_event("SAY", {"ears": ["hears"]}, word="before")
        pipe.notify_event("kill", {"ears": ["hears"]})
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: pipe.status().flow("ears").restarts == 1)
        with pytest.raises(EventHandlerError, match="killed"):
            pipe.notify_event("SAY", {"ears": ["hears"]}, wait=60, word="after")["hears"].unwrap()
        assert pipe.notify_event("SAY", {"ears": ["other"]}, wait=60, word="end")["other"].unwrap()[0] == "end"
        wait_until(lambda: pipe.status().routine("hears").state == "killed")
    assert "after" not in journal.lines()


def test_a_flow_that_is_given_up_tells_who_waits_and_keeps_the_rest_for_a_restart(journal):
    with pipe_of(Hears(journal), restart=0) as pipe:
        pipe.build()
        old = in_inbox(pipe, journal)
        pipe.notify_event("SAY", word="kept")
        killer = threading.Timer(0.05, os.kill, (old, signal.SIGKILL))
        killer.start()
        with pytest.raises(EventHandlerError, match="died"):
            pipe.notify_event("SAY", wait=60, word="told")["hears"].unwrap()
        killer.join()
        wait_until(lambda: pipe.status().flow("ears").state == "failed")
        pipe.restart_flow("ears")
        pipe.notify_event("SAY", wait=60, word="end")
    assert journal.lines() == ["hold", "kept", "end"]
