"""A scan that goes on and on, whose results are looked at: connected to the cockpit at the address given.

    python results_pipe.py URL SAMPLE

SAMPLE is a text that is shown, and part of a name. Ends when its standard input does.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipert2 import Pipe
from pipert2.cockpit.link.link import CockpitLink
from pipert2.patterns.map_reduce.pipes import map_reduce
from pipert2.patterns.map_reduce.recorded_events import ScanSource
from pipert2.patterns.streams import stins
from pipert2.patterns.streams.stream_data import StreamFrame

ROWS, COLUMNS = 60, 90
SAMPLE = sys.argv[2]


class Detector(ScanSource):
    """Looks at a sample through a beam that drifts: a ring whose place and strength change from frame to frame."""

    def messages(self) -> Iterator[StreamFrame]:
        noise = np.random.default_rng(5)
        y, x = np.mgrid[-1:1:64j, -1:1:96j]
        yield StreamFrame("xrd", stins.StinsStart("").to_stream_data())
        for number in itertools.count():
            strength = 120 + 60 * np.sin(number / 9) + 20 * np.sin(number / 2.3)
            ring = strength * np.exp(-(((np.hypot(x, y) - 0.45 - 0.1 * np.sin(number / 40)) / 0.06) ** 2))
            frame = noise.poisson(ring + 8).astype(np.uint16)
            yield StreamFrame("xrd", stins.StinsData.of(frame, frame=number).to_stream_data())
            for row in range(40):
                self.show(f"row {row + 1}", int(frame[row].sum()))
            self.wait(0.05)


def intensity(event: Any) -> tuple[float, np.ndarray] | None:
    message = stins.parse(event["xrd"])
    if not isinstance(message, stins.StinsData):
        return None
    return float(message.data.mean()), message.data


class Map:
    """The mean of each frame as a map of the sample, and the sum of all frames."""

    def __init__(self) -> None:
        self.map = np.full((ROWS, COLUMNS), np.nan)
        self.sum = np.zeros((64, 96))
        self.publish: dict[str, Any] = {"map": self.map, "map_attrs": {"unit": "counts"}, "scan": {}}

    def process_result(self, result: Any) -> None:
        mean, frame = result.payload
        at = (result.event_number - 1) * 12
        self.map.flat[at : at + 12] = mean * (1 + 0.2 * np.sin(np.arange(12) + at / 17))
        self.sum += frame
        scan = self.publish["scan"]
        scan["intensity"], scan["frames"], scan["no beam"] = mean, result.event_number, float("nan")
        self.publish["profile"] = self.sum.sum(axis=0) / result.event_number
        self.publish["scan"][f"sample {SAMPLE}"] = f"{SAMPLE}, annealed"


def main() -> None:
    with Pipe("xrd", lossless=True) as pipe, CockpitLink(pipe, sys.argv[1]):
        map_reduce(pipe, Detector("detector"), intensity, Map, workers=2, streams=["xrd"])
        pipe.build()
        pipe.notify_event("start")
        sys.stdin.read()


if __name__ == "__main__":
    main()
