"""What a routine may carry into its flow's process, and what it is told about the rest."""

from __future__ import annotations

import collections
import functools
import multiprocessing
import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import DestinationRoutine, Pipe, PipeBuildError, PipeState, SourceRoutine, Wire, destination, source
from pipert2.testing import CollectingDestination, ListSource, wait_until

forkserver = multiprocessing.get_context("forkserver")
METHODS = multiprocessing.get_all_start_methods()


class Carries(DestinationRoutine):
    """A routine with whatever attributes a test gives it; hands each message and itself to *act*."""

    def __init__(self, act: Any = None, name: str | None = None, **attributes: Any) -> None:
        super().__init__(name)
        self.act = act
        vars(self).update(attributes)

    def main_logic(self, data: Any) -> None:
        self.act(self, data)


# ------------------------------------------------------------------------------------------------ what travels


def test_lambdas_closures_and_partials_travel(chain, journal):
    offset = 100
    sink = Carries(
        lambda self, data: journal.note(self.double(data), self.closure(data), self.partial(data)),
        double=lambda n: 2 * n,
        closure=lambda n: n + offset,
        partial=functools.partial(pow, 2),
    )
    assert chain(ListSource([3], "numbers"), sink, lossless=True).run(timeout=60).ok
    assert journal.lines() == ["6 103 8"]


def test_multiprocessing_values_events_locks_and_queues_travel(chain):
    total, done, queue = forkserver.Value("q", 0), forkserver.Event(), forkserver.Queue()
    pool = forkserver.Array("d", 3)
    reader, writer = forkserver.Pipe(duplex=False)

    def act(self: Any, data: int) -> None:
        with self.lock, self.total.get_lock():
            self.total.value += data
        self.pool[data % 3] += data
        if data == 9:
            self.queue.put(("sum", self.total.value))
            self.writer.send("through the pipe")
            self.done.set()

    sink = Carries(act, total=total, done=done, queue=queue, pool=pool, writer=writer, lock=forkserver.Lock())
    with chain(ListSource(range(10), "numbers"), sink, lossless=True) as pipe:
        pipe.notify_event("start")
        assert done.wait(60)
        assert queue.get(timeout=60) == ("sum", 45)
        assert reader.poll(10)
        assert reader.recv() == "through the pipe"
    assert total.value == 45
    assert list(pool) == [18.0, 12.0, 15.0]
    queue.close()
    queue.join_thread()
    reader.close()
    writer.close()


def test_one_value_is_shared_by_routines_of_different_flows():
    total = forkserver.Value("q", 0)

    def act(self: Any, data: int) -> None:
        with self.total.get_lock():
            self.total.value += data

    numbers, first, second = ListSource([1] * 100, "numbers"), Carries(act, "first"), Carries(act, "second")
    first.total = second.total = total
    pipe = Pipe(lossless=True)
    for routine in (numbers, first, second):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(numbers, (first, second)))
    assert pipe.run(timeout=60).ok
    assert total.value == 200


def test_ordinary_objects_travel(chain, journal):
    Point = collections.namedtuple("Point", "x y")
    sink = Carries(
        lambda self, data: journal.note(self.array.sum(), self.pattern.pattern, self.path.name, self.point.y, self.top),
        array=np.arange(5),
        pattern=re.compile("a+"),
        path=Path("/some/where"),
        point=Point(1, 2),
        top=type("Local", (), {"__repr__": lambda self: "local"})(),
    )
    assert chain(ListSource([0], "numbers"), sink, lossless=True).run(timeout=60).ok
    assert journal.lines() == ["10 a+ where 2 local"]


class ForgetsSuper(DestinationRoutine):
    """Its __init__ does not call super().__init__()."""

    def __init__(self, journal: Any) -> None:
        self.journal = journal

    def main_logic(self, data: object) -> None:
        self.journal.note(self.name, data)


def test_routines_that_forget_super_init_get_names_and_run(journal):
    pipe = Pipe(lossless=True)
    numbers, first, second = ListSource([1]), ForgetsSuper(journal), ForgetsSuper(journal)
    pipe.create_flow("one", True, numbers, first)
    pipe.create_flow("two", False, second)
    pipe.link(Wire(numbers, (second,)))
    assert pipe.run(timeout=60).ok
    assert len({line.split()[0] for line in journal.lines()}) == 2


