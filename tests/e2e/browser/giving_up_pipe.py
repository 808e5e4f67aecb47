"""A pipe whose worker gives messages up: a process of its own, connected to the cockpit at the address given.

    python giving_up_pipe.py URL NAME

Ends when its standard input does.
"""

from __future__ import annotations

import sys

from pipert2 import DestinationRoutine, Parameter, Pipe, SourceRoutine, Wire
from pipert2.cockpit.link.link import CockpitLink


class Orders(SourceRoutine):
    """Sends three orders, and then nothing."""

    def setup(self) -> None:
        self.waiting = [{"cake": name, "eggs": eggs} for name, eggs in (("plum", 6), ("nut", 9), ("<b>old</b>", 0))]

    def main_logic(self) -> dict[str, object] | None:
        if self.waiting:
            return self.waiting.pop(0)
        self.wait(3600.0)
        return None


class Kitchen(DestinationRoutine):
    """Bakes, if there is an oven."""

    oven = Parameter(False, help="There is one.")

    def main_logic(self, order: dict[str, object]) -> None:
        if not self.oven:
            raise RuntimeError(f"no oven for {order['cake']}")


def main() -> None:
    pipe = Pipe(sys.argv[2], lossless=True)
    orders, kitchen = Orders("orders"), Kitchen("kitchen")
    pipe.create_flow("shop", True, orders)
    pipe.create_flow("back", True, kitchen, replicas=1)
    pipe.link(Wire(orders, kitchen))
    with pipe, CockpitLink(pipe, sys.argv[1]):
        pipe.build()
        pipe.notify_event("start")
        sys.stdin.read()


if __name__ == "__main__":
    main()
