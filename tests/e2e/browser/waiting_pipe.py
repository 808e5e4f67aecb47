"""A pipe that waits for a parameter, and whose scales have replicas, connected to the cockpit at the address given.

    python waiting_pipe.py URL

Ends when its standard input does.
"""

from __future__ import annotations

import sys

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, SourceRoutine, Wire
from pipert2.cockpit.link.link import CockpitLink


class Apples(SourceRoutine):
    def main_logic(self) -> int:
        self.wait(0.05)
        return 120


class Scales(MiddleRoutine):
    def main_logic(self, grams: int) -> float:
        return grams * float(self.parameters["price"])


class Till(DestinationRoutine):
    def main_logic(self, price: float) -> None:
        pass


def main() -> None:
    pipe = Pipe("market", lossless=True, requires=("price",))
    apples, scales, till = Apples("apples"), Scales("scales"), Till("till")
    pipe.create_flow("trees", True, apples)
    pipe.create_flow("counter", True, scales, replicas=1)
    pipe.create_flow("front", True, till)
    pipe.link(Wire(apples, scales), Wire(scales, till))
    with pipe, CockpitLink(pipe, sys.argv[1]):
        pipe.build()
        pipe.notify_event("start")
        for line in sys.stdin:
            pipe.set_parameters(price=float(line))


if __name__ == "__main__":
    main()