def test_what_a_routine_changes_in_its_flow_stays_there(chain, journal):
    def act(self: Any, data: int) -> None:
        self.seen.append(data)
        journal.note(len(self.seen))

    sink = Carries(act, seen=[])
    assert chain(ListSource(range(3), "numbers"), sink, lossless=True).run(timeout=60).ok
    assert journal.lines() == ["1", "2", "3"]
    assert sink.seen == []


# ------------------------------------------------------------------------------------------------ what does not


def fork() -> Any:
    return multiprocessing.get_context("fork")


CANNOT_TRAVEL = {
    "lock": threading.Lock,
    "generator": lambda: (number for number in range(3)),
    "file": lambda: Path(os.devnull).open("w"),  # noqa: SIM115
    "value": lambda: fork().Value("q", 0),
    "queue": lambda: fork().Queue(),
    "event": lambda: fork().Event(),
}


@pytest.mark.skipif("fork" not in METHODS, reason="needs objects of the fork start method")
@pytest.mark.parametrize("name", CANNOT_TRAVEL)
def test_an_attribute_that_cannot_travel_is_named_when_the_pipe_is_built(chain, name):
    value = CANNOT_TRAVEL[name]()
    sink = Carries(lambda self, data: None, "sink", **{name: value})
    pipe = chain(ListSource([1], "numbers"), sink)
    with pytest.raises(PipeBuildError) as caught:
        pipe.build()
    assert len(caught.value.problems) == 1
    assert f"Carries 'sink': its attribute '{name}'" in str(caught.value)
    assert "make it in setup()" in str(caught.value)
    assert ('multiprocessing.get_context("forkserver")' in str(caught.value)) == (name in {"value", "queue", "event"})
    assert pipe.status().state is PipeState.NEW
    if name in {"file", "queue"}:
        value.close()


def test_an_attribute_deep_inside_another_is_found_by_its_outermost_name(chain):
    sink = Carries(lambda self, data: None, "sink", settings={"a": [1, {"b": threading.RLock()}]})
    with pytest.raises(PipeBuildError, match=r"'sink': its attribute 'settings'"):
        chain(ListSource([1], "numbers"), sink).build()


def test_every_attribute_that_cannot_travel_is_named_at_once(chain):
    sink = Carries(lambda self, data: None, "sink", one=threading.Lock(), two=threading.Lock(), three=3)
    with pytest.raises(PipeBuildError) as caught:
        chain(ListSource([1], "numbers"), sink).build()
    assert len(caught.value.problems) == 2
    assert "'one'" in caught.value.problems[0]
    assert "'two'" in caught.value.problems[1]


def test_a_function_that_uses_something_that_cannot_travel_is_named(chain):
    lock = threading.Lock()

    @destination
    def locked(data: object) -> None:
        with lock:
            pass

    with pytest.raises(PipeBuildError, match="'locked'"):
        chain(ListSource([1], "numbers"), locked).build()


def test_a_socket_travels_or_is_refused_by_name(chain, journal):
    ours, theirs = socket.socketpair()
    sink = Carries(lambda self, data: self.socket.send(b"hello"), "sink", socket=theirs)
    try:
        assert chain(ListSource([1], "numbers"), sink, lossless=True).run(timeout=60).errors == 0
        assert ours.recv(5) == b"hello"
    except PipeBuildError as error:
        assert "'sink': its attribute 'socket'" in str(error)  # noqa: PT017
    finally:
        ours.close()
        theirs.close()


def test_after_a_refusal_the_attribute_can_be_removed_and_the_pipe_built(chain):
    sink = Carries(lambda self, data: None, "sink", lock=threading.Lock())
    pipe = chain(ListSource(range(3), "numbers"), sink, lossless=True)
    with pytest.raises(PipeBuildError):
        pipe.build()
    del sink.lock
    assert pipe.run(timeout=60).ok


