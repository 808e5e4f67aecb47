"""Stopping a lossless pipe as a whole: what its sources have sent arrives first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipert2 import Pipe, Wire, middle
from pipert2.runtime.supervision.flow_handle import InlineFlow
from pipert2.testing import CollectingDestination, wait_until
from tests.sources import OpenList


@pytest.mark.parametrize("wait", [60.0, None], ids=["waited for", "not waited for"])
def test_what_a_routine_is_about_to_send_within_its_flow_arrives_before_the_stop(wait: float | None) -> None:
    # Given a message between two wires: its routine has worked on it, and looks whether the next wire takes it
    begun, go_on = threading.Event(), threading.Event()

    def takes(number: int) -> bool:
        begun.set()
        return go_on.wait(60.0)

    @middle(name="work")
    def work(number: int) -> int:
        return number

    pipe, numbers, seen = Pipe(lossless=True, inline=True), OpenList([7], "numbers"), CollectingDestination("seen")
    pipe.create_flow("all", False, numbers, work, seen)
    pipe.link(Wire(numbers, work), Wire(work, seen, where=takes))
    with pipe, ThreadPoolExecutor(1) as caller:
        pipe.notify_event("start", wait=60.0)
        assert begun.wait(60.0)
        # When the pipe is stopped meanwhile
        stopped = caller.submit(pipe.notify_event, "stop", wait=wait)
        try:
            assert pipe._supervisor is not None
            handle = pipe._supervisor.flows["all"].handle
            assert isinstance(handle, InlineFlow)
            assert handle._host is not None
            inbox = handle._host.loops[1].inbox
            wait_until(lambda: inbox, what="something that is asked of the routine")
        finally:
            go_on.set()
        stopped.result(60.0)
        wait_until(lambda: {routine.state for routine in pipe.status().routines} == {"idle"})
        # Then it has arrived
        assert seen.items() == [7]
