"""Staged analyses as MASS runs them: async stages, replicas that die, failures that become reports, wrong wiring."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    AtStart,
    DestinationRoutine,
    Job,
    MiddleRoutine,
    Pipe,
    PipeBuildError,
    PipeClient,
    SourceRoutine,
    Wire,
    events,
    middle,
)
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.service import ControlService
from pipert2.store import Store
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.integration.conftest import Scripts


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes a client of a pipe that is served over HTTP."""
    with contextlib.ExitStack() as stack:

        def serve(pipe: Pipe) -> PipeClient:
            service = stack.enter_context(ControlService(pipe))
            server = stack.enter_context(ControlServer(service, tokens=Tokens.none(), announce=False, port=0))
            return stack.enter_context(PipeClient(server.url))

        yield serve


# --- a replica is killed in the middle of an item


class Analyse(MiddleRoutine):
    def __init__(self, name: str, processes: Path) -> None:
        super().__init__(name)
        self.processes = processes

    def main_logic(self, number: int) -> Any:
        (self.processes / str(os.getpid())).touch()
        if number == 20 and self.message.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        wait_until(lambda: number < 40 or len(list(self.processes.iterdir())) == 3, what="the new process")
        time.sleep(0.02)  # the work itself
        return number, self.message.attempt, os.getpid()


