"""A pipe on a Ray cluster is the pipe it is on one machine: data, events, calls, logs, status, failures."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipert2 import (
    DestinationRoutine,
    MiddleRoutine,
    Parameter,
    Pipe,
    PipeBuildError,
    PipeStateError,
    SourceRoutine,
    UnknownRoutineError,
    Wire,
    events,
    source,
)
from pipert2.control.service import ControlService
from pipert2.testing import ListSource, wait_until
from tests.processes import Journal
from tests.ray_nodes import HAVE_RAY, RayNodes

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not HAVE_RAY, reason='a cluster needs Ray and Zenoh: pip install "pipert2[cluster]"'),
]

ENGINE = "ray"


class Numbers(SourceRoutine):
    def __init__(self, count: int, *, pause: float = 0.0) -> None:
        super().__init__("numbers")
        self._count = count
        self._pause = pause

    def main_logic(self) -> Iterator[int]:
        for number in range(self._count):
            if self._pause:
                self.wait(self._pause)
            yield number


class Double(MiddleRoutine):
    gain = Parameter(2)

    @events("where")
    def where(self) -> int:
        return os.getpid()

    def main_logic(self, number: int) -> int:
        if number == 3:
            self.logger.warning("three")
        return number * self.gain


class Note(DestinationRoutine):
    def __init__(self, journal: Journal, name: str = "note") -> None:
        super().__init__(name)
        self._journal = journal

    def main_logic(self, value: Any) -> None:
        self._journal.note(value)


@pytest.fixture(scope="module")
def ray_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    nodes = RayNodes(tmp_path_factory.mktemp("ray"), [{"CPU": 1, "lab": 3}, {"edge": 4}, {"lab": 4}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", nodes.token)
        import ray

        try:
            ray.init(address=nodes.address, logging_level=logging.ERROR, configure_logging=False, log_to_driver=False)
            yield nodes
        finally:
            ray.shutdown()
            nodes.close()


@pytest.fixture(autouse=True)
def _on_ray(ray_nodes: RayNodes) -> None:
    """All of these run on it."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def doubling(journal: Journal, count: int, *, pause: float = 0.0, where: str = "edge", **options: Any) -> Pipe:
    """Numbers here, doubled at another node, noted here."""
    pipe = Pipe("doubling", engine=ENGINE, **{"lossless": True, **options})
    numbers, double, note = Numbers(count, pause=pause), Double("double"), Note(journal)
    pipe.create_flow("here", False, numbers)
    pipe.create_flow("there", False, double, resources={where: 1})
    pipe.create_flow("back", False, note)
    pipe.link(Wire(numbers, double), Wire(double, note))
    return pipe


def values(journal: Journal) -> list[int]:
    return [int(line) for line in journal.lines()]


def remote(pipe: Pipe) -> Any:
    return next(site for site in pipe.status().sites if site.name != "driver")


def test_a_lossless_pipe_over_two_nodes_delivers_everything_in_order(journal: Journal) -> None:
    with doubling(journal, 300) as pipe:
        summary = pipe.run(timeout=60)
    assert (summary.ok, summary.reason) == (True, "finished")
    assert values(journal) == list(range(0, 600, 2))
    status = pipe.status()
    assert [(wire.sent, wire.received, wire.dropped) for wire in status.wires] == [(300, 300, 0)] * 2
    assert [routine.name for routine in status.routines] == ["numbers", "double", "note"]
    assert [flow.name for flow in status.flows] == ["here", "there", "back"]


