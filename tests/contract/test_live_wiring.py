"""Wires that come and go while the pipe runs: nothing is lost, doubled, reordered, restarted or overwritten."""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from collections import Counter, deque
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    BasicTransmitter,
    DataTransmitter,
    EndOfStream,
    MiddleRoutine,
    Pipe,
    PipeBuildError,
    PipertError,
    PipeState,
    PipeStateError,
    PipeStatus,
    Routine,
    SharedMemoryFullError,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    events,
)
from pipert2.testing import CollectingDestination, ListSource, wait_until

pytestmark = pytest.mark.usefixtures("_by_value")
VIEWS = SharedMemoryTransmitter(0)
SPARE = 64


class Numbers(SourceRoutine):
    """Sends 0, 1, 2, ... with rests; can be told to end, to take its time over one message, and to wait for a file."""

    def __init__(self, name: str, rest: float = 0.0005) -> None:
        super().__init__(name)
        self.rest = rest
        self.next = 0
        self.ending = False
        self.long = 0.0
        self.awaited: Path | None = None

    @events("END")
    def end(self) -> None:
        self.ending = True

    @events("TAKE_LONG")
    def take_long(self, seconds: float) -> None:
        self.long = seconds

    @events("WAIT_FOR")
    def wait_for(self, file: Path) -> None:
        self.awaited = file

    def main_logic(self) -> int:
        if self.ending:
            raise EndOfStream
        if self.awaited is not None:
            wait_until(self.awaited.exists, what=f"the file {self.awaited}")
            self.awaited = None
        time.sleep(self.long or self.rest)
        self.long = 0.0
        self.next += 1
        return self.next - 1


class Rests(SourceRoutine):
    """Sends nothing, and does not end either."""

    def main_logic(self) -> None:
        self.wait(600)


class Passing(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data


class Slow(CollectingDestination):
    def main_logic(self, data: Any) -> None:
        time.sleep(0.05)
        super().main_logic(data)


def pipe_of(inline: bool, *flows: tuple[Any, ...], **options: Any) -> Pipe:
    """A pipe of flows that are named after their first routine; nothing is wired."""
    options = {"lossless": True, **options}
    pipe = Pipe(inline=inline, **options)
    for routines in flows:
        pipe.create_flow(routines[0].name, False, *routines)
    return pipe


def started(pipe: Pipe) -> None:
    pipe.notify_event("start", wait=60)


def sent(pipe: Pipe, name: str) -> int:
    return pipe.status().routine(name).sent


def await_sent(pipe: Pipe, name: str, more: int) -> None:
    goal = sent(pipe, name) + more
    wait_until(lambda: sent(pipe, name) >= goal, 60.0, f"{more} more messages of {name}")


def settled(pipe: Pipe, *sources: str) -> PipeStatus:
    """End the streams of these sources and wait until all that they have sent has been dealt with."""
    flows: dict[str, list[str]] = {}
    for name in sources:
        flows.setdefault(pipe.flow_names[name], []).append(name)
    pipe.notify_event("END", flows)
    wait_until(lambda: all(pipe.status().routine(name).finished for name in sources), 60.0, f"the end of {sources}")

    def counts() -> list[tuple[int, int, int]]:
        return [(wire.sent, wire.received, wire.queued) for wire in pipe.status().wires]

    def quiet() -> bool:
        before = counts()
        pipe.notify_event("configure", wait=60)  # answered between two messages: what was in hand has been sent on
        return counts() == before and not any(queued for *_, queued in before)

    wait_until(quiet, 60.0, "an empty pipe")
    return pipe.status()


def items(destination: CollectingDestination, status: PipeStatus) -> list[Any]:
    count = status.routine(destination.name).received
    wait_until(lambda: len(destination.items()) >= count, what=f"all that {destination.name} got")
    return destination.items()


def pids(pipe: Pipe) -> list[int | None]:
    status = pipe.status()
    assert all(flow.restarts == 0 for flow in status.flows)
    return [flow.pid for flow in status.flows]


def open_wires(pipe: Pipe) -> list[tuple[str, str]]:
    return [(wire.source, wire.destination) for wire in pipe.status().wires if not wire.unlinked]


def known_wires(pipe: Pipe) -> list[tuple[str, str]]:
    return [(wire.source.name, end.name) for wire in pipe.wires for end in wire.destinations]


# ------------------------------------------------------------------------------------------------ nothing is lost


@pytest.mark.parametrize("apart", [True, False], ids=["two flows", "one flow"])
@pytest.mark.parametrize("capacity", [1, 64])
def test_a_new_wire_gets_all_that_is_sent_after_link_returned(inline: bool, apart: bool, capacity: int) -> None:
    # Given a source that runs, and a routine that gets something else
    numbers, old = Numbers("numbers"), CollectingDestination("old")
    other, late = Numbers("other", rest=0.01), CollectingDestination("late")
    flows = [(numbers,), (old,), (other,), (late,)] if apart else [(numbers, old, late, other)]
    with pipe_of(inline, *flows) as pipe:
        pipe.link(Wire(numbers, old, capacity=capacity), Wire(other, late))
        started(pipe)
        await_sent(pipe, "numbers", 50)
        before = pids(pipe)
        # When it is linked to it
        pipe.link(Wire(numbers, late, capacity=capacity))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 50)
        after = pids(pipe)
        status = settled(pipe, "numbers", "other")
        total = status.routine("numbers").sent
        # Then nobody misses anything, nothing comes twice, and no process was replaced
        assert items(old, status) == list(range(total))
        # (numbers of both sources are in late's list; those of this wire are counted by the wire)
        wire = status.wire("numbers", "late")
        assert wire.dropped == 0
        assert total - next_one <= wire.received <= total - 50
        assert before == after


