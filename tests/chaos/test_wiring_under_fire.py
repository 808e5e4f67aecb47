"""Wires come and go while flows are killed and restarted: no hang, no overwritten frame, nothing lost or doubled."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import (
    BasicTransmitter,
    DestinationRoutine,
    Parameter,
    Pipe,
    PipeStateError,
    Restart,
    SharedMemoryTransmitter,
    SourceRoutine,
    UnknownRoutineError,
    Wire,
)
from pipert2.testing import wait_until
from tests.chaos.checked_frames import Camera, Passes, Viewer

pytestmark = [pytest.mark.expects_errors, pytest.mark.timeout(600)]

ALWAYS = Restart(times=1_000_000, window=1.0, backoff=0.0)
VIEWS = SharedMemoryTransmitter(0)
SIZES = (100, 3_000, 40_000, 300_000, 700_000)


class Late(Restart):
    """Restarts a flow in ten minutes."""

    def delay(self, deaths: Any, now: float, attempts: int = 0) -> float:
        return 600.0


class Counter(SourceRoutine):
    """Small messages as fast as can be."""

    tint = Parameter(0)

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> tuple[int, int]:
        self.number += 1
        return os.getpid(), self.number - 1


class Ledger(DestinationRoutine):
    """Notes in a file which numbers of which life it got, so that it survives the killing of its process."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name)
        self.path = path

    def setup(self) -> None:
        self.file = self.path.open("ab", buffering=0)

    def main_logic(self, data: tuple[int, int]) -> None:
        self.file.write(np.array(data, np.int64).tobytes())

    def cleanup(self) -> None:
        self.file.close()

    def lives(self) -> dict[int, list[int]]:
        """By life of the counter, the numbers in the order in which they came."""
        found: dict[int, list[int]] = {}
        if self.path.exists():
            for life, number in np.fromfile(self.path, np.int64).reshape(-1, 2).tolist():
                found.setdefault(life, []).append(number)
        return found


class Rests(SourceRoutine):
    def main_logic(self) -> None:
        self.wait(600)


class Fire:
    """Kills flows at random moments, in a thread of its own; when it is out, the pipe knows of all these deaths."""

    def __init__(self, pipe: Pipe, chance: random.Random, flows: tuple[str, ...], pause: float) -> None:
        self.deaths = 0
        self._pipe = pipe
        self._chance = chance
        self._flows = flows
        self._pause = pause
        self._killed: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._burn)

    def _burn(self) -> None:
        while not self._stop.wait(self._chance.expovariate(1 / self._pause)):
            flow = self._pipe.status().flow(self._chance.choice(self._flows))
            if flow.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(flow.pid, signal.SIGKILL)
                    self._killed.add(flow.pid)
                    self.deaths += 1

    def __enter__(self) -> Fire:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        self._stop.set()
        self._thread.join(60.0)
        if kind is None:  # a flow that was killed just now still counts as one that runs
            wait_until(self._all_noticed, 60.0, "that the pipe knows of all deaths")

    def _all_noticed(self) -> bool:
        return not self._killed & {flow.pid for flow in self._pipe.status().flows}


def goes_on(pipe: Pipe, *wires: tuple[str, str], by: int = 20) -> None:
    """Wait until something has arrived on each of these wires."""
    before = {wire: pipe.status().wire(*wire).received for wire in wires}

    def moved() -> bool:
        status = pipe.status()
        return all(status.wire(*wire).received >= before[wire] + by for wire in wires)

    try:
        wait_until(moved, 60.0)
    except TimeoutError:
        pytest.fail(f"nothing arrives any more on one of {wires}\n{pipe.status()}")


def in_peace(pipe: Pipe) -> None:
    wait_until(lambda: all(flow.state == "running" for flow in pipe.status().flows), 60.0, "all flows")


def insist(pipe: Pipe, wire: Wire) -> None:
    """Link until it is linked; whatever says no does it with the one error that is declared."""
    for _ in range(200):
        try:
            pipe.link(wire)
        except PipeStateError:
            continue
        return
    pytest.fail(f"no link in 200 attempts: {pipe.status()}")


