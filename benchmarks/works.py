"""The works that pipert2 and its peers are measured on, as data."""

from __future__ import annotations

from dataclasses import dataclass

FRAME_SHAPE = (1080, 1920, 3)
FRAME_BYTES = 1080 * 1920 * 3
SMALL_BYTES = 64


@dataclass(frozen=True, slots=True)
class Work:
    """One job: what is sent, how often, to how many, through how many hops.

    `size` is the payload in bytes, `rate` messages per second (None: as fast as it goes), `sinks` the number of
    consumers that each get every message, `middles` the number of flows between source and sink.
    `seconds` is how long it is measured unless the user says otherwise; with `messages` it ends after that many.
    """

    key: str
    title: str
    size: int
    rate: float | None = None
    sinks: int = 1
    middles: int = 0
    seconds: float = 4.0
    messages: int | None = None

    @property
    def frames(self) -> bool:
        return self.size == FRAME_BYTES


TRANSPORT = (
    Work("W1", "64 B flat out", SMALL_BYTES),
    Work("W2", "64 B at 1 kHz", SMALL_BYTES, rate=1000.0),
    Work("W3", "1080p flat out", FRAME_BYTES),
    Work("W4", "1080p at 60 fps", FRAME_BYTES, rate=60.0),
    Work("W5", "1080p at 60 fps to 3", FRAME_BYTES, rate=60.0, sinks=3),
    Work("W6", "1080p at 30 fps, 4 flows in a chain", FRAME_BYTES, rate=30.0, middles=2),
)
LIFE = (
    Work("idle", "CPU of a pipe with 20 idle routines", 0, seconds=8.0),
    Work("first", "build() to first message", SMALL_BYTES, rate=100.0, seconds=0.5),
    Work("flows20", "build() of 20 flows to a message in each", SMALL_BYTES, rate=100.0, sinks=19, seconds=0.5),
)
LONG = Work("long", "5 million messages of 64 B, each counted", SMALL_BYTES, messages=5_000_000)
WORKS = {work.key: work for work in (*TRANSPORT, *LIFE, LONG)}