# ------------------------------------------------------------------------------------------------ start methods


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_every_start_method_runs_a_pipe(chain, method):
    offset = 10
    seen = CollectingDestination("seen")

    @source(name="numbers")
    def numbers():
        yield from (n + offset for n in range(100))

    assert chain(numbers, seen, lossless=True, start_method=method).run(timeout=60).ok
    assert seen.items() == list(range(10, 110))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_every_start_method_shares_values_of_its_own_context(chain, method):
    context = multiprocessing.get_context(method)
    total = context.Value("q", 0)

    def act(self: Any, data: int) -> None:
        self.total.value += data

    pipe = chain(ListSource(range(10), "numbers"), Carries(act, total=total), lossless=True, start_method=method)
    assert pipe.run(timeout=60).ok
    assert total.value == 45


def test_an_unknown_start_method_is_refused_with_the_known_ones(chain):
    with pytest.raises(ValueError, match=r"'forkserver'.*not 'fork-server'"):
        chain(ListSource([1], "numbers"), CollectingDestination("seen"), start_method="fork-server").build()


# ------------------------------------------------------------------------------------------------ processes of routines


class Pooled(DestinationRoutine):
    """Works with a pool of processes of its own."""

    def __init__(self, journal: Any, name: str) -> None:
        super().__init__(name)
        self.journal = journal

    def setup(self) -> None:
        self.pool = multiprocessing.get_context("fork").Pool(2)

    def main_logic(self, data: list[float]) -> None:
        self.journal.note(self.pool.map(abs, data))

    def cleanup(self) -> None:
        self.pool.close()
        self.pool.join()


@pytest.mark.skipif("fork" not in METHODS, reason="the pool forks")
def test_a_routine_may_have_a_multiprocessing_pool(chain, journal):
    lists = ListSource([[-1, 2], [3, -4], [-5, -6]], "lists")
    assert chain(lists, Pooled(journal, "pooled"), lossless=True).run(timeout=60).ok
    assert journal.lines() == ["[1, 2]", "[3, 4]", "[5, 6]"]


class Runs(DestinationRoutine):
    """Runs another program."""

    def __init__(self, journal: Any, name: str) -> None:
        super().__init__(name)
        self.journal = journal

    def main_logic(self, data: str) -> None:
        import subprocess

        self.journal.note(subprocess.run(["echo", data], capture_output=True, text=True, check=True).stdout.strip())


def test_a_routine_may_run_other_programs(chain, journal):
    assert chain(ListSource(["hello"], "words"), Runs(journal, "runs"), lossless=True).run(timeout=60).errors == 0
    assert journal.lines() == ["hello"]


class Threaded(SourceRoutine):
    """Has a camera thread of its own that sleeps by ``self.wait`` and looks at the routine's events."""

    def setup(self) -> None:
        self.newest = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.film)
        self.thread.start()

    def film(self) -> None:
        while not self.wait(0.001):
            self.newest += 1
        self.ended.set()

    def main_logic(self) -> int:
        self.wait(0.001)
        return self.newest

    def cleanup(self) -> None:
        assert self.ended.wait(60)
        self.thread.join()


def test_a_routines_own_threads_may_wait_and_are_told_to_stop(chain):
    seen = CollectingDestination("seen")
    with chain(Threaded("camera"), seen, lossless=True) as pipe:
        for _ in range(3):
            pipe.notify_event("start", wait=60)
            count = len(seen.items())
            wait_until(lambda count=count: len(seen.items()) > count + 50)
            pipe.notify_event("stop", wait=60)
            assert pipe.status().routine("camera").errors == 0


class Watching(DestinationRoutine):
    """Its thread sleeps by ``self.wait`` while messages come in."""

    def setup(self) -> None:
        self.thread = threading.Thread(target=lambda: [None for _ in iter(lambda: self.wait(30), True)])
        self.thread.start()

    def main_logic(self, data: object) -> None:
        pass

    def cleanup(self) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_a_thread_that_waits_takes_no_messages_and_is_told_of_the_end(chain):
    summary = chain(ListSource(range(2000), "numbers"), Watching("watching"), lossless=True).run(timeout=60)
    assert {routine.name: routine.received for routine in summary.routines}["watching"] == 2000
    assert (summary.reason, summary.errors) == ("finished", 0)
