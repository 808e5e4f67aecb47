"""The routines of face_watch.py: reader, finders, marker and writer, and the data that travels between them."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter
from make_video import add_video_stream
from PIL import Image, ImageDraw, ImageFont

from pipert2 import DestinationRoutine, EndOfStream, FrameData, MiddleRoutine, SourceRoutine

Pixels = npt.NDArray[np.uint8]
GREEN = (60, 255, 90)


@dataclass
class Box:
    """Where a face is, in pixels of the frame."""

    x: int
    y: int
    width: int
    height: int

    def holds_centre_of(self, other: Box) -> bool:
        x, y = other.x + other.width / 2, other.y + other.height / 2
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


@dataclass
class Shot(FrameData):
    """One frame on its way through the pipe.

    Attributes:
        number: counts the frames read, from 0.
        time: seconds since the first frame, by the clock of the video or camera.
        image: RGB, height x width x 3, both even.
        boxes: the faces found in it.
    """

    number: int
    time: float
    image: Pixels
    boxes: tuple[Box, ...] = ()

    def get_frame(self) -> Pixels:
        return self.image


# --------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Video:
    """Where frames come from, and what was learnt about it beforehand.

    Attributes:
        url: the file, device or address, as PyAV opens it.
        format: the device format of a camera (such as v4l2), None for files and streams.
        live: frames come when they come; whoever is too slow misses some.
        paced: it is a file that is to be played at its own speed, like a camera.
        frames: how many there are, if that is known.
        fps: mean frames per second, if that is known.
    """

    url: str
    format: str | None = None
    live: bool = False
    paced: bool = False
    frames: int | None = None
    fps: float | None = None

    def open(self) -> av.container.InputContainer:
        """Open it for reading; a camera or server that stays silent is an error after 10 s."""
        return av.open(self.url, "r", format=self.format, timeout=10.0 if self.live else None)


class Reader(SourceRoutine):
    """Decodes frames and writes their pixels straight into shared memory.

    A part of the input that cannot be decoded is an error of this routine, counted and logged; it goes on behind it.
    """

    def __init__(self, video: Video, size: tuple[int, int] | None, duration: float | None) -> None:
        super().__init__("reader")
        self.video = video
        self.size = size
        self.duration = duration

    def setup(self) -> None:
        self._container = self.video.open()
        self._stream = self._container.streams.video[0]
        self._packets = self._container.demux(self._stream)
        self._decoded: deque[av.VideoFrame] = deque()
        self._converter = VideoReformatter()
        self._number = 0
        self._first_time: float | None = None

    def main_logic(self) -> Shot:
        while not self._decoded:
            packet = next(self._packets, None)
            if packet is None:
                raise EndOfStream
            self._decoded.extend(packet.decode())
        frame = self._decoded.popleft()
        seconds = self._seconds(frame)
        if self.duration is not None and seconds >= self.duration:
            raise EndOfStream
        while self.video.paced and (early := self._started + seconds - time.monotonic()) > 0:
            if self.wait(early):
                raise EndOfStream
        shot = Shot(self._number, seconds, self._pixels(frame))
        self._number += 1
        return shot

    def cleanup(self) -> None:
        self._container.close()

    def _seconds(self, frame: av.VideoFrame) -> float:
        """The frame's time since the first one; some raw formats have no times, there the rate must do."""
        seconds = frame.time if frame.time is not None else self._number / float(self.video.fps or 25)
        if self._first_time is None:
            self._first_time = seconds
            self._started = time.monotonic()
        return seconds - self._first_time

    def _pixels(self, frame: av.VideoFrame) -> Pixels:
        """The frame's picture, upright, in shared memory; every one has the size of the first."""
        quarter_turns = round(frame.rotation / 90) % 4
        if self.size is None:
            width = round(frame.width * float(self._stream.sample_aspect_ratio or 1))  # pixels need not be square
            self.size = (frame.height, width) if quarter_turns % 2 else (width, frame.height)
        width, height = self.size[::-1] if quarter_turns % 2 else self.size
        plane = self._converter.reformat(frame, width, height, "rgb24").planes[0]
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, : 3 * width]
        upright = np.rot90(lines.reshape(height, width, 3), quarter_turns)
        rows, columns = (length & ~1 for length in upright.shape[:2])  # one less where it is odd: H.264 has to
        image = self.loan((rows, columns, 3), np.uint8)
        image[:] = upright[:rows, :columns]
        return image


# ------------------------------------------------------------------------------------------------- finding, marking


