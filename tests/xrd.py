"""An analysis of a detector stream as the ones that come from dranspose look like, and a capture to run it on.

The images are made up so that the sums over the analysed corners are those that dranspose's own tutorial has.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.streams.stins import StinsData, StinsEnd, StinsStart
from pipert2.patterns.streams.stream_data import EventData

SMALL = (9.25, 11.25, 11.75, 4.25, 2.25, 3.0, 4.75, 7.75, 10.75)
"""Means over [:2, 8:]."""
LARGE = (80, 78, 73, 54, 60, 74, 96, 112, 129)
"""Sums over [:3, 7:]."""
TOTAL = (991, 1001, 1041, 1076, 1166, 1268, 1363, 1422, 1481)
SMALL_DELTAS = [0, 9.25, 2.0, 0.5, -7.5, -2.0, 0.75, 1.75, 3.0, 3.0]


def image(number: int) -> np.ndarray:
    """The image of a frame."""
    found = np.zeros((10, 10), np.uint16)
    small = np.zeros((10, 10), bool)
    small[:2, 8:] = True
    large = np.zeros((10, 10), bool)
    large[:3, 7:] = True
    inner = round(SMALL[number] * 4)
    for where, total in (
        (small, inner),
        (large & ~small, LARGE[number] - inner),
        (~large, TOTAL[number] - LARGE[number]),
    ):
        count = int(where.sum())
        found[where] = [total // count + (at < total % count) for at in range(count)]
    return found


def events(filename: str = "output/xrd.h5", frames: Iterable[int] = range(9), stream: str = "xrd") -> list[EventData]:
    """The events of a scan: the start, an image for each frame, the end."""
    wanted = list(frames)
    return [
        EventData(0, {stream: StinsStart(filename).to_stream_data()}),
        *(
            EventData(at, {stream: StinsData.of(image(frame), frame=frame, msg_number=at).to_stream_data()})
            for at, frame in enumerate(wanted, 1)
        ),
        EventData(len(wanted) + 1, {stream: StinsEnd(len(wanted) + 1).to_stream_data()}),
    ]


def write(path: Path, recorded: Iterable[EventData]) -> Path:
    """Write a capture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with CborsWriter(path) as writer:
        for event in recorded:
            writer.write(event)
    return path


WORKER = """
import logging
from dataclasses import dataclass
from pipert2.patterns.map_reduce.parameters import IntParameter
from pipert2.patterns.streams.stins import StinsData, StinsStart, parse

logger = logging.getLogger(__name__)

@dataclass
class Start:
    filename: str

@dataclass
class Result:
    intensity: float

class TestWorker:
    def __init__(self, *args, **kwargs):
        pass

    @staticmethod
    def describe_parameters():
        return [IntParameter(name="till_x", default=2), IntParameter(name="from_y", default=8)]

    def process_event(self, event, *args, parameters=None, **kwargs):
        if "xrd" not in event.streams:
            return None
        message = parse(event.streams["xrd"])
        if isinstance(message, StinsStart):
            logger.info("the start is %s", message)
            return Start(message.filename)
        if isinstance(message, StinsData):
            corner = message.data[: parameters["till_x"].value, parameters["from_y"].value :]
            return Result(corner.mean())
"""

REDUCER = """
import logging
import os
import h5py
import numpy as np
from .worker import Result, Start

logger = logging.getLogger(__name__)

class TestReducer:
    def __init__(self, *args, **kwargs):
        self.deltas = [0]
        self.before = 0
        self.file = None
        self.kinds = []

    def process_result(self, result, parameters=None):
        self.kinds.append(type(result.payload).__name__)
        if isinstance(result.payload, Start) and self.file is None:
            stem, suffix = os.path.splitext(result.payload.filename)
            os.makedirs(os.path.dirname(stem), exist_ok=True)
            self.file = h5py.File(f"{stem}_processed{suffix}", "w")
            self.reduced = self.file.create_dataset("reduced", (0,), maxshape=(None,), dtype=np.float32)
            for name in ("till_x", "from_y"):
                self.file.create_dataset(name, data=parameters[name].value)
        elif isinstance(result.payload, Result):
            number, value = result.event_number, result.payload.intensity
            self.deltas += [None] * (number + 1 - len(self.deltas))
            self.deltas[number] = value - self.before
            self.before = value
            self.reduced.resize(max(number + 1, len(self.reduced)), axis=0)
            self.reduced[number] = value

    def finish(self, parameters=None):
        logger.info("deltas were %s", [float(delta) for delta in self.deltas])
        logger.info("results were %d starts, %d means", self.kinds.count("Start"), self.kinds.count("Result"))
        if self.file is not None:
            self.file.close()
"""


def write_analysis(folder: Path) -> None:
    """Write the analysis as a package ``src``, and values for its parameters."""
    source = folder / "src"
    source.mkdir()
    (source / "worker.py").write_text(WORKER)
    (source / "reducer.py").write_text(REDUCER)
    (folder / "test_params.json").write_text('[{"name": "till_x", "data": "3"}, {"name": "from_y", "data": "7"}]')
