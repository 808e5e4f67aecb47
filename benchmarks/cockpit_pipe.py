"""A pipe under load, for ``python -m benchmarks.cockpit``: a process of its own that logs all the time.

    python -m benchmarks.cockpit_pipe NAME URL ROUTINES RECORDS

Answers each line on its standard input with its counts as JSON, and ends when that does.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import psutil

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, SourceRoutine, Wire
from pipert2.cockpit.link.link import CockpitLink
from pipert2.cockpit.link.records import Batch

TICKS = 50
"""Messages a second, and how often records are logged."""
_FLOW = 12


class Chatty(SourceRoutine):
    """Sends at a fixed rate, and logs *records* for each message; what it is late with it makes up for."""

    def __init__(self, name: str, records: int) -> None:
        super().__init__(name)
        self._records = records

    def setup(self) -> None:
        self.number = 0
        self.due = time.monotonic()

    def main_logic(self) -> int:
        self.due += 1.0 / TICKS
        self.wait(max(0.0, self.due - time.monotonic()))
        for _ in range(self._records):
            self.number += 1
            self.logger.info("frame %d was looked at in %d ms", self.number, self.number % 37, extra={"n": self.number})
        return self.number


class Pass(MiddleRoutine):
    """Passes on what comes."""

    def main_logic(self, data: int) -> int:
        return data


class Slow(MiddleRoutine):
    """Passes on what it has time for: the wire to it drops."""

    def main_logic(self, data: int) -> int:
        self.wait(0.1)
        return data


class Out(DestinationRoutine):
    def main_logic(self, data: int) -> None:
        return None


def make(name: str, routines: int, records: int) -> Pipe:
    """A source, and from it chains of up to twelve routines, each a flow; every third chain begins with a slow one."""
    own = logging.getLogger(name)
    own.setLevel(logging.INFO)
    own.propagate = False
    pipe = Pipe(name, logger=own)
    source = Chatty("source", records // TICKS)
    pipe.create_flow("input", False, source)
    left, number = routines - 1, 0
    while left > 0:
        length = min(_FLOW, left)
        kind = Slow if number % 3 == 2 else Pass
        chain: list[Any] = [(kind if at == 0 else Pass)(f"step {number}.{at}") for at in range(length - 1)]
        chain.append(Out(f"out {number}"))
        pipe.create_flow(f"chain {number}", False, *chain)
        for before, after in zip([source, *chain], chain, strict=False):
            pipe.link(Wire(before, after, lossless=before is not source, capacity=4 if before is not source else None))
        left, number = left - length, number + 1
    return pipe


class Acknowledged:
    """Which records the cockpit said that it has: ranges of numbers, with how many records were in each."""

    def __init__(self, link: CockpitLink) -> None:
        self.ranges: list[tuple[int, int, int]] = []
        self._sent = link.feed.sent
        link.feed.sent = self._note  # type: ignore[method-assign]

    def _note(self, batch: Batch) -> None:
        self._sent(batch)
        if batch.records:
            numbers = [record["number"] for record in batch.records]
            self.ranges.append((min(numbers), max(numbers), len(numbers)))


def counts(pipe: Pipe, link: CockpitLink, acknowledged: Acknowledged, before: int) -> dict[str, Any]:
    """All that is counted at this moment."""
    status = pipe.status()
    ends = {wire.source for wire in status.wires}
    processes = [psutil.Process(), *(psutil.Process(flow.pid) for flow in status.flows if flow.pid)]
    return {
        "time": time.monotonic(),
        "id": link.id,
        "connected": link.connected.is_set(),
        "logged": link.service.recent_logs.last - before,
        "last": link.service.recent_logs.last,
        "messages": sum(one.received for one in status.routines if one.name not in ends),
        "cpu": sum(sum(one.cpu_times()[:2]) for one in processes),
        "main_cpu": sum(processes[0].cpu_times()[:2]),
        "dropped": link.feed.dropped,
        "waiting": link.service.recent_logs.last - link.feed.after,
        "acknowledged": acknowledged.ranges,
    }


def main() -> None:
    name, url, routines, records = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with make(name, routines, records) as pipe, CockpitLink(pipe, url) as link:
        acknowledged = Acknowledged(link)
        pipe.build()
        before = link.service.recent_logs.last
        pipe.notify_event("start", wait=30.0)
        for line in sys.stdin:
            if line.strip() == "stop":
                pipe.notify_event("stop", wait=10.0)
            print(json.dumps(counts(pipe, link, acknowledged, before)), flush=True)


if __name__ == "__main__":
    main()