def listed(pipe: Pipe) -> list[tuple[str, str]]:
    return sorted((wire.source.name, end.name) for wire in pipe.wires for end in wire.destinations)


def opened(pipe: Pipe) -> list[tuple[str, str]]:
    return sorted((wire.source, wire.destination) for wire in pipe.status().wires if not wire.unlinked)


def test_frames_stay_whole_while_wires_come_and_go_and_flows_are_killed(journal):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    camera, one, two, rests = Camera("camera", SIZES), Passes("one"), Passes("two"), Rests("rests")
    seen = Viewer("seen", journal, 2)
    holder, hoarder = (Viewer(name, journal, keeps, ordered=False) for name, keeps in (("holder", 6), ("hoarder", 12)))
    with Pipe(restart=ALWAYS, data_transmitter=VIEWS, kill_timeout=1.0) as pipe:
        for flow in ((camera,), (one,), (two, seen), (rests,), (holder,), (hoarder,)):
            pipe.create_flow(flow[0].name, False, *flow)
        pipe.link(Wire(camera, one), Wire(one, two), Wire(two, seen), Wire(rests, (holder, hoarder)))
        pipe.notify_event("start", wait=60)
        rules: list[dict[str, Any]] = [{}, {"lossless": True, "capacity": 4}, {"data_transmitter": BasicTransmitter()}]
        with Fire(pipe, chance, ("camera", "one", "two", "holder", "hoarder"), 0.15) as fire:
            for number in itertools.count():
                if number >= 60 and fire.deaths >= 10:
                    break
                starts = [chance.choice((camera, one, two)) for _ in range(2)]
                wires = [Wire(starts[at], end, **chance.choice(rules)) for at, end in enumerate((holder, hoarder))]
                for wire in wires:
                    insist(pipe, wire)
                if number % 3 == 0:
                    for wire in wires:
                        goes_on(pipe, (wire.source.name, wire.destinations[0].name), by=3)
                for wire in wires:
                    pipe.unlink(wire.source, wire.destinations[0])
        in_peace(pipe)
        insist(pipe, Wire(two, holder, lossless=True))
        goes_on(pipe, ("two", "holder"), ("two", "seen"))
        pipe.notify_event("stop", wait=60)
        status = pipe.status()
    assert journal.lines() == [], f"seed {seed}"
    assert sum(routine.errors for routine in status.routines) == 0, f"seed {seed}: {status.routines}"


@pytest.mark.parametrize("victims", [("counter",), ("ledger",), ("counter", "ledger", "bystander")], ids="+".join)
def test_a_flow_that_is_killed_in_the_middle_of_linking_leaves_one_wire_or_none(tmp_path, victims):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    counter, bystander, rests = Counter("counter"), Ledger("bystander", tmp_path / "bystander"), Rests("rests")
    ledger = Ledger("ledger", tmp_path / "ledger")
    with Pipe(restart=ALWAYS, lossless=True, kill_timeout=1.0) as pipe:
        for routine in (counter, bystander, rests, ledger):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(counter, bystander), Wire(rests, ledger))
        pipe.notify_event("start", wait=60)
        before = listed(pipe)
        links = refusals = 0
        for _ in range(40):
            with Fire(pipe, chance, victims, 0.01):
                try:
                    pipe.link(Wire(counter, ledger), wait=60)
                    links += 1
                except PipeStateError:
                    refusals += 1
            in_peace(pipe)
            # Then it is there once and works, or it is not there
            wait_until(lambda: listed(pipe) == opened(pipe), 60.0, "the wires that the pipe says it has")
            assert len(opened(pipe)) <= len(before) + 1, f"seed {seed}"
            if listed(pipe) == before:
                insist(pipe, Wire(counter, ledger))
            assert listed(pipe) == opened(pipe) == sorted([*before, ("counter", "ledger")]), f"seed {seed}"
            goes_on(pipe, ("counter", "ledger"), ("counter", "bystander"))
            # and it can be taken away at such a moment, too
            with Fire(pipe, chance, victims, 0.01):
                pipe.unlink(counter, ledger)
            in_peace(pipe)
            wait_until(lambda: opened(pipe) == before, 60.0, "that the wire is gone")
            goes_on(pipe, ("counter", "bystander"))
        status = pipe.status()
    assert links + refusals == 40
    for ends in (ledger, bystander):
        for life, numbers in ends.lives().items():
            # What was in the hand of a process that died comes again, and nothing else.
            again = len(numbers) - len(set(numbers))
            deaths = {flow.name: flow.restarts for flow in status.flows}[ends.name]
            assert again <= deaths, f"seed {seed}: {ends.name} got {again} twice from {life} with {deaths} deaths"


