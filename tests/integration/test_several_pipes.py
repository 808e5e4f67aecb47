"""Several pipes at once: in one process, from several threads, in two processes, one after the other."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from pipert2 import Pipe, PipertError, SourceRoutine, Wire
from pipert2.testing import CollectingDestination, ListSource, wait_until


class Endless(SourceRoutine):
    next = 0

    def main_logic(self) -> int:
        self.next += 1
        return self.next - 1


def test_several_pipes_run_side_by_side_and_end_separately(chain):
    pipes = [chain(Endless("numbers"), CollectingDestination("seen")) for _ in range(3)]
    for pipe in pipes:
        pipe.notify_event("start", wait=60)
    assert len({flow.pid for pipe in pipes for flow in pipe.status().flows}) == 6
    for gone in list(pipes):
        gone.join(to_kill=True)
        pipes.remove(gone)
        for pipe in pipes:
            received = pipe.status().routine("seen").received
            wait_until(lambda pipe=pipe, received=received: pipe.status().routine("seen").received > received + 10)


@pytest.mark.expects_errors
def test_a_death_in_one_pipe_is_not_seen_by_another(chain):
    with (
        chain(Endless("numbers"), CollectingDestination("seen")) as first,
        chain(Endless("numbers"), CollectingDestination("seen")) as second,
    ):
        for pipe in (first, second):
            pipe.notify_event("start", wait=60)
        os.kill(first.status().flow("in-seen").pid, signal.SIGKILL)
        wait_until(lambda: first.status().flow("in-seen").restarts == 1)
        received = second.status().routine("seen").received
        wait_until(lambda: second.status().routine("seen").received > received + 10)
        assert [flow.restarts for flow in second.status().flows] == [0, 0]


def test_pipes_are_built_run_and_ended_from_many_threads_at_once():
    results: dict[int, list[int]] = {}

    def run(number: int) -> None:
        for _ in range(3):
            seen = CollectingDestination("seen")
            pipe = Pipe(lossless=True)
            pipe.create_flow("in", False, numbers := ListSource(range(100 * number), "numbers"))
            pipe.create_flow("out", False, seen)
            pipe.link(Wire(numbers, (seen,)))
            assert pipe.run(timeout=60).reason == "finished"
            results[number] = seen.items()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {number: list(range(100 * number)) for number in range(1, 6)}


def test_a_pipe_may_be_ended_by_another_thread_than_the_one_that_started_it(chain):
    pipe = chain(Endless("numbers"), CollectingDestination("seen"))
    starter = threading.Thread(target=pipe.notify_event, args=("start",), kwargs={"wait": 60})
    starter.start()
    starter.join()
    wait_until(lambda: pipe.status().routine("seen").received > 10)
    ender = threading.Thread(target=pipe.join, args=(True,))
    ender.start()
    ender.join(60)
    assert {flow.state for flow in pipe.status().flows} == {"ended"}


def test_events_from_threads_while_the_pipe_ends_are_done_or_refused_never_worse(chain):

    strange: list[BaseException] = []

    def send(pipe: Pipe, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                pipe.notify_event("start")
                pipe.notify_event("start", {"in-seen": []}, wait=1)
                pipe.status()
            except PipertError:
                return
            except BaseException as error:
                strange.append(error)
                return

    for _ in range(5):
        pipe, stop = chain(Endless("numbers"), CollectingDestination("seen")), threading.Event()
        pipe.build()
        threads = [threading.Thread(target=send, args=(pipe, stop)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda pipe=pipe: pipe.status().routine("seen").received > 5)
        pipe.join(to_kill=True)
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not strange


PIPE_IN_A_PROCESS = """
from pipert2 import *
from pipert2.testing import CollectingDestination
@source(name="numbers")
def numbers():
    yield from range(500)
for _ in range(3):
    seen = CollectingDestination("seen")
    pipe = Pipe(lossless=True)
    pipe.create_flow("in", False, source(numbers.function, name="numbers"))
    pipe.create_flow("out", False, seen)
    pipe.link(Wire(pipe.blueprint.flows["in"][0], (seen,)))
    assert pipe.run().ok
    assert seen.items() == list(range(500))
    del seen
print("done")
"""


def test_pipes_in_several_processes_at_once_do_not_disturb_each_other(scripts):
    started = [scripts.start(PIPE_IN_A_PROCESS, name=f"script_{number}.py") for number in range(4)]
    assert [scripts.finish(process) for process in started] == ["done\n"] * 4


def test_routines_without_names_never_collide_in_many_pipes():
    pipes = []
    for _ in range(3):
        pipe = Pipe(lossless=True)
        pipe.create_flow("one", True, ListSource([1]), CollectingDestination())
        pipe.create_flow("two", True, ListSource([2]), CollectingDestination())
        pipes.append(pipe)
    for pipe in pipes:
        assert pipe.run(timeout=60).ok
        assert len({routine.name for routine in pipe.status().routines}) == 4
