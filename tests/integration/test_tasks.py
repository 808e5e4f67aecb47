"""Distribute and collect as py-zmq-pipeline does it: workers, dependencies, late parameters, what must arrive once."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    PipeClient,
    RPCPipeWrapper,
    SourceRoutine,
    Wire,
    destination,
    events,
    middle,
    source,
)
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.service import ControlService
from pipert2.store import Store
from pipert2.testing import CollectingDestination, ListSource, wait_until


class Work(MiddleRoutine):
    """Takes as long as it is told to, perhaps together with the other one; tells who did it."""

    seconds = 0.0
    both: Any = None

    def main_logic(self, number: int) -> Any:
        if self.both is not None:
            self.both.wait(60.0)
        if self.seconds:
            time.sleep(self.seconds)  # the work itself
        return number, os.getpid()


class Collector(CollectingDestination):
    """Keeps a line for its finish hook as well."""

    def cleanup(self) -> None:
        super().main_logic("finished")
        super().cleanup()


# --- C-1


@pytest.mark.parametrize(("tasks", "seconds"), [(100, 0.01), (4, 0.5), (20_000, 0.0)])
def test_all_tasks_are_collected_once_and_the_hook_comes_last(tasks: int, seconds: float) -> None:
    """C-1: 100 tasks of 10 ms, 4 long ones, 20,000 that are empty; each of two workers has its share.

    The hundred are begun in pairs: that comes to its end only if each worker is given half of them.
    """
    pipe, numbers, work, end = Pipe(lossless=True), ListSource(list(range(tasks)), "tasks"), Work("work"), Collector()
    work.seconds = seconds
    if tasks == 100:
        work.both = multiprocessing.get_context("forkserver").Barrier(2)
    pipe.create_flow("distributor", True, numbers)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("collector", True, end)
    pipe.link(Wire(numbers, work), Wire(work, end))
    with pipe:
        pipe.notify_event("start", {"workers": []}, wait=60)  # so that none begins before the other
        summary = pipe.run(timeout=100)
    *found, last = end.items()
    assert last == "finished"
    assert sorted(number for number, _ in found) == list(range(tasks))
    shares = Counter(pid for _, pid in found)
    assert len(shares) == 2
    if tasks == 100:
        assert set(shares.values()) == {50}
    assert summary.ok
    assert {flow.last_exit for flow in summary.flows} <= {None, "exit code 0"}, "nobody had to be killed"


# --- C-2


def test_each_thread_of_each_worker_is_prepared_once_and_sees_the_parameters() -> None:
    """C-2: ten threads in each of two processes; a rendezvous of ten shows that all of them work at once."""

    class Threads(MiddleRoutine):
        concurrency = 10

        def setup(self) -> None:
            self.local = threading.local()
            self.together = threading.Barrier(10)
            self.setups: list[str] = []

        def setup_thread(self) -> None:
            self.local.seen = self.parameters["meta_variable"]
            self.setups.append(threading.current_thread().name)

        def main_logic(self, number: int) -> Any:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.together.wait(20.0 if number < 40 else 0.001)
            return number, os.getpid(), threading.current_thread().name, self.local.seen, tuple(self.setups)

    pipe, work, end = Pipe(lossless=True, requires=("meta_variable",)), Threads("work"), CollectingDestination("end")
    tasks = ListSource(list(range(200)), "tasks")
    pipe.create_flow("distributor", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("collector", True, end)
    pipe.link(Wire(tasks, work), Wire(work, end))
    pipe.set_parameters(meta_variable="my value")
    with pipe:
        pipe.notify_event("start", {"workers": []}, wait=60)  # so that none begins before the other
        assert pipe.run(timeout=100).ok
    found = end.items()
    assert sorted(number for number, *_ in found) == list(range(200))
    names = {(pid, name) for _, pid, name, _, _ in found}
    shares = Counter(pid for pid, _ in names)
    assert max(shares.values()) == 10
    assert len(shares) == 2
    for _, _, _, seen, setups in found:
        assert seen == "my value"
        assert len(setups) == len(set(setups)) == 10


# --- C-3


class Stamped(DestinationRoutine):
    """Notes when what it collects is done; the clock is the same in all processes of the machine."""

    def main_logic(self, item: Any) -> None:
        kind, began = item
        time.sleep(0.005)  # an acknowledgement that comes late
        self.store.add("done", [kind, began, time.monotonic()])


def batch(pipe: Pipe, kind: str, count: int, *depends_on: str, meets: str = "", fails: bool = False) -> None:
    """A flow of tasks, one of workers and one of a collector; *meets*: the first task waits for that kind to begin."""

    @middle(name=f"{kind}-work")
    def work(self: Any, number: int) -> Any:
        began = time.monotonic()
        self.store.add("began", kind)
        if fails and number == 3:
            raise ValueError("for good")
        if meets and number == 0:
            wait_until(lambda: any(record.data == meets for record in self.store.records("began")), 60)
        return kind, began

    tasks, end = ListSource(list(range(count)), f"{kind}-tasks"), Stamped(f"{kind}-end")
    pipe.create_flow(kind, True, tasks, depends_on=depends_on)
    pipe.create_flow(f"{kind}-workers", True, work, replicas=2)
    pipe.create_flow(f"{kind}-collector", True, end)
    pipe.link(Wire(tasks, work), Wire(work, end))


def times(store: Store) -> Callable[[str], tuple[float, float]]:
    """By kind, when its first task began and when its last one was done."""
    found = [record.data for record in store.records("done")]
    return lambda kind: (
        min(began for name, began, _ in found if name == kind),
        max(done for name, _, done in found if name == kind),
    )


def test_the_second_task_begins_when_all_of_the_first_is_acknowledged(tmp_path: Path) -> None:
    """C-3: 20 items of the one on two replicas, then 20 of the other."""
    pipe = Pipe(lossless=True, store=tmp_path / "run.db")
    batch(pipe, "second", 20, "first")
    batch(pipe, "first", 20)
    assert pipe.run(timeout=100).ok
    with Store(tmp_path / "run.db") as store:
        assert Counter(record.data[0] for record in store.records("done")) == {"first": 20, "second": 20}
        of = times(store)
        assert of("second")[0] >= of("first")[1]


def test_of_a_diamond_the_two_in_the_middle_run_at_once_and_the_last_one_last(tmp_path: Path) -> None:
    """C-3: a -> (b, c) -> d; b and c wait for each other, so they can only be done if they overlap."""
    pipe = Pipe(lossless=True, store=tmp_path / "run.db")
    batch(pipe, "a", 5)
    batch(pipe, "b", 5, "a", meets="c")
    batch(pipe, "c", 5, "a", meets="b")
    batch(pipe, "d", 5, "b", "c")
    assert pipe.run(timeout=100).ok
    with Store(tmp_path / "run.db") as store:
        of = times(store)
        assert min(of("b")[0], of("c")[0]) >= of("a")[1]
        assert of("d")[0] >= max(of("b")[1], of("c")[1])
        assert store.count("done") == 20


@pytest.mark.expects_errors
def test_what_depends_on_something_that_failed_for_good_never_starts_and_the_summary_says_why(tmp_path: Path) -> None:
    """C-3: one of the first task's items is given up."""
    pipe = Pipe(lossless=True, store=tmp_path / "run.db")
    batch(pipe, "first", 10, fails=True)
    batch(pipe, "second", 10, "first")
    summary = pipe.run(timeout=100)
    assert not summary.ok
    assert "flow 'second' never started: it depends on 'first', of which one message was given up" in summary.reason
    with Store(tmp_path / "run.db") as store:
        assert {record.data for record in store.records("began")} == {"first"}
        assert store.count("done") == 9