@pytest.mark.expects_errors
def test_a_replica_that_died_is_told_once_in_the_log_as_an_event_and_over_http(
    client: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A-3: 60 items on two replicas, one of which is killed in the midst of an item."""
    pipe = Pipe("analysis", lossless=True)
    tasks, work, reports = (
        ListSource(list(range(60)), "tasks"),
        Analyse("work", tmp_path),
        CollectingDestination("reports"),
    )
    pipe.create_flow("tasks", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("reports", True, reports)
    pipe.link(Wire(tasks, work), Wire(work, reports))
    with pipe:
        face = client(pipe)
        pipe.notify_event("start", {"workers": []}, wait=60)
        first = {pipe.status().flow(name).pid for name in ("workers", "workers#2")}
        summary = pipe.run(timeout=60)
        (told,) = [one for one in face.notices(limit=10_000).notices if one.name == "routine_restarted"]
    assert summary.ok
    found = reports.items()
    assert Counter(number for number, *_ in found).keys() == set(range(60))
    assert len(found) <= 61
    assert [attempt for number, attempt, _ in found if number == 20] == [2]
    assert {pid for *_, pid in found} - first, "the new process has done some"
    assert (told.values["flow"], told.values["routine"], told.values["restarts"]) == ("workers", "work", 1)
    assert told.values["replica"] in (0, 1)
    assert "SIGKILL" in told.values["cause"]
    (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "restarted" in logged.getMessage()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_end_in_the_midst_leaves_what_was_in_hand_unacknowledged_and_no_process(
    scripts: Scripts, number: int, code: int
) -> None:
    """A-3, extra: SIGINT: exit code 130, all processes gone. A-6: kill -9. Who begins anew finds what was not done."""
    script = """
        import time
        from pathlib import Path
        from pipert2 import Pipe, Wire, destination, middle, source

        @source
        def tasks(self):
            for number in range(1000):
                if self.store.get("report", number) is None:
                    yield number

        @middle
        def work(number):
            if Path("slowly").exists():  # a run that is to be ended in its midst
                time.sleep(0.02)
            return number

        @destination
        def report(self, number):
            self.store.put("report", number, "done")

        pipe = Pipe("analysis", lossless=True, store="run.db", drain_timeout=0.0)
        pipe.create_flow("tasks", True, tasks)
        pipe.create_flow("workers", True, work, replicas=2)
        pipe.create_flow("reports", True, report)
        pipe.link(Wire(tasks, work), Wire(work, report))
    """
    (scripts.folder / "analysis.py").write_text(textwrap.dedent(script))
    (scripts.folder / "slowly").touch()
    process = scripts.command("-m", "pipert2", "run", "analysis.py", "--no-api")
    path = scripts.folder / "run.db"
    wait_until(lambda: path.exists() and path.stat().st_size, 60)
    with Store(path) as store:
        wait_until(lambda: store.count("report") >= 10, 60)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, out + err
        assert 10 <= store.count("report") < 1000
        assert number == signal.SIGKILL or "SIGINT" in out + err
        (scripts.folder / "slowly").unlink()
        done = scripts.command("-m", "pipert2", "run", "analysis.py", "--no-api")
        out, err = done.communicate(timeout=60)
        assert done.returncode == 0, out + err
        assert store.count("report") == 1000


# --- async stages on one loop


class Stage(MiddleRoutine):
    """Awaits; counts how many of its kind are at it at once, and tells where it ran."""

    concurrency = 5

    async def setup(self) -> None:
        self.at_once = self.most = 0

    async def main_logic(self, item: Any) -> Any:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        return [*item, (os.getpid(), id(asyncio.get_running_loop()), self.most)]


def check_stages(found: list[Any]) -> None:
    assert sorted(number for number, *_ in found) == list(range(40))
    assert len({where[:2] for _, *places in found for where in places}) == 1, "one process and one loop for both"
    assert all(max(places[stage][2] for _, *places in found) == 5 for stage in (0, 1))


def test_two_async_stages_share_a_loop_and_a_blocking_neighbour_in_another_flow_does_not_hold_them_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A-4: all 40 reports are there before the neighbour's one call, which blocks until then, has ended."""

    class Blocks(SourceRoutine):
        trigger = AtStart()

        def main_logic(self) -> None:
            self.store.add("began", None)
            while self.store.count("all reported") == 0:
                time.sleep(0.01)  # it blocks its thread, and hears nothing
            self.store.add("ended", self.store.count("report"))

    class Keeps(CollectingDestination):
        def main_logic(self, item: Any) -> None:
            super().main_logic(item)
            self.store.add("report", None)
            if self.store.count("report") == 40:
                self.store.add("all reported", None)

    with caplog.at_level(logging.WARNING):
        pipe = Pipe(lossless=True, store=tmp_path / "run.db")
        tasks = ListSource([[number] for number in range(40)], "tasks")
        one, two, reports, blocks = Stage("one"), Stage("two"), Keeps("reports"), Blocks("blocks")
        pipe.create_flow("tasks", True, tasks)
        pipe.create_flow("stages", True, one, two)
        pipe.create_flow("reports", True, reports)
        pipe.create_flow("neighbour", True, blocks)
        pipe.link(Wire(tasks, one), Wire(two, reports))
        assert pipe.store is not None
        with pipe:
            pipe.notify_event("start", {"neighbour": []}, wait=60)
            wait_until(lambda: pipe.store.count("began"))
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.store.count("ended"), 60)
        assert [record.data for record in pipe.store.records("ended")] == [40]
        pipe.store.close()
    check_stages(reports.items())
    assert "blocked the event loop" not in caplog.text


