"""A pipe with two flows in this process, to be driven over HTTP."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipert2 import DestinationRoutine, MiddleRoutine, Parameter, Pipe, SourceRoutine, events


class Frames(SourceRoutine):
    """Sends grey pictures."""

    def main_logic(self) -> Any:
        self.wait(0.01)
        return np.full((32, 48), 128, np.uint8)


class Camera(MiddleRoutine):
    """Zooms."""

    factor = Parameter(1.0, minimum=1.0, maximum=8.0, help="How near it looks.")

    @events("ZOOM")
    def zoom(self, factor: Any = 1.0) -> Any:
        return {"factor": factor}

    def main_logic(self, data: Any) -> Any:
        return data


class Screen(DestinationRoutine):
    """Shows nothing."""

    def main_logic(self, data: Any) -> None:
        pass


def bench(camera: MiddleRoutine, frames: SourceRoutine | None = None, more: SourceRoutine | None = None) -> Pipe:
    """The flow "in" with *frames*, *camera* and a screen, and the flow "out" with *more* and another; no wires."""
    pipe = Pipe("bench", inline=True)
    pipe.create_flow("in", True, frames or Frames("frames"), camera, Screen("disk"))
    pipe.create_flow("out", True, more or Frames("more"), Screen("view"))
    return pipe
