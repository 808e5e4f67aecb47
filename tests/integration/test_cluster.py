"""A pipe on a Ray cluster is the pipe it is on one machine: data, events, calls, logs, status, failures."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipert2 import (
    CallError,
    DestinationRoutine,
    EventHandlerError,
    MiddleRoutine,
    Parameter,
    Pipe,
    PipeBuildError,
    PipeStateError,
    RayEngine,
    SourceRoutine,
    UnknownRoutineError,
    Wire,
    events,
    source,
)
from pipert2.cockpit.beside import cockpit_beside
from pipert2.cockpit.settings import CockpitSettings
from pipert2.control.service import ControlService
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.integration.cockpit_browser import Browser
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
    wanted = [{"CPU": 1, "lab": 3}, {"edge": 4, "labels": {"rack": "3"}}, {"lab": 4}, {"moon": 1}]
    nodes = RayNodes(tmp_path_factory.mktemp("ray"), wanted)
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
    """Numbers here, doubled at another node (one that has something, or a label), noted here."""
    wish: dict[str, Any] = {"host": where} if "=" in where else {"resources": {where: 1}}
    pipe = Pipe("doubling", engine=ENGINE, **{"lossless": True, **options})
    numbers, double, note = Numbers(count, pause=pause), Double("double"), Note(journal)
    pipe.create_flow("here", False, numbers)
    pipe.create_flow("there", False, double, **wish)
    pipe.create_flow("back", False, note)
    pipe.link(Wire(numbers, double), Wire(double, note))
    return pipe


def values(journal: Journal) -> list[int]:
    return [int(line) for line in journal.lines()]


def remote(pipe: Pipe) -> Any:
    return next(site for site in pipe.status().sites if site.name != "driver")


def pid_of(pipe: Pipe, flow: str = "") -> int:
    """The process of a flow, or of the other site, as soon as that is known: a site may be slow to answer."""
    return int(wait_until(lambda: pipe.status().flow(flow).pid if flow else remote(pipe).pid, 60))


def lose_site(pipe: Pipe) -> None:
    """Kill the other site's process, and wait until Ray has begun it anew."""
    before = remote(pipe).restarts
    os.kill(pid_of(pipe), signal.SIGKILL)
    wait_until(lambda: remote(pipe).restarts == before + 1 and remote(pipe).state == "running", 60)


def test_a_lossless_pipe_over_two_nodes_delivers_everything_in_order(journal: Journal) -> None:
    with doubling(journal, 300, where="rack=3") as pipe:
        summary = pipe.run(timeout=60)
    assert (summary.ok, summary.reason) == (True, "finished")
    assert values(journal) == list(range(0, 600, 2))
    status = pipe.status()
    assert len(status.sites) == 2  # the node with that label is another one than the driver's
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
        pipe.link(Wire(negate, other))  # on the way of the one to note
        wait_until(lambda: min(values(seen), default=0) < 0, 60)
        pipe.unlink(negate, note)
        wait_until(lambda: pipe.status().routine("note").finished, 60)
        settled = len(values(journal))
        assert values(journal) == [-number for number in range(settled)]
        pipe.unlink(negate, other)  # the last one: the way is empty then
        lowest = wait_until(lambda: min(values(seen)), 60)
        pipe.link(Wire(negate, note))
        wait_until(lambda: len(values(journal)) > settled + 20, 60)
        assert min(values(journal)) < lowest
        assert all(wire.dropped == 0 for wire in pipe.status().wires)


def test_a_way_to_another_host_that_is_unlinked_at_first_is_there_when_it_is_wanted(journal: Journal) -> None:
    numbers, negate, note = Numbers(100_000, pause=0.002), Double("negate"), Note(journal)
    negate.gain = -1
    aside = CollectingDestination("aside")
    with Pipe("later", engine=ENGINE, lossless=True) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, negate, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.create_flow("aside", False, aside)
        pipe.link(Wire(numbers, negate), Wire(negate, note), Wire(numbers, aside))
        pipe.build()
        pipe.unlink(numbers, negate)
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: pipe.status().routine("aside").received > 100, 60)
        wait_until(lambda: pipe.status().routine("note").finished, 60)  # two hosts further on
        assert values(journal) == []
        for wanted in (20, 200):
            pipe.link(Wire(numbers, negate))
            wait_until(lambda wanted=wanted: len(values(journal)) > wanted, 60)
            pipe.unlink(numbers, negate)
        wait_until(lambda: pipe.status().routine("note").finished, 60)
        wire, found = pipe.status().wire("negate", "note"), values(journal)
        assert (wire.received, wire.dropped) == (len(found), 0)
        assert found == sorted(set(found), reverse=True)


