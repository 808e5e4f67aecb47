"""One end of a link on a host of its own: ``python link_end.py send|receive OPTIONS``, options as JSON.

Prints a line of JSON for each line that it reads, which is a number of seconds to wait for the end of its stream; but
"end" ends it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pipert2 import EndOfStream, Pipe, SourceRoutine, Wire, events
from pipert2.engine.link import Egress, Ingress, LinkSettings
from pipert2.testing import CollectingDestination, wait_until


class Numbers(SourceRoutine):
    """1, 2, 3, ... at a rate, so many, or until it is told to end."""

    def __init__(self, rate: float, count: int | None) -> None:
        super().__init__("source")
        self.count = count
        self.set_const_fps(rate)

    def setup(self) -> None:
        self.number = 0

    @events("END")
    def end(self) -> None:
        self.count = self.number

    def main_logic(self) -> Any:
        if self.number == self.count:
            raise EndOfStream
        self.number += 1
        return self.number


class Notes(CollectingDestination):
    """Keeps numbers, and the oldest age."""

    def main_logic(self, data: Any) -> None:
        super().main_logic(data)


def main() -> None:
    way, options = sys.argv[1], json.loads(sys.argv[2])
    lossless, key = options["lossless"], "between/hosts"
    link = LinkSettings(**{name: tuple(v) if isinstance(v, list) else v for name, v in options["link"].items()})
    pipe = Pipe(way, lossless=lossless)
    if way == "send":
        first: Any = Numbers(options["rate"], options["count"])
        second: Any = Egress("out", key=key, link=link, lossless=lossless)
        end = "out"
    else:
        first, second = Ingress("in", key=key, link=link, lossless=lossless), Notes("got")
        end = "in"
    pipe.create_flow("first", False, first)
    pipe.create_flow("second", False, second)
    pipe.link(Wire(first, second))
    with pipe:
        pipe.notify_event("start")
        print("started", flush=True)
        for line in sys.stdin:
            if line == "end\n":
                pipe.notify_event("END")
                continue
            try:
                wait_until(lambda: all(one.finished for one in pipe.status().routines), float(line))
                ended = True
            except TimeoutError:
                ended = False
            status = pipe.status()
            said: dict[str, Any] = {
                "ended": ended,
                "sent": status.routine(first.name).sent,
                "dropped": sum(wire.dropped for wire in status.wires),
                "link": {one.name.removeprefix("link/"): one.text for one in pipe.results(end, wait=20.0).values},
                "age": status.routine(second.name).age.p50,
            }
            if way == "receive":
                said["got"] = second.items()
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
