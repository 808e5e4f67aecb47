"""Parameters of routines in processes: set from everywhere, between two messages, and they outlive their process."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    EventHandlerError,
    EventTimeoutError,
    MiddleRoutine,
    Parameter,
    ParameterError,
    Pipe,
    PipeStateError,
    Restart,
    SourceRoutine,
    UnknownParameterError,
    UnknownRoutineError,
    events,
)
from pipert2.testing import wait_until

AT_ONCE = Restart(times=100, backoff=0.0)


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


class Crossed(Enum):
    LEFT = "RIGHT"
    RIGHT = "LEFT"


class Camera(SourceRoutine):
    """Sends what its parameters are."""

    gain = Parameter(1.0, minimum=0.0, maximum=8.0)
    first = Parameter(0)
    second = Parameter(0)
    mode = Parameter(Mode.FAST)
    side = Parameter(Crossed.LEFT)
    steady = Parameter(0)
    until: str | None = None  # the folder of a message that takes until a file is in it

    def __init__(self, name: str, gain: float = 1.0) -> None:
        super().__init__(name)
        self.gain = gain

    @events("LONG")
    def long(self, until: str) -> None:
        self.until = until

    @events("SET")
    def set(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def main_logic(self) -> dict[str, Any]:
        until, self.until = self.until, None
        first, steady = self.first, self.steady
        time.sleep(0.001)
        if until is not None:
            Path(until, "begun").touch()
            wait_until(Path(until, "enough").exists)
        steadily = steady == self.steady
        pair = (first, self.second)
        return {"gain": self.gain, "mode": self.mode.name, "side": self.side.name, "pair": pair, "steady": steadily}


class Newest(DestinationRoutine):
    """Answers what it got last, and what it saw that changed within a message."""

    def setup(self) -> None:
        self.last: dict[str, Any] = {}
        self.mixed: list[Any] = []

    @events("LAST")
    def tell(self) -> dict[str, Any]:
        return self.last

    @events("MIXED")
    def tell_mixed(self) -> list[Any]:
        return self.mixed

    def main_logic(self, data: dict[str, Any]) -> None:
        self.last = data
        if data["pair"][0] != -data["pair"][1] or not data["steady"]:
            self.mixed.append(data)


def sees(pipe: Pipe, **values: Any) -> bool:
    last = pipe.notify_event("LAST", wait=60)["newest"].unwrap()
    return all(last.get(name) == value for name, value in values.items())


def await_seen(pipe: Pipe, **values: Any) -> None:
    wait_until(lambda: sees(pipe, **values), what=f"{values} in use")


def value(pipe: Pipe, name: str, routine: str = "camera") -> Any:
    return next(status.value for status in pipe.status().routine(routine).parameters if status.name == name)


def history(pipe: Pipe, name: str, routine: str = "camera") -> list[Any]:
    status = next(status for status in pipe.parameters(routine) if status.name == name)
    return [change.value for change in status.changes]


@pytest.fixture(params=["inline", "processes"])
def camera_pipe(request, chain):
    """A pipe with a camera that runs."""
    inline = request.param == "inline"
    with chain(Camera("camera"), Newest("newest"), inline=inline, restart=AT_ONCE) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("newest").received)
        yield pipe


# ------------------------------------------------------------------------------------------------ from everywhere


def test_a_value_that_was_set_is_in_use_and_in_the_status_when_the_call_returns(camera_pipe):
    camera_pipe.set_parameters("camera", {"gain": 2, "mode": "EXACT"})
    assert (value(camera_pipe, "gain"), value(camera_pipe, "mode")) == (2.0, "exact")
    await_seen(camera_pipe, gain=2.0, mode="EXACT")


def test_the_object_out_here_can_be_assigned_to(camera_pipe):
    camera = camera_pipe.routine("camera")
    camera.gain = 3
    await_seen(camera_pipe, gain=3.0)
    wait_until(lambda: camera.gain == 3.0)
    with pytest.raises(ParameterError, match="'gain' of 'camera' is at most 8, not 9"):
        camera.gain = 9
    assert (camera.gain, value(camera_pipe, "gain")) == (3.0, 3.0)


def test_what_the_routine_sets_itself_is_seen_from_outside(camera_pipe):
    camera_pipe.notify_event("SET", {"in-camera": ["camera"]}, wait=60, name="gain", value=4)
    wait_until(lambda: value(camera_pipe, "gain") == 4.0)
    assert history(camera_pipe, "gain") == [4.0]
    assert camera_pipe.routine("camera").gain == 4.0


def test_a_value_of_init_or_before_build_is_where_the_routine_begins(chain):
    with chain(Camera("camera", gain=2.5), Newest("newest")) as pipe:
        pipe.set_parameters("camera", {"mode": "exact"})
        pipe.routine("camera").first = 5
        assert [status.value for status in pipe.parameters("camera")][:4] == [2.5, 5, 0, "exact"]
        pipe.notify_event("start", wait=60)
        await_seen(pipe, gain=2.5, mode="EXACT", pair=(5, 0))


def test_parameters_can_be_set_while_nothing_runs(chain):
    with chain(Camera("camera"), Newest("newest")) as pipe:
        pipe.build()
        pipe.set_parameters("camera", {"gain": 2})
        pipe.notify_event("start", wait=60)
        await_seen(pipe, gain=2.0)
        pipe.notify_event("stop", wait=60)
        pipe.set_parameters("camera", {"gain": 3})
        assert value(pipe, "gain") == 3.0
        pipe.notify_event("start", wait=60)
        await_seen(pipe, gain=3.0)


def test_members_whose_names_and_values_cross_stay_themselves(camera_pipe):
    camera_pipe.set_parameters("camera", {"side": Crossed.RIGHT})
    await_seen(camera_pipe, side="RIGHT")
    assert camera_pipe.routine("camera").side is Crossed.RIGHT


def test_a_generator_source_takes_values_between_two_pieces(chain):
    class Counts(SourceRoutine):
        step = Parameter(1)

        def main_logic(self):
            number = 0
            while True:
                time.sleep(0.001)
                yield {"gain": self.step, "pair": (0, 0), "steady": True, "mode": number}
                number += 1

    with chain(Counts("counts"), Newest("newest")) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.set_parameters("counts", {"step": 7})
        await_seen(pipe, gain=7)


# ------------------------------------------------------------------------------------------------ all or nothing


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"first": 5, "gain": 9}, ParameterError, "parameter 'gain' of 'camera' is at most 8, not 9"),
        ({"first": 5, "gian": 2}, UnknownParameterError, "has no parameter 'gian': did you mean 'gain'"),
        ({"first": 5, "mode": "slow"}, ParameterError, "takes one of 'fast', 'exact', not 'slow'"),
        ({"first": 5, "second": 1.5}, ParameterError, "takes a whole number, not 1.5"),
    ],
)  # fmt: skip
def test_one_wrong_value_and_none_is_set(camera_pipe, values, error, words):
    with pytest.raises(error, match=words):
        camera_pipe.set_parameters("camera", values)
    assert history(camera_pipe, "first") == []
    assert sees(camera_pipe, pair=(0, 0))


def test_an_unknown_routine_is_an_error_with_the_nearest_name(camera_pipe):
    for call in (lambda: camera_pipe.set_parameters("camra", {}), lambda: camera_pipe.parameters("camra")):
        with pytest.raises(UnknownRoutineError, match="did you mean 'camera'"):
            call()


def test_values_that_are_set_together_are_never_seen_apart(camera_pipe):
    stop = threading.Event()

    def keep_setting() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            camera_pipe.set_parameters("camera", {"first": number, "second": -number})

    threads = [threading.Thread(target=keep_setting) for _ in range(2)]
    for thread in threads:
        thread.start()
    received = camera_pipe.status().routine("newest").received
    wait_until(lambda: camera_pipe.status().routine("newest").received > received + 300, 60.0)
    stop.set()
    for thread in threads:
        thread.join(60.0)
    assert camera_pipe.notify_event("MIXED", wait=60)["newest"].unwrap() == []


def test_an_assignment_from_outside_takes_effect_between_two_messages(camera_pipe):
    camera = camera_pipe.routine("camera")
    for number in range(1, 60):
        camera.steady = number
    wait_until(lambda: value(camera_pipe, "steady") == 59)
    assert history(camera_pipe, "steady")[-1] == 59
    assert camera_pipe.notify_event("MIXED", wait=60)["newest"].unwrap() == []


class Paced(MiddleRoutine):
    tint = Parameter(0)

    def main_logic(self, data: Any) -> Any:
        return data


@pytest.mark.parametrize("paced", ["camera", "paced"])
@pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])
def test_a_routine_with_a_fixed_rate_goes_on_while_parameters_are_set(chain, paced, inline):
    camera, middle = Camera("camera"), Paced("paced")
    (camera if paced == "camera" else middle).set_const_fps(25)
    with chain(camera, middle, Newest("newest"), inline=inline) as pipe:
        pipe.notify_event("start", wait=60)
        stop = threading.Event()

        def keep_setting() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                pipe.set_parameters(paced, {"first" if paced == "camera" else "tint": number})

        thread = threading.Thread(target=keep_setting)
        thread.start()
        try:
            received = pipe.status().routine("newest").received
            wait_until(lambda: pipe.status().routine("newest").received > received + 25)
        finally:
            stop.set()
            thread.join(60.0)


# ------------------------------------------------------------------------------------------------ time


def test_a_routine_that_is_long_at_it_gets_the_values_afterwards(camera_pipe, tmp_path):
    camera_pipe.notify_event("LONG", {"in-camera": ["camera"]}, wait=60, until=str(tmp_path))
    wait_until((tmp_path / "begun").exists)
    with pytest.raises(EventTimeoutError, match="may still do what was asked"):
        camera_pipe.set_parameters("camera", {"gain": 5}, wait=0.05)
    assert value(camera_pipe, "gain") == 1.0
    (tmp_path / "enough").touch()
    await_seen(camera_pipe, gain=5.0)
    wait_until(lambda: value(camera_pipe, "gain") == 5.0)


def test_the_history_has_the_last_twenty_changes_with_their_times(camera_pipe):
    began = time.time()
    for number in range(30):
        camera_pipe.set_parameters("camera", {"first": number, "second": -number})
    status = next(status for status in camera_pipe.parameters("camera") if status.name == "first")
    assert [change.value for change in status.changes] == list(range(10, 30))
    times = [change.time for change in status.changes]
    assert times == sorted(times)
    assert began - 1 <= times[0] <= times[-1] <= time.time() + 1


def test_the_values_can_still_be_read_when_the_pipe_has_ended(chain):
    pipe = chain(Camera("camera"), Newest("newest"))
    with pipe:
        pipe.notify_event("start", wait=60)
        pipe.set_parameters("camera", {"gain": 2})
    assert (value(pipe, "gain"), history(pipe, "gain")) == (2.0, [2.0])
    with pytest.raises(PipeStateError, match="has ended"):
        pipe.set_parameters("camera", {"gain": 3})


# ------------------------------------------------------------------------------------------------ processes that die


@pytest.mark.expects_errors
def test_values_and_history_outlive_the_process(chain):
    with chain(Camera("camera"), Newest("newest"), restart=AT_ONCE) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.set_parameters("camera", {"gain": 2, "mode": Mode.EXACT})
        pipe.notify_event("SET", {"in-camera": ["camera"]}, wait=60, name="first", value=3)
        pipe.set_parameters("camera", {"second": -3})
        for number in (1, 2):
            os.kill(pipe.status().flow("in-camera").pid, signal.SIGKILL)
            wait_until(lambda number=number: (f := pipe.status().flow("in-camera")).restarts == number and f.pid)
            received = pipe.status().routine("newest").received
            wait_until(lambda received=received: pipe.status().routine("newest").received > received + 3)
            await_seen(pipe, gain=2.0, mode="EXACT", pair=(3, -3))
        assert [history(pipe, name) for name in ("gain", "mode", "first", "second")] == [[2.0], ["exact"], [3], [-3]]


@pytest.mark.expects_errors
def test_setting_while_the_flow_is_restarted_waits_for_it_or_says_that_it_died(chain):
    with chain(Camera("camera"), Newest("newest"), restart=AT_ONCE) as pipe:
        pipe.notify_event("start", wait=60)
        set_values = [0]
        for number in range(1, 6):
            os.kill(pipe.status().flow("in-camera").pid, signal.SIGKILL)
            with contextlib.suppress(EventHandlerError):  # "its flow died"
                pipe.set_parameters("camera", {"first": number, "second": -number}, wait=60)
                set_values.append(number)
            wait_until(lambda number=number: (f := pipe.status().flow("in-camera")).restarts == number and f.pid)
        pipe.set_parameters("camera", {"first": 100, "second": -100})
        await_seen(pipe, pair=(100, -100))
        assert pipe.notify_event("MIXED", wait=60)["newest"].unwrap() == []
        assert [number for number in history(pipe, "first") if number in set_values] == [*set_values[1:]]
