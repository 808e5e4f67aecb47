"""What routines show, asked for while the pipe runs."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from pipert2 import (
    START_EVENT_NAME,
    DestinationRoutine,
    MiddleRoutine,
    Pipe,
    PipeStateError,
    SourceRoutine,
    UnknownRoutineError,
    Wire,
)
from pipert2.testing import wait_until


class Numbers(SourceRoutine):
    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> int:
        self.wait(0.01)
        self.number += 1
        return self.number


class Look(MiddleRoutine):
    def main_logic(self, number: int) -> int:
        self.show("number", number)
        self.show("process", str(os.getpid()))
        self.show("row", np.full(5, number))
        return number


class End(DestinationRoutine):
    def main_logic(self, number: int) -> None:
        pass


def make(*, inline: bool = False, replicas: int = 1) -> Pipe:
    pipe = Pipe(inline=inline) if inline else Pipe(lossless=True)
    numbers, look, end = Numbers("numbers"), Look("look"), End("end")
    pipe.create_flow("in", False, numbers)
    if replicas > 1:
        pipe.create_flow("work", False, look, replicas=replicas)
    else:
        pipe.create_flow("work", False, look)
    pipe.create_flow("out", False, end)
    pipe.link(Wire(numbers, look), Wire(look, end))
    return pipe


def texts(pipe: Pipe, name: str, after: int = 0) -> dict[str, str]:
    return {one.routine: one.text for one in pipe.results("look", after).values if one.name == name}


@pytest.mark.parametrize("inline", [False, True])
def test_what_is_shown_is_had_and_then_only_what_is_newer(inline: bool) -> None:
    with make(inline=inline) as pipe:
        pipe.build()
        assert pipe.results("look").values == ()
        pipe.notify_event(START_EVENT_NAME)
        wait_until(lambda: len(texts(pipe, "row")) == 1)
        first = pipe.results("look")
        assert {one.name for one in first.values} == {"number", "process", "row"}
        newer = wait_until(lambda: pipe.results("look", first.last).values)
        assert all(at > first.last / 1e6 - 1e-4 for one in newer if one.name == "number" for at in one.at)


def test_each_replica_shows_by_its_own_name() -> None:
    with make(replicas=2) as pipe:
        pipe.notify_event(START_EVENT_NAME)
        found = wait_until(lambda: len(processes := texts(pipe, "process")) == 2 and processes)
        assert len(set(found)) == len(set(found.values())) == 2


@pytest.mark.expects_errors
def test_a_process_that_takes_over_is_asked_for_what_is_newer_than_what_the_last_one_told() -> None:
    with make() as pipe:
        pipe.notify_event(START_EVENT_NAME)
        wait_until(lambda: texts(pipe, "process"))
        before = pipe.results("look")
        (old,) = [one.text for one in before.values if one.name == "process"]
        os.kill(int(old), signal.SIGKILL)
        wait_until(lambda: texts(pipe, "process", before.last).get("look") not in (None, old), 60)


def test_a_routine_that_is_busy_is_not_waited_for(tmp_path: Path) -> None:
    class Busy(Look):
        def main_logic(self, number: int) -> int:
            super().main_logic(number)
            while not (tmp_path / "go").exists():
                threading.Event().wait(0.01)
            return number

    pipe = Pipe()
    numbers, busy = Numbers("numbers"), Busy("look")
    pipe.create_flow("in", False, numbers)
    pipe.create_flow("work", True, busy, End("end"))
    pipe.link(Wire(numbers, busy))
    with pipe:
        pipe.notify_event(START_EVENT_NAME)
        assert wait_until(lambda: texts(pipe, "number")).keys() == {"look"}
        (tmp_path / "go").touch()


def test_who_is_not_there_is_named_and_a_pipe_that_has_ended_says_so() -> None:
    with make() as pipe:
        pipe.build()
        with pytest.raises(UnknownRoutineError, match="did you mean 'look'"):
            pipe.results("lok")
    with pytest.raises(PipeStateError, match="results"):
        pipe.results("look")
