"""The smallest pipe: numbers are made in one process, and greeted and shown in another.

Run it as it stands: a script needs no `if __name__ == "__main__":` around a pipe. It prints

    hello 0, made in another process
    ...
    hello 4, made in another process
    all streams ended: 5 sent, 5 shown
"""

import os
from collections.abc import Iterator

from pipert2 import Pipe, Wire, destination, middle, source


@source
def numbers() -> Iterator[tuple[int, int]]:  # a generator function: when it ends, its stream ends
    for number in range(5):
        yield number, os.getpid()


@middle
def greet(made: tuple[int, int]) -> str:
    number, pid = made
    return f"hello {number}, made in {'this' if pid == os.getpid() else 'another'} process"


@destination
def show(text: str) -> None:
    print(text)


pipe = Pipe(lossless=True)
pipe.create_flow("making", True, numbers)
pipe.create_flow("showing", True, greet, show)  # True: wired in this order
pipe.link(Wire(source=numbers, destinations=(greet,)))

summary = pipe.run()  # builds, starts, waits for the end of all streams, ends the processes
sent, shown = summary.routines[0].sent, summary.routines[-1].received
print(f"all streams ended: {sent} sent, {shown} shown")
