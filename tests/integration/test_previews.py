"""Previews of running routines: pictures come while they are on, and nothing of them is left when they are off."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipert2 import (
    FrameData,
    MiddleRoutine,
    Pipe,
    PipeStateError,
    PreviewFrame,
    Restart,
    SharedMemoryTransmitter,
    SourceRoutine,
    UnknownRoutineError,
    events,
)
from pipert2.testing import CollectingDestination, ListSource, wait_until


class Shot(FrameData):
    def __init__(self, frame: Any) -> None:
        super().__init__()
        self.frame = frame

    def get_frame(self) -> Any:
        if self.frame is None:
            raise RuntimeError("no frame yet")
        return self.frame


class Camera(SourceRoutine):
    """Frames of one grey, of the kind it is told."""

    shape: tuple[int, ...] = (60, 80, 3)
    grey = 10

    @events("CHANGE")
    def change(self, shape: tuple[int, ...] | None, grey: int = 10) -> None:
        self.shape, self.grey = shape, grey  # type: ignore[assignment]

    def main_logic(self) -> Shot:
        time.sleep(0.002)
        return Shot(None if self.shape is None else np.full(self.shape, self.grey, np.uint8))


class Darker(MiddleRoutine):
    def main_logic(self, data: Shot) -> dict[str, Any]:
        return {"label": "dark", "frame": data.get_frame() // 2} if data.frame is not None else {"label": "none"}


class Counts(CollectingDestination):
    def main_logic(self, data: Any) -> str:
        super().main_logic(1)
        return "not sent anywhere"


@pytest.fixture(params=["inline", "processes"])
def pipe(request, chain):
    inline = request.param == "inline"
    routines = Camera("camera"), Darker("darker"), Counts("counts")
    at_once = Restart(times=100, backoff=0.0)
    with chain(*routines, inline=inline, restart=at_once, transmitter=SharedMemoryTransmitter()) as pipe:
        pipe.notify_event("start", wait=60)
        yield pipe


def picture(pipe: Pipe, routine: str, side: Any = "output", after: int = 0) -> PreviewFrame:
    def newer() -> PreviewFrame | None:
        frame = pipe.preview_frame(routine, side)
        return frame if frame is not None and frame.number > after else None

    return wait_until(newer, what=f"a picture of {routine}'s {side}")


def grey_of(frame: PreviewFrame) -> float:
    return float(np.asarray(Image.open(io.BytesIO(frame.jpeg))).mean())


def previewing(pipe: Pipe) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "pipert2-preview"]


def test_pictures_come_while_the_preview_is_on(pipe):
    assert pipe.preview_frame("darker") is None
    pipe.preview("darker", rate=50, size=40)
    first = picture(pipe, "darker")
    assert (first.routine, first.side, first.width, first.height) == ("darker", "output", 40, 30)
    assert (first.original, first.dtype) == ((60, 80, 3), "uint8")
    later = picture(pipe, "darker", after=first.number)
    assert later.time >= first.time


def test_input_and_output_are_two_previews(pipe):
    pipe.notify_event("CHANGE", {"in-camera": ["camera"]}, wait=60, shape=(40, 40), grey=100)
    pipe.preview("darker", "input", rate=50)
    pipe.preview("darker", "output", rate=50)
    wait_until(lambda: abs(grey_of(picture(pipe, "darker", "input")) - 100) < 3)
    wait_until(lambda: abs(grey_of(picture(pipe, "darker", "output")) - 50) < 3)
    pipe.preview("darker", "input", on=False)
    assert pipe.preview_frame("darker", "input") is None
    picture(pipe, "darker", "output", after=picture(pipe, "darker", "output").number)


def test_the_size_can_be_changed_while_it_is_on(pipe):
    pipe.preview("camera", rate=50, size=80)
    assert picture(pipe, "camera").width == 80
    pipe.preview("camera", rate=50, size=20)
    wait_until(lambda: picture(pipe, "camera").width == 20)


def test_off_means_off(pipe):
    pipe.preview("camera", rate=100)
    pipe.preview("camera", "input", rate=100)
    picture(pipe, "camera")
    for _ in range(20):
        pipe.preview("camera", on=False)
        assert pipe.preview_frame("camera") is None
        received = pipe.status().routine("counts").received
        wait_until(lambda received=received: pipe.status().routine("counts").received > received + 2)
        assert pipe.preview_frame("camera") is None
        pipe.preview("camera", rate=100)
        picture(pipe, "camera")
    pipe.preview("camera", on=False)
    pipe.preview("camera", on=False)
    assert pipe.preview_frame("camera") is None


def test_a_source_has_no_input_to_show_and_a_destination_can_show_both(pipe):
    pipe.preview("camera", "input", rate=100)
    pipe.preview("counts", "input", rate=100)
    pipe.preview("counts", "output", rate=100)
    before = pipe.status().routine("counts").sent
    picture(pipe, "counts", "input")
    assert pipe.preview_frame("camera", "input") is None
    assert pipe.preview_frame("counts", "output") is None
    assert pipe.status().routine("counts").sent == before == 0


@pytest.mark.parametrize("shape", [None, (9,), (4, 4, 2), (0, 0), (2, 4, 4, 3), ()], ids=str)
def test_a_frame_that_cannot_be_shown_harms_neither_the_routine_nor_the_next_picture(pipe, shape):
    pipe.preview("camera", rate=100)
    picture(pipe, "camera")
    pipe.notify_event("CHANGE", {"in-camera": ["camera"]}, wait=60, shape=shape)
    received = pipe.status().routine("darker").received
    wait_until(lambda: pipe.status().routine("darker").received > received + 30)
    pipe.notify_event("CHANGE", {"in-camera": ["camera"]}, wait=60, shape=(20, 20), grey=200)
    wait_until(lambda: grey_of(picture(pipe, "camera")) > 190)
    assert pipe.status().routine("camera").errors == 0


def test_a_stream_goes_on_as_before_when_previews_come_and_go(chain):
    numbers, seen = ListSource(range(3000), "numbers"), CollectingDestination("seen")
    with chain(numbers, seen, lossless=True) as pipe:
        pipe.build()
        pipe.preview("numbers", rate=100)
        pipe.notify_event("start", wait=60)
        while not pipe.status().routine("seen").finished:
            for name, side in (("numbers", "output"), ("seen", "input"), ("seen", "output")):
                for on in (True, False):
                    pipe.preview(name, side, on=on)
        assert pipe.join(timeout=60.0)
    assert seen.items() == list(range(3000))


def test_a_preview_can_be_on_before_the_start_and_after_a_stop(chain):
    with chain(Camera("camera"), Counts("counts")) as pipe:
        pipe.build()
        pipe.preview("camera", rate=50)
        assert pipe.preview_frame("camera") is None
        pipe.notify_event("start", wait=60)
        picture(pipe, "camera")
        pipe.notify_event("stop", wait=60)
        last = pipe.preview_frame("camera")
        assert last is not None
        pipe.notify_event("start", wait=60)
        picture(pipe, "camera", after=last.number)


@pytest.mark.expects_errors
@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_a_preview_outlives_the_flows_process(chain, how):
    at_once = Restart(times=100, backoff=0.0)
    with chain(Camera("camera"), Darker("darker"), Counts("counts"), restart=at_once) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.preview("camera", rate=50, size=30)
        pipe.preview("camera", "input", on=False)
        old = picture(pipe, "camera")
        if how == "killed":
            os.kill(pipe.status().flow("in-camera").pid, signal.SIGKILL)
        else:
            pipe.restart_flow("in-camera")
        wait_until(lambda: pipe.status().flow("in-camera").restarts == 1)
        wait_until(lambda: pipe.status().flow("in-camera").pid)
        began = time.time()
        new = wait_until(lambda: next((f for f in (pipe.preview_frame("camera"),) if f and f.time > began), None))
        assert new.width == old.width <= 30
        assert pipe.preview_frame("camera", "input") is None


def test_no_thread_is_left_when_the_pipe_has_ended(chain):
    with chain(Camera("camera"), Counts("counts"), inline=True) as pipe:
        pipe.notify_event("start", wait=60)
        pipe.preview("camera", rate=50)
        picture(pipe, "camera")
        assert previewing(pipe)
    assert not previewing(pipe)


def test_nothing_is_in_the_way_of_a_routine_without_a_preview(pipe):
    if pipe.status().flow("in-darker").pid is not None:
        pytest.skip("looks into the routine's loop, which is in another process")
    loop = pipe.routine("darker")._context._loop
    assert loop.logic() == pipe.routine("darker").main_logic
    assert loop.send() == loop.outlet.send
    pipe.preview("darker", rate=100)
    pipe.preview("darker", "input", rate=100)
    picture(pipe, "darker", "input")
    assert loop.logic() != pipe.routine("darker").main_logic
    pipe.preview("darker", on=False)
    pipe.preview("darker", "input", on=False)
    wait_until(lambda: loop.send() == loop.outlet.send)
    wait_until(lambda: loop.logic() == pipe.routine("darker").main_logic)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"side": "left"}, "'input' or 'output', not 'left'"),
        ({"rate": 0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 1000}, "at most 100"),
        ({"size": 0}, "size"),
        ({"size": float("nan")}, "size"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(pipe, arguments, words):
    with pytest.raises(ValueError, match=words):
        pipe.preview("camera", **arguments)
    assert pipe.preview_frame("camera") is None


def test_an_unknown_routine_is_an_error_with_the_nearest_name(pipe):
    with pytest.raises(UnknownRoutineError, match="did you mean 'camera'"):
        pipe.preview("camra")
    with pytest.raises(UnknownRoutineError, match="did you mean 'camera'"):
        pipe.preview_frame("camra")


def test_a_pipe_that_is_not_built_or_has_ended_has_no_previews(chain):
    pipe = chain(Camera("camera"), Counts("counts"))
    with pytest.raises(PipeStateError, match="is not built yet"):
        pipe.preview("camera")
    assert pipe.preview_frame("camera") is None
    with pipe:
        pipe.build()
    with pytest.raises(PipeStateError, match="has ended"):
        pipe.preview("camera")
    assert pipe.preview_frame("camera") is None