class Shows(MiddleRoutine):
    """Shows what it has, and what its host was given to run it."""

    def main_logic(self, number: int) -> Any:
        self.show("number", number)
        self.show("told", os.environ.get("CALIBRATION", "nothing"))
        self.logger.debug("number %s", number)
        return np.full((48, 64, 3), number % 250, np.uint8)


def test_what_a_routine_of_another_host_shows_is_seen_and_runtime_env_reaches_it(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    numbers, shows, note = Numbers(100_000, pause=0.01), Shows("shows"), CollectingDestination("note")
    engine = RayEngine(address=ENGINE, runtime_env={"env_vars": {"CALIBRATION": "october"}})
    with Pipe("shown", engine=engine) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, shows, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, shows), Wire(shows, note))
        pipe.notify_event("start", wait=60.0)
        pipe.preview("shows", rate=20.0)
        frame = wait_until(lambda: pipe.preview_frame("shows"), 60)
        assert (frame.routine, frame.side, frame.original) == ("shows", "output", (48, 64, 3))
        shown = {value.name: value for value in pipe.results("shows").values}
        assert shown["told"].text == "october"
        assert "number" in shown
        assert not any("number" in record.getMessage() for record in caplog.records)
        pipe.set_log_level("shows", logging.DEBUG)
        wait_until(lambda: any("number" in record.getMessage() for record in list(caplog.records)), 60)


@pytest.mark.expects_errors
def test_a_way_between_hosts_that_no_wire_took_before_is_laid_while_the_pipe_runs(
    journal: Journal, tmp_path: Path
) -> None:
    numbers, negate, note = Numbers(1000, pause=0.005), Double("negate"), Note(journal)
    negate.gain = -1
    seen = Journal(tmp_path / "seen")
    few, aside = ListSource([5], "few"), Note(seen, "aside")
    with Pipe("laid", engine=ENGINE, lossless=True) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, few, negate, resources={"edge": 1})
        pipe.create_flow("back", False, note, aside)
        pipe.link(Wire(few, negate), Wire(negate, note), Wire(numbers, aside))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: pipe.status().routine("note").finished, 60)
        assert values(journal) == [-5]
        pipe.link(Wire(numbers, negate))  # it is carried to that host, and what comes of it back again
        wait_until(lambda: len(values(journal)) > 50, 60)
        pipe.link(Wire(few, aside, lossless=False))  # by another rule, from there to here; it has finished long ago
        found = values(journal)
        first = found[1]
        assert found[1:] == list(range(first, first - len(found) + 1, -1))
        lose_site(pipe)
        assert pipe.join(timeout=90)
        wire = pipe.status().wire("numbers", "negate")
        assert (wire.lossless, wire.unlinked, wire.dropped) == (True, False, 0)
    found = set(values(journal))
    assert found >= set(range(first, -1000, -1)), sorted(set(range(first, -1000, -1)) - found)
    assert {number for number in values(seen) if number >= 0} >= set(range(1000))


def test_a_real_time_way_is_laid_and_taken_away_and_used_again(journal: Journal, tmp_path: Path) -> None:
    numbers, negate, note = Numbers(100_000, pause=0.002), Double("negate"), Note(journal)
    few = ListSource([5], "few")
    with Pipe("newest", engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, few, negate, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(few, negate), Wire(negate, note), Wire(numbers, note))
        pipe.notify_event("start", wait=60.0)
        for _ in range(2):
            pipe.link(Wire(numbers, negate))
            received = pipe.status().wire("numbers", "negate").received
            wait_until(lambda received=received: pipe.status().wire("numbers", "negate").received > received + 50, 60)
            result = pipe.notify_event("unlink", {"here": []}, wait=60.0, unlink_routine_name="negate")
            assert result["numbers"].unwrap() is True
            wait_until(lambda: pipe.status().routine("negate").finished, 60)
            assert [wire.destinations for wire in pipe.wires if wire.source is numbers] == [(note,)]
        pipe.link(Wire(numbers, negate, lossless=True))  # by the other rule, in a pipe that is not lossless as a whole
        before = pipe.status().wire("numbers", "negate").received
        wait_until(lambda: pipe.status().wire("numbers", "negate").received > before + 50, 60)
        assert pipe.status().wire("numbers", "negate").lossless
        assert sorted(wire.destination for wire in pipe.status().wires if wire.source == "numbers") == [
            "negate",
            "note",
        ]


class Told(MiddleRoutine):
    """Sends what the pipe's parameter says, and notes each change of it."""

    @events("parameters")
    def changed(self, workload: int = 0, **others: Any) -> None:
        self.latest = workload

    @events("latest")
    def tell(self) -> int:
        return self.latest

    def main_logic(self, number: int) -> int:
        return int(self.parameters["workload"])


