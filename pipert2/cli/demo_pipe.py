"""A pipe that needs nothing prepared: a spot that moves across a noisy picture, and a routine that finds it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipert2 import DestinationRoutine, MiddleRoutine, Parameter, Pipe, SourceRoutine, Wire, events

WIDTH, HEIGHT = 640, 360
_RADIUS = 12


@dataclass
class Picture:
    """A grey picture, *pixels* of shape (360, 640) and dtype uint8, and where its spot really is."""

    pixels: npt.NDArray[np.uint8]
    x: float
    y: float


@dataclass
class Finding:
    """Where the spot was found, and how far that is from where it is, in pixels."""

    x: int
    y: int
    error: float


class Camera(SourceRoutine):
    """Makes pictures of a moving spot."""

    fps = Parameter(30.0, minimum=1.0, maximum=500.0, unit="/s", help="Pictures per second.")
    noise = Parameter(60, minimum=0, maximum=200, help="Brightest value of the noise.")

    def setup(self) -> None:
        self._random = np.random.default_rng(1)
        self._angle = 0.0
        self._rate = 0.0

    @events("TURN")
    def turn(self, degrees: float = 90.0) -> float:
        """Move the spot ahead on its way; returns where it is then, in degrees."""
        self._angle += math.radians(degrees)
        return round(math.degrees(self._angle) % 360, 1)

    def main_logic(self) -> Picture:
        if self._rate != self.fps:
            self.set_const_fps(self.fps)
        self._angle += 0.6 / self.fps
        x = WIDTH / 2 + (WIDTH / 2 - 2 * _RADIUS) * math.sin(self._angle)
        y = HEIGHT / 2 + (HEIGHT / 2 - 2 * _RADIUS) * math.sin(2 * self._angle)
        pixels = self.loan((HEIGHT, WIDTH), np.uint8)
        pixels[:] = self._random.integers(0, self.noise + 1, (HEIGHT, WIDTH), np.uint8)
        top, left = int(y) - _RADIUS, int(x) - _RADIUS
        pixels[top : top + 2 * _RADIUS, left : left + 2 * _RADIUS] += 50
        return Picture(pixels, x, y)


class Finder(MiddleRoutine):
    """Finds the brightest spot."""

    def main_logic(self, data: Picture) -> Finding:
        size = 2 * _RADIUS
        sums = data.pixels.astype(np.int64).cumsum(0).cumsum(1)
        sums = np.pad(sums, ((1, 0), (1, 0)))
        boxes = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
        y, x = divmod(int(boxes.argmax()), boxes.shape[1])
        x, y = x + _RADIUS, y + _RADIUS
        return Finding(x, y, math.hypot(x - data.x, y - data.y))


class Report(DestinationRoutine):
    """Says in the log now and then how well it is found."""

    def setup(self) -> None:
        self._count = 0
        self._worst = 0.0

    def main_logic(self, data: Finding) -> None:
        self._count += 1
        self._worst = max(self._worst, data.error)
        if self._count % 150 == 0:
            self.logger.info("spot at (%d, %d), never more than %.1f pixels off", data.x, data.y, self._worst)
            self._worst = 0.0


def make_demo() -> Pipe:
    """The demo's pipe, put together and not started."""
    pipe = Pipe("demo")
    camera, finder, report = Camera("camera"), Finder("finder"), Report("report")
    pipe.create_flow("capture", False, camera)
    pipe.create_flow("analysis", True, finder, report)
    pipe.link(Wire(source=camera, destinations=(finder,)))
    return pipe