def test_a_blocking_call_in_the_same_flow_is_named_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A-4: the blocking call is inside the async flow; everything is done nevertheless."""

    class Blocks(MiddleRoutine):
        async def main_logic(self, item: Any) -> Any:
            if item[0] == 7:
                time.sleep(2.0)  # what it is about: over a second, also for a watcher that looks late
            return item

    with caplog.at_level(logging.WARNING):
        pipe = Pipe(lossless=True)
        tasks = ListSource([[number] for number in range(40)], "tasks")
        one, blocks, two, reports = Stage("one"), Blocks("blocks"), Stage("two"), CollectingDestination("reports")
        pipe.create_flow("tasks", True, tasks)
        pipe.create_flow("stages", True, one, blocks, two)
        pipe.create_flow("reports", True, reports)
        pipe.link(Wire(tasks, one), Wire(two, reports))
        assert pipe.run(timeout=60).ok
    check_stages(reports.items())
    (warning,) = [one.getMessage() for one in caplog.records if "has blocked the event loop" in one.getMessage()]
    assert warning.startswith("blocks ")


# --- failure, retry, failed report


@pytest.mark.expects_errors
def test_a_job_that_fails_for_good_is_reported_as_failed_and_can_be_requeued_over_http(
    client: Any, tmp_path: Path
) -> None:
    """A-5: item 3 always raises, item 7 twice; retries = 2. Then the routine is mended and item 3 requeued."""

    class Analyses(MiddleRoutine):
        retries = 2
        mended = False

        def main_logic(self, job: Job) -> Job:
            self.store.add("attempt", job.data)
            if (job.data == 3 and not self.mended) or (job.data == 7 and self.message.attempt <= 2):
                raise ValueError("boom")
            self.report(job, attempt=self.message.attempt)
            return job

        @events("MEND")
        def mend(self) -> None:
            self.mended = True

    class Reports(DestinationRoutine):
        def main_logic(self, job: Job) -> None:
            self.store.add("report", {"number": job.data, **job.as_report()})

    class Requests(SourceRoutine):
        def setup(self) -> None:
            self.left = [Job(number) for number in range(20)]

        def main_logic(self) -> Any:
            if self.left:
                return self.left.pop(0)
            self.wait(60.0)
            return None

    pipe = Pipe("analysis", lossless=True, store=tmp_path / "run.db")
    requests, work, reports = Requests("requests"), Analyses("work"), Reports("reports")
    pipe.create_flow("requests", True, requests)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("reports", True, reports)
    pipe.link(Wire(requests, work), Wire(work, reports))
    store = pipe.store
    assert store is not None
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: store.count("report") == 20, 60)
        found = {record.data["number"]: record.data for record in store.records("report")}
        good = {number for number, one in found.items() if not one["failed"]}
        assert good == set(range(20)) - {3}
        assert found[7]["report"]["work"]["attempt"] == 3
        assert found[3]["tags"] == ["failed"]
        assert "ValueError: boom" in found[3]["error"]
        assert "Traceback" in str(found[3])
        assert [record.data for record in store.records("attempt")].count(3) == 3
        face = client(pipe)
        (letter,) = face.dead_letters().letters
        assert (letter.routine, letter.attempts) == ("work", 3)
        assert "ValueError: boom" in letter.reason
        pipe.notify_event("MEND", wait=60)
        assert face.requeue_dead_letter(letter.number).ok
        wait_until(lambda: store.count("report") == 21, 60)
        assert face.dead_letters().total == 0
        newest = list(store.records("report"))[-1].data
        assert (newest["number"], newest["failed"]) == (3, False)
        assert face.status().routine("work").state == "running"
    store.close()


# --- bad wiring fails at build


def _unknown_destination(pipe: Pipe) -> None:
    pipe.create_flow("all", True, ListSource([1], "tasks"), CollectingDestination("end"))
    pipe.link(Wire(pipe.routine("tasks"), CollectingDestination("nobody")))


def _duplicate_name(pipe: Pipe) -> None:
    pipe.create_flow("all", True, ListSource([1], "tasks"), CollectingDestination("tasks"))


def _connected_to_nothing(pipe: Pipe) -> None:
    pipe.create_flow("all", True, ListSource([1], "tasks"), CollectingDestination("end"))
    pipe.create_flow("lonely", False, CollectingDestination("nobody"))


def _destination_as_source(pipe: Pipe) -> None:
    end = CollectingDestination("end")
    pipe.create_flow("all", True, ListSource([1], "tasks"), end)
    pipe.create_flow("more", False, CollectingDestination("other"))
    pipe.link(Wire(end, pipe.routine("other")))


def _replicas(count: Any) -> Any:
    def make(pipe: Pipe) -> None:
        pipe.create_flow("workers", True, middle(lambda item: item, name="work"), replicas=count)

    return make


def _unknown_option(pipe: Pipe) -> None:
    middle(lambda item: item, name="work", concurency=3)  # type: ignore[call-overload]


def _not_callable(pipe: Pipe) -> None:
    middle("work")  # type: ignore[call-overload]


def _no_routine(pipe: Pipe) -> None:
    pipe.create_flow("workers", True, "work")  # type: ignore[arg-type]


def _cannot_travel(pipe: Pipe) -> None:
    import threading

    lock = threading.Lock()
    work = middle(lambda item: lock and item, name="work")
    pipe.create_flow("all", True, ListSource([1], "tasks"), work, CollectingDestination("end"))


def _cycle(pipe: Pipe) -> None:
    tasks, one, two = ListSource([1], "tasks"), middle(lambda i: i, name="one"), middle(lambda i: i, name="two")
    pipe.create_flow("all", False, tasks, one, two)
    pipe.link(Wire(tasks, one), Wire(one, two), Wire(two, one))


def _unknown_dependency(pipe: Pipe) -> None:
    pipe.create_flow("first", True, ListSource([1], "tasks"), CollectingDestination("end"))
    pipe.create_flow("second", True, ListSource([1], "more"), CollectingDestination("last"), depends_on=("frist",))


def _dependency_cycle(pipe: Pipe) -> None:
    pipe.create_flow("first", True, ListSource([1], "a"), CollectingDestination("b"), depends_on=("second",))
    pipe.create_flow("second", True, ListSource([1], "c"), CollectingDestination("d"), depends_on=("first",))


def _concurrency(pipe: Pipe) -> None:
    work = middle(lambda item: item, name="work", concurrency=0)
    pipe.create_flow("all", True, ListSource([1], "tasks"), work, CollectingDestination("end"))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (_unknown_destination, PipeBuildError, "'nobody'.*in no flow"),
        (_duplicate_name, PipeBuildError, "two routines.*'tasks'|'tasks'.*two routines|named 'tasks'"),
        (_connected_to_nothing, PipeBuildError, "'nobody'"),
        (_destination_as_source, PipeBuildError, "'end' is a destination but a wire leads out of it"),
        (_replicas(0), ValueError, r"create_flow\('workers', ..., replicas=...\).*not 0"),
        (_replicas(-1), ValueError, r"create_flow\('workers', ..., replicas=...\).*not -1"),
        (_replicas("two"), ValueError, r"create_flow\('workers', ..., replicas=...\).*not 'two'"),
        (_unknown_option, TypeError, "concurency"),
        (_not_callable, TypeError, "'work'"),
        (_no_routine, TypeError, r"create_flow\('workers', ...\): 'work' is not a routine"),
        (_cannot_travel, PipeBuildError, "'work'.*lock"),
        (_cycle, PipeBuildError, "one -> two -> one|two -> one -> two"),
        (_unknown_dependency, PipeBuildError, "'second'.*'frist'.*'first'"),
        (_dependency_cycle, PipeBuildError, "first -> second -> first"),
        (_concurrency, PipeBuildError, "'work': concurrency"),
    ],
    ids=lambda one: getattr(one, "__name__", "").strip("_") or None,
)
def test_bad_wiring_is_an_error_that_names_who_is_meant_before_any_process_starts(
    make: Any, error: type[Exception], says: str
) -> None:
    """A-8, and of C-3 the cycle and the unknown name; the fixture of all tests sees that no process is left."""
    pipe = Pipe(lossless=True)

    def build() -> None:
        make(pipe)
        pipe.build()

    with pytest.raises(error, match=f"(?s){says}"):
        build()
    assert pipe.status().state.value == "new"
    assert not any(flow.pid for flow in pipe.status().flows)


def test_a_lambda_travels_to_another_process() -> None:
    """A-8: a lambda can reach another process here, so it is no error."""
    end = CollectingDestination("end")
    pipe = Pipe(lossless=True)
    pipe.create_flow("first", False, ListSource([1, 2], "tasks"))
    pipe.create_flow("second", False, middle(lambda item: 10 * item, name="work"))
    pipe.create_flow("third", False, end)
    pipe.link(Wire(pipe.routine("tasks"), pipe.routine("work")), Wire(pipe.routine("work"), end))
    assert pipe.run(timeout=60).ok
    assert end.items() == [10, 20]
