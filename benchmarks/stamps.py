"""Both ends of a measured stream: the source numbers and stamps its messages, the sink counts and times them.

What they find lies in memory-mapped files, one a participant with a single writer, so that nothing has to travel back
through the system under test and the counts are complete even when its processes are killed. Stamps are CLOCK_MONOTONIC
nanoseconds, which all processes of a machine share. A message is stamped when its data is ready, just before it is
handed over; it has arrived when the user's code has read its first and last byte.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.works import FRAME_SHAPE, Work

HEADER = struct.Struct("<qq")  # sequence and stamp, in front of the payload of peers that carry bytes only
FILLS = tuple(bytes([value]) * 64 for value in range(256))
SINK_WORDS = READY, ARRIVED, COUNT, FIRST_NS, LAST_NS, FIRST_SEQ, LAST_SEQ, TORN, DISORDER, TOTAL = tuple(range(10))
SOURCE_WORDS = SENT, OVER, CPU_NS, CPU_SENT = tuple(range(4))
SAMPLES = 16  # latency samples start at this word
NEVER = 1 << 62


def open_cells(path: Path, words: int) -> memoryview:
    """Maps `words` 64-bit words of a file that is created if need be; whoever comes first sets its size."""
    with path.open("a+b") as file:
        if path.stat().st_size < words * 8:
            file.truncate(words * 8)
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("q")


class Source:
    """Paces the messages of a work, and makes them."""

    def __init__(self, folder: Path, work: Work, *, seconds: float, warmup: float) -> None:
        self._cells = open_cells(folder / "source", SAMPLES)
        self._sinks = [open_cells(folder / f"sink{index}", SAMPLES) for index in range(work.sinks)]
        self._period = int(1e9 / work.rate) if work.rate else 0
        self._frames = work.frames
        self._warmup = int(warmup * 1e9)
        self._length = self._warmup + int(seconds * 1e9)
        self._messages = NEVER if work.messages is None else work.messages
        self._sent = 0
        self._due = self._ends = 0
        self._cpu_from: tuple[int, int] | None = None

    def ready(self) -> bool:
        """Whether all sinks have been opened, without which the clock does not start."""
        return all(cells[READY] for cells in self._sinks)

    def due_in(self) -> float | None:
        """Seconds until the next message is due, or None when the run is over."""
        now = time.monotonic_ns()
        if not self._ends:
            self._due, self._ends = now, NEVER if self._messages != NEVER else now + self._length
        if now >= self._ends or self._sent >= self._messages:
            self._cells[OVER] = 1
            return None
        if not self._period:
            return 0.0
        self._measure_cpu(now)
        # A source that was held up does not catch up: what it missed it does not send.
        self._due = max(self._due + self._period, now)
        return (self._due - now) / 1e9

    def turn(self) -> bool:
        """Sleeps until the next message is due; False when the run is over."""
        while not self._ends and not self.ready():
            time.sleep(0.005)
        pause = self.due_in()
        if pause:
            time.sleep(pause)
        return pause is not None

    def message(self, frame: np.ndarray[Any, Any] | None = None) -> dict[str, Any]:
        """The next message, with `frame` filled afresh or, without one, with 64 bytes."""
        number = self._count()
        fill = number & 255
        if frame is None:
            return {"seq": number, "stamp": time.monotonic_ns(), "data": FILLS[fill]}
        frame.fill(fill)
        return {"seq": number, "stamp": time.monotonic_ns(), "data": frame}

    def write(self, buffer: np.ndarray[Any, Any]) -> None:
        """Writes the next message, header and payload, into a flat array of bytes."""
        number = self._count()
        buffer[HEADER.size :].fill(number & 255)
        HEADER.pack_into(buffer.data, 0, number, time.monotonic_ns())

    def messages(self, *, buffers: int = 1) -> Iterator[dict[str, Any]]:
        """All messages in their time. `buffers` is how many frames the system may still be reading at once."""
        ring = [np.empty(FRAME_SHAPE, np.uint8) for _ in range(buffers)] if self._frames else [None]
        while self.turn():
            yield self.message(ring[self._sent % len(ring)])

    def _count(self) -> int:
        number = self._sent
        self._sent = self._cells[SENT] = number + 1
        return number

    def _measure_cpu(self, now: int) -> None:
        if now < self._ends - self._length + self._warmup:
            return
        cpu = time.process_time_ns()
        if self._cpu_from is None:
            self._cpu_from = cpu, self._sent
        self._cells[CPU_NS], self._cells[CPU_SENT] = cpu - self._cpu_from[0], self._sent - self._cpu_from[1]


class Sink:
    """Counts and times what arrives after the warm-up, and checks that it is whole and in order."""

    def __init__(self, folder: Path, work: Work, index: int, *, seconds: float, warmup: float) -> None:
        self._room = int(work.rate * seconds * 1.2) + 16 if work.rate else 0
        self._cells = open_cells(folder / f"sink{index}", SAMPLES + self._room)
        self._warmup = int(warmup * 1e9)
        self._opens = NEVER
        self._count = self._total = self._next = 0
        self._cells[READY] = 1

    def take(self, message: dict[str, Any]) -> None:
        """Takes a message as `Source.message` made it."""
        data = message["data"]
        if isinstance(data, bytes):
            self.record(int(message["seq"]), int(message["stamp"]), data[0], data[-1])
        else:
            self.record(int(message["seq"]), int(message["stamp"]), data.item(0), data.item(-1))

    def read(self, buffer: np.ndarray[Any, Any]) -> None:
        """Takes a flat array of bytes as `Source.write` filled it."""
        number, stamp = HEADER.unpack_from(buffer.data)
        self.record(number, stamp, buffer.item(HEADER.size), buffer.item(-1))

    def record(self, number: int, stamp: int, first: int, last: int) -> None:
        now = time.monotonic_ns()
        cells = self._cells
        if first != last or first != number & 255:
            cells[TORN] += 1
        if number < self._next:
            cells[DISORDER] += 1
        self._next = number + 1
        self._total = cells[TOTAL] = self._total + 1
        if stamp < self._opens:
            if self._opens == NEVER:
                cells[ARRIVED] = now
                self._opens = stamp + self._warmup
            if stamp < self._opens:
                return
        count = self._count
        if count == 0:
            cells[FIRST_NS], cells[FIRST_SEQ] = now, number
        if count < self._room:
            cells[SAMPLES + count] = now - stamp
        self._count = cells[COUNT] = count + 1
        cells[LAST_NS], cells[LAST_SEQ] = now, number
