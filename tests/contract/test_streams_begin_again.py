"""A routine between two streams: it takes part in the next one however that begins, and costs nothing till then."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pipert2 import DestinationRoutine, EndOfStream, Pipe, SourceRoutine, Wire
from pipert2.runtime.routine.loop import RoutineLoop
from pipert2.testing import wait_until


class Lingers(SourceRoutine):
    """Sends three numbers; leaving takes it as long as nobody says that it may."""

    def __init__(self, name: str, may: Path) -> None:
        super().__init__(name)
        self.may = may
        self._number = 0

    def main_logic(self) -> int:
        if self._number % 4 == 3:
            self._number += 1
            raise EndOfStream
        self._number += 1
        return self._number

    def cleanup(self) -> None:
        while not self.may.exists():
            self.wait(0.01)


class Notes(DestinationRoutine):
    """Notes in a file when it begins and what it gets."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name)
        self.path = path

    def _note(self, what: Any) -> None:
        with self.path.open("a") as file:
            file.write(f"{what}\n")

    def setup(self) -> None:
        self._note("begins")

    def main_logic(self, number: int) -> None:
        self._note(number)


class DiesLeaving(SourceRoutine):
    """Sends twenty numbers; its process dies when it leaves, the first time."""

    def __init__(self, name: str, may: Path) -> None:
        super().__init__(name)
        self.may = may
        self._number = 0

    def main_logic(self) -> int:
        if self._number == 20:
            raise EndOfStream
        self._number += 1
        return self._number

    def cleanup(self) -> None:
        if not self.may.exists():
            while not self.may.exists():
                self.wait(0.01)
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_start_while_a_source_leaves_reaches_what_is_behind_it(inline: bool, lossless: bool, tmp_path: Path) -> None:
    may, noted = tmp_path / "may", tmp_path / "noted"
    source, notes = Lingers("source", may), Notes("notes", noted)
    with Pipe("again", inline=inline, lossless=lossless) as pipe:
        pipe.create_flow("from", False, source)
        pipe.create_flow("to", False, notes)
        pipe.link(Wire(source, notes, capacity=8))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("notes").finished, 20)  # the source has ended its stream, and stays
        pipe.notify_event("start")
        wait_until(lambda: noted.read_text().count("begins") == 2, 20)
        wait_until(lambda: pipe.status().routine("notes").finished, 20)
        may.touch()
        assert pipe.join(timeout=60)
    assert noted.read_text().split() == ["begins", "1", "2", "3", "begins", "begins", "5", "6", "7"]


@pytest.mark.expects_errors
def test_a_source_whose_process_dies_when_its_stream_has_ended_begins_anew_for_those_behind_it(tmp_path: Path) -> None:
    may, noted = tmp_path / "may", tmp_path / "noted"
    source, notes = DiesLeaving("source", may), Notes("notes", noted)
    with Pipe("anew", lossless=True) as pipe:
        pipe.create_flow("from", False, source)
        pipe.create_flow("to", False, notes)
        pipe.link(Wire(source, notes, capacity=8))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("notes").finished, 20)
        may.touch()
        assert pipe.join(timeout=60)
    numbers = [str(number) for number in range(1, 21)]
    assert noted.read_text().split() == ["begins", *numbers, "begins", *numbers]


def test_a_routine_that_was_not_started_sleeps_whatever_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, notes = Lingers("source", tmp_path), Notes("notes", tmp_path / "noted")
    looks = []
    sleep = RoutineLoop.sleep

    def counted(loop: RoutineLoop, *arguments: Any, **options: Any) -> None:
        if loop.spec.name == "notes":
            looks.append(1)
        sleep(loop, *arguments, **options)

    monkeypatch.setattr(RoutineLoop, "sleep", counted)
    with Pipe("idle", inline=True, lossless=True) as pipe:
        pipe.create_flow("from", False, source)
        pipe.create_flow("to", False, notes)
        pipe.link(Wire(source, notes, capacity=2))
        pipe.build()
        pipe.notify_event("start", {"from": ["source"]}, wait=60)
        wait_until(lambda: pipe.status().wire("source", "notes").blocked, 20)
        for _ in range(5):
            pipe.notify_event("stop", {"to": ["notes"]}, wait=60)
        assert len(looks) < 50
