"""A routine that works on several messages at once: threads, coroutines, and what their users may rely on."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    destination,
    events,
    middle,
    source,
)
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.sources import OpenList


def line(inline: bool, items: list[Any], *work: Any, **options: Any) -> tuple[Pipe, CollectingDestination]:
    """A source of *items*, then each routine of *work* in a flow of its own, then a destination that collects."""
    pipe = Pipe(inline=inline, lossless=True, **options)
    routines = [ListSource(items, "tasks"), *work, CollectingDestination("results")]
    for number, routine in enumerate(routines):
        pipe.create_flow(f"flow-{number}", True, routine)
    pipe.link(*(Wire(one, other) for one, other in pairwise(routines)))
    return pipe, routines[-1]


class Together(MiddleRoutine):
    """Returns when as many as there are hands work at the same time."""

    concurrency = 4

    def setup(self) -> None:
        self.barrier = threading.Barrier(self.concurrency)
        self.local = threading.local()
        self.prepared = 0

    def setup_thread(self) -> None:
        self.local.name = threading.current_thread().name
        self.prepared += 1

    def main_logic(self, number: int) -> Any:
        self.barrier.wait(60)
        return number, self.local.name, self.prepared, self.message.sequence


def test_so_many_threads_work_at_once_each_prepared_once(inline: bool) -> None:
    pipe, results = line(inline, list(range(40)), Together("work"))
    assert pipe.run(timeout=60).ok
    found = results.items()
    assert sorted(number for number, *_ in found) == list(range(40))
    assert len({name for _, name, *_ in found}) == 4
    assert {prepared for *_, prepared, _ in found} == {4}
    assert all(sequence == number + 1 for number, _, _, sequence in found)


class Meeting(MiddleRoutine):
    """As :class:`Together`, for coroutines; tells where each ran."""

    concurrency = 5

    async def setup(self) -> None:
        self.at_once = self.most = 0

    async def main_logic(self, number: int) -> Any:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        while self.most < self.concurrency:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        loop = asyncio.get_running_loop()
        return number, self.most, os.getpid(), id(loop), threading.current_thread().name, self.message.sequence


@middle(name="next")
async def beside(found: Any) -> Any:
    return *found, id(asyncio.get_running_loop())


def test_coroutines_of_a_flow_share_one_loop_and_run_at_once(inline: bool) -> None:
    """A-4: see also tests/integration/test_staged_analysis.py."""
    pipe = Pipe(inline=inline, lossless=True)
    tasks, work, results = ListSource(list(range(40)), "tasks"), Meeting("work"), CollectingDestination("results")
    pipe.create_flow("first", True, tasks)
    pipe.create_flow("async", True, work, beside)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(tasks, work), Wire(beside, results))
    assert pipe.run(timeout=60).ok
    found = results.items()
    assert sorted(number for number, *_ in found) == list(range(40))
    assert {most for _, most, *_ in found} == {5}
    assert all(loop == other for *_, loop, _, _, other in found)
    assert len({pid for _, _, pid, *_ in found}) == 1
    assert all(sequence == number + 1 for number, *_, sequence, _ in found)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "coroutines"])
def test_no_more_is_taken_than_there_are_hands(inline: bool, asynchronous: bool) -> None:
    class Holds(MiddleRoutine):
        concurrency = 3

        def setup(self) -> None:
            self.gate = threading.Event()

        @events("GO")
        def go(self) -> None:
            self.gate.set()

        if asynchronous:

            async def main_logic(self, number: int) -> int:
                while not self.gate.is_set():
                    await asyncio.sleep(0.002)
                return number
        else:

            def main_logic(self, number: int) -> int:
                self.gate.wait(30)
                return number

    pipe, results = line(inline, list(range(20)), Holds("work"))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("tasks", "work").received == 3)
        wait_until(lambda: pipe.status().wire("tasks", "work").queued == 17)
        assert pipe.status().wire("tasks", "work").received == 3
        assert pipe.status().routine("work").busy_for > 0
        pipe.notify_event("GO", wait=60)
        assert pipe.join(timeout=60)
    assert sorted(results.items()) == list(range(20))


@pytest.mark.expects_errors
@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "coroutines"])
@pytest.mark.parametrize("local", [False, True], ids=["from another flow", "in the flow of the source"])
def test_what_fails_in_a_crew_is_tried_again_and_then_kept(inline: bool, asynchronous: bool, local: bool) -> None:
    class Flaky(MiddleRoutine):
        concurrency = 4
        retries = 2

        def work(self, number: int) -> Any:
            attempt = self.message.attempt
            if number == 3 or (number == 7 and attempt < 3):
                raise ValueError("boom")
            return number, attempt

        if asynchronous:

            async def main_logic(self, number: int) -> Any:
                await asyncio.sleep(0)
                return self.work(number)
        else:
            main_logic = work

    pipe = Pipe(inline=inline, lossless=True)
    tasks, work, results = ListSource(list(range(20)), "tasks"), Flaky("work"), CollectingDestination("results")
    pipe.create_flow("first", True, tasks, *([work] if local else []))
    if not local:
        pipe.create_flow("work", True, work)
        pipe.link(Wire(tasks, work))
    pipe.create_flow("last", True, results)
    pipe.link(Wire(work, results))
    summary = pipe.run(timeout=60)
    assert dict(results.items()) == {number: 3 if number == 7 else 1 for number in range(20) if number != 3}
    (letter,) = pipe.dead_letters()
    assert (letter.routine, letter.data, letter.attempts, letter.reason) == ("work", 3, 3, "ValueError: boom")
    assert 'raise ValueError("boom")' in letter.traceback
    assert (summary.ok, summary.errors) == (False, 5)


@pytest.mark.expects_errors
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "coroutines"])
def test_whatever_is_raised_in_a_crew_ends_one_message_only(
    inline: bool, asynchronous: bool, error: type[BaseException]
) -> None:
    class Rude(MiddleRoutine):
        concurrency = 2

        def work(self, number: int) -> int:
            if number == 2:
                raise error("no")
            return number

        if asynchronous:

            async def main_logic(self, number: int) -> int:
                return self.work(number)
        else:
            main_logic = work

    pipe, results = line(inline, list(range(6)), Rude("work"))
    pipe.run(timeout=60)
    assert sorted(results.items()) == [0, 1, 3, 4, 5]
    assert [letter.data for letter in pipe.dead_letters()] == [2]


@pytest.mark.expects_errors
def test_a_thread_that_cannot_be_prepared_fails_the_routine_and_start_tries_again(inline: bool) -> None:
    class Unready(MiddleRoutine):
        concurrency = 3
        broken = True
        cleaned = 0

        def setup_thread(self) -> None:
            if self.broken:
                raise OSError("no camera")

        def main_logic(self, number: int) -> int:
            return number + self.cleaned

        def cleanup(self) -> None:
            self.cleaned += 100

        @events("MEND")
        def mend(self) -> None:
            self.broken = False

    pipe, results = line(inline, [1, 2, 3], Unready("work"))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("work").state == "failed")
        assert "setup_thread: OSError: no camera" in str(pipe.status().routine("work").last_error)
        pipe.notify_event("MEND", wait=60)
        pipe.notify_event("start", {"flow-1": []}, wait=60)
        wait_until(lambda: sorted(results.items()) == [101, 102, 103])


def test_a_crew_is_stopped_and_started_in_the_middle(inline: bool) -> None:
    class Slow(MiddleRoutine):
        concurrency = 4

        def main_logic(self, number: int) -> int:
            time.sleep(0.002)  # the work itself
            return number

    class SlowEnd(CollectingDestination):
        def main_logic(self, data: Any) -> None:
            time.sleep(0.001)  # the work itself
            super().main_logic(data)

    pipe = Pipe(inline=inline, lossless=True)
    tasks, work, results = ListSource(list(range(400)), "tasks"), Slow("work"), SlowEnd("results")
    pipe.create_flow("first", True, tasks)
    pipe.create_flow("work", True, work)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(tasks, work, capacity=4), Wire(work, results, capacity=1))
    with pipe:
        pipe.notify_event("start", wait=60)
        for _ in range(8):
            before = pipe.status().routine("work").received
            wait_until(
                lambda before=before: (found := pipe.status().routine("work")).finished or found.received > before + 8
            )
            pipe.notify_event("stop", {"work": []}, wait=60)
            wait_until(lambda: pipe.status().routine("work").state == "idle")
            pipe.notify_event("start", {"work": []}, wait=60)
        assert pipe.join(timeout=60)
    assert Counter(results.items()) == Counter(range(400))


def test_a_stopped_crew_keeps_all_results_that_find_no_room(inline: bool) -> None:
    @middle(name="work", concurrency=8)
    def work(number: int) -> int:
        return number

    pipe = Pipe(inline=inline, lossless=True)
    tasks, results = ListSource(list(range(60)), "tasks"), CollectingDestination("results")
    pipe.create_flow("first", True, tasks)
    pipe.create_flow("work", True, work)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results, capacity=1))
    with pipe:
        pipe.build()
        pipe.notify_event("start", {"first": [], "work": []}, wait=60)
        for _ in range(3):
            wait_until(lambda: pipe.status().wire("work", "results").blocked)
            pipe.notify_event("stop", {"work": []}, wait=60)
            wait_until(lambda: pipe.status().routine("work").state == "idle")
            pipe.notify_event("start", {"work": []}, wait=60)
        pipe.notify_event("start", {"last": []}, wait=60)
        assert pipe.join(timeout=60)
    assert Counter(results.items()) == Counter(range(60))


def test_a_stop_waits_for_the_crew_whatever_else_comes(inline: bool) -> None:
    class Holds(MiddleRoutine):
        concurrency = 2

        def setup(self) -> None:
            self.gate = threading.Event()

        @events("ANY")
        def any_event(self) -> None:
            pass

        def main_logic(self, number: int) -> Any:
            self.wait(30.0)  # until it is asked to stop
            self.gate.wait(0.2)  # and then a while longer
            return number

    pipe, results = line(inline, [1, 2], Holds("work"))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("work").received == 2)
        pipe.notify_event("stop", {"flow-1": []})
        pipe.notify_event("ANY")  # lies in the inbox until the crew is done
        wait_until(lambda: pipe.status().routine("work").state == "idle")
        wait_until(lambda: sorted(results.items()) == [1, 2])


def test_coroutines_are_cancelled_by_a_kill(inline: bool) -> None:
    class Endless(DestinationRoutine):
        concurrency = 3

        async def main_logic(self, number: int) -> None:
            await asyncio.sleep(3600)

    pipe = Pipe(inline=inline, lossless=True)
    pipe.create_flow("all", True, ListSource([1, 2, 3, 4], "tasks"), Endless("end"))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("end").received == 3)
        assert pipe.notify_event("kill", wait=60)["end"].error is None


@pytest.mark.expects_errors
def test_views_into_shared_memory_do_not_stay_with_a_crew(inline: bool) -> None:
    class Sums(MiddleRoutine):
        concurrency = 4

        def main_logic(self, frame: np.ndarray) -> int:
            assert not frame.flags.writeable
            if frame[0] % 5 == 0:
                raise ValueError("every fifth")
            return int(frame[0])

    class AsyncSums(Sums):
        async def main_logic(self, frame: np.ndarray) -> int:  # type: ignore[override]
            return super().main_logic(frame)

    for work in (Sums("work"), AsyncSums("work")):
        frames = [np.full(300_000, number, np.uint8) for number in range(100)]
        pipe, results = line(inline, frames, work, data_transmitter=SharedMemoryTransmitter())
        summary = pipe.run(timeout=60)
        assert sorted(results.items()) == [number for number in range(100) if number % 5]
        assert len(pipe.dead_letters()) == 20
        assert (
            summary.wires[0].copied < 15
        )  # a view or two may live on in a log record; each of 20 failures would be 60


def test_a_slot_is_free_as_soon_as_the_crew_is_done(inline: bool) -> None:
    @middle(name="work", concurrency=2)
    def work(frame: np.ndarray) -> int:
        return int(frame[0])

    pipe = Pipe(inline=inline, lossless=True, data_transmitter=SharedMemoryTransmitter())
    tasks, results = OpenList([np.full(100_000, 7, np.uint8)], "tasks"), CollectingDestination("results")
    pipe.create_flow("first", True, tasks)
    pipe.create_flow("work", True, work)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: results.items() == [7])
        assert pipe._supervisor is not None
        for queue in pipe._supervisor.memory.queues.all():
            wait_until(lambda queue=queue: not queue.table.under_way(), what="an empty queue")


def test_a_generator_with_a_crew_sends_all_that_it_yields_from_the_threads(inline: bool) -> None:
    @middle(name="work", concurrency=3)
    def work(number: int) -> Iterator[Any]:
        for part in range(number):
            yield number, part, threading.current_thread().name

    pipe, results = line(inline, [0, 1, 2, 3], work)
    assert pipe.run(timeout=60).ok
    found = results.items()
    assert sorted((number, part) for number, part, _ in found) == [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert all(name.startswith("pipert2-work-") for *_, name in found)


def test_destinations_and_sources_may_be_async(inline: bool) -> None:
    class Numbers(SourceRoutine):
        async def setup(self) -> None:
            self.left = 3

        async def main_logic(self) -> Any:
            await asyncio.sleep(0)
            self.left -= 1
            return self.left if self.left >= 0 else await self.ended()

        async def ended(self) -> None:
            from pipert2 import EndOfStream

            raise EndOfStream

    class Writes(CollectingDestination):
        async def setup(self) -> None:  # type: ignore[override]
            super().setup()

        async def main_logic(self, data: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            super().main_logic((data, await asyncio.to_thread(lambda: self.message.sequence)))

        async def cleanup(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            super().main_logic("cleaned")
            super().cleanup()

    @source(name="stream")
    async def stream() -> Any:
        for number in (10, 11):
            await asyncio.sleep(0)
            yield number

    for numbers, expected in ((Numbers("numbers"), [(2, 1), (1, 2), (0, 3)]), (stream, [(10, 1), (11, 2)])):
        pipe, writes = Pipe(inline=inline, lossless=True), Writes("writes")
        pipe.create_flow("first", True, numbers)
        pipe.create_flow("last", True, writes)
        pipe.link(Wire(numbers, writes))
        assert pipe.run(timeout=60).ok
        assert writes.items() == [*expected, "cleaned"]


def test_who_blocks_the_event_loop_is_named(inline: bool, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A-4: a blocking call inside the async flow."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    @destination(name="bad-neighbour")
    async def blocks(number: int) -> None:
        os.close(os.open(gate, os.O_RDONLY))  # what it is about: it blocks, until somebody opens the other end

    def said() -> list[str]:
        return [text for one in caplog.records if "has blocked the event loop" in (text := one.getMessage())]

    pipe = Pipe(inline=inline, lossless=True)
    pipe.create_flow("first", True, ListSource([1], "tasks"), blocks)
    with caplog.at_level(logging.WARNING), pipe:
        pipe.notify_event("start")
        try:
            wait_until(said, what="a warning")
        finally:
            os.close(os.open(gate, os.O_RDWR))
        assert pipe.join(timeout=60)
    (text,) = said()
    assert text.startswith("bad-neighbour has blocked the event loop of its flow for more than 1 s")
    assert "os.open(gate, os.O_RDONLY)" in text


@pytest.mark.expects_errors
def test_a_member_of_a_crew_that_hangs_is_found_and_its_message_done_again() -> None:
    class Hangs(MiddleRoutine):
        concurrency = 3
        retries = 1

        def main_logic(self, number: int) -> Any:
            if number == 5 and self.message.attempt == 1:
                threading.Event().wait(60)
            return number, self.message.attempt

    pipe, results = line(False, list(range(12)), Hangs("work"), hang_timeout=2.0)
    summary = pipe.run(timeout=60)
    assert summary.ok
    assert dict(results.items())[5] == 2
    assert sorted({number for number, _ in results.items()}) == list(range(12))
    assert summary.flows[1].restarts == 1


def test_a_crew_that_waits_for_room_does_not_hang() -> None:
    @middle(name="work", concurrency=3)
    def work(number: int) -> int:
        return number

    class Slow(CollectingDestination):
        def main_logic(self, data: Any) -> None:
            self.wait(1.4)
            super().main_logic(data)

    pipe = Pipe(lossless=True, hang_timeout=1.0)
    tasks, results = ListSource(list(range(4)), "tasks"), Slow("results")
    pipe.create_flow("first", True, tasks)
    pipe.create_flow("work", True, work)
    pipe.create_flow("last", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results, capacity=1))
    summary = pipe.run(timeout=60)
    assert summary.ok
    assert sorted(results.items()) == list(range(4))
    assert [flow.restarts for flow in summary.flows] == [0, 0, 0]


def test_a_preview_sees_what_a_crew_gets(inline: bool) -> None:
    class Frames(SourceRoutine):
        def setup(self) -> None:
            self.set_const_fps(100)

        def main_logic(self) -> np.ndarray:
            return np.full((40, 60, 3), 200, np.uint8)

    @destination(name="screen", concurrency=2)
    def screen(frame: np.ndarray) -> None:
        pass

    pipe, frames = Pipe(inline=inline), Frames("frames")
    pipe.create_flow("first", True, frames)
    pipe.create_flow("last", True, screen)
    pipe.link(Wire(frames, screen))
    with pipe:
        pipe.notify_event("start", wait=60)
        pipe.preview("screen", "input", rate=50)
        wait_until(lambda: pipe.preview_frame("screen", "input"))


def test_the_status_tells_how_many_messages_are_in_hand(inline: bool) -> None:
    class Waits(MiddleRoutine):
        concurrency = 3

        def main_logic(self, number: int) -> int:
            self.wait(30.0)
            return number

    pipe, _ = line(inline, list(range(10)), Waits("work"))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("work").in_hand == 3)
        assert pipe.status().routine("tasks").in_hand == 0
        pipe.notify_event("stop", wait=60)
        assert pipe.status().routine("work").in_hand == 0