def test_parameters_of_the_whole_pipe_reach_every_host_and_nothing_starts_before(journal: Journal) -> None:
    numbers, told, note = Numbers(100_000, pause=0.005), Told("told"), Note(journal)
    with Pipe("loaded", engine=ENGINE, lossless=True, requires=("workload",)) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, told, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, told), Wire(told, note))
        pipe.notify_event("start", wait=60.0)
        assert pipe.status().flow("there").waits_for == ("parameter 'workload'",)
        assert pipe.status().routine("told").state == "idle"
        pipe.set_parameters(workload=7)
        wait_until(lambda: 7 in values(journal), 60)
        pipe.set_parameters(workload=8)
        wait_until(lambda: 8 in values(journal), 60)
        assert set(values(journal)) == {7, 8}
        (answer,) = pipe.notify_event("latest", wait=60.0).values()
        assert answer.unwrap() == 8


class Talks(MiddleRoutine):
    """Tells a routine of another host of each number, and cannot do some."""

    gain = Parameter(1)

    @events("FAIL")
    def fail(self) -> None:
        raise ValueError("there is no light")

    def main_logic(self, number: int) -> int:
        if number == -7:
            raise ValueError("seven is too much")
        if number == 3:
            self.notify_event("HEARD", {"back": ["hears"]}, number=number)
        return number * self.gain


class Hears(Note):
    @events("HEARD")
    def heard(self, number: int) -> None:
        self._journal.note(f"heard {number}")


@pytest.mark.expects_errors
def test_events_calls_and_settings_go_wrong_and_right_on_another_host_as_they_do_here(journal: Journal) -> None:
    numbers, talks, hears = Numbers(100_000, pause=0.005), Talks("talks"), Hears(journal, "hears")
    with Pipe("talking", engine=ENGINE, lossless=True) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, talks, resources={"edge": 1})
        pipe.create_flow("back", False, hears)
        pipe.link(Wire(numbers, talks), Wire(talks, hears))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: journal.count("heard 3"), 60)
        with pytest.raises(EventHandlerError, match="there is no light") as caught:
            pipe.notify_event("FAIL", wait=60.0)["talks"].unwrap()
        assert (caught.value.routine, "raise ValueError" in caught.value.traceback) == ("talks", True)
        with pytest.raises(CallError, match="seven is too much"):
            pipe.call("talks", -7, timeout=60)
        pipe.notify_event("configure", {"there": ["talks"]}, wait=60.0, gain=1000)
        assert pipe.configuration("talks").parameters["gain"] == 1000
        assert pipe.call("talks", 2, timeout=60) == 2000
        lose_site(pipe)
        wait_until(lambda: pipe.status().routine("talks").state == "running", 60)
        assert pipe.call("talks", 2, timeout=60) == 2000  # what it was told for good, the new one knows
        pipe.notify_event("kill", {"there": ["talks"]}, wait=60.0)
        wait_until(lambda: pipe.status().routine("talks").state == "killed", 60)
        with pytest.raises(CallError, match="talks"):
            pipe.call("talks", 2, timeout=60)
        assert pipe.status().routine("numbers").state == "running"


def test_a_browser_at_the_cockpit_sees_and_drives_a_routine_of_another_host(tmp_path: Path) -> None:
    numbers, shows, note = Numbers(100_000, pause=0.01), Shows("shows"), CollectingDestination("note")
    with Pipe("watched", engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, shows, resources={"edge": 1})
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, shows), Wire(shows, note))
        pipe.build()
        settings = CockpitSettings(port=0, database=tmp_path / "cockpit.db")
        with cockpit_beside(pipe, settings) as page, Browser(page.partition("/?")[0]) as browser:
            (summary,) = wait_until(lambda: browser.get("/api/pipes")["pipes"], 60)
            identity = summary["id"]
            assert browser.command(identity, "start", wait=60)["reply"]["ok"]
            browser.watch(identity, {}, [("shows", "output")])
            assert "reply" in browser.command(identity, "log_level", routine="shows", level="DEBUG")
            wait_until(lambda: browser.got["frame"], 60)
            wait_until(lambda: any(one["routine"] == "shows" for one in browser.records()), 60)
            hosts = {flow["name"]: flow["host"] for flow in browser.got["status"][-1]["status"]["flows"]}
            assert hosts["there"] == remote(pipe).host
            assert [site["name"] for site in browser.got["status"][-1]["status"]["sites"]] == [
                site.name for site in pipe.status().sites
            ]


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

    def has_two() -> bool:
        try:
            pipe.set_replicas("work", 2)
        except PipeStateError as error:
            if "is still ending" not in str(error):  # those that went have a message in hand
                raise
            return False
        return True

    numbers, work, note = Numbers(100_000, pause=0.01), Work("work"), Note(journal)
    with Pipe("growing", lossless=True, engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("work", False, work, replicas=1, resources={"edge": 1})  # of 4 that one node has
        pipe.create_flow("back", False, note)
        pipe.link(Wire(numbers, work), Wire(work, note))
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: free() == 3, 60)
        pipe.set_replicas("work", 3)
        wait_until(lambda: free() == 1, 60)
        with pytest.raises(PipeStateError, match=r"'work': .* has no room for another replica, which needs 1 edge"):
            pipe.set_replicas("work", 5)
        wait_until(lambda: free() == 1, 60)
        assert sum((flow.replica_of or flow.name) == "work" for flow in pipe.status().flows) == 3
        lose_site(pipe)
        wait_until(lambda: sum((flow.replica_of or flow.name) == "work" for flow in pipe.status().flows) == 3, 60)
        pipe.set_replicas("work", 1)
        wait_until(lambda: free() == 3, 60)
        wait_until(has_two, 60)
        assert free() == 2
    wait_until(lambda: free() == 4, 60)


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
            self.wait(0.05)
            super().main_logic(value)

    numbers, slow = Numbers(400, pause=0.002), Slow(journal, "slow")
    with Pipe("newest", engine=ENGINE) as pipe:
        pipe.create_flow("here", False, numbers)
        pipe.create_flow("there", False, slow, resources={"edge": 1})
        pipe.link(Wire(numbers, slow))
        assert pipe.run(timeout=60).ok
    wire = pipe.status().wire("numbers", "slow")
    assert wire.sent == 400
    assert 0 < wire.received < 400
    assert wire.received + wire.dropped == 400
    assert len(values(journal)) == wire.received
    assert values(journal) == sorted(values(journal))


