"""Whole jobs as analysts run them: staged analyses, tasks for workers, requests that wait for their reports."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipert2 import MiddleRoutine, Pipe, PipeBuildError, SourceRoutine, Wire, middle
from pipert2.testing import CollectingDestination, ListSource, wait_until


class DomainLength(MiddleRoutine):
    def main_logic(self, sample: dict[str, Any]) -> Any:
        time.sleep(0.01)  # the work itself
        domain = sample.get("domain")
        return sample["id"], {"domain_length": {"domain_length": len(domain) if domain else 0}}, os.getpid()


def test_a_staged_analysis_with_replicas_reports_each_request_once() -> None:
    """A-1: 201 requests, one without a domain; two processes share them, 35 to 65 % each on an idle machine."""
    samples: list[dict[str, Any]] = [{"id": i, "domain": f"thisisadomain{i}.com"} for i in range(200)]
    samples.append({"id": 200})
    pipe = Pipe(lossless=True)
    requests, length, report = ListSource(samples, "requests"), DomainLength("length"), CollectingDestination("report")
    pipe.create_flow("requests", True, requests)
    pipe.create_flow("analysis", True, length, replicas=2)
    pipe.create_flow("reports", True, report)
    pipe.link(Wire(requests, length), Wire(length, report))
    with pipe:
        pipe.notify_event("start", {"analysis": []}, wait=60)  # so that none begins before the other
        assert pipe.run(timeout=60).ok
    found = report.items()
    lengths = {number: one["domain_length"]["domain_length"] for number, one, _ in found}
    assert len(found) == len(lengths) == 201
    assert sum(lengths.values()) == 3890
    assert (lengths[3], lengths[33], lengths[133], lengths[200]) == (18, 19, 20, 0)
    shares = Counter(pid for *_, pid in found)
    assert len(shares) == 2
    assert min(shares.values()) >= 0.2 * 201


def test_a_replica_that_is_killed_in_the_middle_of_a_task_is_replaced_and_the_task_done_again(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A-3: see also tests/integration/test_staged_analysis.py."""

    class Work(MiddleRoutine):
        def main_logic(self, number: int) -> Any:
            (tmp_path / str(os.getpid())).touch()
            if number == 20 and self.message.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            wait_until(lambda: number < 40 or len(list(tmp_path.iterdir())) == 3, what="the new process")
            time.sleep(0.03)  # the work itself
            return number, self.message.attempt, os.getpid()

    pipe = Pipe("analysis", lossless=True)
    tasks, work, results = ListSource(list(range(60)), "tasks"), Work("work"), CollectingDestination("results")
    pipe.create_flow("tasks", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("results", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results))
    summary = pipe.run(timeout=60)
    deaths = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
    assert summary.ok
    found = results.items()
    assert {number for number, *_ in found} == set(range(60))
    assert len(found) <= 61
    assert [attempt for number, attempt, _ in found if number == 20] == [2]
    assert len({pid for *_, pid in found}) == 3
    assert sum(flow.restarts for flow in summary.flows) == 1
    assert len(deaths) == 1
    assert "workers" in deaths[0]
    assert sum(one.interrupted for one in summary.routines) == 1


@pytest.mark.expects_errors
@pytest.mark.parametrize(("most", "hands"), [(1, 1), (2, 1), (5, 1), (2, 10)])
def test_a_task_that_kills_its_process_each_time_is_given_up_and_the_others_are_done(
    most: int, hands: int, caplog: pytest.LogCaptureFixture
) -> None:
    """C-5: a poison task has retries + 1 attempts, restarts come later and later; its neighbours in hand are done."""

    class Work(MiddleRoutine):
        retries = most
        concurrency = hands

        def main_logic(self, number: int) -> int:
            if number == 7:
                time.sleep(0.02 * (hands > 1))  # so that there are others in hand
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.01 * (hands > 1))
            return number

    pipe = Pipe("poisoned", lossless=True)
    tasks, work, results = ListSource(list(range(40)), "tasks"), Work("work"), CollectingDestination("results")
    pipe.create_flow("tasks", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("results", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results))
    summary = pipe.run(timeout=60)
    assert set(results.items()) == set(range(40)) - {7}
    (letter,) = pipe.dead_letters()
    assert (letter.data, letter.attempts) == (7, most + 1)
    assert not summary.ok
    assert sum(flow.restarts for flow in summary.flows) in (most, most + 1)  # the other replica may end the run before
    said = [found for record in caplog.records if (found := re.search(r"restarted in (\S+) s", record.getMessage()))]
    pauses = [float(found[1]) for found in said][:most]  # what kills two processes in turn comes later each time
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 0.1 * 2 ** (most - 1)


