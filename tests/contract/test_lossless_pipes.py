"""A lossless pipe delivers at least once: whatever fails, stops or dies, each message is done or kept."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    PipeBuildError,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    events,
    middle,
    source,
)
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.sources import OpenList


def place(pipe: Pipe, *routines: Any, local: bool = False) -> None:
    """Put routines into flows of their own, or all into one."""
    if local:
        pipe.create_flow("all", False, *routines)
    else:
        for routine in routines:
            pipe.create_flow(f"flow of {routine.name}", False, routine)


def nothing_is_left(pipe: Pipe) -> None:
    """All queues of a running pipe come to have nothing under way."""
    assert pipe._supervisor is not None
    queues = pipe._supervisor.memory.queues.all()
    wait_until(lambda: not any(queue.table.under_way() for queue in queues), what="that all is acknowledged")


LOCAL = pytest.mark.parametrize("local", [False, True], ids=["flows", "one flow"])


# --- failures


@pytest.mark.expects_errors
@LOCAL
def test_what_fails_is_tried_again_as_often_as_it_says(inline: bool, local: bool) -> None:
    """A-5: see also tests/integration/test_staged_analysis.py."""

    class Flaky(MiddleRoutine):
        retries = 2

        def main_logic(self, number: int) -> Any:
            self.logger.info("attempt %d at %d", self.message.attempt, number)
            if number == 3 or (number == 7 and self.message.attempt < 3):
                raise ValueError("boom")
            return number, self.message.attempt, self.message.source, self.message.sequence

    pipe = Pipe(inline=inline, lossless=True)
    tasks, work, results = ListSource(list(range(20)), "tasks"), Flaky("work"), CollectingDestination("results")
    place(pipe, tasks, work, results, local=local)
    pipe.link(Wire(tasks, work), Wire(work, results))
    summary = pipe.run(timeout=60)
    found = results.items()
    assert sorted(found) == [
        (number, 3 if number == 7 else 1, "tasks", number + 1) for number in range(20) if number != 3
    ]
    (letter,) = pipe.dead_letters()
    assert (letter.routine, letter.data, letter.attempts, letter.reason) == ("work", 3, 3, "ValueError: boom")
    assert 'raise ValueError("boom")' in letter.traceback
    assert (summary.ok, summary.dead_letters, summary.errors) == (False, 1, 5)
    assert (summary.routines[1].retried, summary.routines[1].dead_letters) == (4, 1)
    assert "work: received 20, sent 19, errors 5, retried 4, given up 1" in str(summary)


@pytest.mark.expects_errors
@LOCAL
def test_a_routine_that_is_stopped_between_two_attempts_goes_on_with_them(inline: bool, local: bool) -> None:
    class Flaky(MiddleRoutine):
        retries = 50
        broken = True

        def main_logic(self, number: int) -> Any:
            if self.broken and number == 3:
                raise ValueError("not yet")
            return number

        @events("MEND")
        def mend(self) -> None:
            self.broken = False

    pipe = Pipe(inline=inline, lossless=True)
    tasks, work, results = ListSource(list(range(10)), "tasks"), Flaky("work"), CollectingDestination("results")
    place(pipe, tasks, work, results, local=local)
    pipe.link(Wire(tasks, work), Wire(work, results))
    with pipe:
        pipe.notify_event("start", wait=60)
        for _ in range(3):
            before = pipe.status().routine("work").errors
            wait_until(lambda before=before: pipe.status().routine("work").errors > before)
            pipe.notify_event("stop", {work.flow_name: ["work"]}, wait=60)
            pipe.notify_event("start", {work.flow_name: ["work"]}, wait=60)
        pipe.notify_event("MEND", wait=60)
        assert pipe.join(timeout=60)
    assert sorted(results.items()) == list(range(10))
    assert pipe.dead_letters() == ()


@pytest.mark.expects_errors
def test_a_flow_that_is_killed_or_restarted_between_two_attempts_loses_nothing() -> None:
    class Flaky(MiddleRoutine):
        retries = 1000

        def main_logic(self, number: int) -> Any:
            if number % 10 == 0 and self.message.attempt < 8:
                raise ValueError("not yet")
            return number

    pipe = Pipe(lossless=True, restart=50)
    tasks, work, results = ListSource(list(range(30)), "tasks"), Flaky("work"), CollectingDestination("results")
    place(pipe, tasks, work, results)
    pipe.link(Wire(tasks, work), Wire(work, results))
    with pipe:
        pipe.notify_event("start", wait=60)
        for round in range(4):
            before = pipe.status().routine("work").errors
            wait_until(lambda before=before: (one := pipe.status().routine("work")).finished or one.errors > before + 3)
            flow = pipe.status().flow("flow of work")
            if round % 2:
                pipe.restart_flow("flow of work")
            else:
                assert flow.pid is not None
                os.kill(flow.pid, signal.SIGKILL)
            wait_until(lambda flow=flow: pipe.status().flow("flow of work").pid not in (flow.pid, None))
            wait_until(lambda: pipe.status().flow("flow of work").state == "running")
        assert pipe.join(timeout=60)
    assert set(results.items()) == set(range(30))
    assert pipe.dead_letters() == ()


@pytest.mark.expects_errors
def test_two_routines_of_a_flow_that_fail_at_one_message_make_one_further_attempt(inline: bool) -> None:
    class Fails(DestinationRoutine):
        retries = 3

        def setup(self) -> None:
            self.attempts: list[int] = []

        def main_logic(self, number: int) -> None:
            self.attempts.append(self.message.attempt)
            if self.message.attempt < 3:
                raise ValueError("not yet")

        @events("TELL")
        def tell(self) -> list[int]:
            return self.attempts

    pipe = Pipe(inline=inline, lossless=True)
    tasks, one, other = OpenList([1], "tasks"), Fails("one"), Fails("other")

    @middle(name="split")
    def split(number: int) -> int:
        return number

    pipe.create_flow("first", False, tasks)
    pipe.create_flow("both", False, split, one, other)
    pipe.link(Wire(tasks, split), Wire(split, (one, other)))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("tasks", "split").sent)
        nothing_is_left(pipe)
        told = pipe.notify_event("TELL", wait=60)
    assert {name: max(result.value) for name, result in told.items() if name in ("one", "other")} == {
        "one": 3,
        "other": 3,
    }
    assert pipe.dead_letters() == ()


@pytest.mark.expects_errors
@LOCAL
def test_what_cannot_be_sent_on_is_kept(inline: bool, local: bool) -> None:
    @middle(name="work", retries=2)
    def work(number: int) -> Any:
        return threading.Lock() if number == 2 else number

    pipe = Pipe(inline=inline, lossless=True)
    tasks, results = ListSource([1, 2, 3], "tasks"), CollectingDestination("results")
    pipe.create_flow("first", False, tasks, *([work] if local else []))
    if not local:
        pipe.create_flow("work", False, work)
    pipe.create_flow("last", False, results)
    pipe.link(Wire(tasks, work), Wire(work, results))
    pipe.run(timeout=60)
    assert results.items() == [1, 3]
    (letter,) = pipe.dead_letters()
    assert (letter.routine, letter.data) == ("work", 2)
    assert "cannot" in letter.reason


# --- generators in the middle


@LOCAL
def test_a_generator_that_is_stopped_in_the_middle_goes_on_where_it_was(inline: bool, local: bool) -> None:
    class Slow(CollectingDestination):
        def main_logic(self, data: Any) -> None:
            self.wait(0.001)
            super().main_logic(data)

    @middle(name="work")
    def work(number: int) -> Any:
        for part in range(50):
            yield number, part

    pipe = Pipe(inline=inline, lossless=True)
    tasks, results = ListSource(list(range(10)), "tasks"), Slow("results")
    place(pipe, tasks, work, results, local=local)
    pipe.link(Wire(tasks, work), Wire(work, results, capacity=2))
    with pipe:
        pipe.notify_event("start", wait=60)
        for _ in range(6):
            before = pipe.status().routine("work").sent
            wait_until(lambda before=before: (one := pipe.status().routine("work")).finished or one.sent > before + 20)
            pipe.notify_event("stop", {work.flow_name: ["work"]}, wait=60)
            pipe.notify_event("start", {work.flow_name: ["work"]}, wait=60)
        assert pipe.join(timeout=60)
    assert results.items() == [(number, part) for number in range(10) for part in range(50)]


@pytest.mark.expects_errors
def test_a_generator_that_raises_in_the_middle_is_run_again(inline: bool) -> None:
    class Parts(MiddleRoutine):
        retries = 1

        def main_logic(self, number: int) -> Any:
            yield number, "first"
            if self.message.attempt == 1:
                raise ValueError("in the middle")
            yield number, "second"

    pipe = Pipe(inline=inline, lossless=True)
    tasks, parts, results = ListSource([1, 2], "tasks"), Parts("parts"), CollectingDestination("results")
    place(pipe, tasks, parts, results)
    pipe.link(Wire(tasks, parts), Wire(parts, results))
    assert pipe.run(timeout=60).ok
    assert Counter(results.items()) == {
        (n, part): 1 + (part == "first") for n in (1, 2) for part in ("first", "second")
    }


# --- what a source has unacknowledged


@LOCAL
@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_more_is_unacknowledged_than_the_source_says(inline: bool, local: bool, concurrency: int) -> None:
    class Numbers(SourceRoutine):
        max_in_flight = 3

        def setup(self) -> None:
            self.made = self.ended = self.most = 0

        @events("DONE")
        def done(self) -> None:
            self.ended += 1

        @events("MOST")
        def tell(self) -> int:
            return self.most

        def main_logic(self) -> Any:
            if self.made == 60:
                self.wait(30.0)
                return None
            self.made += 1
            self.most = max(self.most, self.made - self.ended)
            return self.made

    class Says(DestinationRoutine):
        def main_logic(self, number: int) -> None:
            self.notify_event("DONE", {numbers_flow: ["numbers"]}, wait=60)

    @middle(name="work", concurrency=concurrency)
    def work(number: int) -> Any:
        return [number, number]

    numbers_flow = "all" if local else "flow of numbers"
    pipe = Pipe(inline=inline, lossless=True)
    numbers, says = Numbers("numbers"), Says("says")
    place(pipe, numbers, work, says, local=local)
    pipe.link(Wire(numbers, work), Wire(work, says))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("says").received == 60)
        nothing_is_left(pipe)
        assert 1 <= pipe.notify_event("MOST", wait=60)["numbers"].value <= 3


@LOCAL
@pytest.mark.parametrize("concurrency", [1, 2])
def test_yield_gives_back_what_the_destination_returned(inline: bool, local: bool, concurrency: int) -> None:
    """C-7: the next task waits for what came of the one before."""

    @source(name="sums", max_in_flight=1)
    def sums() -> Any:
        total = 0
        for number in range(20):
            total = yield number, total

    class Add(CollectingDestination):
        def main_logic(self, item: Any) -> Any:
            number, total = item
            super().main_logic(item)
            return total + number

    pipe, end = Pipe(inline=inline, lossless=True), Add("end")
    end.concurrency = concurrency
    place(pipe, sums, end, local=local)
    pipe.link(Wire(sums, end))
    assert pipe.run(timeout=60).ok
    assert end.items() == [(number, sum(range(number))) for number in range(20)]


@pytest.mark.expects_errors
def test_a_bounded_source_goes_on_after_a_dead_letter(inline: bool) -> None:
    @source(name="numbers", max_in_flight=1)
    def numbers() -> Any:
        for number in range(6):
            answer = yield number
            answers.append(answer)
        yield list(answers)

    class Odd(CollectingDestination):
        def main_logic(self, data: Any) -> Any:
            if data == 3:
                raise ValueError("three")
            super().main_logic(data)
            return data

    answers: list[Any] = []
    pipe, odd = Pipe(inline=inline, lossless=True), Odd("odd")
    place(pipe, numbers, odd)
    pipe.link(Wire(numbers, odd))
    pipe.run(timeout=60)
    assert odd.items() == [0, 1, 2, 4, 5, [0, 1, 2, None, 4, 5]]
    assert [letter.data for letter in pipe.dead_letters()] == [3]


@pytest.mark.expects_errors
def test_a_bounded_source_that_is_killed_begins_anew_and_is_not_held_up() -> None:
    class Numbers(SourceRoutine):
        max_in_flight = 4

        def setup(self) -> None:
            self.made = 0

        def main_logic(self) -> Any:
            self.made += 1
            return os.getpid(), self.made

    pipe, results = Pipe(lossless=True, restart=20), CollectingDestination("results")
    numbers = Numbers("numbers")

    @middle(name="work")
    def work(item: Any) -> Any:
        return item

    place(pipe, numbers, work, results)
    pipe.link(Wire(numbers, work), Wire(work, results))
    with pipe:
        pipe.notify_event("start", wait=60)
        for _ in range(5):
            pid = wait_until(lambda: pipe.status().flow("flow of numbers").pid)
            wait_until(lambda pid=pid: len([1 for item in results.items() if item[0] == pid]) > 20)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: pipe.status().flow("flow of numbers").pid not in (pid, None))
        pipe.notify_event("stop", {"flow of numbers": []}, wait=60)
        nothing_is_left(pipe)
    for pid in {item[0] for item in results.items()}:
        made = [number for one, number in results.items() if one == pid]
        assert set(made) == set(range(1, max(made) + 1))


# --- conditional wires, and wires that lead back


def test_a_condition_chooses_and_what_no_wire_takes_is_done_with(inline: bool) -> None:
    pipe = Pipe(inline=inline, lossless=True)
    tasks = ListSource(list(range(30)), "tasks")
    even, third = CollectingDestination("even"), CollectingDestination("third")
    place(pipe, tasks, even, third)
    pipe.link(Wire(tasks, even, where=lambda n: n % 2 == 0), Wire(tasks, third, where=lambda n: n % 3 == 0))
    summary = pipe.run(timeout=60)
    assert summary.ok
    assert [(wire.sent, wire.filtered) for wire in summary.wires] == [(15, 15), (10, 20)]
    assert even.items() == list(range(0, 30, 2))
    assert third.items() == list(range(0, 30, 3))


@pytest.mark.expects_errors
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_condition_that_raises_keeps_the_message(inline: bool, concurrency: int) -> None:
    @middle(name="work", concurrency=concurrency, retries=2)
    def work(number: int) -> int:
        return number

    pipe = Pipe(inline=inline, lossless=True)
    tasks, results, others = (
        ListSource([1, 0, 2], "tasks"),
        CollectingDestination("results"),
        CollectingDestination("others"),
    )
    place(pipe, tasks, work, results, others)
    pipe.link(Wire(tasks, work), Wire(work, results, where=lambda n: 1 / n > 0), Wire(work, others))
    pipe.run(timeout=60)
    assert sorted(results.items()) == sorted(others.items()) == [1, 2]
    (letter,) = pipe.dead_letters()
    assert (letter.routine, letter.data, letter.reason) == ("work", 0, "ZeroDivisionError: division by zero")


@pytest.mark.expects_errors
def test_a_condition_of_a_source_that_raises_keeps_the_message(inline: bool) -> None:
    pipe = Pipe(inline=inline, lossless=True)
    tasks, results = ListSource([1, 0, 2], "tasks"), CollectingDestination("results")
    place(pipe, tasks, results)
    pipe.link(Wire(tasks, results, where=lambda n: 1 / n > 0))
    pipe.run(timeout=60)
    assert results.items() == [1, 2]
    assert [(letter.routine, letter.data) for letter in pipe.dead_letters()] == [("tasks", 0)]


@pytest.mark.parametrize("shape", ["flows", "source beside", "circle in one flow", "one flow", "replicas", "passed on"])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_circle_ends_when_all_that_goes_round_is_done(inline: bool, shape: str, concurrency: int) -> None:
    """A collatz walk: each number goes round until it is 1."""

    @middle(name="step", concurrency=concurrency)
    def step(item: Any) -> Any:
        number, at, steps = item
        return number, (at // 2 if at % 2 == 0 else 3 * at + 1), steps + 1

    @middle(name="look")
    def look(item: Any) -> Any:
        return item

    @middle(name="passed")
    def passed(item: Any) -> Any:
        return item

    pipe = Pipe(inline=inline, lossless=True)
    tasks = ListSource([(number, number, 0) for number in range(2, 30)], "tasks")
    results = CollectingDestination("results")
    flows: dict[str, list[list[Any]]] = {
        "flows": [[tasks], [step], [look], [results]],
        "source beside": [[tasks, step], [look], [results]],
        "circle in one flow": [[tasks], [step, look], [results]],
        "one flow": [[tasks, step, look, results]],
        "replicas": [[tasks], [step], [look], [results]],
        "passed on": [[tasks], [passed, step], [look], [results]],
    }
    for number, routines in enumerate(flows[shape]):
        options = {"replicas": 2} if shape == "replicas" and routines == [step] else {}
        pipe.create_flow(f"flow {number}", False, *routines, **options)
    if shape == "passed on":
        pipe.link(Wire(tasks, passed), Wire(passed, step))
    else:
        pipe.link(Wire(tasks, step))
    pipe.link(
        Wire(step, look),
        Wire(look, step, where=lambda item: item[1] != 1, feedback=True),
        Wire(look, results, where=lambda item: item[1] == 1),
    )
    assert pipe.run(timeout=60).ok

    def steps(number: int) -> int:
        return 0 if number == 1 else 1 + steps(number // 2 if number % 2 == 0 else 3 * number + 1)

    assert sorted(results.items()) == [(number, 1, steps(number)) for number in range(2, 30)]


def test_a_circle_without_a_mark_is_refused_and_named() -> None:
    """A-8: a cycle without a feedback mark."""

    @middle(name="one")
    def one(item: Any) -> Any:
        return item

    @middle(name="other")
    def other(item: Any) -> Any:
        return item

    pipe, tasks = Pipe(lossless=True), ListSource([1], "tasks")
    place(pipe, tasks, one, other)
    pipe.link(Wire(tasks, one), Wire(one, other), Wire(other, one))
    with pytest.raises(PipeBuildError, match=r"one -> other -> one|other -> one -> other"):
        pipe.build()


# --- mixed deliveries


def test_a_real_time_wire_behind_a_lossless_one_holds_nothing_up(inline: bool, tmp_path: Path) -> None:
    class Slow(CollectingDestination):
        def main_logic(self, data: Any) -> None:
            wait_until((tmp_path / "all").exists, what="the arrival of everything beside it")
            super().main_logic(data)

    @middle(name="work")
    def work(number: int) -> int:
        return number

    pipe = Pipe(inline=inline, lossless=True)
    tasks, live, all_ = OpenList(list(range(200)), "tasks"), Slow("live"), CollectingDestination("all")
    place(pipe, tasks, all_, live)
    pipe.create_flow("work", False, work, replicas=2)
    pipe.link(Wire(tasks, work), Wire(work, live, lossless=False), Wire(work, all_))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(all_.items()) == 200)
        (tmp_path / "all").touch()
        nothing_is_left(pipe)
        status = pipe.status()
        assert status.wire("work", "live").dropped >= 198
        assert status.wire("work", "live").received + status.wire("work", "live").dropped == 200


def test_two_sources_feed_one_flow_with_replicas_and_it_feeds_two(inline: bool) -> None:
    class Tags(MiddleRoutine):
        def main_logic(self, item: Any) -> Any:
            return self.name, item

    @middle(name="work", concurrency=2)
    def work(item: Any) -> Any:
        return item

    pipe = Pipe(inline=inline, lossless=True)
    one, other = ListSource(list(range(100)), "one"), ListSource(list(range(100, 200)), "other")
    left, right, results = Tags("left"), Tags("right"), CollectingDestination("results")
    place(pipe, one, other, results)
    pipe.create_flow("work", False, work, replicas=2)
    pipe.create_flow("left", False, left, replicas=2)
    pipe.create_flow("right", False, right, replicas=2)
    pipe.link(Wire(one, work), Wire(other, work), Wire(work, (left, right)), Wire(left, results), Wire(right, results))
    assert pipe.run(timeout=60).ok
    assert Counter(results.items()) == Counter((side, n) for side in ("left", "right") for n in range(200))


def test_frames_go_through_a_lossless_pipe_and_all_slots_come_back(inline: bool) -> None:
    @middle(name="crew", concurrency=3)
    def crew(frame: np.ndarray) -> Any:
        return frame

    @middle(name="passes")
    def passes(frame: np.ndarray) -> Any:
        return {"frame": frame, "mean": int(frame.mean())}

    @middle(name="checks")
    def checks(data: Any) -> Any:
        assert (data["frame"] == data["mean"]).all()
        return data["mean"]

    pipe = Pipe(inline=inline, lossless=True, data_transmitter=SharedMemoryTransmitter())
    tasks = OpenList([np.full((300, 400), number, np.uint8) for number in range(150)], "tasks")
    results = CollectingDestination("results")
    place(pipe, tasks, passes, results)
    pipe.create_flow("crew", False, crew)
    pipe.create_flow("checks", False, checks, replicas=2)
    pipe.link(Wire(tasks, crew), Wire(crew, passes), Wire(passes, checks), Wire(checks, results))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(results.items()) == 150, timeout=60)
        nothing_is_left(pipe)
    assert sorted(results.items()) == list(range(150))


class _Torn:
    """What is sent well, and cannot be read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _fail_to_read, ()


def _fail_to_read() -> None:
    raise KeyError("not here")


@pytest.mark.expects_errors
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_message_that_nobody_can_read_is_a_dead_letter_without_data(concurrency: int) -> None:
    seen = CollectingDestination("seen")
    seen.concurrency = concurrency

    @source
    def numbers() -> Any:
        yield from (1, {"torn": _Torn()}, 2)

    pipe = Pipe(lossless=True)
    pipe.create_flow("first", False, numbers)
    pipe.create_flow("last", False, seen)
    pipe.link(Wire(numbers, seen))

    summary = pipe.run(timeout=60)

    assert (summary.ok, summary.reason) == (False, "finished")
    assert sorted(seen.items()) == [1, 2]
    (letter,) = pipe.dead_letters()
    assert (letter.routine, letter.data) == ("seen", None)
    assert "KeyError: 'not here'" in letter.reason
