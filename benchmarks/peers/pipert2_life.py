"""What a pipe of pipert2 costs beside its messages: CPU while idle, and the time until it delivers."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.pipert2 import Forward, Receive, build
from benchmarks.stamps import ARRIVED
from benchmarks.trial import Trial, main
from pipert2 import START_EVENT_NAME, Pipe, Routine, SourceRoutine, Wire

IDLE_FLOWS, IDLE_ROUTINES = 5, 20


class Quiet(SourceRoutine):
    """A camera that never sees anything."""

    def main_logic(self) -> None:
        self.wait(3600.0)


def cpu_seconds() -> float:
    """CPU time used so far by the threads of this process and of all that descend from it.

    From the scheduler in nanoseconds: the usual figures count in hundredths of a second, too coarsely for a result
    that is to be below one percent.
    """
    here = psutil.Process()
    spent = 0
    for process in (here, *here.children(recursive=True)):
        for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            spent += int(thread.read_text().split()[0])
    return spent / 1e9


def idle(trial: Trial) -> dict[str, Any]:
    routines: list[Routine] = [Quiet("quiet"), *(Forward(f"forward{n}") for n in range(IDLE_ROUTINES - 2))]
    routines.append(Receive(trial, 0))
    share = IDLE_ROUTINES // IDLE_FLOWS
    flows = [routines[start : start + share] for start in range(0, IDLE_ROUTINES, share)]
    pipe = Pipe()
    for number, members in enumerate(flows):
        pipe.create_flow(f"flow{number}", True, *members)
    for left, right in itertools.pairwise(flows):
        pipe.link(Wire(left[-1], right[0]))
    pipe.build()
    pipe.notify_event(START_EVENT_NAME)
    time.sleep(trial.warmup)
    before, since = cpu_seconds(), time.monotonic()
    time.sleep(trial.seconds)
    used, elapsed = cpu_seconds() - before, time.monotonic() - since
    pipe.join(to_kill=True)
    return {"cpu_percent": 100 * used / elapsed}


def first_message(trial: Trial) -> dict[str, Any]:
    """Seconds from `build()` until each sink has had a message, the fork server's start included."""
    pipe = build(trial)
    called = time.monotonic_ns()
    pipe.build()
    pipe.notify_event(START_EVENT_NAME)
    trial.wait()
    pipe.join(to_kill=True)
    arrived = [cells[ARRIVED] for cells in trial.sinks()]
    if not all(arrived):
        raise SystemExit(f"{arrived.count(0)} of {len(arrived)} sinks had no message")
    return {"first_message": (max(arrived) - called) / 1e9}


def run(trial: Trial) -> dict[str, Any]:
    return idle(trial) if trial.work.key == "idle" else first_message(trial)


if __name__ == "__main__":
    main(run)