def test_a_task_without_a_worker_holds_up_no_other(tmp_path: Path) -> None:
    """C-4: independent flows do not block each other: one has nobody who takes its tasks, the other one is done."""
    pipe = Pipe(lossless=True, store=tmp_path / "run.db")
    batch(pipe, "idle", 50)
    batch(pipe, "busy", 50)
    store = pipe.store
    assert store is not None
    with pipe:
        for flow in ("idle", "busy", "busy-workers", "busy-collector"):
            pipe.notify_event("start", {flow: []})
        wait_until(lambda: store.count("done") == 50, 60)
        assert pipe.status().routine("idle-work").received == 0
        assert not pipe.status().routine("idle-work").errors
    store.close()


# --- C-5


def test_a_worker_that_is_killed_in_the_midst_of_a_task_is_made_up_for(caplog: pytest.LogCaptureFixture) -> None:
    """C-5: 40 tasks, one of two workers gets a SIGKILL: its task has a second attempt, and is done once."""

    class Dies(MiddleRoutine):
        def main_logic(self, number: int) -> Any:
            if number == 10 and self.message.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.01)  # the work itself
            return number, self.message.attempt

    pipe, tasks, work, end = Pipe(lossless=True), ListSource(list(range(40)), "tasks"), Dies("work"), Collector("end")
    pipe.create_flow("distributor", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("collector", True, end)
    pipe.link(Wire(tasks, work), Wire(work, end))
    summary = pipe.run(timeout=60)
    caplog.clear()  # that it died is logged, as it should be
    assert summary.ok
    *found, _ = end.items()
    assert sorted(number for number, _ in found) == list(range(40))
    assert dict(found)[10] == 2


def test_a_task_that_was_acknowledged_and_is_sent_again_is_not_executed_and_counted(tmp_path: Path) -> None:
    """C-5: the same ids again, in the same run and in the next one."""

    class Once(DestinationRoutine):
        def idempotency_key(self, task: Any) -> str:
            return str(task["id"])

        def main_logic(self, task: Any) -> None:
            self.store.add("executed", task["id"])

    for run, duplicates in ((1, 20), (2, 40)):
        pipe, work = Pipe("once", lossless=True, store=tmp_path / "run.db"), Once("work")
        tasks = ListSource([{"id": number % 20} for number in range(40)], "tasks")
        pipe.create_flow("distributor", True, tasks)
        pipe.create_flow("workers", True, work)
        pipe.link(Wire(tasks, work))
        summary = pipe.run(timeout=60)
        assert summary.ok, run
        status = {one.name: one for one in summary.routines}["work"]
        assert (status.received, status.duplicates) == (40, duplicates)
    with Store(tmp_path / "run.db") as store:
        assert sorted(record.data for record in store.records("executed")) == list(range(20))


# --- C-6


class Meta(DestinationRoutine):
    """What its threads see of the pipe's parameters when they are prepared, in tasks, and when they change."""

    concurrency = 2

    def setup_thread(self) -> None:
        self.store.add("setup", self.parameters["meta_variable"])

    @events("parameters")
    def changed(self, meta_variable: str, **more: Any) -> None:
        self.store.add("event", [os.getpid(), meta_variable])

    def main_logic(self, number: int) -> None:
        began = time.monotonic()
        self.store.add("task", [os.getpid(), self.parameters["meta_variable"], began])
        self.wait(0.05)  # longer than all threads of one process can keep up with: then all processes have tasks


class Endless(SourceRoutine):
    def main_logic(self) -> int:
        self.wait(0.002)
        return 1


@pytest.mark.parametrize("face", ["python", "http", "zerorpc"])
def test_parameters_that_come_late_reach_everybody_from_each_face(tmp_path: Path, face: str) -> None:
    """C-6: no task before the value is there; setups, tasks and a replica that comes later see it, and an update."""
    pipe = Pipe("late", lossless=True, requires=("meta_variable",), store=tmp_path / "run.db")
    tasks, work = Endless("tasks"), Meta("work")
    pipe.create_flow("distributor", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.link(Wire(tasks, work))
    store = pipe.store
    assert store is not None
    with contextlib.ExitStack() as stack:
        stack.enter_context(pipe)
        set_value = _setter(stack, pipe, face)
        pipe.notify_event("start", wait=60)
        assert pipe.status().flow("workers").waits_for == ("parameter 'meta_variable'",)
        assert (store.count("task"), store.count("setup")) == (0, 0)
        set_value("my value")
        wait_until(lambda: len({record.data[0] for record in store.records("task")}) == 2, 60)
        assert [record.data for record in store.records("setup")] == ["my value"] * 4
        pipe.set_replicas("workers", 3)
        wait_until(lambda: len({record.data[0] for record in store.records("task")}) == 3, 60)
        assert [record.data for record in store.records("setup")] == ["my value"] * 6
        before = store.position()
        set_value("another")
        wait_until(lambda: len([one for one in store.records("event") if one.data[1] == "another"]) == 3, 60)
        assert {record.data[1] for record in store.records("task") if record.id <= before} == {"my value"}
        at, since = store.position(), time.monotonic()  # the clock is the same in all processes of the machine
        wait_until(lambda: store.count("task", after=at) > 20, 60)
        pipe.notify_event("stop", wait=60)
        late = [value for _, value, began in (record.data for record in store.records("task")) if began > since]
        assert len(late) > 10
        assert set(late) == {"another"}
        told = Counter(record.data[0] for record in store.records("event") if record.data[1] == "another")
        assert sorted(told.values()) == [1, 1, 1]
    store.close()


def _setter(stack: contextlib.ExitStack, pipe: Pipe, face: str) -> Callable[[str], Any]:
    if face == "python":
        return lambda value: pipe.set_parameters(meta_variable=value)
    if face == "http":
        service = stack.enter_context(ControlService(pipe))
        server = stack.enter_context(ControlServer(service, tokens=Tokens.none(), announce=False, port=0))
        client = stack.enter_context(PipeClient(server.url))
        return lambda value: client.set_shared_parameters({"meta_variable": value})
    wrapper = stack.enter_context(RPCPipeWrapper(pipe))
    wrapper.start_rpc_server(endpoint="tcp://127.0.0.1:*")
    command = [sys.executable, "-m", "pipert2.control.rpc.command", "-j", "-pj", str(wrapper.endpoint)]

    def call(value: str) -> None:
        values = json.dumps({"meta_variable": value})
        subprocess.run([*command, "set_shared_parameters", values], check=True, capture_output=True, timeout=60)

    return call


def test_parameters_that_never_come_are_one_clear_error_after_the_time_given() -> None:
    """C-6: ``timeout`` and no parameters."""
    pipe = Pipe(lossless=True, requires=("meta_variable",))
    pipe.create_flow("all", True, ListSource([1], "tasks"), CollectingDestination("end"))
    summary = pipe.run(timeout=0.2)
    assert not summary.ok
    assert summary.reason == "timeout, flow 'all' still waits for parameter 'meta_variable'"
    assert summary.routines[0].sent == 0


# --- what is wrong, and who is killed


@pytest.mark.expects_errors
def test_a_collector_that_is_killed_in_the_midst_has_all_results_in_the_store(tmp_path: Path) -> None:
    """C, extra: the collector is killed while it keeps result 30 of 60; it is done again under the same key."""

    class Keeps(DestinationRoutine):
        def main_logic(self, number: int) -> None:
            self.store.put("result", number, {"number": number})
            if number == 30 and self.message.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    pipe, tasks, keeps = Pipe(lossless=True, store=tmp_path / "run.db"), ListSource(list(range(60)), "tasks"), Keeps()
    echo = middle(lambda number: number, name="echo")
    pipe.create_flow("distributor", True, tasks)
    pipe.create_flow("workers", True, echo, replicas=2)
    pipe.create_flow("collector", True, keeps)
    pipe.link(Wire(tasks, echo), Wire(echo, keeps))
    assert pipe.run(timeout=60).ok
    with Store(tmp_path / "run.db") as store:
        assert sorted(int(record.data["number"]) for record in store.records("result")) == list(range(60))


@pytest.mark.expects_errors
@pytest.mark.parametrize("bad", [threading.Lock, sys._getframe], ids=["lock", "frame"])
def test_a_result_that_cannot_be_sent_is_one_dead_letter_and_the_others_arrive(bad: Callable[[], Any]) -> None:
    """C, extra: what a routine returns cannot be pickled."""

    @middle(name="work")
    def work(number: int) -> Any:
        return bad() if number == 7 else number

    pipe, tasks, end = Pipe(lossless=True), ListSource(list(range(20)), "tasks"), CollectingDestination("end")
    pipe.create_flow("distributor", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("collector", True, end)
    pipe.link(Wire(tasks, work), Wire(work, end))
    summary = pipe.run(timeout=60)
    assert not summary.ok
    (letter,) = pipe.dead_letters()
    assert (letter.routine, letter.data) == ("work", 7)
    assert "cannot" in letter.reason
    assert sorted(end.items()) == [number for number in range(20) if number != 7]


@pytest.mark.expects_errors
def test_a_source_that_is_killed_while_it_waits_for_a_result_begins_anew_and_gets_its_own_results(
    tmp_path: Path,
) -> None:
    """``result = yield item``: the process of the source dies in the midst; its results do not reach the new."""

    @source(name="sums", max_in_flight=1)
    def sums(self: Any) -> Any:
        life = self.store.add("life", os.getpid())
        total = 0
        for number in range(30):
            result = yield life, number, total
            self.store.add("result", [life, number, result])
            total = result[2]

    @destination(name="adds")
    def adds(self: Any, item: Any) -> Any:
        life, number, total = item
        if number == 15 and self.store.count("life") == 1:
            os.kill(self.store.record(life).data, signal.SIGKILL)  # whoever waits for this result
            time.sleep(0.05)  # the result comes when the source is dead
        return life, number, total + number

    pipe = Pipe(lossless=True, store=tmp_path / "run.db")
    pipe.create_flow("first", True, sums)
    pipe.create_flow("last", True, adds)
    pipe.link(Wire(sums, adds))
    assert pipe.run(timeout=60).ok
    with Store(tmp_path / "run.db") as store:
        assert store.count("life") == 2
        old, new = (record.id for record in store.records("life"))
        found = [record.data for record in store.records("result")]
    assert [number for life, number, _ in found if life == old] == list(range(15))
    assert [number for life, number, _ in found if life == new] == list(range(30))
    assert all(list(result) == [life, number, sum(range(number + 1))] for life, number, result in found)


def test_a_source_that_is_stopped_while_it_waits_for_a_result_begins_anew_with_its_own_results(tmp_path: Path) -> None:
    """``result = yield item``: a stop in the midst, then a start: the result of the item before is nobody's."""

    @source(name="sums", max_in_flight=1)
    def sums(self: Any) -> Any:
        life = self.store.add("life", None)
        for number in range(5):
            result = yield life, number
            self.store.add("result", [life, number, result])
        while True:
            yield None
            self.wait(0.01)

    @destination(name="echo")
    def echo(self: Any, item: Any) -> Any:
        self.store.add("got", item)
        if item[1] == 2 and self.store.count("life") == 1:
            wait_until(lambda: self.store.count("stopping"), 60)
            time.sleep(0.05)  # so that the source has been stopped, or waits for that
        return item

    pipe = Pipe(lossless=True, store=tmp_path / "run.db")
    pipe.create_flow("first", True, sums)
    pipe.create_flow("last", True, echo)
    pipe.link(Wire(sums, echo))
    store = pipe.store
    assert store is not None
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: store.count("got") == 3, 60)
        store.add("stopping", None)
        pipe.notify_event("stop", {"first": []}, wait=60)
        pipe.notify_event("start", {"first": []}, wait=60)
        wait_until(lambda: store.count("got") >= 8, 60)
        wait_until(lambda: store.count("result") >= 7, 60)
        assert pipe.status().routine("sums").errors == 0
    found = [record.data for record in store.records("result")]
    assert all(list(result) == [life, number] for life, number, result in found)
    store.close()