@pytest.mark.parametrize("apart", [True, False], ids=["two flows", "one flow"])
@pytest.mark.parametrize("finished", [True, False], ids=["had finished", "was running"])
def test_a_new_wires_messages_are_in_order_and_none_is_missing(inline: bool, apart: bool, finished: bool) -> None:
    numbers, old = Numbers("numbers"), CollectingDestination("old")
    rests, late = ListSource([], "rests") if finished else Rests("rests"), CollectingDestination("late")
    flows = [(numbers,), (old,), (rests,), (late,)] if apart else [(numbers, old, late, rests)]
    with pipe_of(inline, *flows) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, late))
        started(pipe)
        await_sent(pipe, "numbers", 30)
        pipe.link(Wire(numbers, late))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 200)
        status = settled(pipe, "numbers")
        total = status.routine("numbers").sent
        found = items(late, status)
        assert found == list(range(found[0], total))
        assert found[0] <= next_one
        assert items(old, status) == list(range(total))


def test_several_wires_are_added_by_one_link(inline: bool) -> None:
    numbers, old, rests = Numbers("numbers"), CollectingDestination("old"), Rests("rests")
    through, late, later = Passing("through"), CollectingDestination("late"), CollectingDestination("later")
    with pipe_of(inline, (numbers,), (old, through), (rests, late), (later,)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, (through, later)), Wire(through, late))
        started(pipe)
        await_sent(pipe, "numbers", 10)
        pipe.link(Wire(numbers, (through, later)), Wire(through, later, capacity=3))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 100)
        status = settled(pipe, "numbers")
        total = status.routine("numbers").sent
        found = items(late, status)
        assert found == list(range(found[0], total))
        assert found[0] <= next_one
        counts = Counter(items(later, status))
        assert [counts[number] for number in range(next_one, total)] == [2] * (total - next_one)
        assert max(counts.values()) == 2


def test_a_new_real_time_wire_keeps_the_newest(inline: bool) -> None:
    numbers, old, rests = Numbers("numbers"), CollectingDestination("old"), Rests("rests")
    late = Slow("late")
    with pipe_of(inline, (numbers,), (old,), (rests, late)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, late))
        started(pipe)
        pipe.link(Wire(numbers, late, lossless=False))
        wait_until(lambda: pipe.status().routine("late").received > 5)
        status = settled(pipe, "numbers")
        wire = status.wire("numbers", "late")
        assert wire.sent == wire.received + wire.dropped
        found = items(late, status)
        assert found == sorted(set(found))
        assert found[-1] == status.routine("numbers").sent - 1
        assert items(old, status) == list(range(status.routine("numbers").sent))


def test_a_routine_without_outputs_and_with_a_fixed_rate_misses_nothing_either(inline: bool) -> None:
    class Ends(Routine):
        def main_logic(self, data: int) -> int:
            return data

    numbers, ends, late = Numbers("numbers"), Ends("ends"), CollectingDestination("late")
    rests = Rests("rests")
    ends.set_const_fps(100)
    with pipe_of(inline, (numbers,), (ends,), (rests, late)) as pipe:
        pipe.link(Wire(numbers, ends, capacity=4), Wire(rests, late))
        started(pipe)
        for _ in range(15):
            count, before = pipe.status().routine("ends").received, len(late.items())
            wait_until(lambda count=count: pipe.status().routine("ends").received > count)
            pipe.link(Wire(ends, late))
            # one more may be between its arrival and its end: it is sent before link returns, or after
            begun = pipe.status().routine("ends").received
            wait_until(lambda begun=begun: pipe.status().routine("ends").received >= begun + 3)
            pipe.unlink(ends, late)
            wait_until(lambda: pipe.status().wire("ends", "late").queued == 0)  # what waits is still delivered
            found = items(late, pipe.status())[before:]
            assert found[0] <= begun
        everything = late.items()
        assert everything == sorted(set(everything))


