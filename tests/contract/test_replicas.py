"""Replicas of a flow compete for its input: each message goes to one of them, and none is lost when one dies."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    EndOfStream,
    MiddleRoutine,
    Pipe,
    PipeBuildError,
    PipeStateError,
    SharedMemoryTransmitter,
    SourceRoutine,
    UnknownDeadLetterError,
    Wire,
    events,
)
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.arrays import address_of
from tests.sources import OpenList

INLINE = pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])


class Work(MiddleRoutine):
    """Says who did it."""

    retries = 2
    seconds = 0.0
    factor = 1

    def main_logic(self, number: int) -> Any:
        time.sleep(self.seconds)  # the work itself
        if number == -1:
            raise ValueError("minus one")
        if number == -2:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * self.factor, os.getpid(), threading.get_ident()

    @events("FACTOR")
    def set_factor(self, factor: int) -> int:
        self.factor = factor
        return os.getpid()


def shop(items: list[Any] | ListSource, *, inline: bool, work: Any = None, replicas: int = 2) -> tuple[Pipe, Any]:
    pipe, results = Pipe(inline=inline, lossless=True), CollectingDestination("results")
    tasks = items if isinstance(items, ListSource) else ListSource(items, "tasks")
    work = work or Work("work")
    pipe.create_flow("source", True, tasks)
    pipe.create_flow("workers", True, work, replicas=replicas)
    pipe.create_flow("end", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results))
    return pipe, results


class Lends(SourceRoutine):
    """Sends what it was loaned: the first one twice, and then further ones."""

    def main_logic(self) -> Iterator[tuple[int, int, np.ndarray]]:
        for number in range(40):
            frame = self.loan(100_000)
            frame[:] = number
            for _ in range(1 if number else 2):
                yield number, address_of(frame), frame
        raise EndOfStream


class Looks(MiddleRoutine):
    """Takes long over the first message, until all others are done."""

    def __init__(self, name: str, done: Path) -> None:
        super().__init__(name)
        self.done = done

    def main_logic(self, message: tuple[int, int, np.ndarray]) -> tuple[int, bool, bool]:
        number, sent_from, frame = message
        with contextlib.suppress(FileExistsError):
            (self.done / "first").touch(exist_ok=False)
            wait_until((self.done / "others").exists, timeout=60)
        return number, address_of(frame) == sent_from, bool((frame == number).all())


class Counts(CollectingDestination):
    def __init__(self, name: str, done: Path) -> None:
        super().__init__(name)
        self.done = done

    def main_logic(self, data: Any) -> None:
        super().main_logic(data)
        if len(self.items()) == 40:
            (self.done / "others").touch()


@INLINE
def test_what_was_loaned_is_not_copied_and_does_not_change_under_one_of_two_messages(
    inline: bool, tmp_path: Path
) -> None:
    pipe = Pipe(inline=inline, lossless=True, data_transmitter=SharedMemoryTransmitter(0))
    lends, looks, results = Lends("lends"), Looks("looks", tmp_path), Counts("results", tmp_path)
    pipe.create_flow("source", True, lends)
    pipe.create_flow("workers", True, looks, replicas=2)
    pipe.create_flow("end", True, results)
    pipe.link(Wire(lends, looks), Wire(looks, results))
    with pipe:
        pipe.notify_event("start", {"workers": []}, wait=60)
        assert pipe.run(timeout=60).ok
    found = results.items()
    assert sorted(number for number, _, _ in found) == [0, *range(40)]
    assert all(whole for _, _, whole in found)
    if inline:  # where both ends see the memory at one address
        assert all(in_place for number, in_place, _ in found if number)


@INLINE
@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_each_message_goes_to_one_replica(inline: bool, replicas: int) -> None:
    pipe, results = shop(list(range(300)), inline=inline, replicas=replicas)
    summary = pipe.run(timeout=60)
    assert (summary.ok, summary.reason) == (True, "finished")
    assert sorted(number for number, _, _ in results.items()) == list(range(300))


@INLINE
def test_the_replicas_share_the_work(inline: bool, tmp_path: Path) -> None:
    class InPairs(Work):
        """Is not done with a number before somebody has begun with the one beside it."""

        def main_logic(self, number: int) -> Any:
            (tmp_path / str(number)).touch()
            wait_until((tmp_path / str(number ^ 1)).exists, what=f"somebody to begin with {number ^ 1}")
            return super().main_logic(number)

    pipe, results = shop(list(range(60)), inline=inline, work=InPairs("work"))
    assert pipe.run(timeout=60).ok
    shares = Counter((pid, thread) for _, pid, thread in results.items())
    assert list(shares.values()) == [30, 30]


def test_a_slow_replica_holds_up_nobody(tmp_path: Path) -> None:
    """A-2: replicas compete: a slow one gets what it has time for, and nothing waits for it."""

    class Uneven(Work):
        """Whoever gets the first number is not done with it before somebody has begun with the last one."""

        def main_logic(self, number: int) -> Any:
            (tmp_path / str(number)).touch()
            if number == 0:
                wait_until((tmp_path / "59").exists, what="somebody to begin with the last one")
            return super().main_logic(number)

    pipe, results = shop(list(range(60)), inline=False, work=Uneven("work"))
    assert pipe.run(timeout=60).ok
    assert sorted(Counter(pid for _, pid, _ in results.items()).values()) == [1, 59]


@INLINE
def test_who_has_all_hands_full_is_not_woken_in_place_of_who_has_time(inline: bool, tmp_path: Path) -> None:
    class Patient(MiddleRoutine):
        concurrency = 2

        def main_logic(self, number: int) -> int:
            (tmp_path / str(number)).touch()
            wait_until((tmp_path / "all").exists, timeout=60)
            return number

    class OneByOne(SourceRoutine):
        def main_logic(self) -> Iterator[int]:
            for number in range(4):
                yield number
                wait_until((tmp_path / str(number)).exists, timeout=60, what="somebody to begin with it")
            (tmp_path / "all").touch()

    pipe, results = Pipe(inline=inline, lossless=True), CollectingDestination("results")
    numbers, work = OneByOne("numbers"), Patient("work")
    pipe.create_flow("source", True, numbers)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("end", True, results)
    pipe.link(Wire(numbers, work), Wire(work, results))
    assert pipe.run(timeout=60).ok
    assert sorted(results.items()) == [0, 1, 2, 3]


@INLINE
def test_an_event_reaches_every_replica(inline: bool) -> None:
    pipe, _ = shop([], inline=inline, replicas=3)
    with pipe:
        pipe.notify_event("start", wait=60)
        results = pipe.notify_event("FACTOR", {"workers": ["work"]}, wait=60, factor=5)
        assert set(results) == {"work", "work#2", "work#3"}
        assert all(result.error is None for result in results.values())


@INLINE
def test_the_status_takes_replicas_together(inline: bool) -> None:
    pipe, _ = shop(list(range(40)), inline=inline, replicas=3)
    summary = pipe.run(timeout=60)
    assert [one.name for one in summary.routines] == ["tasks", "work", "results"]
    assert (summary.routines[1].received, summary.routines[1].sent) == (40, 40)
    assert [flow.name for flow in summary.flows] == ["source", "workers", "end", "workers#2", "workers#3"]


@INLINE
@pytest.mark.parametrize("transmitter", [None, SharedMemoryTransmitter()], ids=["copies", "views"])
def test_large_data_arrives_whole(inline: bool, transmitter: SharedMemoryTransmitter | None) -> None:
    class Sums(MiddleRoutine):
        def setup(self) -> None:
            self.kept: list[Any] = []

        def main_logic(self, frame: np.ndarray) -> tuple[int, bool]:
            self.kept.append(frame)
            assert all((array == array[0, 0]).all() for array in self.kept)
            return int(frame[0, 0]), frame.flags.writeable

    pipe = Pipe(inline=inline, lossless=True, data_transmitter=transmitter)
    frames = ListSource([np.full((300, 400), number, np.uint8) for number in range(60)], "frames")
    sums, results = Sums("sums"), CollectingDestination("results")
    pipe.create_flow("source", True, frames)
    pipe.create_flow("workers", True, sums, replicas=2)
    pipe.create_flow("end", True, results)
    pipe.link(Wire(frames, sums), Wire(sums, results))
    summary = pipe.run(timeout=60)
    assert summary.errors == 0
    assert sorted(results.items()) == [(number, transmitter is None) for number in range(60)]


def test_what_a_killed_replica_had_is_done_by_another(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    class Lasts(ListSource):
        """Its stream ends when the killed replica has another process."""

        def main_logic(self) -> Any:
            if self._next == len(self._items):
                wait_until((tmp_path / "restarted").exists, what="the restart")
            return super().main_logic()

    class BothBegin(Work):
        """Is not done with the first two numbers before each replica has one of them."""

        def main_logic(self, number: int) -> Any:
            (tmp_path / str(number)).touch()
            if number < 2:
                wait_until((tmp_path / str(1 - number)).exists, what="somebody to begin with the other one")
            return super().main_logic(number)

    work = BothBegin("work")
    work.seconds = 0.03
    pipe, results = shop(Lasts(range(120), "tasks"), inline=False, work=work)
    pipe.build()
    victim = pipe.status().flow("workers").pid
    assert victim is not None

    def kill() -> None:
        wait_until(lambda: any(pid == victim for _, pid, _ in results.items()), what="that it has done something")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: pipe.status().flow("workers").restarts == 1, what="the restart")
        (tmp_path / "restarted").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    summary = pipe.run(timeout=60)
    killer.join()
    caplog.clear()  # that it died is logged, as it should be
    assert summary.ok
    found = [number for number, _, _ in results.items()]
    assert set(found) == set(range(120))
    assert len(found) <= 121  # what it had in hand may be done, and not yet said to be
    assert len({pid for _, pid, _ in results.items()}) >= 2  # the new one may come when all is done
    assert next(flow for flow in summary.flows if flow.name == "workers").restarts == 1


@pytest.mark.expects_errors
@INLINE
def test_a_message_that_fails_is_tried_again_and_then_kept(inline: bool) -> None:
    pipe, results = shop([1, -1, 2], inline=inline)
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.dead_letters())
        (letter,) = pipe.dead_letters()
        assert (letter.routine, letter.data, letter.attempts) == ("work", -1, 3)
        assert letter.reason == "ValueError: minus one"
        assert "minus one" in letter.traceback
        wait_until(lambda: len(results.items()) == 2)
    assert sorted(number for number, _, _ in results.items()) == [1, 2]


@pytest.mark.expects_errors
def test_a_message_that_kills_its_process_again_and_again_is_kept_and_the_others_are_done() -> None:
    """C-5: poison, with the default of no retries."""
    pipe, results = shop([*range(10), -2, *range(10, 20)], inline=False)
    summary = pipe.run(timeout=60)
    assert sorted(number for number, _, _ in results.items()) == list(range(20))
    (letter,) = pipe.dead_letters()
    assert (letter.data, letter.attempts) == (-2, 3)
    assert "SIGKILL" in letter.reason
    assert (summary.ok, summary.reason, summary.dead_letters) == (False, "finished", 1)


@pytest.mark.expects_errors
@INLINE
def test_a_dead_letter_can_be_tried_again_or_dropped(inline: bool) -> None:
    class Mended(Work):
        retries = 0
        broken = True

        def main_logic(self, number: int) -> Any:
            if self.broken:
                raise ValueError("not yet")
            return number

        @events("MEND")
        def mend(self) -> None:
            self.broken = False

    pipe, results = shop(OpenList([1, 2], "tasks"), inline=inline, work=Mended("work"), replicas=1)
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(pipe.dead_letters()) == 2)
        first, second = pipe.dead_letters()
        with pytest.raises(UnknownDeadLetterError, match="no dead letter '77'"):
            pipe.drop_dead_letter(77)
        pipe.drop_dead_letter(second.number)
        pipe.notify_event("MEND", wait=60)
        pipe.requeue_dead_letter(first.number)
        wait_until(lambda: results.items() == [first.data])
        assert pipe.dead_letters() == ()


@INLINE
def test_replicas_on_a_real_time_wire_share_what_is_newest(inline: bool) -> None:
    pipe = Pipe(inline=inline)
    tasks, work, results = ListSource(list(range(500)), "tasks"), Work("work"), CollectingDestination("results")
    work.seconds = 0.002
    pipe.create_flow("source", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("end", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results, lossless=True))
    summary = pipe.run(timeout=60)
    wire = summary.wires[0]
    assert wire.dropped > 0
    assert wire.received + wire.dropped == wire.sent == 500
    numbers = [number for number, _, _ in results.items()]
    assert len(numbers) == len(set(numbers)) == wire.received


@pytest.mark.parametrize("replicas", [0, -1, 65, "two", True, 1.5])
def test_a_number_of_replicas_that_cannot_be_is_refused(replicas: Any) -> None:
    with pytest.raises(ValueError, match=r"create_flow\('workers', ..., replicas=...\) is a number from 1 to 64"):
        Pipe().create_flow("workers", True, Work("work"), replicas=replicas)


def test_a_wire_to_nowhere_is_found_with_replicas_too() -> None:
    pipe = Pipe()
    pipe.create_flow("workers", True, Work("work"), replicas=2)
    with pytest.raises(PipeBuildError, match="is not linked to anything"):
        pipe.build()


def test_a_pipe_that_is_killed_gets_no_further_replica_and_ends() -> None:
    numbers, seen = OpenList([1], "numbers"), CollectingDestination("seen")
    with Pipe("killed", lossless=True) as pipe:
        pipe.create_flow("from", False, numbers)
        pipe.create_flow("to", False, seen, replicas=2)
        pipe.link(Wire(numbers, seen))
        pipe.build()
        pipe.set_replicas("to", 1)
        supervisor = pipe._supervisor
        assert supervisor is not None
        wait_until(lambda: supervisor.flows["to#2"].ended)
        supervisor.kill()
        with pytest.raises(PipeStateError, match="was killed"):
            pipe.set_replicas("to", 2)
        assert pipe.join(to_kill=True)
