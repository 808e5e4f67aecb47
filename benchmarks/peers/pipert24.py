"""PipeRT 2.4.0, latest only. Variants: `basic` and `shm`, its two data transmitters."""
# mypy: disable-error-code="attr-defined, call-arg, misc, no-untyped-call, no-untyped-def, override"

from __future__ import annotations

import itertools
import multiprocessing as mp
import sys
from pathlib import Path
from typing import Any

from benchmarks.trial import Trial, main

# Its package has the name of ours: what lies beside `benchmarks` must not be found first.
ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]

from pipert2 import (  # noqa: E402
    START_EVENT_NAME,
    BasicTransmitter,
    Data,
    FPSRoutine,
    Pipe,
    SharedMemoryTransmitter,
    Wire,
    dataclass,
)


@dataclass
class Payload(Data):
    # Its shared-memory transmitter reads back the fields of type dict alone, and takes `bytes(value)` of every value to
    # see how big it is, which for an integer is that many zeros: numbers have to be floats.
    fields: dict  # type: ignore[type-arg]


class Send(FPSRoutine):
    def __init__(self, trial: Trial) -> None:
        super().__init__("send")
        self.trial = trial

    def setup(self) -> None:
        # The queue pickles later, in a thread of its own.
        self.messages = self.trial.source().messages(buffers=4)

    def main_logic(self, data=None):
        message = next(self.messages, None)
        if message is None:
            self.stop_event.wait(0.1)
            return None
        return Payload({"seq": float(message["seq"]), "stamp": float(message["stamp"]), "data": message["data"]})


class Forward(FPSRoutine):
    def main_logic(self, data=None):
        return data


class Receive(FPSRoutine):
    def __init__(self, trial: Trial, index: int) -> None:
        super().__init__(f"receive{index}")
        self.trial, self.index = trial, index

    def setup(self) -> None:
        self.sink = self.trial.sink(self.index)

    def main_logic(self, data=None):
        self.sink.take(data.fields)


def run(trial: Trial) -> None:
    mp.set_start_method("fork", force=True)  # the only one it works with
    pipe = Pipe(data_transmitter=SharedMemoryTransmitter() if trial.variant == "shm" else BasicTransmitter())
    receivers = [Receive(trial, index) for index in range(trial.work.sinks)]
    chain: list[Any] = [Send(trial), *(Forward(f"forward{hop}") for hop in range(trial.work.middles))]
    for routine in [*chain, *receivers]:
        pipe.create_flow(routine.name, False, routine)
    for left, right in itertools.pairwise(chain):
        pipe.link(Wire(source=left, destinations=(right,)))
    pipe.link(Wire(source=chain[-1], destinations=tuple(receivers)))
    pipe.build()
    pipe.notify_event(START_EVENT_NAME)
    trial.wait()
    pipe.join(to_kill=True)


if __name__ == "__main__":
    main(run)
