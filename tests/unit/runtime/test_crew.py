"""Crews by themselves: who works, what comes of it, how it ends."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipert2.runtime.flow.event_loop import EventLoop
from pipert2.runtime.routine.crew import CoroutineCrew, Outcome, ThreadCrew, crew_message
from pipert2.testing import wait_until
from pipert2.transport.envelope import Message


def message(data: Any, origin: int = 1) -> Message:
    return Message(data, origin, 2, 3, 4)


@pytest.fixture
def event_loop() -> Iterator[EventLoop]:
    loop = EventLoop("test")
    yield loop
    loop.close()


class Bench:
    """A crew, what came of its work, and how often it rang."""

    def __init__(self) -> None:
        self.outcomes: deque[Outcome] = deque()
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1

    def threads(self, logic: Callable[[Any], Any], hands: int = 2, setup: Callable[[], None] | None = None) -> Any:
        return ThreadCrew("work", hands, logic, setup or (lambda: None), self.outcomes, self.ring)

    def coroutines(self, loop: EventLoop, logic: Callable[[Any], Any]) -> Any:
        return CoroutineCrew("work", 1000, loop, logic, self.outcomes, self.ring)


def test_threads_are_named_and_gone_when_the_crew_is_closed() -> None:
    bench = Bench()
    crew = bench.threads(lambda _: threading.current_thread().name)
    crew.submit(message(1))
    wait_until(lambda: bench.outcomes)
    crew.close()
    crew.close()
    assert bench.outcomes[0].result in ("pipert2-work-1", "pipert2-work-2")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipert2-work")]


def test_a_crew_says_how_many_are_busy_and_since_when() -> None:
    bench, gate = Bench(), threading.Event()
    crew = bench.threads(lambda _: gate.wait(10))
    assert (crew.busy, crew.since) == (0, 0)
    first, second = message(1), message(2)
    crew.submit(first)
    since = crew.since
    crew.submit(second)
    assert (crew.busy, crew.since) == (2, since)
    gate.set()
    wait_until(lambda: bench.rings == 2)
    assert (crew.busy, crew.since) == (0, 0)
    crew.close()
    assert all(outcome.began <= outcome.ended for outcome in bench.outcomes)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_whatever_is_raised_is_the_outcome_and_the_next_message_is_done(
    event_loop: EventLoop, error: type[BaseException], asynchronous: bool
) -> None:
    bench = Bench()

    def logic(data: Any) -> Any:
        if data == "bad":
            raise error("no")
        return data

    async def coroutine(data: Any) -> Any:
        return logic(data)

    crew = bench.coroutines(event_loop, coroutine) if asynchronous else bench.threads(logic, hands=1)
    bad, good = message("bad"), message("good")
    crew.submit(bad)
    crew.submit(good)
    wait_until(lambda: len(bench.outcomes) == 2 and not crew.busy)
    crew.close()
    found = {outcome.message.data: outcome for outcome in bench.outcomes}
    assert type(found["bad"].error) is error
    assert found["good"].result == "good"


def test_a_thread_that_cannot_be_prepared_ends_all_of_them() -> None:
    numbers = iter(range(10))

    def setup() -> None:
        if next(numbers) == 1:
            raise OSError("no camera")

    with pytest.raises(OSError, match="no camera"):
        Bench().threads(print, hands=3, setup=setup)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipert2-work")]


def test_a_member_knows_what_it_works_on(event_loop: EventLoop) -> None:
    async def coroutine(_: Any) -> Any:
        await asyncio.sleep(0)
        return crew_message.get()

    for make in (lambda b: b.threads(lambda _: crew_message.get()), lambda b: b.coroutines(event_loop, coroutine)):
        bench = Bench()
        crew = make(bench)
        sent, asked = message("sent", origin=7), message("asked", origin=0)
        crew.submit(sent)
        crew.submit(asked)
        wait_until(lambda bench=bench: len(bench.outcomes) == 2)
        crew.close()
        assert {outcome.message.data: outcome.result for outcome in bench.outcomes} == {
            "sent": (7, 2, 4),
            "asked": None,
        }


def test_a_generator_is_run_through_by_its_thread() -> None:
    def logic(number: int) -> Iterator[Any]:
        for part in range(number):
            yield part, threading.current_thread().name

    bench = Bench()
    crew = bench.threads(logic, hands=1)
    crew.submit(message(2))
    wait_until(lambda: bench.outcomes)
    crew.close()
    assert bench.outcomes[0].several
    assert bench.outcomes[0].result == [(0, "pipert2-work-1"), (1, "pipert2-work-1")]


def test_cancelled_coroutines_end_also_those_that_had_not_begun(event_loop: EventLoop) -> None:
    bench, began = Bench(), threading.Event()

    async def endless(_: Any) -> None:
        began.set()
        await asyncio.sleep(3600)

    crew = bench.coroutines(event_loop, endless)
    first, late = message(1), message(2)
    crew.submit(first)
    assert began.wait(10)
    event_loop._loop.call_soon_threadsafe(lambda: (crew.submit(late), crew.cancel()))
    wait_until(lambda: not crew.busy)
    assert [type(outcome.error) for outcome in bench.outcomes] == [asyncio.CancelledError] * 2


class Big:
    """Something that one can see go."""


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_nothing_of_a_message_stays_behind(event_loop: EventLoop, fails: bool, asynchronous: bool) -> None:
    def logic(data: Any) -> None:
        if fails:
            raise ValueError(str(data))

    async def coroutine(data: Any) -> None:
        logic(data)

    bench = Bench()
    crew = bench.coroutines(event_loop, coroutine) if asynchronous else bench.threads(logic)
    big = Big()
    gone = weakref.ref(big)
    crew.submit(message(big))
    del big
    wait_until(lambda: bench.outcomes)
    bench.outcomes.clear()
    wait_until(lambda: gone() is None, timeout=60)  # without the garbage collector's help
    crew.close()