class Finder(MiddleRoutine):
    """Finds faces in every n-th frame, on a small grey copy of it.

    Args:
        turn: which frames are this finder's: those whose number leaves this remainder.
        turns: how many finders there are.
    """

    ROWS = 180  # of the grey copy: enough for faces of a seventh of the picture, and 25 ms of work

    def __init__(self, turn: int, turns: int) -> None:
        super().__init__(f"finder-{turn + 1}")
        self.turn = turn
        self.turns = turns

    def setup(self) -> None:
        from skimage import data  # here: half a second that only the finders need to wait
        from skimage.feature import Cascade

        self._cascade = Cascade(data.lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]

    def main_logic(self, shot: Shot) -> Shot | None:
        if shot.number % self.turns != self.turn:
            return None
        return replace(shot, boxes=self.find(shot.image))

    def find(self, image: Pixels) -> tuple[Box, ...]:
        """The faces in an RGB picture, the largest first."""
        scale = max(1, round(min(image.shape[:2]) / self.ROWS))
        rows, columns = (length // scale for length in image.shape[:2])
        green = image[: rows * scale, : columns * scale, 1]  # the eye's brightness is mostly green
        middle = scale // 2
        corners = [green[y::scale, x::scale] for x in (0, middle) for y in (0, middle)]
        small = np.mean(corners, axis=0).astype(np.uint8)
        smallest = max(24, min(rows, columns) // 7)  # 24: the cascade's own window
        if min(rows, columns) <= smallest:
            return ()
        found = self._cascade.detect_multi_scale(
            small,
            scale_factor=1.2,
            step_ratio=1,
            min_size=(smallest, smallest),
            max_size=(rows, columns),
        )
        boxes: list[Box] = []
        for face in sorted(found, key=lambda face: -int(face["width"])):
            box = Box(*(int(face[key]) * scale for key in ("c", "r", "width", "height")))
            if not any(larger.holds_centre_of(box) for larger in boxes):  # the same face, seen twice
                boxes.append(box)
        return tuple(boxes)


class Marker(MiddleRoutine):
    """Draws boxes into a copy of the frame: what comes through shared memory is for reading only."""

    def __init__(self) -> None:
        super().__init__("marker")

    def setup(self) -> None:
        self._fonts: dict[int, Any] = {}

    def main_logic(self, shot: Shot) -> Shot:
        image = self.loan(shot.image.shape, np.uint8)
        image[:] = shot.image
        for box in shot.boxes:
            self.frame(image, box)
            self.label(image, "face", box.x, box.y)
        self.label(image, f"{shot.time:.2f} s   faces: {len(shot.boxes)}", 0, image.shape[0])
        return replace(shot, image=image)

    def frame(self, image: Pixels, box: Box) -> None:
        """Draw the outline of a box."""
        thick = max(2, image.shape[0] // 180)
        inside = image[box.y : box.y + box.height, box.x : box.x + box.width]
        for edge in (inside[:thick], inside[-thick:], inside[:, :thick], inside[:, -thick:]):
            edge[:] = GREEN

    def label(self, image: Pixels, text: str, x: int, bottom: int) -> None:
        """Write text on a coloured ground whose lower left corner is (x, bottom)."""
        size = max(10, image.shape[0] // 24)
        font = self._fonts.setdefault(size, ImageFont.load_default(size))
        _, _, right, lower = (round(edge) for edge in font.getbbox(text))
        ground = Image.new("RGB", (right + size, lower + size // 3), GREEN)
        ImageDraw.Draw(ground).text((size // 2, size // 6), text, (0, 0, 0), font)
        top = max(0, bottom - ground.height)
        place = image[top : top + ground.height, x : x + ground.width]
        place[:] = np.asarray(ground)[: place.shape[0], : place.shape[1]]


# --------------------------------------------------------------------------------------------------------- writing


class Sorter:
    """Puts shots that come by several ways back into the order of their numbers.

    Args:
        patience: how many later shots may wait for a missing one before it is given up.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.late = 0
        self._next = 0
        self._waiting: dict[int, Shot] = {}

    def put(self, shot: Shot) -> Iterator[Shot]:
        """Take in a shot and give out those whose turn it is."""
        if shot.number < self._next:
            self.late += 1
            return
        self._waiting[shot.number] = shot
        yield from self._ready()
        if len(self._waiting) > self.patience:
            self._next = min(self._waiting)
            yield from self._ready()

    def rest(self) -> Iterator[Shot]:
        """Give out what still waits."""
        while self._waiting:
            self._next = min(self._waiting)
            yield from self._ready()

    def _ready(self) -> Iterator[Shot]:
        while (shot := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield shot


class Writer(DestinationRoutine):
    """Encodes the frames in their order, and notes the boxes of each as a line of JSON.

    Args:
        output: the video to write.
        notes: the file of lines, read by the main process afterwards.
        fps: the input's mean rate, which the file states; the frames keep their own times.
        patience: see `Sorter`.
    """

    def __init__(self, output: Path, notes: Path, fps: float | None, patience: int) -> None:
        super().__init__("writer")
        self.output = output
        self.notes = notes
        self.fps = fps
        self.patience = patience

    def setup(self) -> None:
        self._sorter = Sorter(self.patience)
        self._container = av.open(str(self.output), "w")
        self._lines: TextIO = self.notes.open("w", buffering=1)
        self._stream: av.VideoStream | None = None
        self._last_tick = -1

    def main_logic(self, shot: Shot) -> None:
        for ready in self._sorter.put(shot):
            self._write(ready)

    def cleanup(self) -> None:
        try:
            for shot in self._sorter.rest():
                self._write(shot)
            if self._stream is not None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()
            self._lines.close()
        if self._sorter.late:
            self.logger.warning("%d frames came too late to be written in their place", self._sorter.late)

    def _write(self, shot: Shot) -> None:
        if self._stream is None:
            rate = Fraction(self.fps or 25).limit_denominator(1001)
            self._stream = add_video_stream(self._container, rate, (shot.image.shape[1], shot.image.shape[0]))
            if self._container.format.name != "avi":  # which has no times, only a rate
                rate = Fraction(60_000)  # MPEG-4 takes no more than 65,535
            self._tick = self._stream.codec_context.time_base = 1 / rate
        frame = av.VideoFrame.from_ndarray(shot.image, format="rgb24")
        self._last_tick = max(round(shot.time / self._tick), self._last_tick + 1)
        frame.pts = self._last_tick
        frame.time_base = self._tick
        self._container.mux(self._stream.encode(frame))
        note = {"number": shot.number, "time": round(shot.time, 6), "boxes": [asdict(box) for box in shot.boxes]}
        self._lines.write(json.dumps(note) + "\n")
