"""Real-time and lossless wires side by side: one counts what it drops, the other drops nothing.

A source sends 500 numbers as fast as it can to two readers. The archive is quick and lossless: it gets every number.
The display takes 5 ms for each and its wire is real-time: it gets the newest, and the rest is counted, never silently
lost. Prints, with a number of its own for the display,

    archive: sent 500, received 500, dropped 0
    display: sent 500, received 12, dropped 488
    nothing is lost without being counted: True
"""

import time
from collections.abc import Iterator

from pipert2 import Pipe, Wire, destination, source


@source
def numbers() -> Iterator[int]:
    yield from range(500)


@destination
def archive(number: int) -> None:
    pass


@destination
def display(number: int) -> None:
    time.sleep(0.005)


pipe = Pipe()
pipe.create_flow("making", False, numbers)
pipe.create_flow("archiving", False, archive)
pipe.create_flow("displaying", False, display)
pipe.link(
    Wire(source=numbers, destinations=(archive,), lossless=True, capacity=16),
    Wire(source=numbers, destinations=(display,)),
)
summary = pipe.run()

for wire in summary.wires:
    print(f"{wire.destination}: sent {wire.sent}, received {wire.received}, dropped {wire.dropped}")
counted = all(wire.sent == wire.received + wire.dropped for wire in summary.wires)
print(f"nothing is lost without being counted: {counted}")
