"""A flow that comes while the pipe runs is a flow like those it was built with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipert2 import MiddleRoutine, Pipe, PipeStateError, Routine, SourceRoutine, Wire
from pipert2.graph.spec import PipeSpec, with_flow
from pipert2.runtime.supervision.further_flows import NewFlow
from pipert2.testing import CollectingDestination, ListSource, wait_until


class Endless(SourceRoutine):
    next = 0

    def main_logic(self) -> int:
        self.wait(0.001)
        self.next += 1
        return self.next


class Passes(MiddleRoutine):
    def main_logic(self, data: int) -> int:
        return data


def pipe_with_room(room: int, *, inline: bool, replicas: int | None = None) -> tuple[Pipe, dict[str, Routine]]:
    """Numbers, passed on and collected, and room for further routines."""
    pipe = Pipe("growing", lossless=True, inline=inline)
    found = {one.name: one for one in (Endless("numbers"), Passes("passes"), CollectingDestination("seen"))}
    for name, routine in found.items():
        pipe.create_flow(f"flow of {name}", False, routine, replicas=replicas if name == "passes" else None)
    pipe.link(Wire(found["numbers"], found["passes"]), Wire(found["passes"], found["seen"]))
    plain = pipe.blueprint.spec

    def spec(most_replicas: Callable[[int], int]) -> PipeSpec:
        return replace(plain(most_replicas), spare_routines=room)

    pipe.blueprint.spec = spec  # type: ignore[method-assign]
    return pipe, found


def add(pipe: Pipe, routine: Routine, wire: Wire) -> None:
    """Add a flow with one routine and its wire, and start it."""
    supervisor, rewiring, name = pipe._running("add"), pipe._rewiring, f"flow of {routine.name}"
    assert rewiring is not None
    spec = with_flow(supervisor.spec, name, [routine])
    pipe.blueprint.add_flow(name, False, [routine])
    rewiring.link(pipe._numbered(spec, pipe.blueprint.edges([wire])), 60.0, NewFlow(name, (routine,)))
    pipe.blueprint.add_wires([wire])
    for result in (pipe.notify_event("start", {name: []}, wait=60) or {}).values():
        result.unwrap()


@pytest.mark.parametrize("replicas", [None, 2])
def test_a_further_destination_gets_all_that_is_sent_from_then_on(inline: bool, replicas: int | None) -> None:
    pipe, found = pipe_with_room(1, inline=inline, replicas=replicas)
    more = CollectingDestination("more")
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("seen").received > 20)
        add(pipe, more, Wire(found["numbers"], more))
        wait_until(lambda: len(more.items()) > 50)
        items = more.items()
        assert items == list(range(items[0], items[0] + len(items)))
        status = pipe.status()
        assert (status.flow("flow of more").state, status.routine("more").state) == ("running", "running")
        assert status.wire("numbers", "more").dropped == 0
        assert "more" in pipe.histograms()


def test_a_further_source_is_waited_for_and_its_end_is_an_end(inline: bool) -> None:
    pipe, found = pipe_with_room(1, inline=inline)
    more = ListSource([-1, -2, -3], "more")
    more.max_in_flight = 2  # account is kept of what it sends, too
    with pipe:
        pipe.notify_event("start", wait=60)
        add(pipe, more, Wire(more, found["passes"]))
        seen = found["seen"]
        assert isinstance(seen, CollectingDestination)
        wait_until(lambda: [item for item in seen.items() if item < 0] == [-1, -2, -3])
        wait_until(lambda: pipe.status().routine("more").finished)
        assert not pipe.status().routine("passes").finished


@pytest.mark.expects_errors
def test_a_further_flow_that_is_killed_comes_back_with_its_wire() -> None:
    pipe, found = pipe_with_room(1, inline=False)
    more = CollectingDestination("more")
    with pipe:
        pipe.notify_event("start", wait=60)
        add(pipe, more, Wire(found["numbers"], more))
        wait_until(lambda: len(more.items()) > 20)
        os.kill(pipe.status().flow("flow of more").pid or 0, signal.SIGKILL)
        wait_until(lambda: pipe.status().flow("flow of more").restarts == 1)
        count = len(more.items())
        wait_until(lambda: len(more.items()) > count + 50)
        items = more.items()
        assert set(items) >= set(range(items[0], items[-1]))


def test_without_room_it_is_said_and_the_pipe_goes_on(inline: bool) -> None:
    pipe, found = pipe_with_room(1, inline=inline)
    more, most = CollectingDestination("more"), CollectingDestination("most")
    with pipe:
        pipe.notify_event("start", wait=60)
        add(pipe, more, Wire(found["numbers"], more))
        with pytest.raises(PipeStateError, match="as many further flows as there was room for"):
            add(pipe, most, Wire(found["numbers"], most))
        count = len(more.items())
        wait_until(lambda: len(more.items()) > count + 20)
