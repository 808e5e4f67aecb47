"""pipert2 itself, through its whole runtime, every routine in a flow of its own, status counters on as always.

Variants: `basic`, `shm` (SharedMemoryTransmitter) and `loan` (the same, frames filled in the slot), each real-time with
the default capacity of 1; with `-deep` behind real-time, with `-lossless` lossless, with the capacity the peers have.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.trial import Trial, main
from benchmarks.works import FRAME_SHAPE
from pipert2 import (
    BasicTransmitter,
    DestinationRoutine,
    EndOfStream,
    MiddleRoutine,
    Pipe,
    Routine,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
)

CAPACITY_SMALL, CAPACITY_FRAMES = 1024, 4


class Send(SourceRoutine):
    def __init__(self, trial: Trial) -> None:
        super().__init__("send")
        self.trial = trial
        self.loans = trial.variant.startswith("loan")

    def setup(self) -> None:
        self.source = self.trial.source()
        self.frame = np.empty(FRAME_SHAPE, np.uint8) if self.trial.work.frames else None

    def main_logic(self) -> Any:
        if not self.source.turn():
            raise EndOfStream
        return self.source.message(self.loan(FRAME_SHAPE, np.uint8) if self.loans else self.frame)


class Forward(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data


class Receive(DestinationRoutine):
    def __init__(self, trial: Trial, index: int) -> None:
        super().__init__(f"receive{index}")
        self.trial, self.index = trial, index

    def setup(self) -> None:
        self.sink = self.trial.sink(self.index)

    def main_logic(self, data: Any) -> None:
        self.sink.take(data)


def build(trial: Trial) -> Pipe:
    """The pipe for a trial, not yet built: source, middles in a chain, and the sinks behind the last."""
    placing, _, delivery = trial.variant.partition("-")
    lossless = delivery == "lossless"
    capacity = (CAPACITY_FRAMES if trial.work.frames else CAPACITY_SMALL) if delivery else None
    pipe = Pipe(data_transmitter=BasicTransmitter() if placing == "basic" else SharedMemoryTransmitter())
    chain: list[Routine] = [Send(trial), *(Forward(f"forward{hop}") for hop in range(trial.work.middles))]
    receivers = [Receive(trial, index) for index in range(trial.work.sinks)]
    for routine in [*chain, *receivers]:
        pipe.create_flow(routine.name, False, routine)
    for left, right in itertools.pairwise(chain):
        pipe.link(Wire(left, right, lossless=lossless, capacity=capacity))
    pipe.link(Wire(chain[-1], receivers, lossless=lossless, capacity=capacity))
    return pipe


def run(trial: Trial) -> None:
    summary = build(trial).run()
    if not summary.ok:
        raise SystemExit(f"the pipe did not end well: {summary.reason}")


if __name__ == "__main__":
    main(run)
