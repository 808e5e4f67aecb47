"""A pipe over two hosts for the browser tests, connected to the cockpit at the address given.

    python cluster_pipe.py URL ENGINE

Its camera and its report are here, its work is at a host that has ``edge``. Ends when its standard input does.
"""

from __future__ import annotations

import logging
import os
import sys

from watched_pipe import Brighten, Camera, Detect, Report

from pipert2 import Pipe, Wire, events
from pipert2.cockpit.link.link import CockpitLink


class Finder(Detect):
    """Finds the stripe, and says where it does."""

    def main_logic(self, frame: object) -> int:
        column = super().main_logic(frame)  # type: ignore[arg-type]
        self.logger.info("found in a picture of %d bytes", getattr(frame, "nbytes", 0))
        return column

    @events("WHERE")
    def where(self) -> int:
        """Tell the process."""
        return os.getpid()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    address, engine = sys.argv[1:3]
    camera, brighten, finder, report = Camera("camera"), Brighten("brighten"), Finder("finder"), Report("report")
    pipe = Pipe(name="two hosts", engine=engine)
    pipe.create_flow("input", False, camera)
    pipe.create_flow("work", False, brighten, finder, resources={"edge": 1})
    pipe.create_flow("output", False, report)
    pipe.link(Wire(camera, brighten), Wire(brighten, finder), Wire(finder, report))
    with pipe, CockpitLink(pipe, address):
        pipe.build()
        pipe.notify_event("start")
        sys.stdin.read()


if __name__ == "__main__":
    main()