# ------------------------------------------------------------------------------------------------ states


def test_a_wire_can_be_added_while_the_source_waits_for_room(inline: bool) -> None:
    numbers, gate, late = Numbers("numbers"), CollectingDestination("gate"), CollectingDestination("late")
    rests = Rests("rests")
    with pipe_of(inline, (numbers,), (gate,), (rests, late)) as pipe:
        pipe.link(Wire(numbers, gate, capacity=4), Wire(rests, late))
        pipe.notify_event("start", {"numbers": [], "rests": []}, wait=60)
        wait_until(lambda: pipe.status().wire("numbers", "gate").blocked)
        pipe.link(Wire(numbers, late))
        next_one = sent(pipe, "numbers")
        assert pipe.status().wire("numbers", "gate").blocked
        pipe.notify_event("start", {"gate": ["gate"]})
        await_sent(pipe, "numbers", 50)
        status = settled(pipe, "numbers")
        total = status.routine("numbers").sent
        assert items(gate, status) == list(range(total))
        assert items(late, status) == list(range(next_one, total))


@pytest.mark.parametrize("start_first", [True, False], ids=["stopped", "not started"])
def test_a_wire_can_be_added_while_nothing_runs(inline: bool, start_first: bool) -> None:
    numbers, old, late = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("late")
    rests = Rests("rests")
    with pipe_of(inline, (numbers,), (old,), (rests, late)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, late))
        pipe.build()
        if start_first:
            started(pipe)
            await_sent(pipe, "numbers", 10)
            pipe.notify_event("stop", wait=60)
        pipe.link(Wire(numbers, late))
        first = sent(pipe, "numbers")
        started(pipe)
        await_sent(pipe, "numbers", 50)
        status = settled(pipe, "numbers")
        total = status.routine("numbers").sent
        assert items(late, status) == list(range(first, total))
        assert items(old, status) == list(range(total))


def test_a_routine_that_had_finished_goes_on_and_so_do_those_behind_it(inline: bool) -> None:
    numbers, old = Numbers("numbers"), CollectingDestination("old")
    short, through, end = ListSource(range(5), "short"), Passing("through"), CollectingDestination("end")
    with pipe_of(inline, (numbers,), (old,), (short, through), (end,)) as pipe:
        pipe.link(Wire(numbers, old), Wire(short, through), Wire(through, end))
        started(pipe)
        wait_until(lambda: pipe.status().routine("end").finished and pipe.status().routine("end").state == "idle")
        pipe.link(Wire(numbers, through))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 300)
        assert not pipe.status().routine("end").finished
        pipe.notify_event("END", {"numbers": ["numbers"]})
        assert pipe.join(timeout=60.0)
        total = pipe.status().routine("numbers").sent
        found = end.items()
        assert found[:5] == list(range(5))
        assert found[5:] == list(range(found[5], total))
        assert found[5] <= next_one


def test_routines_behind_one_that_is_just_finishing_are_woken_too(inline: bool) -> None:
    class Tidies(MiddleRoutine):
        """Takes its time to clean up."""

        def main_logic(self, data: Any) -> Any:
            return data

        def cleanup(self) -> None:
            time.sleep(0.6)

    numbers, slow = Numbers("numbers"), CollectingDestination("old")
    first, through, end = Numbers("first"), Tidies("through"), CollectingDestination("end")
    with pipe_of(inline, (numbers, slow), (first,), (through,), (end,)) as pipe:
        pipe.link(Wire(numbers, slow), Wire(first, through), Wire(through, end))
        started(pipe)
        await_sent(pipe, "first", 10)
        # Given that its input ends while all learn of the wire, and it still cleans up when that is opened
        pipe.notify_event("TAKE_LONG", {"numbers": ["numbers"]}, seconds=0.4, wait=60)
        pipe.notify_event("END", {"first": ["first"]}, wait=60)
        pipe.link(Wire(numbers, through))
        count = len(end.items())
        await_sent(pipe, "numbers", 200)
        wait_until(lambda: len(end.items()) > count + 150, what="what comes over the new wire")


def test_a_source_that_has_finished_sends_nothing_and_nobody_waits_for_it(inline: bool) -> None:
    short, old = ListSource(range(5), "short"), CollectingDestination("old")
    more, late = ListSource(range(3), "more"), CollectingDestination("late")
    with pipe_of(inline, (short,), (old,), (more, late)) as pipe:
        pipe.link(Wire(short, old), Wire(more, late))
        started(pipe)
        wait_until(lambda: pipe.status().state is PipeState.FINISHED)
        pipe.link(Wire(short, late))
        assert pipe.join(timeout=60.0)
    assert (late.items(), pipe.status().routine("late").finished) == ([0, 1, 2], True)


