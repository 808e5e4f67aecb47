"""`Pipe(inline=True)`: the whole pipe in this process, for debuggers, tests and notebooks, with the same results.

A breakpoint in a routine stops here, a list in this script is the list the routine appends to, and a traceback leads
straight to the line. Prints

    inline: 3 results in this list: [0, 1, 4], all in this process
    flows: 0 results in this list: []
    the same 3 messages arrived both times: True
"""

import os
from collections.abc import Iterator

from pipert2 import Pipe, RunSummary, Wire, destination, middle, source

results: list[int] = []
pids: set[int] = set()


def run(inline: bool) -> RunSummary:
    @source
    def numbers() -> Iterator[int]:
        yield from range(3)

    @middle
    def square(number: int) -> int:
        # breakpoint()  # works with inline=True
        return number**2

    @destination
    def collect(number: int) -> None:
        results.append(number)  # inline: this script's list; in a flow: the flow's own copy of it
        pids.add(os.getpid())

    pipe = Pipe(inline=inline, lossless=True)
    pipe.create_flow("making", False, numbers)
    pipe.create_flow("working", True, square, collect)
    pipe.link(Wire(source=numbers, destinations=(square,)))
    return pipe.run()


inline = run(inline=True)
where = "all in this process" if pids == {os.getpid()} else f"in the processes {pids}"
print(f"inline: {len(results)} results in this list: {results}, {where}")
results.clear()
flows = run(inline=False)
print(f"flows: {len(results)} results in this list: {results}")
arrived = [summary.routines[-1].received for summary in (inline, flows)]
print(f"the same 3 messages arrived both times: {arrived == [3, 3]}")