def test_verbs_reach_a_routine_wherever_it_is(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    with doubling(journal, 100_000, pause=0.002) as pipe, ControlService(pipe) as service:
        assert service.start(wait=60.0).ok
        wait_until(lambda: len(values(journal)) > 10, 60)
        site = remote(pipe)
        flow = pipe.status().flow("there")
        assert (site.state, flow.host, flow.state) == ("running", site.host, "running")
        (result,) = pipe.notify_event("where", wait=60.0).values()
        assert result.unwrap() == flow.pid
        assert pipe.call("double", 21) == 42
        pipe.set_parameters("double", {"gain": 3})
        assert service.parameters("double").routines["double"][0].value == 3
        wait_until(lambda: any(value % 3 == 0 and value % 2 for value in values(journal)), 60)
        assert "three" in caplog.text
        assert service.health().ok
        wait_until(lambda: remote(pipe).clock_offset is not None, 60)
        told = service.status().sites[1]
        assert (told.name, told.host) == (site.name, site.host)
        assert abs(told.clock_offset or 0.0) <= (told.clock_uncertainty or 0.0) + 1e-6  # it is the same machine
        assert service.structure().flows
        with pytest.raises(UnknownRoutineError, match="did you mean 'double'"):
            pipe.call("doubel", 1)
        pipe.restart_flow("there")
        wait_until(lambda: pipe.status().flow("there").pid not in (None, flow.pid), 60)


def test_wires_between_hosts_come_and_go_while_the_pipe_runs(journal: Journal, tmp_path: Path) -> None:
    numbers, negate, note = Numbers(100_000, pause=0.002), Double("negate"), Note(journal)
    negate.gain = -1
    seen = Journal(tmp_path / "other")
    other = Note(seen, "other")
    with Pipe("rewired", engine=ENGINE, lossless=True) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, negate, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.create_flow("aside", False, other)
        pipe.link(Wire(numbers, negate), Wire(negate, note), Wire(numbers, other))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: len(values(journal)) > 20, 60)
        with pytest.raises(PipeBuildError, match=r"does not go from .* to driver yet"):
            pipe.link(Wire(negate, other, lossless=False))
        pipe.link(Wire(negate, other))  # on the way of the one to note
        wait_until(lambda: min(values(seen), default=0) < 0, 60)
        pipe.unlink(negate, note)
        wait_until(lambda: pipe.status().wire("negate", "other").queued == 0, 60)
        settled = len(values(journal))
        assert values(journal) == [-number for number in range(settled)]
        pipe.unlink(negate, other)  # the last one: the way is empty then
        lowest = wait_until(lambda: min(values(seen)), 60)
        pipe.link(Wire(negate, note))
        wait_until(lambda: len(values(journal)) > settled + 20, 60)
        assert min(values(journal)) < lowest
        assert all(wire.dropped == 0 for wire in pipe.status().wires)


def test_yield_gives_back_what_a_destination_on_another_host_returned(journal: Journal) -> None:
    @source(name="sums", max_in_flight=1)
    def sums() -> Iterator[Any]:
        total = 0
        for number in range(20):
            total = yield number, total

    class Add(DestinationRoutine):
        def main_logic(self, item: Any) -> int:
            journal.note(sum(item))
            return sum(item)

    add = Add("add")
    with Pipe("sums", engine=ENGINE, lossless=True) as pipe:
        pipe.create_flow("here", False, sums)
        pipe.create_flow("there", False, add, resources={"edge": 1})
        pipe.link(Wire(sums, add))
        assert pipe.run(timeout=60).ok
    assert values(journal) == [sum(range(number + 1)) for number in range(20)]


class Fragile(MiddleRoutine):
    """Cannot do some of them until it is mended."""

    broken = Parameter(True)

    def main_logic(self, number: int) -> int:
        if self.broken and number % 4 == 3:
            raise ValueError(f"{number} is too much")
        return number


@pytest.mark.expects_errors
def test_dead_letters_of_another_host_lie_in_the_pipes_store(journal: Journal, tmp_path: Path) -> None:
    def made(count: int, pause: float = 0.0) -> Pipe:
        numbers, fragile, note = Numbers(count, pause=pause), Fragile("fragile"), Note(journal)
        pipe = Pipe("fragile", engine=ENGINE, lossless=True, store=tmp_path / "run.db")
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, fragile, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, fragile), Wire(fragile, note))
        return pipe

    with made(8) as first:
        summary = first.run(timeout=60)
        assert (summary.ok, summary.dead_letters) == (False, 2)
        assert [letter.data for letter in first.dead_letters()] == [3, 7]
        assert first.status().routine("fragile").dead_letters == 2
        assert first.store is not None
        first.store.close()
    with made(100_000, 0.01) as second:
        second.notify_event("start", wait=60.0)
        second.set_parameters("fragile", {"broken": False})
        letters = {letter.data: letter for letter in second.dead_letters() if letter.earlier}
        assert set(letters) == {3, 7}
        second.requeue_dead_letter(letters[3].number)
        second.drop_dead_letter(letters[7].number)
        assert not [letter for letter in second.dead_letters() if letter.earlier]
        assert second.store is not None
        second.store.close()


