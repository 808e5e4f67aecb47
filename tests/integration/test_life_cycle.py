"""The states of routines and pipes: start and stop repeat, failures stay where they happen, kill is final."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    EndOfStream,
    FlowStartError,
    MiddleRoutine,
    Pipe,
    PipeState,
    PipeStateError,
    SourceRoutine,
    Wire,
    destination,
    source,
)
from pipert2.runtime.routine.loop import RoutineLoop
from pipert2.runtime.supervision import lives
from pipert2.testing import CollectingDestination, FailingRoutine, ListSource, wait_until


class Counter(SourceRoutine):
    """Sends 0, 1, 2, ... with a little rest in between; each start goes on where the last stop left it."""

    next = 0

    def main_logic(self) -> int:
        self.wait(0.001)
        self.next += 1
        return self.next - 1


class Noting(DestinationRoutine):
    """Notes when it is set up and cleaned up, and in which process."""

    def __init__(self, journal: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.journal = journal

    def setup(self) -> None:
        self.journal.note("setup", os.getpid())

    def main_logic(self, data: object) -> None:
        pass

    def cleanup(self) -> None:
        self.journal.note("cleanup", os.getpid())


class SetupFails(DestinationRoutine):
    """Its setup raises the first *times* times."""

    def __init__(self, journal: Any, times: int, name: str | None = None) -> None:
        super().__init__(name)
        self.journal = journal
        self.times = times

    def setup(self) -> None:
        self.journal.note("setup")
        if self.journal.count("setup") <= self.times:
            raise OSError("the camera is not there")

    def main_logic(self, data: object) -> None:
        self.journal.note("data")


def state(pipe: Pipe, routine: str) -> str:
    return pipe.status().routine(routine).state


# ------------------------------------------------------------------------------------------------ states


def test_a_pipe_goes_from_new_over_built_and_running_to_ended(chain):
    pipe = chain(Counter("numbers"), destination(lambda number: None, name="sink"))
    assert pipe.status().state is PipeState.NEW
    pipe.build()
    assert pipe.status().state is PipeState.BUILT
    pipe.notify_event("start", wait=60)
    assert pipe.status().state is PipeState.RUNNING
    pipe.notify_event("stop", wait=60)
    assert pipe.status().state is PipeState.BUILT
    pipe.join(to_kill=True)
    assert pipe.status().state is PipeState.ENDED


def test_a_routine_is_idle_until_started_and_idle_again_once_stopped(chain):
    with chain(Counter("numbers"), destination(lambda number: None, name="sink")) as pipe:
        pipe.build()
        assert {routine.state for routine in pipe.status().routines} == {"idle"}
        pipe.notify_event("start", wait=60)
        wait_until(lambda: {routine.state for routine in pipe.status().routines} == {"running"})
        pipe.notify_event("stop", wait=60)
        assert {routine.state for routine in pipe.status().routines} == {"idle"}
    assert {routine.state for routine in pipe.status().routines} == {"killed"}


def test_setup_and_cleanup_run_in_the_flows_own_process(chain, journal):
    with chain(Counter("numbers"), Noting(journal, "noting")) as pipe:
        pipe.notify_event("start", wait=60)
        pid = pipe.status().flow("in-noting").pid
        pipe.notify_event("stop", wait=60)
    assert journal.lines() == [f"setup {pid}", f"cleanup {pid}"]
    assert pid != os.getpid()


def test_every_flow_has_a_process_of_its_own(chain):
    with chain(Counter("numbers"), destination(lambda number: None, name="sink")) as pipe:
        pipe.build()
        pids = {flow.pid for flow in pipe.status().flows}
    assert len(pids - {os.getpid(), None}) == 2


def test_start_and_stop_repeat(chain, journal):
    with chain(Counter("numbers"), Noting(journal, "noting")) as pipe:
        for _ in range(5):
            before = pipe.status().routine("noting").received if pipe.status().routines else 0
            pipe.notify_event("start", wait=60)
            wait_until(lambda before=before: pipe.status().routine("noting").received > before)
            pipe.notify_event("stop", wait=60)
    assert [line.split()[0] for line in journal.lines()] == ["setup", "cleanup"] * 5


def test_starting_what_runs_and_stopping_what_is_idle_changes_nothing(chain, journal):
    with chain(Counter("numbers"), Noting(journal, "noting")) as pipe:
        pipe.notify_event("stop", wait=60)
        pipe.notify_event("start", wait=60)
        pipe.notify_event("start", wait=60)
        pipe.notify_event("stop", wait=60)
        pipe.notify_event("stop", wait=60)
    assert [line.split()[0] for line in journal.lines()] == ["setup", "cleanup"]


def test_a_burst_of_starts_and_stops_ends_in_the_last_state_asked_for(chain, journal):
    with chain(Counter("numbers"), Noting(journal, "noting")) as pipe:
        for _ in range(20):
            pipe.notify_event("start")
            pipe.notify_event("stop")
        pipe.notify_event("start", wait=60)
        wait_until(lambda: state(pipe, "noting") == state(pipe, "numbers") == "running")
        pipe.notify_event("stop", wait=60)
        lines = [line.split()[0] for line in journal.lines()]
    assert lines == ["setup", "cleanup"] * 21


def test_one_routine_can_be_stopped_and_started_while_its_flow_mate_goes_on(journal):
    numbers, first, second = Counter("numbers"), Noting(journal, "first"), Noting(journal, "second")
    with Pipe() as pipe:
        pipe.create_flow("in", False, numbers)
        pipe.create_flow("out", False, first, second)
        pipe.link(Wire(numbers, (first, second)))
        pipe.notify_event("start", wait=60)
        pipe.notify_event("stop", {"out": ["first"]}, wait=60)
        received = pipe.status().routine("second").received
        wait_until(lambda: pipe.status().routine("second").received > received + 20)
        assert (state(pipe, "first"), state(pipe, "second")) == ("idle", "running")
        received = pipe.status().routine("first").received
        pipe.notify_event("start", {"out": ["first"]}, wait=60)
        wait_until(lambda: pipe.status().routine("first").received > received)


@pytest.fixture
def tells_late(monkeypatch):
    """Routines are held up just before they say in which state they are, as happens on a busy machine."""
    tell = RoutineLoop._set_state

    def tell_late(loop: RoutineLoop, *state: Any) -> None:
        time.sleep(0.05)
        tell(loop, *state)

    monkeypatch.setattr(RoutineLoop, "_set_state", tell_late)


@pytest.mark.expects_errors
def test_a_start_is_answered_by_routines_that_are_in_their_new_state(chain, journal, tells_late):
    with chain(Counter("numbers"), SetupFails(journal, 99, "broken"), inline=True) as pipe:
        results = pipe.notify_event("start", wait=60)
        assert (state(pipe, "numbers"), state(pipe, "broken")) == ("running", "failed")
    assert (results["numbers"].error, results["broken"].error is None) == (None, False)


def test_a_pipe_that_was_told_to_start_is_never_back_to_built(chain, tells_late):
    with chain(Counter("numbers"), destination(lambda number: None, name="sink"), inline=True) as pipe:
        for _ in range(2):  # what was said of the time before may come late, both the first time and after a stop
            pipe.build() if pipe.status().state is PipeState.NEW else pipe.notify_event("stop", wait=60)
            pipe.notify_event("start")
            seen: set[PipeState] = set()
            wait_until(lambda seen=seen: seen.add(pipe.status().state) or state(pipe, "numbers") == "running")
            assert seen == {PipeState.RUNNING}


# ------------------------------------------------------------------------------------------------ failures


@pytest.mark.expects_errors
def test_a_setup_that_raises_makes_the_routine_failed_and_its_neighbours_go_on(chain, journal):
    with chain(Counter("numbers"), SetupFails(journal, 99, "broken")) as pipe:
        results = pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("numbers").sent > 20)
        broken = pipe.status().routine("broken")
    assert (broken.state, broken.errors, broken.received) == ("failed", 1, 0)
    assert "the camera is not there" in broken.last_error
    assert "the camera is not there" in str(results["broken"].error)
    assert results["numbers"].error is None


@pytest.mark.expects_errors
def test_start_tries_a_failed_setup_again(chain, journal):
    with chain(Counter("numbers"), SetupFails(journal, 2, "broken")) as pipe:
        for _ in range(2):
            pipe.notify_event("start", wait=60)
            assert state(pipe, "broken") == "failed"
        results = pipe.notify_event("start", wait=60)
        assert results["broken"].error is None
        wait_until(lambda: journal.count("data") > 5)


@pytest.mark.expects_errors
def test_run_says_which_setup_failed_and_does_not_wait_for_ever(chain, journal):
    summary = chain(Counter("numbers"), SetupFails(journal, 99, "broken")).run()
    assert not summary.ok
    assert "broken" in summary.reason
    assert "the camera is not there" in summary.reason


@pytest.mark.expects_errors
def test_a_main_logic_that_raises_is_counted_and_the_next_message_is_worked_on(chain):
    seen = CollectingDestination("seen")
    fails = FailingRoutine(lambda number: number % 3 == 0, "fails")
    summary = chain(ListSource(range(9), "numbers"), fails, seen, lossless=True).run(timeout=60)
    assert (summary.reason, summary.errors, summary.dead_letters) == ("finished", 3, 3)
    assert seen.items() == [1, 2, 4, 5, 7, 8]
    assert "6 fails, as it was told to" in next(r for r in summary.routines if r.name == "fails").last_error


class Unlucky(SourceRoutine):
    """Every third call raises."""

    calls = 0

    def main_logic(self) -> int:
        self.calls += 1
        if self.calls > 12:
            raise EndOfStream
        if self.calls % 3 == 0:
            raise KeyError(self.calls)
        return self.calls


@pytest.mark.expects_errors
def test_a_source_that_raises_goes_on_with_its_next_message(chain):
    seen = CollectingDestination("seen")
    summary = chain(Unlucky("numbers"), seen, lossless=True).run(timeout=60)
    assert (summary.ok, summary.errors) == (True, 4)
    assert seen.items() == [1, 2, 4, 5, 7, 8, 10, 11]


@pytest.mark.expects_errors
def test_a_generator_that_raises_has_ended_its_stream(chain):
    @source
    def numbers():
        yield 1
        yield 2
        raise ValueError("out of numbers")

    seen = CollectingDestination("seen")
    summary = chain(numbers, seen, lossless=True).run(timeout=60)
    assert (summary.errors, seen.items()) == (1, [1, 2])


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even its text")


class RaisesOdd(MiddleRoutine):
    """Raises what ordinary code does not expect to be raised."""

    def main_logic(self, data: int) -> int:
        if data == 1:
            raise Unprintable
        if data == 2:
            raise SystemExit(3)
        if data == 3:
            raise KeyboardInterrupt
        if data == 4:
            raise GeneratorExit
        return data


@pytest.mark.expects_errors
def test_whatever_main_logic_raises_the_routine_lives_on(chain):
    seen = CollectingDestination("seen")
    summary = chain(ListSource(range(7), "numbers"), RaisesOdd("odd"), seen, lossless=True).run(timeout=60)
    assert (summary.reason, summary.errors, seen.items()) == ("finished", 4, [0, 5, 6])


class CleanupFails(DestinationRoutine):
    def main_logic(self, data: object) -> None:
        pass

    def cleanup(self) -> None:
        raise OSError("the disk is full")


@pytest.mark.expects_errors
def test_a_cleanup_that_raises_is_counted_and_the_routine_can_be_started_again(chain):
    with chain(Counter("numbers"), CleanupFails("sink")) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.notify_event("stop", wait=60)
        sink = pipe.status().routine("sink")
        assert (sink.state, sink.errors) == ("failed", 1)
        assert "the disk is full" in sink.last_error
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("sink").received > sink.received)


class Explosive:
    """Can be packed, but not unpacked."""

    def __reduce__(self) -> Any:
        return eval, ("1 / 0",)


def test_a_flow_that_cannot_unpack_its_routines_is_a_clear_error(chain):
    sink = CollectingDestination("sink")
    sink.bomb = Explosive()
    pipe = chain(Counter("numbers"), sink)
    with pytest.raises(FlowStartError, match=r"flow 'in-sink' did not start: ZeroDivisionError"):
        pipe.build()


# ------------------------------------------------------------------------------------------------ data and its end


def test_none_sends_nothing(chain):
    class Even(MiddleRoutine):
        def main_logic(self, data: int) -> int | None:
            return data if data % 2 == 0 else None

    seen = CollectingDestination("seen")
    summary = chain(ListSource(range(10), "numbers"), Even("even"), seen, lossless=True).run(timeout=60)
    assert seen.items() == [0, 2, 4, 6, 8]
    assert [(r.received, r.sent) for r in summary.routines if r.name == "even"] == [(10, 5)]


def test_falsy_data_is_data(chain):
    seen = CollectingDestination("seen")
    chain(ListSource([0, "", b"", False, [], {}, 0.0], "numbers"), seen, lossless=True).run(timeout=60)
    assert seen.items() == [0, "", b"", False, [], {}, 0.0]


def test_the_end_of_all_streams_is_finished_and_idle(chain):
    pipe = chain(ListSource(range(5), "numbers"), CollectingDestination("seen"), lossless=True)
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: pipe.status().state is PipeState.FINISHED)
        assert [(r.state, r.finished) for r in pipe.status().routines] == [("idle", True)] * 2


class SlowToSetUp(ListSource):
    def setup(self) -> None:
        time.sleep(0.2)
        super().setup()


def test_a_stream_that_has_ended_can_be_started_again_and_arrives_whole(chain):
    seen = CollectingDestination("seen")
    with chain(SlowToSetUp(range(100), "numbers"), seen, lossless=True) as pipe:
        for times in (1, 2, 3):
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().state is PipeState.FINISHED)
            assert seen.items() == list(range(100)) * times


def test_join_waits_for_the_stream_just_started_not_for_the_one_that_ended_before(chain):
    seen = CollectingDestination("seen")
    pipe = chain(ListSource(range(100), "numbers"), seen, lossless=True)
    pipe.notify_event("start")
    wait_until(lambda: pipe.status().state is PipeState.FINISHED)
    pipe.notify_event("start")
    pipe.join()
    assert seen.items() == list(range(100)) * 2


def test_stopping_and_starting_a_source_loses_nothing_on_a_lossless_wire(chain):
    seen = CollectingDestination("seen")
    with chain(Counter("numbers"), seen, lossless=True) as pipe:
        for times in range(1, 6):
            pipe.notify_event("start", wait=60)
            wait_until(lambda times=times: len(seen.items()) > 20 * times)
            pipe.notify_event("stop", {"in-numbers": []}, wait=60)
        status = pipe.status()
        sent = status.wire("numbers", "seen").sent
        assert status.routine("numbers").sent - sent in (0, 1)  # one that had to wait for room waits for the next start
        wait_until(lambda: len(seen.items()) == sent)
    assert seen.items() == list(range(sent))


def test_stopping_and_starting_the_destination_loses_nothing_on_a_lossless_wire(chain):
    seen = CollectingDestination("seen")
    with chain(Counter("numbers"), seen, lossless=True) as pipe:
        for times in range(1, 6):
            pipe.notify_event("start", wait=60)
            wait_until(lambda times=times: len(seen.items()) > 20 * times)
            pipe.notify_event("stop", {"in-seen": []}, wait=60)
            wait_until(lambda: pipe.status().wire("numbers", "seen").blocked)
        assert pipe.status().wire("numbers", "seen").dropped == 0
    items = seen.items()
    assert items == list(range(len(items)))


# ------------------------------------------------------------------------------------------------ the end


def test_kill_is_final(chain):
    with chain(Counter("numbers"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.notify_event("kill", {"in-numbers": []}, wait=60)
        wait_until(lambda: state(pipe, "numbers") == "killed")
        results = pipe.notify_event("start", {"in-numbers": []}, wait=60)
        assert "numbers" in str(results["numbers"].error)
        assert state(pipe, "numbers") == "killed"
        wait_until(lambda: pipe.status().routine("seen").finished)


def test_killing_one_routine_leaves_its_flow_mates_running(journal):
    numbers, first, second = Counter("numbers"), Noting(journal, "first"), Noting(journal, "second")
    with Pipe() as pipe:
        pipe.create_flow("in", False, numbers)
        pipe.create_flow("out", False, first, second)
        pipe.link(Wire(numbers, (first, second)))
        pipe.notify_event("start", wait=60)
        pipe.notify_event("kill", {"out": ["first"]}, wait=60)
        assert state(pipe, "first") == "killed"
        received = pipe.status().routine("second").received
        wait_until(lambda: pipe.status().routine("second").received > received + 20)
        assert journal.lines()[-1].startswith("cleanup")


def test_kill_without_join_ends_the_processes(chain):
    pipe = chain(Counter("numbers"), CollectingDestination("seen"))
    pipe.notify_event("start", wait=60)
    pipe.notify_event("kill")
    wait_until(lambda: all(flow.pid is None and flow.state == "ended" for flow in pipe.status().flows))
    pipe.join()


def test_nothing_but_stop_and_kill_is_possible_after_the_end(chain):
    pipe = chain(ListSource([1], "numbers"), CollectingDestination("seen"))
    assert pipe.run(timeout=60).ok
    for attempt in (
        pipe.build,
        pipe.run,
        lambda: pipe.notify_event("start"),
        lambda: pipe.notify_event("start", wait=1),
        lambda: pipe.create_flow("more", True, Counter()),
        lambda: pipe.link(Wire(Counter(), CollectingDestination())),
    ):
        with pytest.raises(PipeStateError, match=f"pipe '{pipe.name}' has ended"):
            attempt()
    pipe.notify_event("stop")
    pipe.notify_event("kill")
    pipe.join()
    pipe.join(to_kill=True)
    assert pipe.status().state is PipeState.ENDED
    assert pipe.status().routine("seen").received == 1


def test_a_pipe_is_built_once(chain):
    with chain(Counter("numbers"), CollectingDestination("seen")) as pipe:
        pipe.build()
        with pytest.raises(PipeStateError, match="is built already"):
            pipe.build()
        with pytest.raises(PipeStateError, match="is built already"):
            pipe.create_flow("more", True, Counter())


class Deaf(DestinationRoutine):
    """Does not come back from its first message."""

    def __init__(self, name: str, journal: Any, *, ignores_sigterm: bool) -> None:
        super().__init__(name)
        self.journal = journal
        self.ignores_sigterm = ignores_sigterm

    def main_logic(self, data: object) -> None:
        if self.ignores_sigterm:
            import ctypes

            ctypes.CDLL(None).signal(15, ctypes.c_void_p(1))
        self.journal.note("hangs")
        time.sleep(600)


@pytest.mark.parametrize(("ignores_sigterm", "end"), [(False, "exit code 1"), (True, "exit code 1")])
def test_a_routine_that_does_not_come_back_is_ended_by_force(chain, journal, monkeypatch, ignores_sigterm, end):
    monkeypatch.setattr(lives, "LADDER_STEP", 30.0)  # its process may come late to the end that it makes of itself
    pipe = chain(Counter("numbers"), Deaf("deaf", journal, ignores_sigterm=ignores_sigterm), kill_timeout=2.0)
    pipe.notify_event("start")
    wait_until(lambda: journal.count("hangs"))
    pipe.join(to_kill=True)
    assert pipe.status().flow("in-deaf").last_exit == end
    assert pipe.status().flow("in-numbers").last_exit == "exit code 0"


class HoldsTheInterpreter(Deaf):
    """A C library that never comes back and never lets go of the interpreter's lock."""

    def main_logic(self, data: object) -> None:
        import ctypes

        if self.ignores_sigterm:
            ctypes.CDLL(None).signal(15, ctypes.c_void_p(1))
        self.journal.note("hangs")
        ctypes.PyDLL(None).sleep(600)


@pytest.mark.parametrize(("ignores_sigterm", "end"), [(False, "SIGTERM"), (True, "SIGKILL")])
def test_a_process_that_cannot_even_hear_is_terminated_and_then_killed(chain, journal, ignores_sigterm, end):
    deaf = HoldsTheInterpreter("deaf", journal, ignores_sigterm=ignores_sigterm)
    pipe = chain(Counter("numbers"), deaf, kill_timeout=0.2)
    pipe.notify_event("start")
    wait_until(lambda: journal.count("hangs"))
    pipe.join(to_kill=True)
    assert pipe.status().flow("in-deaf").last_exit == f"killed by signal {end}"
