"""Pacing: a source that runs as fast as it can, one held near what its reader can take, one with a fixed rate.

The reader needs 20 ms for each message, so it takes at most 50 a second. Without pacing the source works for the bin;
with `auto_pacing_mechanism=True` it is held near its reader; `set_const_fps(25)` gives 25 a second whoever reads. Each
settles until 20 messages were read, and is then counted for one second or a little more. Prints, with numbers of its
own, what that comes to in a second, and for how many the processor came too late:

    flat out: 401234 made, 49 read, 0 missed
    paced: 54 made, 49 read, 0 missed
    25 a second: 25 made, 25 read, 0 missed
"""

import time

from pipert2 import START_EVENT_NAME, Pipe, SourceRoutine, Wire, destination


class Ticks(SourceRoutine):
    def main_logic(self) -> float:
        return time.time()


@destination
def slow(tick: float) -> None:
    time.sleep(0.02)


for title, paced, fps in (("flat out", False, 0), ("paced", True, 0), ("25 a second", False, 25)):
    ticks = Ticks("ticks")
    ticks.set_const_fps(fps)  # 0: no limit
    with Pipe(auto_pacing_mechanism=paced) as pipe:
        pipe.create_flow("making", False, ticks)
        pipe.create_flow("reading", False, slow)
        pipe.link(Wire(source=ticks, destinations=(slow,)))
        pipe.notify_event(START_EVENT_NAME)
        while pipe.status().routine("slow").received < 20:
            time.sleep(0.02)
        before = pipe.status()
        time.sleep(1.0)
        after = pipe.status()
    seconds = after.time - before.time
    made = (after.routine("ticks").sent - before.routine("ticks").sent) / seconds
    read = (after.routine("slow").received - before.routine("slow").received) / seconds
    missed = (after.routine("ticks").skipped - before.routine("ticks").skipped) / seconds
    print(f"{title}: {made:.0f} made, {read:.0f} read, {missed:.0f} missed")
