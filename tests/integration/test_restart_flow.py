"""``restart_flow``: another process goes on where the last one left off, and nobody else notices."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import threading
import time
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    EndOfStream,
    MiddleRoutine,
    Pipe,
    PipeState,
    PipeStateError,
    Restart,
    SourceRoutine,
    UnknownFlowError,
    Wire,
    events,
)
from pipert2.testing import CollectingDestination, ListSource, SlowRoutine, wait_until


class Late(Restart):
    """Restarts a flow in ten minutes."""

    def delay(self, deaths: Any, now: float, attempts: int = 0) -> float:
        return 600.0


class Numbers(SourceRoutine):
    """Sends 0, 1, 2, ... in each life anew, with its process's number."""

    next = 0
    ending = False

    @events("END")
    def end(self) -> None:
        self.ending = True

    def main_logic(self) -> int:
        if self.ending:
            raise EndOfStream
        time.sleep(0.0005)
        self.next += 1
        return self.next - 1


class Passing(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data


class Hangs(DestinationRoutine):
    @events("HANG")
    def hang(self) -> None:
        time.sleep(600)

    def main_logic(self, data: Any) -> None: ...


def restarted(pipe: Pipe, flow: str, times: int) -> None:
    """Wait until a flow's process has been replaced so many times."""

    def there() -> bool:
        status = pipe.status().flow(flow)
        return status.restarts == times and status.state == "running"

    wait_until(there, 60.0, f"restart {times} of {flow}")


def moved_on(pipe: Pipe, routine: str, by: int = 50) -> None:
    received = pipe.status().routine(routine).received
    wait_until(lambda: pipe.status().routine(routine).received >= received + by, 60.0, f"{by} more for {routine}")


def drained(pipe: Pipe) -> None:
    """End the numbers and wait until all has arrived."""
    pipe.notify_event("END", {"in-numbers": ["numbers"]})
    wait_until(lambda: pipe.status().state is PipeState.FINISHED, 60.0, "the end of all streams")


# ------------------------------------------------------------------------------------------------ nothing is lost


@pytest.mark.parametrize("which", ["through", "seen"])
def test_what_comes_from_other_flows_on_lossless_wires_is_neither_lost_nor_doubled(chain, which):
    numbers, through, seen = Numbers("numbers"), Passing("through"), CollectingDestination("seen")
    with chain(numbers, through, seen, lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")
        pids = {flow.name: flow.pid for flow in pipe.status().flows}
        for times in range(6):
            assert pipe.restart_flow(f"in-{which}") == times
            restarted(pipe, f"in-{which}", times + 1)
            moved_on(pipe, "seen")
        drained(pipe)
        after = {flow.name: flow.pid for flow in pipe.status().flows}
        total = pipe.status().routine("numbers").sent
    assert seen.items() == list(range(total))
    assert [name for name in pids if pids[name] != after[name]] == [f"in-{which}"]


def test_a_restart_cleans_up_and_sets_up_again(chain, journal):
    class Tidy(CollectingDestination):
        def setup(self) -> None:
            journal.note("setup", os.getpid())
            super().setup()

        def cleanup(self) -> None:
            journal.note("cleanup", os.getpid())
            super().cleanup()

    with chain(Numbers("numbers"), Tidy("tidy"), lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "tidy")
        old = pipe.status().flow("in-tidy").pid
        pipe.restart_flow("in-tidy")
        restarted(pipe, "in-tidy", 1)
        moved_on(pipe, "tidy")
        new = pipe.status().flow("in-tidy").pid
        assert journal.lines() == [f"setup {old}", f"cleanup {old}", f"setup {new}"]
        assert pipe.status().flow("in-tidy").last_exit == "exit code 0"


def test_a_source_begins_anew_and_the_streams_behind_it_go_on(chain):
    numbers, seen = Numbers("numbers"), CollectingDestination("seen")
    with chain(numbers, seen, lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")
        pipe.restart_flow("in-numbers")
        restarted(pipe, "in-numbers", 1)
        moved_on(pipe, "seen")
        assert not pipe.status().routine("seen").finished
        drained(pipe)
    items = seen.items()
    anew = items.index(0, 1)
    assert items == [*range(anew), *range(len(items) - anew)]


def test_a_source_that_waits_for_room_is_restarted_and_the_rest_arrives(chain):
    numbers, slow, seen = Numbers("numbers"), SlowRoutine(0.01, "slow"), CollectingDestination("seen")
    with chain(numbers, slow, seen, lossless=True, kill_timeout=0.5) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("numbers", "slow").blocked)
        pipe.restart_flow("in-numbers")
        restarted(pipe, "in-numbers", 1)
        pipe.notify_event("SET_DELAY", {"in-slow": ["slow"]}, wait=60, seconds=0.0)
        moved_on(pipe, "seen", 100)
        drained(pipe)
    items = seen.items()
    anew = items.index(0, 1)
    assert items == [*range(anew), *range(len(items) - anew)]


def test_what_waits_on_wires_within_the_flow_is_counted(chain):
    numbers, slow, seen = Numbers("numbers"), SlowRoutine(0.02, "slow"), CollectingDestination("seen")
    with Pipe(lossless=True) as pipe:
        pipe.create_flow("in-numbers", False, numbers)
        pipe.create_flow("both", False, Passing("through"), slow)
        pipe.create_flow("in-seen", False, seen)
        through = pipe.routine("through")
        pipe.link(Wire(numbers, through), Wire(through, slow, capacity=10), Wire(slow, seen))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().wire("through", "slow").blocked)
        pipe.restart_flow("both")
        restarted(pipe, "both", 1)
        pipe.notify_event("SET_DELAY", {"both": ["slow"]}, wait=60, seconds=0.0)
        moved_on(pipe, "seen", 50)
        drained(pipe)
        status = pipe.status()
    wire = status.wire("through", "slow")
    assert wire.sent == wire.received + wire.dropped
    assert len(seen.items()) == wire.received
    assert seen.items() == sorted(set(seen.items()))


# ------------------------------------------------------------------------------------------------ states


def test_routines_are_in_the_state_they_were_asked_to_be_in(chain):
    numbers, seen = Numbers("numbers"), CollectingDestination("seen")
    with chain(numbers, seen) as pipe:
        pipe.build()
        pipe.restart_flow("in-seen")
        restarted(pipe, "in-seen", 1)
        assert pipe.status().routine("seen").state == "idle"
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")
        pipe.notify_event("stop", wait=60)
        pipe.restart_flow("in-seen")
        restarted(pipe, "in-seen", 2)
        assert pipe.status().routine("seen").state == "idle"
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")


def test_a_flow_whose_streams_have_ended_does_not_begin_anew(chain):
    numbers, seen = ListSource(range(5), "numbers"), CollectingDestination("seen")
    with chain(numbers, seen, lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().state is PipeState.FINISHED)
        for flow in ("in-numbers", "in-seen"):
            pipe.restart_flow(flow)
            restarted(pipe, flow, 1)
        assert pipe.status().routine("numbers").finished
        assert pipe.join(timeout=60.0)
    assert seen.items() == list(range(5))


@pytest.mark.expects_errors
@pytest.mark.parametrize("which", ["numbers", "through", "seen"])
def test_a_flow_that_was_given_up_comes_back_and_all_behind_it_go_on(chain, which):
    numbers, through, seen = Numbers("numbers"), Passing("through"), CollectingDestination("seen")
    with chain(numbers, through, seen, lossless=True, restart=0) as pipe:
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")
        for times in range(3):
            os.kill(pipe.status().flow(f"in-{which}").pid, signal.SIGKILL)
            wait_until(lambda: pipe.status().flow(f"in-{which}").state == "failed")
            if which != "seen":
                wait_until(lambda: pipe.status().routine("seen").finished)
            assert pipe.status().state is PipeState.FAILED
            assert pipe.restart_flow(f"in-{which}") == times
            restarted(pipe, f"in-{which}", times + 1)
            wait_until(lambda: pipe.status().state is PipeState.RUNNING)  # all who had ended begin again
            moved_on(pipe, "seen")
        drained(pipe)
    if which == "seen":
        items = seen.items()
        assert items == sorted(items)
        assert len(items) - len(set(items)) <= 3  # what was in hand at a death comes again


@pytest.mark.expects_errors
def test_a_flow_that_waits_for_its_restart_is_restarted_at_once(chain):
    with chain(Numbers("numbers"), CollectingDestination("seen"), restart=Late()) as pipe:
        pipe.notify_event("start", wait=60)
        os.kill(pipe.status().flow("in-seen").pid, signal.SIGKILL)
        wait_until(lambda: pipe.status().flow("in-seen").state == "restarting")
        pipe.restart_flow("in-seen")
        restarted(pipe, "in-seen", 1)
        moved_on(pipe, "seen")


def test_a_flow_that_hangs_is_replaced_by_force(chain):
    with chain(Numbers("numbers"), Hangs("hangs"), lossless=True, kill_timeout=0.2) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.notify_event("HANG", {"in-hangs": ["hangs"]})
        wait_until(lambda: pipe.status().wire("numbers", "hangs").blocked)
        pipe.restart_flow("in-hangs")
        restarted(pipe, "in-hangs", 1)
        moved_on(pipe, "hangs", 200)


def test_many_who_ask_at_once_get_one_restart(chain):
    with chain(Numbers("numbers"), CollectingDestination("seen"), lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        threads = [threading.Thread(target=pipe.restart_flow, args=("in-seen",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        wait_until(lambda: pipe.status().flow("in-seen").restarts >= 1)
        moved_on(pipe, "seen", 200)
        assert 1 <= pipe.status().flow("in-seen").restarts <= 2


# ------------------------------------------------------------------------------------------------ and others


@pytest.mark.parametrize("first", ["stop", "kill"])
@pytest.mark.parametrize("how", ["event", "flow's event"])
def test_a_restart_at_the_same_time_as_stop_or_kill_ends_as_they_say(chain, first, how):
    numbers, seen = Numbers("numbers"), CollectingDestination("seen")
    with chain(numbers, seen, lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")
        targets = {"in-seen": ["seen"]} if how == "flow's event" else None
        pipe.restart_flow("in-seen")
        pipe.notify_event(first, targets, wait=60)
        if first == "stop":
            restarted(pipe, "in-seen", 1)
            assert pipe.status().routine("seen").state == "idle"
            pipe.notify_event("start", wait=60)
            moved_on(pipe, "seen")
        else:
            wait_until(lambda: pipe.status().flow("in-seen").state == "ended")
            assert pipe.status().routine("seen").state == "killed"
            with pytest.raises(PipeStateError, match=r"killed|ended"):
                pipe.restart_flow("in-seen")
    wait_until(lambda: pipe.status().state is PipeState.ENDED)


@pytest.mark.parametrize("moment", range(4))
def test_a_pipe_can_be_ended_while_a_flow_is_restarted(chain, moment):
    with chain(Numbers("numbers"), Passing("through"), CollectingDestination("seen"), lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")
        pipe.restart_flow("in-through")
        pipe.restart_flow("in-seen")
        if moment:
            wait_until(lambda: pipe.status().flow("in-through").restarts == 1)
        if moment > 1:
            wait_until(lambda: pipe.status().flow("in-through").pid)
        if moment > 2:
            restarted(pipe, "in-through", 1)
        assert pipe.join(to_kill=True, timeout=60.0)
    assert pipe.status().state is PipeState.ENDED


@pytest.mark.expects_errors
def test_a_flow_that_is_killed_while_it_waits_for_its_restart_lets_the_others_go_on(chain):
    numbers, through, seen = Numbers("numbers"), Passing("through"), CollectingDestination("seen")
    with chain(numbers, through, seen, lossless=True, restart=Late()) as pipe:
        pipe.build()
        pipe.link(Wire(numbers, seen))
        pipe.notify_event("start", wait=60)
        moved_on(pipe, "seen")
        os.kill(pipe.status().flow("in-through").pid, signal.SIGKILL)
        wait_until(lambda: pipe.status().flow("in-through").state == "restarting")
        pipe.notify_event("kill", {"in-through": []}, wait=60)
        assert pipe.status().routine("through").state == "killed"
        moved_on(pipe, "seen", 300)
        drained_numbers = pipe.status().routine("numbers").sent
        assert drained_numbers > 300
        pipe.notify_event("END", {"in-numbers": ["numbers"]})
        assert pipe.join(timeout=60.0)


class Answers(DestinationRoutine):
    @events("WHO")
    def who(self) -> str:
        return self.name

    def main_logic(self, data: Any) -> None: ...


@pytest.mark.expects_errors
def test_a_message_for_a_flow_that_died_reaches_nobody_else(monkeypatch):
    # Given that who sends to a flow is held up just before it writes, as happens on a busy machine
    held: list[threading.Thread] = []
    send = multiprocessing.connection.Connection._send  # type: ignore[attr-defined]

    def send_late(self: Any, data: Any) -> None:
        handle = self._handle
        if threading.current_thread() in held:
            held.clear()
            time.sleep(0.6)
            os.write(handle, data)
        else:
            send(self, data)

    monkeypatch.setattr(multiprocessing.connection.Connection, "_send", send_late)
    names = ("one", "two", "three", "four")
    rests, ends = Numbers("numbers"), [Answers(name) for name in names]
    with Pipe(restart=Restart(times=100, backoff=0.0)) as pipe:
        for routine in (rests, *ends):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(rests, ends))
        pipe.build()
        for number in range(6):
            thread = next(thread for thread in threading.enumerate() if thread.name == "pipert2-to-one")
            held.append(thread)
            pipe.notify_event("WHO", {"one": ["one"]})
            wait_until(lambda: not held)
            # When that flow dies, and others are restarted meanwhile
            for name in names[:3] if number % 2 else names[2::-1]:
                os.kill(pipe.status().flow(name).pid, signal.SIGKILL)
            for name in names[:3]:
                restarted(pipe, name, number + 1)
            thread.join(60.0)
            # Then all of them can still be reached
            for name in names:
                assert pipe.notify_event("WHO", {name: [name]}, wait=60)[name].unwrap() == name


def test_an_inline_flow_has_no_process_to_replace(chain):
    with chain(Numbers("numbers"), CollectingDestination("seen"), inline=True) as pipe:
        pipe.notify_event("start", wait=60)
        with pytest.raises(PipeStateError, match="'in-seen' runs inline, without a process"):
            pipe.restart_flow("in-seen")
        moved_on(pipe, "seen")


def test_what_cannot_be_restarted_is_a_clear_error(chain):
    pipe = chain(Numbers("numbers"), CollectingDestination("seen"))
    with pytest.raises(PipeStateError, match="is not built yet"):
        pipe.restart_flow("in-seen")
    with pipe:
        pipe.build()
        with pytest.raises(UnknownFlowError, match="did you mean 'in-seen'"):
            pipe.restart_flow("in-sen")
    with pytest.raises(PipeStateError, match="has ended"):
        pipe.restart_flow("in-seen")
