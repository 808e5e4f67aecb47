"""The systems under test: which module measures them, how set up, with which environment, on which works."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.environments import OWN, PEERS, PIPERT24, Environment
from benchmarks.works import LIFE, LONG, TRANSPORT

SMALL = ("W1", "W2")
FRAMES = ("W3", "W4", "W5", "W6")
ALL = tuple(work.key for work in TRANSPORT)


@dataclass(frozen=True, slots=True)
class System:
    """One row of the table. `extra` ones are measured only when they are named, or with `--all`."""

    name: str
    module: str
    variant: str
    environment: Environment
    works: tuple[str, ...]
    extra: bool = False


SYSTEMS = (
    System("pipert2 real-time", "pipert2", "basic", OWN, SMALL),
    System("pipert2 real-time 1024", "pipert2", "basic-deep", OWN, SMALL[:1]),
    System("pipert2 lossless", "pipert2", "basic-lossless", OWN, (*SMALL, LONG.key)),
    System("pipert2 basic", "pipert2", "basic", OWN, FRAMES),
    System("pipert2 shm", "pipert2", "shm", OWN, FRAMES),
    System("pipert2 loan", "pipert2", "loan", OWN, FRAMES),
    System("pipert2 loan lossless", "pipert2", "loan-lossless", OWN, FRAMES, extra=True),
    System("pipert2 life", "pipert2_life", "basic", OWN, tuple(work.key for work in LIFE)),
    System("PipeRT 2.4 basic", "pipert24", "basic", PIPERT24, ALL),
    System("PipeRT 2.4 shm", "pipert24", "shm", PIPERT24, FRAMES),
    System("ezmsg", "ezmsg", "", PEERS, ALL),
    System("shmpipeline", "shmpipeline", "source", PEERS, ALL),
    System("shmpipeline in place", "shmpipeline", "inplace", PEERS, ALL, extra=True),
    System("mp.Queue", "mp_queue", "", PEERS, ALL),
    System("iceoryx2", "iceoryx2", "overflow", PEERS, ALL),
    System("iceoryx2 lossless", "iceoryx2", "lossless", PEERS, ALL, extra=True),
)
