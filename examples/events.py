"""Events: call methods of routines while the pipe runs, with parameters, and get their results back.

A heater warms up by itself; a guard behind it watches the temperature and sends the heater an event from inside its
`main_logic`; the main process asks, sets, and meets the two kinds of mistakes. What a handler raises is logged too, on
stderr. Prints

    cooled by the guard: 1 times
    the old limit was 30, asked for 50
    the handler refused: ... ValueError: a limit must not be below zero, as -3 is
    no such event: ... did you mean 'SET_LIMIT'?
"""

import time

from pipert2 import DestinationRoutine, Pipe, PipertError, SourceRoutine, Wire, events


class Heater(SourceRoutine):
    def setup(self) -> None:
        self.degrees = 20.0
        self.cooled = 0
        self.set_const_fps(200)

    def main_logic(self) -> float:
        self.degrees += 0.1
        return self.degrees

    @events("COOL")
    def cool(self, by: float) -> None:
        self.degrees -= by
        self.cooled += 1

    @events("REPORT")
    def report(self) -> int:
        return self.cooled


class Guard(DestinationRoutine):
    def setup(self) -> None:
        self.limit = 30.0
        self.warned = False

    def main_logic(self, degrees: float) -> None:
        if degrees > self.limit and not self.warned:
            self.warned = True
            self.notify_event("COOL", {"plant": ["heater"]}, by=5.0)  # an event from inside a routine

    @events("SET_LIMIT")
    def set_limit(self, limit: float) -> float:
        if limit < 0:
            raise ValueError(f"a limit must not be below zero, as {limit:g} is")
        old, self.limit = self.limit, limit
        return old


heater, guard = Heater("heater"), Guard("guard")
with Pipe() as pipe:
    pipe.create_flow("plant", False, heater)
    pipe.create_flow("control", False, guard)
    pipe.link(Wire(source=heater, destinations=(guard,)))
    pipe.notify_event("start")

    deadline = time.monotonic() + 10
    while (cooled := pipe.notify_event("REPORT", wait=5.0)["heater"].unwrap()) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    print(f"cooled by the guard: {cooled} times")

    results = pipe.notify_event("SET_LIMIT", {"control": ["guard"]}, wait=5.0, limit=50)
    print(f"the old limit was {results['guard'].value:g}, asked for 50")

    results = pipe.notify_event("SET_LIMIT", {"control": ["guard"]}, wait=5.0, limit=-3)
    print(f"the handler refused: {results['guard'].error}")

    try:
        pipe.notify_event("SET_LIMITS")
    except PipertError as error:
        print(f"no such event: {error}")
# leaving the block killed the pipe and waited for its processes