def test_a_finished_source_that_is_started_again_sends_on_the_new_wire(inline: bool) -> None:
    short, old = ListSource(range(5), "short"), CollectingDestination("old")
    more, late = ListSource(range(3), "more"), CollectingDestination("late")
    with pipe_of(inline, (short,), (old,), (more, late)) as pipe:
        pipe.link(Wire(short, old), Wire(more, late))
        started(pipe)
        wait_until(lambda: pipe.status().state is PipeState.FINISHED)
        pipe.link(Wire(short, late))
        started(pipe)
        wait_until(lambda: len(late.items()) == 11 and len(old.items()) == 10)
        assert pipe.join(timeout=60.0)
    assert sorted(late.items()) == sorted([*range(3), *range(3), *range(5)])


def test_a_routine_that_is_long_at_it_refuses_the_wire_and_takes_it_later(inline: bool, tmp_path: Path) -> None:
    numbers, old, late = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("late")
    rests = Rests("rests")
    with pipe_of(inline, (numbers,), (old,), (rests, late)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, late))
        started(pipe)
        await_sent(pipe, "numbers", 10)
        pipe.notify_event("WAIT_FOR", {"numbers": ["numbers"]}, file=tmp_path / "go on", wait=60)
        with pytest.raises(PipeStateError, match="'numbers'"):
            pipe.link(Wire(numbers, late), wait=0.1)
        (tmp_path / "go on").touch()
        assert known_wires(pipe) == [("numbers", "old"), ("rests", "late")]
        assert open_wires(pipe) == [("numbers", "old"), ("rests", "late")]
        await_sent(pipe, "numbers", 20)
        assert pipe.status().routine("late").received == 0
        pipe.link(Wire(numbers, late))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 50)
        status = settled(pipe, "numbers")
        found = items(late, status)
        assert found == list(range(found[0], status.routine("numbers").sent))
        assert found[0] <= next_one
        assert items(old, status) == list(range(status.routine("numbers").sent))


class LongAfterLearning(Numbers):
    """Is long over its first message after it has learned of a wire."""

    def main_logic(self) -> int:
        knows = len(self._context._loop.pipe.edges)  # type: ignore[union-attr]
        if knows > getattr(self, "knew", 2):
            self.long = 1.0
        self.knew = knows
        return super().main_logic()


def test_a_source_that_gets_long_between_the_two_steps_refuses_the_wire_and_takes_it_later(inline: bool) -> None:
    numbers, old = LongAfterLearning("numbers"), CollectingDestination("old")
    rests, late = Rests("rests"), Slow("late")
    with pipe_of(inline, (numbers,), (old,), (rests, late)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, late))
        started(pipe)
        await_sent(pipe, "numbers", 10)
        with contextlib.suppress(PipeStateError):
            pipe.link(Wire(numbers, late), wait=0.3)
        known = known_wires(pipe)
        await_sent(pipe, "numbers", 20)
        if ("numbers", "late") not in known:
            assert ("numbers", "late") not in open_wires(pipe)
            pipe.link(Wire(numbers, late))
        assert open_wires(pipe).count(("numbers", "late")) == 1
        await_sent(pipe, "numbers", 20)
        status = settled(pipe, "numbers")
        found = items(late, status)
        # A source that opens the wire while it is given up sends a few messages before it hears of that.
        gaps = [number for number, after in pairwise(found) if after != number + 1]
        assert len(gaps) <= (("numbers", "late") not in known)
        assert found[-1] == status.routine("numbers").sent - 1


# ------------------------------------------------------------------------------------------------ away and back