def test_stopping_as_a_whole_loses_nothing(journal: Journal) -> None:
    with doubling(journal, 400, pause=0.002) as pipe:
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: len(values(journal)) > 50, 60)
        pipe.notify_event("stop", wait=60.0)
        seen = len(values(journal))
        assert values(journal) == [2 * number for number in range(seen)]
        pipe.notify_event("start", wait=60.0)
        assert pipe.join(timeout=60)
    assert set(values(journal)) == set(range(0, 800, 2))


class Asking(MiddleRoutine):
    """Asks routines of another host."""

    def main_logic(self, number: int) -> Any:
        doubled = self.call("double", number, timeout=60)
        told = self.notify_event("where", {"there": []}, wait=60.0)
        self.store.put("asked", number, {"doubled": doubled})
        return f"{doubled} {told['double'].unwrap() != os.getpid()} {self.store.count('asked')}"


class DoubleHere(Double):
    service = True


def test_routines_on_different_hosts_call_each_other_and_share_the_store(journal: Journal, tmp_path: Path) -> None:
    numbers, asking, note, double = ListSource([1, 2], "two"), Asking("asking"), Note(journal), DoubleHere("double")
    with Pipe("asking", lossless=True, engine=ENGINE, store=tmp_path / "run.db") as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("asks", False, asking, resources={"edge": 1})
        pipe.create_flow("there", False, double, resources={"lab": 2})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, asking), Wire(asking, note))
        summary = pipe.run(timeout=60)
        assert pipe.store is not None
        assert pipe.store.get("asked", 2) == {"doubled": 4}
        pipe.store.close()
    assert summary.ok, summary
    assert journal.lines() == ["2 True 1", "4 True 2"]


class Work(MiddleRoutine):
    def main_logic(self, number: int) -> tuple[int, int]:
        self.wait(0.005)
        return number, os.getpid()


def test_replicas_at_several_hosts_compete_for_the_same_work(journal: Journal) -> None:
    numbers, work, note = Numbers(300), Work("work"), Note(journal)
    with Pipe("spread", lossless=True, engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("work", False, work, replicas=5, resources={"lab": 1})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, work), Wire(work, note))
        pipe.build()
        flows = [flow for flow in pipe.status().flows if (flow.replica_of or flow.name) == "work"]
        assert sorted(flow.name for flow in flows) == ["work", "work#2", "work#3", "work#4", "work#5"]
        assert len({flow.host for flow in flows}) >= 1
        summary = pipe.run(timeout=60)
    assert summary.ok, summary
    done = [tuple(map(int, line.strip("()").split(", "))) for line in journal.lines()]
    assert sorted(number for number, _ in done) == list(range(300))
    assert len({pid for _, pid in done}) == 5


def test_replicas_at_several_hosts_become_more_and_fewer_while_they_work(journal: Journal) -> None:
    numbers, work, note = Numbers(100_000, pause=0.001), Work("work"), Note(journal)

    def at_work(count: int) -> bool:
        latest = journal.lines()[-60:]
        names = sorted(flow.name for flow in pipe.status().flows if (flow.replica_of or flow.name) == "work")
        pids = {line.strip("()").split(", ")[1] for line in latest}
        return names == ["work", *(f"work#{number}" for number in range(2, count + 1))] and len(pids) == count

    with Pipe("spread", lossless=True, engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("work", False, work, replicas=5, resources={"lab": 1})  # more than any one node has
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, work), Wire(work, note))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: at_work(5), 60)
        with pytest.raises(PipeStateError, match="2 are the fewest"):
            pipe.set_replicas("work", 1)
        with pytest.raises(PipeStateError, match="room for 7, not for 8"):
            pipe.set_replicas("work", 8)
        pipe.set_replicas("work", 7)
        wait_until(lambda: at_work(7), 60)
        pipe.set_replicas("work", 2)
        wait_until(lambda: at_work(2), 60)
        done = {int(line.strip("()").split(", ")[0]) for line in journal.lines()}
        assert max(done) - len(done) < 16  # those in hand are all that is missing