def test_what_fits_nowhere_is_said_before_anything_starts(journal: Journal) -> None:
    pipe = doubling(journal, 1, where="sun")
    with pytest.raises(PipeBuildError, match="flow 'there' fits nowhere: no host has 1 sun"):
        pipe.build()


@pytest.mark.expects_errors
def test_a_site_whose_process_is_killed_begins_anew_and_nothing_is_lost(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    pipe, few = doubling(journal, 600, pause=0.003), ListSource([-1], "few")
    pipe.create_flow("few", False, few, resources={"edge": 1})
    pipe.link(Wire(few, pipe.routine("note")))
    with pipe:
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: len(values(journal)) > 100 and -1 in values(journal), 60)
        wait_until(lambda: pipe.status().routine("few").finished, 60)  # it begins anew with its host
        os.kill(pid_of(pipe, "there"), signal.SIGKILL)  # its site restarts a flow
        wait_until(lambda: pipe.status().flow("there").restarts == 1, 60)
        name, before = remote(pipe).name, pid_of(pipe)
        lose_site(pipe)  # Ray restarts a site
        assert f"site {name!r} is not there" in caplog.text
        assert pid_of(pipe) != before
        assert pipe.join(timeout=60)
    assert set(values(journal)) == {-1, *range(0, 1200, 2)}


def test_nothing_is_left_of_a_cluster_when_its_pipe_ends(journal: Journal) -> None:
    pipe = doubling(journal, 100_000, pause=0.01)
    pipe.notify_event("start", wait=60.0)
    site = pid_of(pipe)
    processes = [psutil.Process(site), psutil.Process(pid_of(pipe, "there"))]
    memory = f"pr2-{site:x}-"
    assert any(memory in name for name in os.listdir("/dev/shm"))
    temporary = Path("/tmp", f"pipert2-{os.getuid()}")  # Ray's processes have no TMPDIR
    runs = [folder for folder in temporary.iterdir() if folder.name.startswith(memory)]
    notes = [note for run in runs for note in run.glob("folders")]
    sockets = {Path(line) for note in notes for line in note.read_text().splitlines()}
    assert sockets
    assert pipe.join(to_kill=True)
    wait_until(lambda: not any(process.is_running() for process in processes), 60)
    assert not any(memory in name for name in os.listdir("/dev/shm"))
    assert not [file for file in (*runs, *sockets) if file.exists()]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("pipert2-")]
    assert pipe.status().sites[1].state == "ended"


@pytest.mark.expects_errors
def test_a_pipe_whose_host_is_lost_waits_for_another_that_will_do_and_says_so(
    journal: Journal, ray_nodes: RayNodes, caplog: pytest.LogCaptureFixture
) -> None:
    with doubling(journal, 400, pause=0.003, where="moon") as pipe:
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: len(values(journal)) > 50, 60)
        ray_nodes.lose(3)
        wait_until(lambda: pipe.status().flow("there").waits_for == ("a host with 1 moon",), 60)
        assert remote(pipe).state == "restarting"
        assert "flow 'there' waits for a host with 1 moon: no host is left for what ran at" in caplog.text
        assert not pipe.join(timeout=0.1)
        ray_nodes.add({"moon": 1})
        assert pipe.join(timeout=60)
    assert set(values(journal)) == set(range(0, 800, 2))
