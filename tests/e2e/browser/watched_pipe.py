"""The pipe that the browser tests watch: a process of its own, connected to the cockpit at the address given.

    python watched_pipe.py URL [NAME [CA.pem]]

Ends when its standard input does.
"""

from __future__ import annotations

import enum
import logging
import sys
import time

import numpy as np

from pipert2 import DestinationRoutine, MiddleRoutine, Parameter, Pipe, SourceRoutine, Wire, events
from pipert2.cockpit.link.link import CockpitLink
from pipert2.cockpit.link.tls import trusting

HEIGHT, WIDTH = 180, 320
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


class Mode(enum.Enum):
    PLAIN = "plain"
    NEGATIVE = "negative"


class Camera(SourceRoutine):
    """Makes moving stripes."""

    fps = Parameter(20.0, minimum=1.0, maximum=60.0, unit="1/s", help="Frames a second.")

    def setup(self) -> None:
        self.number = 0

    def main_logic(self) -> np.ndarray:
        time.sleep(1.0 / self.fps)
        self.number += 1
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        left = self.number * 4 % WIDTH
        frame[:, :, 2] = np.linspace(40, 160, WIDTH, dtype=np.uint8)
        frame[:, left : left + 24] = (235, 200, 60)
        return frame


class Brighten(MiddleRoutine):
    """Makes frames brighter or darker."""

    gain = Parameter(1.0, minimum=0.0, maximum=4.0, help="Factor for each pixel.")
    mode = Parameter(Mode.PLAIN, help="What is done besides.")
    label = Parameter("front", help="Written into the log.")
    flip = Parameter(False, help="Upside down.")

    def main_logic(self, frame: np.ndarray) -> np.ndarray:
        made = np.clip(frame * self.gain, 0, 255).astype(np.uint8)
        if self.mode is Mode.NEGATIVE:
            made = 255 - made
        return made[::-1] if self.flip else made

    @events("NOTE")
    def note(self, text: str, times: int = 1) -> str:
        """Write a line into the log."""
        for _ in range(times):
            self.logger.info("noted: %s", text)
        return f"noted {text} {times} times with gain {self.gain:g}"

    @events("BREAK")
    def fall(self, reason: str) -> None:
        """Raise an error."""
        raise ValueError(reason)


class Detect(MiddleRoutine):
    """Finds the stripe, slowly."""

    pause = Parameter(0.15, minimum=0.0, maximum=2.0, unit="s", help="How slow it is.")
    fail = Parameter(False, help="Raise an error for each frame.")

    def main_logic(self, frame: np.ndarray) -> int:
        time.sleep(self.pause)
        if self.fail:
            raise RuntimeError("told to fail")
        return int(frame[:, :, 0].mean(axis=0).argmax())


class Report(DestinationRoutine):
    """Writes what was found into the log."""

    def setup(self) -> None:
        self.seen = 0
        self.logger.info("markup is shown: %s", MARKUP)

    def main_logic(self, column: int) -> None:
        self.seen += 1
        self.logger.info("stripe %d is at column %d", self.seen, column, extra={"column": column})


class Archive(DestinationRoutine):
    """Keeps every frame, slower than they come: the wire to it is lossless, so its source waits."""

    pause = Parameter(0.04, minimum=0.0, maximum=2.0, unit="s", help="How slow it is.")

    def main_logic(self, frame: np.ndarray) -> None:
        time.sleep(self.pause)


def make(name: str) -> Pipe:
    pipe = Pipe(name=name)
    camera, brighten, detect = Camera("camera"), Brighten("brighten"), Detect("detect")
    report, archive = Report("report"), Archive("archive <b>bold</b>")
    pipe.create_flow("input", False, camera)
    pipe.create_flow("work", False, brighten, detect)
    pipe.create_flow("output", False, report, archive)
    pipe.link(Wire(source=camera, destinations=(brighten,)))
    pipe.link(Wire(source=brighten, destinations=(detect,)))
    pipe.link(Wire(source=brighten, destinations=(archive,), lossless=True, capacity=4))
    pipe.link(Wire(source=detect, destinations=(report,)))
    return pipe


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    address, name = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "stripes"
    trust = trusting(sys.argv[3]) if len(sys.argv) > 3 else None
    with make(name) as pipe, CockpitLink(pipe, address, trust=trust):
        pipe.build()
        pipe.notify_event("start")
        sys.stdin.read()


if __name__ == "__main__":
    main()