def test_lossless_wires_lose_nothing_while_flows_die_and_others_come_and_go(tmp_path):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    counter, passes, rests = Counter("counter"), Passes("passes"), Rests("rests")
    ledger, late = Ledger("ledger", tmp_path / "ledger"), Ledger("late", tmp_path / "late")
    with Pipe(restart=ALWAYS, lossless=True, kill_timeout=1.0) as pipe:
        for routine in (counter, passes, ledger, rests, late):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(counter, passes, capacity=16), Wire(passes, ledger), Wire(rests, late))
        pipe.notify_event("start", wait=60)
        with Fire(pipe, chance, ("passes", "ledger", "late"), 0.1) as fire:
            for number in itertools.count():
                if number >= 60 and fire.deaths >= 5:
                    break
                insist(pipe, Wire(passes, late, capacity=8))
                goes_on(pipe, ("passes", "late"), by=5)
                pipe.unlink(passes, late)
        in_peace(pipe)
        goes_on(pipe, ("counter", "passes"), ("passes", "ledger"))
        deaths = {flow.name: flow.restarts for flow in pipe.status().flows}
        pipe.notify_event("stop", {"counter": []}, wait=60)
        # What a routine has in hand is in none of the wires, and yet on its way.
        queues = pipe._supervisor.memory.queues.all()
        wait_until(lambda: not any(queue.table.under_way() for queue in queues), 60.0, "the end of all messages")
        status = pipe.status()
        given_up = {letter.data[1] for letter in pipe.dead_letters()}  # in hand at one death after the other
    ((_, numbers),) = ledger.lives().items()
    assert set(numbers) | given_up >= set(range(max(numbers) + 1)), f"seed {seed}: {deaths}"
    assert 2 * len(given_up) <= sum(deaths.values()), f"seed {seed}: {deaths}"
    for wire in status.wires:
        assert wire.sent == wire.received + wire.dropped + wire.queued, f"seed {seed}: {wire}"


def test_links_restarts_parameters_and_previews_at_the_same_time(journal, tmp_path):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    camera, passes, counter, rests = Camera("camera", SIZES), Passes("passes"), Counter("counter"), Rests("rests")
    seen, late = Viewer("seen", journal, 3), Viewer("late", journal, 8)
    ledger = Ledger("ledger", tmp_path / "ledger")
    with Pipe(restart=ALWAYS, data_transmitter=VIEWS, kill_timeout=1.0) as pipe:
        for routine in (camera, passes, seen, counter, ledger, rests, late):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(camera, passes), Wire(passes, seen), Wire(counter, ledger, lossless=True), Wire(rests, late))
        pipe.notify_event("start", wait=60)
        stop = threading.Event()
        failures: list[BaseException] = []

        def keep(doing: Any) -> threading.Thread:
            def run() -> None:
                try:
                    while not stop.is_set():
                        doing()
                except BaseException as error:
                    failures.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def link() -> None:
            with contextlib.suppress(PipeStateError):
                pipe.link(Wire(passes, late, lossless=True))
            with contextlib.suppress(UnknownRoutineError):
                pipe.unlink(passes, late)

        def restart() -> None:
            pipe.restart_flow(chance.choice(("passes", "late", "seen", "ledger")))
            time.sleep(chance.random() * 0.2)

        def set_parameters() -> None:
            pipe.set_parameters("counter", {"tint": chance.randrange(1000)})

        def preview() -> None:
            pipe.preview("passes", "input", rate=100, on=chance.random() < 0.5)
            pipe.preview("seen", "input", rate=100)
            pipe.status()

        threads = [keep(doing) for doing in (link, restart, set_parameters, preview)]
        for _ in range(8):
            goes_on(pipe, ("counter", "ledger"), ("passes", "seen"), by=30)
        stop.set()
        for thread in threads:
            thread.join(60.0)
        assert not any(thread.is_alive() for thread in threads)
        assert failures == [], f"seed {seed}"
        in_peace(pipe)
        wait_until(lambda: listed(pipe) == opened(pipe), 60.0)
        if ("passes", "late") not in listed(pipe):
            insist(pipe, Wire(passes, late, lossless=True))
        goes_on(pipe, ("passes", "late"), ("counter", "ledger"))
        pipe.notify_event("stop", wait=60)
    assert journal.lines() == [], f"seed {seed}"
    ((_, numbers),) = ledger.lives().items()
    assert numbers == list(range(len(numbers))), f"seed {seed}"


