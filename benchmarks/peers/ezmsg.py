"""ezmsg: units in processes of their own, lossless; frames are copied into shared memory of a size set beforehand."""
# mypy: disable-error-code="import-not-found, misc, no-untyped-call, untyped-decorator"

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import Any

os.environ.setdefault("EZMSG_LOGLEVEL", "WARNING")
os.environ.setdefault("EZMSG_DISABLE_BACKPRESSURE_WARNING", "1")

import ezmsg.core as ez
import numpy as np

from benchmarks.trial import SETTLED, Trial, main
from benchmarks.works import FRAME_BYTES, FRAME_SHAPE

# Left to grow by itself, the memory of a publisher is made anew under way and frames go by TCP until then.
BUFFER_BYTES = FRAME_BYTES + 65_536


class Role(ez.Settings):
    trial: Trial
    index: int = 0


class Sender(ez.Unit):
    SETTINGS = Role
    OUTPUT = ez.OutputStream(dict, buf_size=BUFFER_BYTES)

    @ez.publisher(OUTPUT)
    async def send(self) -> AsyncGenerator[Any, None]:
        trial = self.SETTINGS.trial
        source = trial.source()
        frame = np.empty(FRAME_SHAPE, np.uint8) if trial.work.frames else None
        while not source.ready():
            await asyncio.sleep(0.01)
        await asyncio.sleep(SETTLED)
        while (pause := source.due_in()) is not None:
            if pause:
                await asyncio.sleep(pause)
            yield self.OUTPUT, source.message(frame)
        await asyncio.sleep(2 * SETTLED)
        raise ez.NormalTermination


class Forwarder(ez.Unit):
    INPUT = ez.InputStream(dict)
    OUTPUT = ez.OutputStream(dict, buf_size=BUFFER_BYTES)

    @ez.subscriber(INPUT)
    @ez.publisher(OUTPUT)
    async def forward(self, message: dict[str, Any]) -> AsyncGenerator[Any, None]:
        yield self.OUTPUT, message


class Receiver(ez.Unit):
    SETTINGS = Role
    INPUT = ez.InputStream(dict)

    async def initialize(self) -> None:
        self.sink = self.SETTINGS.trial.sink(self.SETTINGS.index)

    @ez.subscriber(INPUT)
    async def receive(self, message: dict[str, Any]) -> None:
        self.sink.take(message)


def run(trial: Trial) -> None:
    sender = Sender(Role(trial=trial))
    middles = [Forwarder() for _ in range(trial.work.middles)]
    receivers = [Receiver(Role(trial=trial, index=index)) for index in range(trial.work.sinks)]
    chain: list[Any] = [sender, *middles]
    connections = [(left.OUTPUT, right.INPUT) for left, right in zip(chain, middles, strict=False)]
    connections += [(chain[-1].OUTPUT, receiver.INPUT) for receiver in receivers]
    units = [*chain, *receivers]
    ez.run(
        components={f"UNIT{index}": unit for index, unit in enumerate(units)},
        connections=connections,
        process_components=units,
    )


if __name__ == "__main__":
    main(run)
