"""Sources that run when their triggers say so: inline with a clock that tests move, and in processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    AtLeast,
    AtStart,
    ConfigError,
    EndOfStream,
    Every,
    Pipe,
    PipeBuildError,
    Routine,
    RoutineStatus,
    SourceRoutine,
    Store,
    StoreError,
    TriggerStatus,
    Wire,
    events,
    source,
)
from pipert2.store.ledger import RunOutcome
from pipert2.testing import CollectingDestination, VirtualClock, wait_until

HOUR = 3600.0
MODES = pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])


class Worker(SourceRoutine):
    """Notes when it was run, by the clock of the test."""

    trigger: Any = Every("1 h")

    def __init__(self, clock: VirtualClock | None = None, does: Callable[[int], Any] = lambda run: None) -> None:
        super().__init__("worker")
        self.clock = clock
        self.does = does
        self.ran: list[float] = []

    def main_logic(self) -> Any:
        assert self.clock is not None
        self.ran.append(self.clock.now() / HOUR)
        return self.does(len(self.ran))


class Rig:
    """A pipe of one worker whose hours pass at once."""

    def __init__(self, store: Path | None = None, start: float = 0.0, **options: Any) -> None:
        self.clock = VirtualClock(start)
        self.pipe = Pipe("rig", inline=True, clock=self.clock, store=store, **options)

    def start(self, worker: SourceRoutine) -> None:
        self.pipe.create_flow("flow", True, worker)
        self.pipe.notify_event("start")
        self.settle()

    def settle(self) -> None:
        # Not clock.waiting: what watches a run waits for the clock, too, and begins to before the run counts as busy.
        wait_until(lambda: self.clock._sleeping, what="the worker's waiting for its trigger")

    def to(self, hours: float) -> None:
        self.clock.advance(hours * HOUR - self.clock.now())
        self.settle()

    @property
    def status(self) -> RoutineStatus:
        return self.pipe.status().routine("worker")

    @property
    def trigger(self) -> TriggerStatus:
        found = self.status.trigger
        assert found is not None
        return found

    def end(self) -> None:
        self.pipe.join(to_kill=True)
        if self.pipe.store is not None:
            self.pipe.store.close()


@pytest.fixture
def rigs() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*args: Any, **options: Any) -> Rig:
        made.append(Rig(*args, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.end()


Rigs = Callable[..., Rig]


# --- when it runs


@pytest.mark.parametrize("trigger", [Every("1 h"), "1 hour", "every 1h", "hourly", "cron 0 * * * *", HOUR])
def test_a_source_runs_once_at_each_tick(rigs: Rigs, trigger: Any) -> None:
    rig = rigs()
    worker = Worker(rig.clock)
    worker.trigger = trigger
    rig.start(worker)
    for quarter in range(1, 13):
        rig.to(quarter / 4)
    assert worker.ran == [1, 2, 3]
    assert rig.status.skipped == 0


def test_ticks_that_were_missed_are_one_run_and_counted(rigs: Rigs) -> None:
    """B-5: missed ticks coalesce into one and are counted."""
    rig = rigs()
    worker = Worker(rig.clock)
    rig.start(worker)
    rig.to(5.5)
    assert worker.ran == [5.5]
    assert rig.status.skipped == 4
    rig.to(6)
    assert worker.ran == [5.5, 6]


def test_runs_do_not_overlap(rigs: Rigs) -> None:
    """B-5: no overlap."""
    rig = rigs()
    worker = Worker(rig.clock, lambda run: rig.clock.advance(2.5 * HOUR) if run == 1 else None)
    rig.start(worker)
    rig.to(1)
    assert worker.ran == [1, 3.5], "the run from 1:00 to 3:30 misses 2:00 and 3:00, which are one run after it"
    assert rig.status.skipped == 1


def test_at_start_runs_once_whatever_is_stopped_and_started(rigs: Rigs) -> None:
    rig = rigs()
    worker = Worker(rig.clock)
    worker.trigger = AtStart() | Every("1 h")
    rig.start(worker)
    assert worker.ran == [0]
    rig.to(1.5)
    rig.pipe.notify_event("stop", wait=60)
    rig.clock.advance(0.1 * HOUR)
    rig.pipe.notify_event("start", wait=60)
    rig.settle()
    assert worker.ran == [0, 1.5]


def test_a_stopped_source_makes_up_for_missed_ticks_once(rigs: Rigs) -> None:
    rig = rigs()
    worker = Worker(rig.clock)
    rig.start(worker)
    rig.to(1)
    rig.pipe.notify_event("stop", wait=60)
    rig.clock.advance(4.5 * HOUR)
    assert worker.ran == [1]
    rig.pipe.notify_event("start", wait=60)
    rig.settle()
    rig.to(6)
    assert worker.ran == [1, 5.5, 6]


def test_events_are_attended_to_while_it_waits(rigs: Rigs) -> None:
    rig = rigs()
    rig.start(Worker(rig.clock))
    assert rig.pipe.notify_event("configure", wait=60, threshold=3)["worker"].error is None
    assert rig.pipe.configuration("worker")["threshold"] == 3


def test_status_shows_trigger_and_last_and_next_fire(rigs: Rigs) -> None:
    rig = rigs()
    rig.start(Worker(rig.clock))
    assert rig.trigger == TriggerStatus("every 1 h", 0, None, pytest.approx(HOUR), 0)
    rig.to(1)
    assert rig.trigger == TriggerStatus("every 1 h", 1, pytest.approx(HOUR), pytest.approx(2 * HOUR), 0)
    assert rig.pipe.status().to_dict()["routines"][0]["trigger"]["text"] == "every 1 h"


# --- what a run is


@MODES
def test_what_runs_return_and_yield_is_sent_on(inline: bool) -> None:
    class Bursts(SourceRoutine):
        trigger = Every("20 ms")

        def setup(self) -> None:
            self.runs = 0

        def main_logic(self) -> Any:
            self.runs += 1
            if self.runs == 4:
                raise EndOfStream
            return self.burst(self.runs)

        def burst(self, run: int) -> Iterator[int]:
            for number in range(run):
                yield 10 * run + number

    bursts, seen = Bursts("bursts"), CollectingDestination("seen")
    pipe = Pipe(inline=inline, lossless=True)
    pipe.create_flow("source", True, bursts)
    pipe.create_flow("end", True, seen)
    pipe.link(Wire(bursts, seen))
    summary = pipe.run(timeout=60)
    assert (summary.ok, summary.reason) == (True, "finished")
    assert seen.items() == [10, 20, 21, 30, 31, 32]


@MODES
def test_a_source_without_wires_keeps_the_pipe_running_until_its_stream_ends(inline: bool, tmp_path: Path) -> None:
    @source(trigger="every 10 ms")
    def lonely(self: Any) -> None:
        if self.store.add("run", None) == 3:
            raise EndOfStream

    pipe = Pipe(inline=inline, store=tmp_path / "run.db")
    pipe.create_flow("flow", True, lonely)
    summary = pipe.run(timeout=60)
    assert (summary.ok, summary.reason) == (True, "finished")
    assert pipe.store is not None
    assert pipe.store.count("run") == 3
    pipe.store.close()


def test_a_source_without_wires_goes_on_until_the_time_is_over() -> None:
    @source(trigger="hourly")
    def lonely() -> None:
        pass

    pipe = Pipe(inline=True)
    pipe.create_flow("flow", True, lonely)
    assert pipe.run(timeout=0.1).reason == "timeout"


@MODES
def test_with_one_in_flight_a_run_gets_back_what_the_destination_returned(inline: bool, tmp_path: Path) -> None:
    from pipert2 import destination

    @source(trigger="every 10 ms", max_in_flight=1)
    def sums(self: Any) -> Any:
        total = 0
        for number in range(4):
            total = yield (number, total)
        self.store.add("total", total)
        raise EndOfStream

    add = destination(lambda pair: pair[0] + pair[1], name="add")
    pipe = Pipe(inline=inline, lossless=True, store=tmp_path / "run.db")
    pipe.create_flow("source", True, sums)
    pipe.create_flow("end", True, add)
    pipe.link(Wire(sums, add))
    assert pipe.run(timeout=60).ok
    assert pipe.store is not None
    assert [record.data for record in pipe.store.records("total")] == [0 + 1 + 2 + 3]
    pipe.store.close()


@MODES
def test_async_runs_and_async_generators(inline: bool) -> None:
    class Feed(SourceRoutine):
        trigger = "every 10 ms"

        async def main_logic(self) -> Any:
            await asyncio.sleep(0)
            return "one"

    class Pages(SourceRoutine):
        trigger = "every 10 ms"

        async def main_logic(self) -> AsyncIterator[int]:
            for number in range(3):
                await asyncio.sleep(0)
                yield number

    feed, pages, seen = Feed("feed"), Pages("pages"), CollectingDestination("seen")
    pipe = Pipe(inline=inline, lossless=True)
    pipe.create_flow("flow", True, feed, seen)
    pipe.create_flow("other", True, pages)
    pipe.link(Wire(pages, seen))
    pipe.notify_event("start")

    def numbers() -> list[Any]:
        return [item for item in seen.items() if item != "one"]

    wait_until(lambda: len(numbers()) > 6 and seen.items().count("one") > 2)
    pipe.join(to_kill=True)
    assert numbers()[:6] == [0, 1, 2, 0, 1, 2]


def test_a_run_in_the_midst_of_which_it_is_stopped_was_interrupted(rigs: Rigs, tmp_path: Path) -> None:
    rig = rigs(tmp_path / "run.db")

    def endless(run: int) -> Iterator[None]:
        while True:
            yield None

    worker = Worker(rig.clock, endless)
    rig.pipe.create_flow("flow", True, worker)
    rig.pipe.notify_event("start")
    rig.settle()
    rig.clock.advance(HOUR)
    wait_until(lambda: rig.trigger.fires == 1)
    rig.pipe.notify_event("stop", wait=60)
    assert rig.pipe.store is not None
    (run,) = rig.pipe.store.runs.list("worker")
    assert (run.outcome, run.text) == (RunOutcome.INTERRUPTED, "the routine was stopped")


# --- failures and time-outs


@pytest.mark.expects_errors
def test_a_run_that_raises_is_logged_counted_and_kept_and_the_next_ones_go_on(
    rigs: Rigs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """B-6: the second run raises: one ERROR with its traceback, one ``failed`` event, and all further runs."""

    class Hears(Routine):
        @events("fired")
        def fired(self, run: int, **more: Any) -> None:
            heard.append(("fired", run))

        @events("failed")
        def failed(self, run: int, **more: Any) -> None:
            heard.append(("failed", run))

    heard: list[tuple[str, int]] = []
    rig = rigs(tmp_path / "run.db")
    rig.pipe.create_flow("office", True, Hears("hears"))
    worker = Worker(rig.clock, lambda run: 1 // (run - 2))
    rig.start(worker)
    for hour in range(1, 5):
        rig.to(hour)
    assert worker.ran == [1, 2, 3, 4]
    assert rig.status.errors == 1
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error.exc_info is not None
    assert "worker" in error.getMessage()
    assert "ZeroDivisionError" in error.getMessage()
    assert rig.pipe.store is not None
    outcomes = [run.outcome.value for run in reversed(rig.pipe.store.runs.list("worker"))]
    assert outcomes == ["completed", "failed", "completed", "completed"]
    told = rig.pipe.notices().notices
    assert [one.values["run"] for one in told if one.name == "fired"] == [1, 2, 3, 4]
    (failed,) = [one.values for one in told if one.name == "failed"]
    assert failed.pop("reason").startswith("ZeroDivisionError")
    assert failed == {"routine": "worker", "flow": "flow", "run": 2, "outcome": "failed"}
    wait_until(lambda: len(heard) == 5)
    assert heard == [("fired", 1), ("fired", 2), ("failed", 2), ("fired", 3), ("fired", 4)]


@pytest.mark.expects_errors
def test_a_generator_that_raises_ends_its_run_and_not_the_stream(rigs: Rigs) -> None:
    rig = rigs()

    def fails(run: int) -> Iterator[int]:
        yield run
        raise ValueError("half-way")

    worker = Worker(rig.clock, fails)
    rig.start(worker)
    rig.to(1)
    rig.to(2)
    assert (worker.ran, rig.status.errors, rig.status.finished) == ([1, 2], 2, False)


def test_a_plain_run_that_takes_too_long_is_said_once_counted_and_waited_for(
    rigs: Rigs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """B-7: a run that takes longer than its timeout."""
    rig = rigs(tmp_path / "run.db")
    said = lambda: [record for record in caplog.records if "timeout=" in record.getMessage()]  # noqa: E731

    def slow(run: int) -> None:
        if run == 1:
            rig.clock.advance(600)
            wait_until(said, what="the warning")
            rig.clock.advance(600)

    worker = Worker(rig.clock, slow)
    worker.timeout = 300.0
    rig.start(worker)
    rig.to(1)
    rig.to(2)
    assert worker.ran == [1, 2]
    assert len(said()) == 1
    assert said()[0].levelno == logging.WARNING
    assert rig.trigger.timed_out == 1
    assert rig.pipe.store is not None
    second, first = rig.pipe.store.runs.list("worker")
    assert (first.outcome, first.text) == (RunOutcome.TIMED_OUT, "it took 1200.0 s, longer than 300 s")
    assert second.outcome is RunOutcome.COMPLETED


@MODES
@pytest.mark.expects_errors
def test_an_async_run_that_takes_too_long_is_cancelled_and_the_next_ones_go_on(inline: bool, tmp_path: Path) -> None:
    """B-7: a run that takes longer than its timeout, and can be cancelled."""

    class Slow(SourceRoutine):
        trigger = "every 100 ms"
        timeout = 0.5

        async def main_logic(self) -> None:
            if self.store.add("began", None) == 1:
                await asyncio.sleep(600)

    pipe = Pipe(inline=inline, store=tmp_path / "run.db")
    pipe.create_flow("flow", True, Slow("slow"))
    pipe.notify_event("start")
    store = pipe.store
    assert store is not None
    wait_until(lambda: any(run.outcome is RunOutcome.COMPLETED for run in store.runs.list("slow")))
    pipe.join(to_kill=True)
    runs = store.runs.list("slow", limit=1000)
    assert runs[-1].outcome is RunOutcome.TIMED_OUT
    assert "cancelled" in runs[-1].text
    late = [run for run in runs if run.outcome is RunOutcome.TIMED_OUT]  # a slow disk may hold up a later one
    assert pipe.status().routine("slow").errors == len(late)
    store.close()


# --- records


def test_an_interval_and_a_count_of_new_records_together(rigs: Rigs, tmp_path: Path) -> None:
    """B-3: a trigger of an interval and a count of records, by the clock of the test."""
    rig = rigs(tmp_path / "run.db")
    worker = Worker(rig.clock)
    worker.trigger = Every("1 hour") & AtLeast(1000, "elf", within="2 h")
    rig.start(worker)
    store = rig.pipe.store
    assert store is not None
    added = [(0.5, "elf", 999), (0.5, "pe", 5000), (1.5, "elf", 1), (3 + 1 / 60, "elf", 1000), (4.5, "elf", 600)]
    added.append((7 + 1 / 6, "elf", 400))
    for minute in range(8 * 60 + 1):
        if minute:
            rig.to(minute / 60)
        for at, kind, number in added:
            if round(at * 60) == minute:
                with store.together():
                    for _ in range(number):
                        store.add(kind, None)
    assert worker.ran == [2, 4]
    assert rig.status.skipped == 6


@MODES
def test_new_records_wake_who_waits_for_them_at_once(inline: bool, tmp_path: Path) -> None:
    class Counts(SourceRoutine):
        trigger = AtLeast(20, "elf")

        def main_logic(self) -> int:
            found = self.store.count("elf")
            self.store.add("looked", None)
            return found

    class Adds(SourceRoutine):
        trigger = "every 1 ms"

        def main_logic(self) -> None:
            number = self.store.count("elf")
            if number == 20 * (self.store.count("looked") + 1):
                return  # twenty are there: who waits for them is to look first
            self.store.add("elf", None)
            if number + 1 == 50:
                raise EndOfStream

    counts, seen = Counts("counts"), CollectingDestination("seen")
    pipe = Pipe(inline=inline, store=tmp_path / "run.db")
    pipe.create_flow("counts", True, counts, seen)
    pipe.create_flow("adds", True, Adds("adds"))
    pipe.notify_event("start")
    wait_until(lambda: len(seen.items()) == 2, timeout=40, what="two runs, long before anything would look by itself")
    wait_until(lambda: pipe.status().routine("adds").finished)
    assert pipe.store is not None
    with pipe.store.together():
        for _ in range(20):
            pipe.store.add("elf", None)
    wait_until(lambda: len(seen.items()) == 3, timeout=40, what="a run because of what the main process has written")
    pipe.join(to_kill=True)
    pipe.store.close()
    assert seen.items() == [20, 40, 70]


@pytest.mark.expects_errors
def test_a_run_is_given_what_is_new_since_the_last_completed_one(rigs: Rigs, tmp_path: Path) -> None:
    given: list[list[int]] = []

    def look(run: int) -> None:
        given.append([record.data for record in worker.store.added("elf")])
        rig.pipe.store.add("elf", 10 + run)  # type: ignore[union-attr] # in the midst of the run: for the next one
        if run == 2:
            raise ValueError("not this time")

    rig = rigs(tmp_path / "run.db")
    worker = Worker(rig.clock, look)
    store = rig.pipe.store
    assert store is not None
    store.add("elf", 1)
    rig.start(worker)
    for hour in range(1, 5):
        rig.to(hour)
    rig.end()
    assert given == [[1], [11], [11, 12], [13]]
    again = rigs(tmp_path / "run.db", start=4.5 * HOUR)
    late: list[list[int]] = []
    reads = Worker(again.clock, lambda run: late.append([record.data for record in reads.store.added("elf")]))
    again.start(reads)
    again.to(5)
    assert late == [[14]], "it is known in a later run of the pipe as well"


def test_what_is_new_is_told_to_routines_with_a_trigger_only(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store, pytest.raises(StoreError, match=r"store\.reader\(NAME\)\.added\('elf'\)"):
        store.added("elf")


# --- the store remembers


def test_a_restart_after_a_night_makes_up_for_it_with_one_run(rigs: Rigs, tmp_path: Path) -> None:
    """B-4: the last fire survives a restart: one catch-up, not five."""
    rig = rigs(tmp_path / "run.db")
    rig.start(Worker(rig.clock))
    rig.to(1)
    rig.end()
    again = rigs(tmp_path / "run.db", start=9.5 * HOUR)
    worker = Worker(again.clock)
    again.start(worker)
    assert worker.ran == [9.5]
    assert again.status.skipped == 7
    again.to(10)
    assert worker.ran == [9.5, 10]
    with Store(tmp_path / "run.db") as store:
        assert [run.number for run in store.runs.list("worker")] == [3, 2, 1]


def test_a_restart_within_the_hour_fires_nothing(rigs: Rigs, tmp_path: Path) -> None:
    """B-4: the last fire survives a restart."""
    rig = rigs(tmp_path / "run.db")
    rig.start(Worker(rig.clock))
    rig.to(1)
    rig.end()
    again = rigs(tmp_path / "run.db", start=1.5 * HOUR)
    worker = Worker(again.clock)
    again.start(worker)
    assert worker.ran == []
    again.to(2)
    assert worker.ran == [2]


# --- what is refused


@pytest.mark.parametrize(
    ("trigger", "hint"),
    [("evry 5 s", "every 5 s"), ("every banana", "accepted"), ("", "accepted"), (0, "accepted"), ([], "accepted")],
)
def test_a_bad_trigger_is_an_error_before_any_process_starts(trigger: Any, hint: str) -> None:
    worker = Worker()
    worker.trigger = trigger
    pipe = Pipe()
    pipe.create_flow("flow", True, worker)
    with pytest.raises(ConfigError, match=hint) as caught:
        pipe.build()
    assert "Worker 'worker'" in str(caught.value)
    assert caught.value.key == "trigger"


def test_counting_records_needs_a_store() -> None:
    worker = Worker()
    worker.trigger = "hourly & at least 10 elf"
    pipe = Pipe()
    pipe.create_flow("flow", True, worker)
    with pytest.raises(ConfigError, match="give the pipe a store"):
        pipe.build()


def test_a_trigger_where_data_comes_in_and_a_bad_timeout_are_errors() -> None:
    worker, seen = Worker(), CollectingDestination("seen")
    worker.timeout = -1
    seen.trigger = "hourly"
    pipe = Pipe()
    pipe.create_flow("flow", True, worker, seen)
    with pytest.raises(PipeBuildError) as caught:
        pipe.build()
    assert "timeout is a time in seconds above 0, not -1" in str(caught.value)
    assert "a trigger is for sources" in str(caught.value)


def test_a_clock_of_ones_own_needs_an_inline_pipe() -> None:
    with pytest.raises(ValueError, match="inline=True"):
        Pipe(clock=VirtualClock())
