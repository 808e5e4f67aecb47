"""A pipe with a hundred routines in ten flows, connected to the cockpit at the address given.

    python large_pipe.py URL

Ends when its standard input does.
"""

from __future__ import annotations

import sys

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, SourceRoutine, Wire
from pipert2.cockpit.link.link import CockpitLink

CHAINS = 9
LENGTH = 11


class Clock(SourceRoutine):
    """Ticks ten times a second."""

    def main_logic(self) -> int:
        self.wait(0.1)
        return 1


class Step(MiddleRoutine):
    def main_logic(self, data: int) -> int:
        return data


class End(DestinationRoutine):
    def main_logic(self, data: int) -> None:
        return None


def main() -> None:
    clock = Clock("clock")
    with Pipe("hundred") as pipe, CockpitLink(pipe, sys.argv[1]):
        pipe.create_flow("input", False, clock)
        for chain in range(CHAINS):
            first = chain * LENGTH
            steps = [Step(f"step {first + at}") for at in range(LENGTH - 1)]
            routines = [*steps, End(f"end {chain}")]
            pipe.create_flow(f"chain {chain}", False, *routines)
            for before, after in zip([clock, *steps], routines, strict=True):
                pipe.link(Wire(source=before, destinations=(after,)))
        pipe.build()
        pipe.notify_event("start")
        sys.stdin.read()


if __name__ == "__main__":
    main()