@pytest.mark.parametrize("apart", [True, False], ids=["two flows", "one flow"])
@pytest.mark.parametrize(
    "again",
    [{}, {"capacity": 2}, {"lossless": False}, {"data_transmitter": VIEWS}],
    ids=["the same rule", "another capacity", "real-time", "views"],
)
def test_a_wire_that_was_taken_away_can_come_back(inline: bool, apart: bool, again: dict[str, Any]) -> None:
    numbers, old, end = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("end")
    with pipe_of(inline, *([(numbers,), (old,), (end,)] if apart else [(numbers, old, end)])) as pipe:
        pipe.link(Wire(numbers, (old, end)))
        started(pipe)
        surely_away: set[int] = set()
        perhaps_away: set[int] = set()
        for _ in range(3):
            await_sent(pipe, "numbers", 20)
            going = sent(pipe, "numbers")
            pipe.unlink(numbers, end)
            gone = sent(pipe, "numbers")
            await_sent(pipe, "numbers", 20)
            # (what waits on the old wire may otherwise arrive after the first of the new one)
            wait_until(lambda: not any(wire.queued for wire in pipe.status().wires if wire.unlinked))
            coming = sent(pipe, "numbers")
            pipe.link(Wire(numbers, end, **again))
            surely_away |= set(range(gone, coming))
            perhaps_away |= set(range(going - 1, sent(pipe, "numbers")))
            wait_until(lambda: not pipe.status().routine("end").finished)
        await_sent(pipe, "numbers", 20)
        status = settled(pipe, "numbers")
        total = status.routine("numbers").sent
        found = items(end, status)
        assert found == sorted(set(found))
        assert not surely_away & set(found)
        if "lossless" not in again:
            assert set(range(total)) - set(found) <= perhaps_away
        assert items(old, status) == list(range(total))


def test_link_and_unlink_two_hundred_times_under_load(inline: bool) -> None:
    numbers, old = Numbers("numbers", rest=0.0), CollectingDestination("old")
    through, end, rests = Passing("through"), CollectingDestination("end"), Rests("rests")
    with pipe_of(inline, (numbers,), (old,), (through,), (rests, end)) as pipe:
        pipe.link(Wire(numbers, (old, through), capacity=8), Wire(through, old, capacity=8), Wire(rests, end))
        started(pipe)
        for number in range(200):
            pipe.link(Wire(numbers if number % 3 else through, end, capacity=8))
            pipe.unlink("numbers" if number % 3 else "through", "end")
        status = settled(pipe, "numbers")
        total = status.routine("numbers").sent
        assert sorted(items(old, status)) == sorted([*range(total), *range(total)])
        assert len(status.wires) == 6
        for wire in status.wires:
            assert wire.sent == wire.received + wire.dropped
        assert sum(routine.errors for routine in status.routines) == 0


def test_sixty_four_wires_can_be_added_and_the_next_one_is_a_clear_error(inline: bool) -> None:
    numbers, old, end = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("end")
    with pipe_of(inline, (numbers,), (old,), (end,)) as pipe:
        pipe.link(Wire(numbers, (old, end)))
        started(pipe)
        pipe.unlink(numbers, end)
        for capacity in range(1, SPARE + 1):
            pipe.link(Wire(numbers, end, capacity=100 + capacity))
            pipe.unlink(numbers, end)
        with pytest.raises(PipeStateError, match="64 further wires"):
            pipe.link(Wire(numbers, end, capacity=1000))
        assert known_wires(pipe) == [("numbers", "old")]
        # one that was there before can still come back
        pipe.link(Wire(numbers, end, capacity=101))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 30)
        status = settled(pipe, "numbers")
        found = items(end, status)
        assert len(found) == len(set(found))
        assert set(range(next_one, status.routine("numbers").sent)) <= set(found)


def test_a_wire_the_other_way_round_is_waited_for_at_the_end(inline: bool) -> None:
    # Given two middles with a wire from one to the other, which is taken away and put in the other way round
    class Late(MiddleRoutine):
        def main_logic(self, data: Any) -> Any:
            time.sleep(0.01)
            return data

    numbers, one, other = ListSource(range(20), "numbers"), Passing("one"), Late("other")
    end = CollectingDestination("end")
    with pipe_of(inline, (numbers,), (one,), (other,), (end,)) as pipe:
        pipe.link(Wire(numbers, (one, other)), Wire(one, (other, end)), Wire(other, end))
        pipe.build()
        pipe.unlink(one, other)
        pipe.link(Wire(other, one))
        started(pipe)
        assert pipe.join(timeout=60.0)
    # Then all of it arrives by all ways
    assert sorted(end.items()) == sorted([*range(20)] * 3)


# ------------------------------------------------------------------------------------------------ errors