class Endless(SourceRoutine):
    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> Any:
        self.number += 1
        return self.number, time.monotonic()


class Slow(CollectingDestination):
    def main_logic(self, item: Any) -> None:
        number, made = item
        super().main_logic((number, time.monotonic() - made))
        self.wait(0.1)


@pytest.mark.parametrize("lossless", [True, False], ids=["jobs", "frames"])
def test_a_slow_consumer_holds_up_jobs_and_gets_the_newest_of_frames(lossless: bool) -> None:
    """A-7: an endless source; lossless it waits, in real time it goes on and what is old is dropped."""
    pipe, endless, slow = Pipe(lossless=lossless), Endless("endless"), Slow("slow")
    pipe.create_flow("first", True, endless)
    pipe.create_flow("last", True, slow)
    pipe.link(Wire(endless, slow, capacity=1))
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(slow.items()) >= 5)
        pid = pipe.status().flow("first").pid
        before = psutil.Process(pid).memory_info().rss
        wait_until(lambda: len(slow.items()) >= 15)
        wire = pipe.status().wire("endless", "slow")
        assert psutil.Process(pid).memory_info().rss - before < 5_000_000
    numbers = [number for number, _ in slow.items()]
    if lossless:
        assert numbers == list(range(1, len(numbers) + 1))
        assert wire.dropped == 0
        assert wire.sent <= wire.received + 3
    else:
        assert wire.dropped > 100
        assert numbers == sorted(set(numbers))
        assert abs(wire.sent - wire.received - wire.queued - wire.dropped) < 100


def test_a_finish_hook_runs_once_and_after_the_last_result() -> None:
    """C-1: see also tests/integration/test_tasks.py."""

    class Collector(CollectingDestination):
        def cleanup(self) -> None:
            super().main_logic("finished")
            super().cleanup()

    @middle(name="work")
    def work(number: int) -> Any:
        return number

    pipe = Pipe(lossless=True)
    tasks, collector = ListSource(list(range(5_000)), "tasks"), Collector("collector")
    pipe.create_flow("distributor", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("collector", True, collector)
    pipe.link(Wire(tasks, work), Wire(work, collector))
    summary = pipe.run(timeout=120)
    *numbers, last = collector.items()
    assert last == "finished"
    assert sorted(numbers) == list(range(5_000))
    assert summary.ok


def test_ten_threads_in_each_of_two_processes_work_at_once(tmp_path: Path) -> None:
    """C-2: see also tests/integration/test_tasks.py."""

    class Work(MiddleRoutine):
        concurrency = 10

        def setup(self) -> None:
            self.local = threading.local()

        def setup_thread(self) -> None:
            self.local.ready = True

        def main_logic(self, number: int) -> Any:
            assert self.local.ready
            hand = threading.current_thread().name
            (tmp_path / f"{os.getpid()} {hand}").touch()
            wait_until(lambda: len(list(tmp_path.iterdir())) == 20, what="all hands at work")
            return number, os.getpid(), hand

    pipe = Pipe(lossless=True)
    tasks, work, results = ListSource(list(range(600)), "tasks"), Work("work"), CollectingDestination("results")
    pipe.create_flow("distributor", True, tasks)
    pipe.create_flow("workers", True, work, replicas=2)
    pipe.create_flow("collector", True, results)
    pipe.link(Wire(tasks, work), Wire(work, results))
    with pipe:
        pipe.notify_event("start", {"workers": []}, wait=60)
        pipe.notify_event("start", wait=60)
        assert pipe.join(timeout=60)
    found = results.items()
    assert sorted(number for number, *_ in found) == list(range(600))
    names = {(pid, name) for _, pid, name in found}
    assert sorted(Counter(pid for pid, _ in names).values()) == [10, 10]


@pytest.mark.parametrize(
    ("options", "names"),
    [({"concurrency": 0}, "concurrency"), ({"retries": -1}, "retries"), ({"concurrency": "two"}, "concurrency")],
)
def test_wrong_options_of_a_job_fail_at_build(options: dict[str, Any], names: str) -> None:
    work = middle(lambda item: item, name="work", **options)
    pipe, tasks, results = Pipe(lossless=True), ListSource([1], "tasks"), CollectingDestination("results")
    pipe.create_flow("all", True, tasks, work, results)
    with pytest.raises(PipeBuildError, match=f"'work': {names} is a whole number"):
        pipe.build()