@pytest.mark.parametrize("moment", range(8))
def test_a_pipe_is_ended_while_it_is_linked_and_burns(tmp_path, moment):
    chance = random.Random(moment)
    counter, rests = Counter("counter"), Rests("rests")
    bystander, ledger = Ledger("bystander", tmp_path / "1"), Ledger("ledger", tmp_path / "2")
    with Pipe(restart=ALWAYS, lossless=True, kill_timeout=1.0) as pipe:
        for routine in (counter, bystander, rests, ledger):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(counter, bystander), Wire(rests, ledger))
        pipe.notify_event("start", wait=60)
        ending: list[BaseException] = []
        rounds: list[int] = []

        def link() -> None:
            try:
                while True:
                    with contextlib.suppress(PipeStateError):
                        pipe.link(Wire(counter, ledger))
                    pipe.unlink(counter, ledger)
                    rounds.append(1)
            except BaseException as error:
                ending.append(error)

        thread = threading.Thread(target=link)
        thread.start()
        with Fire(pipe, chance, ("counter", "ledger"), 0.1):
            wait_until(lambda: len(rounds) >= moment or ending, 60.0, f"{moment} rounds")
        pipe.join(to_kill=True)
        thread.join(60.0)
        assert not thread.is_alive()
    assert all(isinstance(error, (PipeStateError, UnknownRoutineError)) for error in ending), ending


def freeze(pid: int) -> None:
    """Stop a process, and wait until none of its threads goes on."""
    os.kill(pid, signal.SIGSTOP)

    def stands() -> bool:
        try:
            states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
        except (FileNotFoundError, ProcessLookupError):  # a thread has just ended
            return False
        return set(states) == {"T"}

    tasks = Path(f"/proc/{pid}/task")
    wait_until(stands, what="that no thread goes on")


def small_pipe(tmp_path: Path, **options: Any) -> tuple[Pipe, Ledger, Ledger]:
    """counter -> bystander, rests -> ledger, each in a flow of its own."""
    counter, rests = Counter("counter"), Rests("rests")
    bystander, ledger = Ledger("bystander", tmp_path / "bystander"), Ledger("ledger", tmp_path / "ledger")
    pipe = Pipe(lossless=True, kill_timeout=1.0, **options)
    for routine in (counter, bystander, rests, ledger):
        pipe.create_flow(routine.name, False, routine)
    pipe.link(Wire(counter, bystander), Wire(rests, ledger))
    return pipe, bystander, ledger