def test_what_is_wrong_is_refused_with_all_reasons_and_changes_nothing(inline: bool) -> None:
    numbers, through, end = Numbers("numbers"), Passing("through"), CollectingDestination("end")
    handles_only = Numbers("rests", rest=0.01)
    stranger = CollectingDestination("stranger")

    class OnlyEvents(Routine):
        @events("SOMETHING")
        def something(self) -> None: ...

    silent = OnlyEvents("silent")
    with pipe_of(inline, (numbers,), (through,), (end,), (handles_only,), (silent,)) as pipe:
        pipe.link(Wire(numbers, through), Wire(through, end), Wire(handles_only, end))
        started(pipe)
        before = known_wires(pipe), pipe.structure_version, len(pipe.status().wires)
        for wire, words in [
            (Wire(numbers, through), "linked to 'through' 2 times"),
            (Wire(through, through), "linked to itself"),
            (Wire(through, numbers), "is a source but a wire leads into it"),
            (Wire(end, through), "is a destination but a wire leads out of it"),
            (Wire(numbers, stranger), "which is in no flow"),
            (Wire(numbers, silent), "main_logic"),
        ]:
            with pytest.raises(PipeBuildError, match=words):
                pipe.link(wire)
        with pytest.raises(PipeBuildError) as error:
            pipe.link(Wire(numbers, through), Wire(through, numbers), Wire(handles_only, through))
        assert len(error.value.problems) >= 2
        for bad in (None, "numbers", numbers, (numbers, end)):
            with pytest.raises(TypeError, match="link takes wires"):
                pipe.link(bad)  # type: ignore[arg-type]
        assert (known_wires(pipe), pipe.structure_version, len(pipe.status().wires)) == before
        await_sent(pipe, "numbers", 50)
        status = settled(pipe, "numbers", "rests")
        assert status.wire("through", "end").received == status.routine("numbers").sent


def test_a_circle_of_lossless_wires_is_refused_and_a_real_time_one_is_not(inline: bool) -> None:
    numbers, one, other, end = Numbers("numbers"), Passing("one"), Passing("other"), CollectingDestination("end")
    with pipe_of(inline, (numbers,), (one,), (other,), (end,)) as pipe:
        pipe.link(Wire(numbers, one, lossless=False), Wire(one, other), Wire(other, end))
        started(pipe)
        with pytest.raises(PipeBuildError, match="cycle"):
            pipe.link(Wire(other, one))
        pipe.link(Wire(other, one, lossless=False))
        wait_until(lambda: pipe.status().wire("other", "one").received > 10)
        pipe.notify_event("END", {"numbers": ["numbers"]}, wait=60)
        assert pipe.join(timeout=60.0), "a wire that leads back is not waited for"


def test_a_routine_that_was_killed_gets_no_wire(inline: bool) -> None:
    numbers, old, end = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("end")
    more, late = Numbers("more", rest=0.01), CollectingDestination("late")
    with pipe_of(inline, (numbers,), (old,), (end,), (more,), (late,)) as pipe:
        pipe.link(Wire(numbers, (old, end)), Wire(more, late))
        started(pipe)
        pipe.notify_event("kill", {"late": ["late"], "more": ["more"]}, wait=60)
        wait_until(lambda: pipe.status().routine("late").state == "killed")
        wait_until(lambda: pipe.status().routine("more").state == "killed")
        with pytest.raises(PipeStateError, match="'late' was killed"):
            pipe.link(Wire(numbers, late))
        with pytest.raises(PipeStateError, match="'more' was killed"):
            pipe.link(Wire(more, end))
        assert ("numbers", "late") not in known_wires(pipe)


def test_a_pipe_that_has_ended_gets_no_wire(inline: bool) -> None:
    numbers, end, more = ListSource([1], "numbers"), CollectingDestination("end"), ListSource([2], "more")
    pipe = pipe_of(inline, (numbers,), (more, end))
    pipe.link(Wire(numbers, end), Wire(more, end))
    pipe.unlink(more, end)
    pipe.link(Wire(more, end))
    assert pipe.run(timeout=60.0).ok
    with pytest.raises(PipeStateError, match="has ended, create a new one"):
        pipe.link(Wire(more, end))


