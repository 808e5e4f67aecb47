"""Ways to run a pipe to its end: ``run()``, ``join()`` and the ``with`` block."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    EndOfStream,
    Pipe,
    PipeBuildError,
    PipeState,
    QueueNetwork,
    RunSummary,
    SourceRoutine,
    Wire,
    events,
    middle,
    source,
)
from pipert2.testing import CollectingDestination, FailingRoutine, ListSource, SlowRoutine, wait_until


class Endless(SourceRoutine):
    next = 0

    def main_logic(self) -> int:
        self.next += 1
        return self.next - 1


def numbers_to(amount: int) -> Any:
    @source(name="numbers")
    def numbers():
        yield from range(amount)

    return numbers


# ------------------------------------------------------------------------------------------------ run


def test_run_builds_starts_waits_for_the_end_and_tidies_up(chain):
    seen = CollectingDestination("seen")
    pipe = chain(numbers_to(1000), middle(lambda n: 2 * n, name="double"), seen, lossless=True)
    summary = pipe.run()
    assert isinstance(summary, RunSummary)
    assert (summary.ok, summary.reason, summary.errors) == (True, "finished", 0)
    assert summary.elapsed > 0
    assert seen.items() == list(range(0, 2000, 2))
    assert {r.name: (r.received, r.sent) for r in summary.routines} == {
        "numbers": (0, 1000),
        "double": (1000, 1000),
        "seen": (1000, 0),
    }
    assert all(wire.sent == wire.received == 1000 for wire in summary.wires)
    assert pipe.status().state is PipeState.ENDED


def test_run_with_a_timeout_ends_an_endless_source_and_delivers_what_it_sent(chain):
    seen = CollectingDestination("seen")
    summary = chain(Endless("numbers"), SlowRoutine(0.002, "slow"), seen, lossless=True).run(timeout=0.3)
    assert (summary.ok, summary.reason) == (True, "timeout")
    assert {r.name: r.sent for r in summary.routines}["numbers"] == len(seen.items())
    assert seen.items() == list(range(len(seen.items())))


def test_run_ends_when_all_of_several_streams_have_ended():
    short, long, seen = ListSource([1] * 3, "short"), ListSource([2] * 300, "long"), CollectingDestination("seen")
    pipe = Pipe(lossless=True)
    for routine in (short, long, seen):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(short, (seen,)), Wire(long, (seen,)))
    assert pipe.run(timeout=60).reason == "finished"
    assert sorted(seen.items()) == [1] * 3 + [2] * 300


def test_one_source_can_feed_lossless_and_real_time_wires_side_by_side():
    numbers, every, newest = ListSource(range(2000), "numbers"), CollectingDestination("every"), SlowRoutine(0.01)
    last = CollectingDestination("last")
    pipe = Pipe()
    for routine in (numbers, every, newest, last):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(numbers, (every,), lossless=True), Wire(numbers, (newest,)), Wire(newest, (last,)))
    assert pipe.run(timeout=60).ok
    assert every.items() == list(range(2000))
    items = last.items()
    assert items == sorted(set(items))
    assert items[-1] == 1999


def test_run_goes_on_with_a_pipe_that_runs_already(chain):
    seen = CollectingDestination("seen")
    pipe = chain(Endless("numbers"), seen, lossless=True)
    pipe.notify_event("start", wait=60)
    wait_until(lambda: len(seen.items()) > 10)
    assert pipe.run(timeout=0.1).reason == "timeout"
    assert seen.items() == list(range(len(seen.items())))


def test_the_summary_as_text_names_every_routine_and_what_was_dropped(chain):
    summary = chain(numbers_to(500), SlowRoutine(0.005, "slow"), CollectingDestination("seen")).run()
    text = str(summary)
    assert text.startswith("ok (finished)")
    for word in ("numbers: received 0, sent 500", "slow: received", "seen: received", "numbers -> slow: dropped"):
        assert word in text


@pytest.mark.expects_errors
def test_errors_are_counted_but_a_run_with_errors_is_still_ok(chain):
    fails = FailingRoutine(lambda n: n == 3, "fails")
    network = QueueNetwork(max_queue_sizes=10, put_block=True)
    summary = chain(ListSource(range(5), "numbers"), fails, CollectingDestination("seen"), network=network).run()
    assert (summary.ok, summary.errors) == (True, 1)


@pytest.mark.expects_errors
def test_a_run_of_a_lossless_pipe_that_has_given_up_a_message_is_not_ok(chain):
    fails = FailingRoutine(lambda n: n == 3, "fails")
    summary = chain(ListSource(range(5), "numbers"), fails, CollectingDestination("seen"), lossless=True).run()
    assert (summary.ok, summary.reason, summary.errors, summary.dead_letters) == (False, "finished", 1, 1)


def test_run_from_another_thread_than_the_main_one(chain):
    box: list[RunSummary] = []
    pipe = chain(numbers_to(100), CollectingDestination("seen"), lossless=True)
    runner = threading.Thread(target=lambda: box.append(pipe.run()))
    runner.start()
    runner.join(60)
    assert box[0].ok


def test_a_run_that_is_killed_by_an_event_says_so(chain):
    box: list[RunSummary] = []
    pipe = chain(Endless("numbers"), CollectingDestination("seen"))
    runner = threading.Thread(target=lambda: box.append(pipe.run()))
    runner.start()
    wait_until(lambda: pipe.status().state is PipeState.RUNNING)
    pipe.notify_event("kill")
    runner.join(60)
    assert (box[0].ok, box[0].reason) == (False, "killed")


def test_a_pipe_with_static_problems_starts_no_process(chain):
    pipe = chain(Endless("numbers"), SlowRoutine(0, "goes-nowhere"))
    with pytest.raises(PipeBuildError, match="'goes-nowhere' has no output"):
        pipe.run()
    assert pipe.status().state is PipeState.NEW


# ------------------------------------------------------------------------------------------------ join


def test_join_returns_once_every_stream_has_ended_and_arrived(chain):
    seen = CollectingDestination("seen")
    pipe = chain(numbers_to(500), SlowRoutine(0.0005, "slow"), seen, lossless=True)
    pipe.notify_event("start")
    pipe.join()
    assert seen.items() == list(range(500))
    assert {flow.last_exit for flow in pipe.status().flows} == {"exit code 0"}


def test_join_with_to_kill_ends_an_endless_pipe(chain):
    pipe = chain(Endless("numbers"), CollectingDestination("seen"))
    pipe.notify_event("start", wait=60)
    pipe.join(to_kill=True)
    assert pipe.status().state is PipeState.ENDED


def test_join_returns_when_the_pipe_is_killed_from_another_thread(chain):
    pipe = chain(Endless("numbers"), CollectingDestination("seen"))
    pipe.notify_event("start", wait=60)
    killer = threading.Timer(0.05, pipe.notify_event, ["kill"])
    killer.start()
    pipe.join()
    killer.join()
    assert pipe.status().state is PipeState.ENDED


class Suicidal(Endless):
    def main_logic(self) -> int:
        number = super().main_logic()
        if number == 100:
            self.notify_event("kill")
        return number


def test_a_routine_can_kill_its_own_pipe(chain):
    pipe = chain(Suicidal("numbers"), CollectingDestination("seen"))
    pipe.notify_event("start", wait=60)
    pipe.join()
    assert pipe.status().state is PipeState.ENDED


def test_join_of_a_pipe_that_was_never_built_returns_at_once(chain):
    chain(Endless("numbers"), CollectingDestination("seen")).join()


def test_several_threads_may_join_one_pipe(chain):
    for _ in range(5):
        pipe = chain(Endless("numbers"), CollectingDestination("seen"))
        pipe.notify_event("start", wait=60)
        failures: list[BaseException] = []

        def join(to_kill: bool, pipe: Pipe = pipe, failures: list[BaseException] = failures) -> None:
            try:
                pipe.join(to_kill)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=join, args=(number > 2,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures
        assert pipe.status().state is PipeState.ENDED


# ------------------------------------------------------------------------------------------------ single routines


def test_join_does_not_wait_for_a_source_that_was_killed(chain):
    seen = CollectingDestination("seen")
    pipe = chain(Endless("numbers"), seen, lossless=True)
    pipe.notify_event("start", wait=60)
    wait_until(lambda: len(seen.items()) > 10)
    pipe.notify_event("kill", {"in-numbers": []})
    joiner = threading.Thread(target=pipe.join)
    joiner.start()
    joiner.join(60)
    ended_by_itself = not joiner.is_alive()
    pipe.notify_event("kill")
    joiner.join()
    assert ended_by_itself
    assert seen.items() == list(range(len(seen.items())))


def test_a_killed_destination_does_not_hold_up_the_others_of_a_lossless_wire():
    numbers, first, second = Endless("numbers"), CollectingDestination("first"), CollectingDestination("second")
    with Pipe(lossless=True) as pipe:
        for routine in (numbers, first, second):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(numbers, (first, second), capacity=4))
        pipe.notify_event("start", wait=60)
        pipe.notify_event("kill", {"first": []}, wait=60)
        received = pipe.status().routine("second").received
        wait_until(lambda: pipe.status().routine("second").received > received + 50)


class Frames(SourceRoutine):
    """Needs shared memory for what it sends, and so an answer of the main process."""

    def main_logic(self) -> bytes:
        return bytes(100_000)


def test_a_kill_right_after_the_start_does_not_need_force(chain):
    for _ in range(20):
        pipe = chain(Frames("frames"), CollectingDestination("seen"))
        pipe.notify_event("start")
        pipe.join(to_kill=True)
        assert {flow.last_exit for flow in pipe.status().flows} == {"exit code 0"}


class AsksInCleanup(Endless):
    def cleanup(self) -> None:
        results = self.notify_event("LAST_WORD", {"in-sink": []}, wait=0.5)
        # A sink that was killed meanwhile answers as well: with an error, or with nothing.
        assert results["sink"].error is not None or results["sink"].value in ("bye", None)


class HasALastWord(DestinationRoutine):
    @events("LAST_WORD")
    def last_word(self) -> str:
        return "bye"

    def main_logic(self, data: object) -> None:
        pass


def test_a_cleanup_may_wait_for_the_answer_to_an_event(chain):
    pipe = chain(AsksInCleanup("numbers"), HasALastWord("sink"))
    pipe.notify_event("start", wait=60)
    pipe.join(to_kill=True)
    assert {flow.last_exit for flow in pipe.status().flows} == {"exit code 0"}
    assert pipe.status().routine("numbers").errors == 0


# ------------------------------------------------------------------------------------------------ with


def test_a_with_block_kills_and_joins(chain, journal):
    class Noting(DestinationRoutine):
        def main_logic(self, data: object) -> None:
            pass

        def cleanup(self) -> None:
            journal.note("cleanup")

    with chain(Endless("numbers"), Noting("sink")) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("sink").received)
    assert pipe.status().state is PipeState.ENDED
    assert journal.lines() == ["cleanup"]


def test_an_exception_in_a_with_block_ends_the_pipe_and_goes_on_up(chain):
    pipe = chain(Endless("numbers"), CollectingDestination("seen"))

    def fail() -> None:
        with pipe:
            pipe.notify_event("start", wait=60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert pipe.status().state is PipeState.ENDED


def test_a_with_block_that_starts_nothing_leaves_nothing():
    with Pipe() as pipe:
        pipe.create_flow("one", True, Endless(), CollectingDestination())
    assert not pipe.status().flows


def test_the_first_event_builds_the_pipe(chain):
    class Answering(DestinationRoutine):
        def main_logic(self, data: object) -> None:
            pass

        @events("PING")
        def ping(self) -> str:
            return "pong"

    with chain(Endless("numbers"), Answering("sink")) as pipe:
        assert pipe.notify_event("PING", wait=60)["sink"].unwrap() == "pong"
        assert pipe.status().state is PipeState.BUILT


def test_first_events_from_several_threads_build_the_pipe_once(chain):
    pipe = chain(Endless("numbers"), CollectingDestination("seen"))
    failures: list[BaseException] = []

    def start() -> None:
        try:
            pipe.notify_event("start", wait=60)
        except BaseException as error:
            failures.append(error)

    with pipe:
        threads = [threading.Thread(target=start) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len({flow.pid for flow in pipe.status().flows}) == 2


class EndsAfterASecondThought(SourceRoutine):
    """Ends its stream by an exception raised deep inside, after data was sent."""

    calls = 0

    def main_logic(self) -> int:
        self.calls += 1
        return self._read()

    def _read(self) -> int:
        if self.calls > 3:
            raise EndOfStream
        return self.calls


def test_end_of_stream_delivers_what_was_sent_before(chain):
    seen = CollectingDestination("seen")
    assert chain(EndsAfterASecondThought("numbers"), seen, lossless=True).run(timeout=60).ok
    assert seen.items() == [1, 2, 3]


def test_an_empty_stream_ends_as_well(chain):
    seen = CollectingDestination("seen")
    assert chain(ListSource([], "numbers"), SlowRoutine(0, "slow"), seen).run(timeout=60).reason == "finished"
    assert seen.items() == []