@pytest.mark.parametrize("stopped", ["counter", "ledger", "bystander", "rests"])
def test_a_flow_that_does_not_answer_refuses_the_wire_and_gets_it_later(tmp_path, stopped):
    pipe, bystander, ledger = small_pipe(tmp_path)
    with pipe:
        pipe.notify_event("start", wait=60)
        goes_on(pipe, ("counter", "bystander"))
        before = listed(pipe)
        pid = pipe.status().flow(stopped).pid
        freeze(pid)
        try:
            with pytest.raises(PipeStateError, match=r"no wire was added: '.*' did not end the message in hand within"):
                pipe.link(Wire(pipe.routine("counter"), ledger), wait=0.3)
            assert listed(pipe) == opened(pipe) == before
        finally:
            os.kill(pid, signal.SIGCONT)
        insist(pipe, Wire(pipe.routine("counter"), ledger))
        goes_on(pipe, ("counter", "ledger"), ("counter", "bystander"))
        assert listed(pipe) == opened(pipe)
        assert all(flow.restarts == 0 for flow in pipe.status().flows)
    for ends in (bystander, ledger):
        ((_, numbers),) = ends.lives().items()
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_flow_that_was_given_up_does_not_keep_others_from_linking_and_has_the_wire_when_it_comes_back(tmp_path):
    pipe, _, ledger = small_pipe(tmp_path, restart=0)
    with pipe:
        pipe.notify_event("start", wait=60)
        for gone in ("rests", "ledger"):
            os.kill(pipe.status().flow(gone).pid, signal.SIGKILL)
            wait_until(lambda gone=gone: pipe.status().flow(gone).state == "failed")
        pipe.link(Wire(pipe.routine("counter"), ledger))
        assert listed(pipe) == opened(pipe)
        goes_on(pipe, ("counter", "bystander"), by=300)
        pipe.restart_flow("ledger")
        goes_on(pipe, ("counter", "ledger"), by=300)
        os.kill(pipe.status().flow("counter").pid, signal.SIGKILL)
        wait_until(lambda: pipe.status().flow("counter").state == "failed")
        pipe.unlink("counter", "ledger")
        pipe.restart_flow("counter")
        goes_on(pipe, ("counter", "bystander"), by=300)
        assert listed(pipe) == opened(pipe)
        assert ("counter", "ledger") not in opened(pipe)


def test_a_flow_that_waits_for_its_restart_refuses_the_wire_and_gets_it_later(tmp_path):
    pipe, _, ledger = small_pipe(tmp_path, restart=Late())
    with pipe:
        pipe.notify_event("start", wait=60)
        os.kill(pipe.status().flow("ledger").pid, signal.SIGKILL)
        wait_until(lambda: pipe.status().flow("ledger").state == "restarting")
        before = listed(pipe)
        with pytest.raises(PipeStateError, match="no wire was added"):
            pipe.link(Wire(pipe.routine("counter"), ledger), wait=0.2)
        assert listed(pipe) == opened(pipe) == before
        pipe.restart_flow("ledger")
        insist(pipe, Wire(pipe.routine("counter"), ledger))
        goes_on(pipe, ("counter", "ledger"), ("counter", "bystander"))


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_an_unlink_of_a_flow_that_is_dying_is_kept(tmp_path, signal_):
    pipe, _, ledger = small_pipe(tmp_path, restart=ALWAYS)
    with pipe:
        counter = pipe.routine("counter")
        pipe.notify_event("start", wait=60)
        insist(pipe, Wire(counter, ledger))
        before = listed(pipe)
        for ask in (
            lambda: pipe.unlink(counter, ledger, wait=0.1),
            lambda: pipe.notify_event("unlink", {"counter": ["counter"]}, unlink_routine_name="ledger"),
        ):
            pid = pipe.status().flow("counter").pid
            freeze(pid)
            ask()
            os.kill(pid, signal_)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda pid=pid: pipe.status().flow("counter").pid not in (pid, None))
            in_peace(pipe)
            wait_until(lambda: listed(pipe) == opened(pipe) != before)
            insist(pipe, Wire(counter, ledger))
            assert listed(pipe) == opened(pipe) == before
            goes_on(pipe, ("counter", "ledger"))
    for numbers in ledger.lives().values():
        assert numbers == sorted(set(numbers))