class Locked(DataTransmitter):
    """Cannot travel."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class FailsToSend(DataTransmitter):
    def transmit(self) -> Any:
        raise LookupError("no way out")


class FailsToReceive(DataTransmitter):
    def receive(self) -> Any:
        raise LookupError("no way in")


@pytest.mark.expects_errors
@pytest.mark.usefixtures("_by_value")
@pytest.mark.parametrize("bad", [Locked, FailsToSend, FailsToReceive])
def test_a_transmitter_that_does_not_work_leaves_the_pipe_as_it_was(bad: type[DataTransmitter]) -> None:
    numbers, old, end = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("end")
    rests = Numbers("rests", rest=0.01)
    with pipe_of(False, (numbers,), (old,), (end,), (rests,)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, end))
        started(pipe)
        with pytest.raises(PipertError):
            pipe.link(Wire(numbers, end, bad()))
        assert known_wires(pipe) == open_wires(pipe) == [("numbers", "old"), ("rests", "end")]
        # Then others can be added, and each flow can be started anew
        pipe.link(Wire(numbers, end))
        for number, flow in enumerate(("numbers", "end", "old", "rests")):
            assert pipe.restart_flow(flow) == 0
            wait_until(
                lambda flow=flow: (one := pipe.status().flow(flow)).restarts == 1 and one.state == "running",
                what=f"restart {number}",
            )
        received = pipe.status().wire("numbers", "end").received
        wait_until(lambda: pipe.status().wire("numbers", "end").received > received + 50)


def test_wires_without_memory_for_them_are_refused_and_smaller_ones_are_not(inline: bool) -> None:
    numbers, old, end = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("end")
    rests, late = Numbers("rests", rest=0.01), CollectingDestination("late")
    with pipe_of(inline, (numbers,), (old,), (end,), (late,), (rests,)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, (end, late)))
        started(pipe)
        for _ in range(2):
            with pytest.raises(SharedMemoryFullError):
                pipe.link(Wire(numbers, end), Wire(numbers, late, capacity=10**12))
        assert known_wires(pipe) == open_wires(pipe)
        pipe.link(Wire(numbers, end), Wire(numbers, late))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 30)
        status = settled(pipe, "numbers", "rests")
        assert status.wire("numbers", "late").received >= status.routine("numbers").sent - next_one


# ------------------------------------------------------------------------------------------------ at the same time


def test_two_threads_may_link_at_once(inline: bool) -> None:
    numbers, old, rests = Numbers("numbers"), CollectingDestination("old"), Rests("rests")
    ends = [CollectingDestination(f"end {number}") for number in range(6)]
    with pipe_of(inline, (numbers,), (old,), (rests, *ends)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, ends))
        started(pipe)
        failures: list[BaseException] = []

        def link(mine: list[CollectingDestination]) -> None:
            try:
                for end in mine:
                    pipe.link(Wire(numbers, end))
                    pipe.unlink(numbers, end)
                    pipe.link(Wire(numbers, end))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=link, args=(ends[at::3],)) for at in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert failures == []
        assert sorted(known_wires(pipe)) == sorted(open_wires(pipe))
        next_one = sent(pipe, "numbers")
        await_sent(pipe, "numbers", 50)
        status = settled(pipe, "numbers")
        total = status.routine("numbers").sent
        for end in ends:
            found = items(end, status)
            assert found == sorted(set(found))
            assert found[-(total - next_one) :] == list(range(next_one, total))
        assert items(old, status) == list(range(total))


def test_of_two_threads_with_the_same_wire_one_is_told_that_it_is_there(inline: bool) -> None:
    numbers, old, rests, end = (
        Numbers("numbers"),
        CollectingDestination("old"),
        Rests("rests"),
        CollectingDestination("end"),
    )
    with pipe_of(inline, (numbers,), (old,), (rests, end)) as pipe:
        pipe.link(Wire(numbers, old), Wire(rests, end))
        started(pipe)
        outcomes: list[str] = []

        def link() -> None:
            try:
                pipe.link(Wire(numbers, end))
                outcomes.append("linked")
            except PipeBuildError:
                outcomes.append("refused")

        threads = [threading.Thread(target=link) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert sorted(outcomes) == ["linked", "refused", "refused", "refused"]
        assert open_wires(pipe).count(("numbers", "end")) == 1


@pytest.mark.parametrize("moment", range(6))
def test_a_pipe_that_is_ended_while_it_is_linked_says_so(inline: bool, moment: int) -> None:
    numbers, old, end = Numbers("numbers"), CollectingDestination("old"), CollectingDestination("end")
    pipe = pipe_of(inline, (numbers,), (old,), (end,))
    pipe.link(Wire(numbers, (old, end)))
    started(pipe)
    pipe.unlink(numbers, end)
    ending: list[BaseException] = []
    links: list[int] = []

    def link() -> None:
        try:
            while True:
                pipe.link(Wire(numbers, end))
                pipe.unlink(numbers, end)
                links.append(1)
        except BaseException as error:
            ending.append(error)

    thread = threading.Thread(target=link)
    thread.start()
    wait_until(lambda: len(links) >= moment or ending)
    pipe.join(to_kill=True)
    thread.join(60.0)
    assert not thread.is_alive()
    # what unlink says of a pipe that has ended is that there is no such wire, or nothing
    assert [type(error) for error in ending] == [PipeStateError], ending


# ------------------------------------------------------------------------------------------------ frames


SIZES = (10, 3_000, 40_000, 300_000, 5_000, 900_000)


def checksum(frame: np.ndarray[Any, Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(frame))


class Camera(SourceRoutine):
    """Frames of all sizes, lent and not, as fast as can be, each with its number and its checksum."""

    def setup(self) -> None:
        self.number = 0
        self.random = np.random.default_rng(1)

    def main_logic(self) -> dict[str, Any]:
        size = SIZES[self.number % len(SIZES)]
        frame = self.loan(size) if self.number % 2 else np.empty(size, np.uint8)
        frame[:] = self.number % 251
        frame[:64] = self.random.integers(0, 256, min(size, 64), np.uint8)
        self.number += 1
        return {"number": self.number - 1, "frame": frame, "checksum": checksum(frame)}


class Keeps(CollectingDestination):
    """Looks at each frame when it comes and some frames later; notes the numbers of those that are not as they were."""

    def __init__(self, name: str, keeps: int, *, ordered: bool = True) -> None:
        super().__init__(name)
        self.keeps = keeps
        self.ordered = ordered

    def setup(self) -> None:
        super().setup()
        self.kept: deque[dict[str, Any]] = deque()
        self.last = -1

    def main_logic(self, data: dict[str, Any]) -> None:
        self.compare(data, "new")
        if data["number"] <= self.last and self.ordered:
            super().main_logic(("order", self.last, data["number"]))
        self.last = data["number"]
        self.kept.append(data)
        while len(self.kept) > self.keeps:
            self.compare(self.kept.popleft(), "kept")

    def compare(self, data: dict[str, Any], which: str) -> None:
        if checksum(data["frame"]) != data["checksum"]:
            super().main_logic((which, data["number"]))


@pytest.mark.parametrize("lossless", [True, False], ids=["lossless", "real-time"])
@pytest.mark.parametrize("transmitter", [VIEWS, BasicTransmitter()], ids=["views", "copies"])
def test_frames_that_are_passed_on_over_a_new_wire_stay_as_they_were(
    inline: bool, lossless: bool, transmitter: DataTransmitter
) -> None:
    camera, one, two = Camera("camera"), Passing("one"), Passing("two")
    seen, holder, hoarder = Keeps("seen", 2), Keeps("holder", 6), Keeps("hoarder", 12, ordered=False)
    rests = Rests("rests")
    flows = [(camera,), (one,), (two, seen), (rests, holder), (hoarder,)]
    with pipe_of(inline, *flows, lossless=False, data_transmitter=VIEWS) as pipe:
        pipe.link(Wire(camera, one), Wire(one, two), Wire(two, seen), Wire(rests, (holder, hoarder)))
        started(pipe)
        wait_until(lambda: pipe.status().routine("seen").received > 20)
        rule: dict[str, Any] = {"lossless": lossless, "capacity": 4, "data_transmitter": transmitter}
        for number in range(12):
            # When somebody far behind the camera, who holds what it gets, is linked and taken away
            pipe.link(Wire(two, holder, **rule))
            pipe.link(Wire(one if number % 2 else two, hoarder, **rule))
            got = pipe.status().wire("two", "holder").received
            wait_until(lambda got=got: pipe.status().wire("two", "holder").received > got + 15, 60.0)
            pipe.unlink(two, holder)
            pipe.unlink(one if number % 2 else two, hoarder)
        pipe.notify_event("stop", wait=60)
        status = pipe.status()
    assert (seen.items(), holder.items(), hoarder.items()) == ([], [], [])
    assert sum(routine.errors for routine in status.routines) == 0


def test_a_pool_watches_the_wires_of_those_far_behind_it(inline: bool) -> None:
    # Given a source with few slots, and a destination at the end of three middles that holds a view for ever
    class Holds(CollectingDestination):
        def setup(self) -> None:
            super().setup()
            self.held: list[np.ndarray[Any, Any]] = []

        def main_logic(self, data: dict[str, Any]) -> None:
            if len(self.held) < 3 and data["frame"].nbytes > 30_000:
                self.held.append(data["frame"])
                super().main_logic(checksum(data["frame"]))

        def cleanup(self) -> None:
            for frame in self.held:
                super().main_logic(checksum(frame))
            super().cleanup()

    camera, middles, seen = Camera("camera"), [Passing(f"middle {at}") for at in range(3)], Keeps("seen", 1)
    rests, holds = Rests("rests"), Holds("holds")
    flows = [(camera,), *((middle,) for middle in middles), (seen,), (rests, holds)]
    with pipe_of(inline, *flows, lossless=False, data_transmitter=VIEWS) as pipe:
        row = [camera, *middles, seen]
        pipe.link(*(Wire(one, other) for one, other in pairwise(row)), Wire(rests, holds))
        started(pipe)
        wait_until(lambda: pipe.status().routine("seen").received > 20)
        # When that is linked while the source goes on at full speed
        pipe.link(Wire(middles[2], holds, lossless=True))
        wait_until(lambda: len(holds.items()) == 3)
        await_sent(pipe, "camera", 500)
        pipe.notify_event("stop", wait=60)
    # Then what it holds is what it got
    found = holds.items()
    assert found[:3] == found[3:]
    assert seen.items() == []