@pytest.mark.expects_errors
def test_ray_keeps_for_replicas_that_come_later_what_they_ask_for(journal: Journal) -> None:
    import ray

    def free() -> float:
        return float(ray.available_resources().get("edge", 0.0))

    numbers, work, note = Numbers(100_000, pause=0.01), Work("work"), Note(journal)
    with Pipe("growing", lossless=True, engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("work", False, work, replicas=1, resources={"edge": 1})  # of 4 that one node has
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, work), Wire(work, note))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: free() == 3, 20)
        pipe.set_replicas("work", 3)
        wait_until(lambda: free() == 1, 20)
        with pytest.raises(PipeStateError, match=r"'work': .* has no room for another replica, which needs 1 edge"):
            pipe.set_replicas("work", 5)
        wait_until(lambda: free() == 1, 20)
        assert sum((flow.replica_of or flow.name) == "work" for flow in pipe.status().flows) == 3
        os.kill(remote(pipe).pid, signal.SIGKILL)
        wait_until(lambda: remote(pipe).restarts == 1 and remote(pipe).state == "running", 30)
        wait_until(lambda: sum((flow.replica_of or flow.name) == "work" for flow in pipe.status().flows) == 3, 20)
        pipe.set_replicas("work", 1)
        wait_until(lambda: free() == 3, 20)
        pipe.set_replicas("work", 2)
    wait_until(lambda: free() == 4, 20)


def test_a_destination_fed_from_here_and_from_another_host_gets_all_of_both(journal: Journal) -> None:
    near, far, note = ListSource(list(range(100)), "near"), ListSource(list(range(100, 200)), "far"), Note(journal)
    with Pipe("both", lossless=True, engine=ENGINE) as pipe:
        pipe.create_flow("here", False, near)
        pipe.create_flow("there", False, far, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(near, note), Wire(far, note))
        assert pipe.run(timeout=60).ok
        found = values(journal)
    assert [number for number in found if number < 100] == list(range(100))
    assert [number for number in found if number >= 100] == list(range(100, 200))
    status = pipe.status()
    assert [(wire.sent, wire.received, wire.dropped) for wire in status.wires] == [(100, 100, 0)] * 2
    assert status.routine("note").received == 200


def test_a_real_time_wire_over_two_nodes_drops_and_counts_what_a_slow_destination_misses(journal: Journal) -> None:
    class Slow(Note):
        def main_logic(self, value: Any) -> None:
            self.wait(0.02)
            super().main_logic(value)

    numbers, slow = Numbers(400, pause=0.002), Slow(journal, "slow")
    with Pipe("newest", engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, slow, resources={"edge": 1})
        pipe.link(Wire(numbers, slow))
        assert pipe.run(timeout=60).ok
    wire = pipe.status().wire("numbers", "slow")
    assert wire.sent == 400
    assert 0 < wire.received < 300
    assert wire.received + wire.dropped == 400
    assert len(values(journal)) == wire.received
    assert values(journal) == sorted(values(journal))


def test_what_fits_nowhere_is_said_before_anything_starts(journal: Journal) -> None:
    pipe = doubling(journal, 1, where="moon")
    with pytest.raises(PipeBuildError, match="flow 'there' fits nowhere: no host is right for 1 moon"):
        pipe.build()


@pytest.mark.expects_errors
def test_a_site_whose_process_is_killed_begins_anew_and_nothing_is_lost(journal: Journal) -> None:
    with doubling(journal, 600, pause=0.003) as pipe:
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: len(values(journal)) > 100, 60)
        os.kill(pipe.status().flow("there").pid or 0, signal.SIGKILL)  # its site restarts a flow
        wait_until(lambda: pipe.status().flow("there").restarts == 1, 60)
        before = remote(pipe).pid
        os.kill(before, signal.SIGKILL)  # Ray restarts a site
        wait_until(lambda: remote(pipe).state == "restarting", 60)
        assert f"site {remote(pipe).name!r} is not there" in str(pipe.status().reason)
        wait_until(lambda: remote(pipe).state == "running", 60)
        assert remote(pipe).restarts == 1
        assert remote(pipe).pid != before
        assert pipe.join(timeout=60)
    assert set(values(journal)) == set(range(0, 1200, 2))


def test_nothing_is_left_of_a_cluster_when_its_pipe_ends(journal: Journal) -> None:
    pipe = doubling(journal, 100_000, pause=0.01)
    pipe.notify_event("start", wait=60.0)
    site, flow = remote(pipe), pipe.status().flow("there")
    processes = [psutil.Process(site.pid), psutil.Process(flow.pid)]
    memory = f"pr2-{site.pid:x}-"
    assert any(memory in name for name in os.listdir("/dev/shm"))
    assert pipe.join(to_kill=True)
    wait_until(lambda: not any(process.is_running() for process in processes), 60)
    assert not any(memory in name for name in os.listdir("/dev/shm"))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("pipert2-")]
    assert pipe.status().sites[1].state == "ended"
