"""One measurement of map-reduce, in a process of its own: prints its figures as a line of JSON."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import analyses
from benchmarks.analyses import STREAM, Meter
from benchmarks.detector import messages
from pipert2 import DestinationRoutine, Pipe, SharedMemoryTransmitter, SourceRoutine, events
from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.events.batch import CLOSED
from pipert2.patterns.map_reduce.pipes import map_reduce, parameters_for, replay
from pipert2.patterns.streams.stins import PROTOCOL
from pipert2.patterns.streams.stream_data import EventData, StreamData
from pipert2.patterns.streams.zmq_stream import ZmqStream

LIMIT = 60.0


class Watch(SourceRoutine):
    """Notes when the scan is over, as anybody in the pipe may."""

    def __init__(self, path: Path) -> None:
        super().__init__("watch")
        self.path = path

    def main_logic(self) -> None:
        self.wait(1.0)

    @events(CLOSED)
    def on_closed(self, report: Mapping[str, Any]) -> None:
        seen = {"closed": time.monotonic(), "state": report["state"], "done": report["done"]}
        unfinished = self.path.with_suffix(".part")
        unfinished.write_text(json.dumps(seen))
        unfinished.rename(self.path)


class Nothing(DestinationRoutine):
    """What a source needs behind it."""

    def main_logic(self, data: Any) -> None: ...


def capture(path: Path, images: int, size: int) -> None:
    """Record a scan, as dranspose would."""
    with CborsWriter(path) as writer:
        for number, parts in enumerate(messages(images, size)):
            writer.write(EventData(number, {STREAM: StreamData(PROTOCOL, parts)}))


def live(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """A detector that pushes, and a pipe."""
    worker, figures, closed = getattr(analyses, given.worker), folder / "figures", folder / "closed"
    own = {"figures": str(figures), "usage": str(not given.rate), "events": str(given.events)}
    parameters = parameters_for(worker, Meter, {name: text.encode() for name, text in own.items()})
    command = [sys.executable, "-m", "benchmarks.detector", "--events", str(given.events), "--size", str(given.size)]
    detector = subprocess.Popen([*command, "--rate", str(given.rate)], stdout=subprocess.PIPE, text=True)
    try:
        assert detector.stdout is not None
        url = detector.stdout.readline().strip()
        pipe = Pipe("live", lossless=True, data_transmitter=SharedMemoryTransmitter() if given.size > 100 else None)
        pipe.create_flow("watch", True, Watch(closed), Nothing("nothing"))
        source = ZmqStream(STREAM, url, name="detector")
        map_reduce(pipe, source, worker, Meter, workers=given.workers, parameters=parameters, streams=[STREAM])
        with pipe:
            pipe.build()
            pipe.notify_event("start", wait=30)
            deadline = time.monotonic() + LIMIT + given.events / (given.rate or 1000)
            while not closed.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError("the scan did not end")
                time.sleep(0.02)
    finally:
        detector.kill()
        detector.wait()
    found = json.loads(figures.read_text()) | json.loads(closed.read_text())
    if found["end_sent"]:
        found["finished"] = found["closed"] - found["end_sent"]
    return found


def replayed(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """A capture, replayed."""
    file, figures = given.file or folder / "xrd.cbors", folder / "figures"
    if given.file is None:
        capture(file, given.events, given.size)
    own = {"figures": str(figures), "usage": "True", "events": str(given.events)}
    began = time.monotonic()
    params = {name: text.encode() for name, text in own.items()}
    summary = replay(getattr(analyses, given.worker), Meter, file, params=params, workers=given.workers)
    scan = summary.scans[0] if summary.scans else {"state": summary.reason, "done": 0}
    whole = {"whole": time.monotonic() - began, "state": scan["state"], "done": scan["done"]}
    return json.loads(figures.read_text()) | whole


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map_reduce_trial", description=__doc__)
    parser.add_argument("kind", choices=("live", "replay", "capture"))
    parser.add_argument("--worker", default="mean", help="of benchmarks/analyses.py (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--file", type=Path, help="a capture to be replayed, or made")
    given = parser.parse_args()
    if given.kind == "capture":
        capture(given.file, given.events, given.size)
        return
    with tempfile.TemporaryDirectory(prefix="pipert2-bench-") as folder:
        print(json.dumps((live if given.kind == "live" else replayed)(Path(folder), given)))


if __name__ == "__main__":
    main()
