"""Fixed rates without drift, and sources held near what can be used of their data.

Rates are judged by counts and by the stamps that routines write down, never by how long the test itself took.
"""

from __future__ import annotations

import ctypes
import sys
import time
from itertools import pairwise
from statistics import median

import pytest

from pipert2 import Pipe, SourceRoutine, Wire, events
from pipert2.testing import CollectingDestination, ListSource, SlowRoutine, wait_until


class Stamps(SourceRoutine):
    """Sends the time of each of its calls."""

    @events("FPS")
    def set_fps(self, fps: float) -> None:
        self.set_const_fps(fps)

    def main_logic(self) -> float:
        return time.monotonic()


def lag(stamps: list[float], fps: float) -> list[float]:
    """How far each stamp is from its place in an ideal schedule, in periods; most are near it in the schedule taken.

    Any call may come late, also the first one.
    """
    schedules = [[(at - first) * fps - round((at - first) * fps) for at in stamps] for first in stamps[:20]]
    return min(schedules, key=lambda found: median(map(abs, found)))


def usual_gap(stamps: list[float]) -> float:
    """The median time between two stamps."""
    return median(after - before for before, after in pairwise(stamps))


def times_and_skipped(pipe: Pipe, seen: CollectingDestination) -> tuple[list[float], int] | None:
    """The stamps so far, and how many ticks were skipped between them; None if some were while this looked."""
    skipped, before = pipe.status().routine("stamps").skipped, len(seen.items())
    times = wait_until(lambda: len(found := seen.items()) > before and found)  # the call after what was skipped
    return (times, skipped) if pipe.status().routine("stamps").skipped == skipped else None


@pytest.mark.parametrize("fps", [10, 100, 333])
def test_a_fixed_rate_does_not_drift(chain, fps):
    stamps, seen = Stamps("stamps"), CollectingDestination("seen")
    stamps.set_const_fps(fps)
    with chain(stamps, seen, lossless=True) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(seen.items()) > max(30, 2 * fps), timeout=60)
        times, skipped = wait_until(lambda: times_and_skipped(pipe, seen))
    # A busy machine makes single ticks late, by whole periods even; the schedule itself must not move.
    ticks = (times[-1] - times[0]) * fps
    assert ticks == pytest.approx(len(times) - 1 + skipped, abs=max(2.0, 0.01 * ticks))
    early = sorted(lag(times, fps))[: len(times) // 4]
    assert min(early) > -0.5
    assert sum(1 for late in lag(times, fps) if abs(late) < 0.25) > len(times) / 2


def test_the_rate_can_be_changed_and_lifted_while_the_routine_runs(chain):
    with chain(Stamps("stamps"), seen := CollectingDestination("seen"), lossless=True) as pipe:
        pipe.notify_event("FPS", wait=60, fps=50)
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(seen.items()) > 30)
        pipe.notify_event("FPS", wait=60, fps=200)
        slow = len(seen.items())
        wait_until(lambda: len(seen.items()) > slow + 100)
        pipe.notify_event("FPS", wait=60, fps=0)
        fast = len(seen.items())
        wait_until(lambda: len(seen.items()) > fast + 500)
    times = seen.items()
    assert usual_gap(times[5:30]) == pytest.approx(1 / 50, rel=0.2)
    assert usual_gap(times[slow + 2 : slow + 100]) == pytest.approx(1 / 200, rel=0.3)
    assert usual_gap(times[fast + 5 :]) < 1 / 300


def test_a_consumer_with_a_fixed_rate_takes_the_newest_at_each_tick(chain):
    class Sampled(CollectingDestination):
        pass

    seen = Sampled("seen")
    seen.set_const_fps(50)
    with chain(Stamps("stamps"), seen) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len(seen.items()) > 50)
        status = pipe.status()
    assert status.wire("stamps", "seen").dropped > 50
    assert usual_gap(seen.items()) > 1 / 55


def test_fixed_rate_routines_stop_at_once_however_slow_they_are(chain):
    stamps = Stamps("stamps")
    stamps.set_const_fps(0.001)
    with chain(stamps, CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("stamps").sent == 1)
        assert pipe.notify_event("FPS", wait=60, fps=0.002)["stamps"].error is None
        assert pipe.notify_event("stop", wait=60)["stamps"].error is None


def source_rate(pipe: Pipe, messages: int = 12) -> float:
    """Messages a second of the source, from two snapshots at least so many messages apart."""
    first = pipe.status()
    last = wait_until(
        lambda: (now := pipe.status()).routine("stamps").sent >= first.routine("stamps").sent + messages and now
    )
    return (last.routine("stamps").sent - first.routine("stamps").sent) / (last.time - first.time)


def test_automatic_pacing_holds_the_source_near_its_slowest_consumer_and_lets_go(chain):
    slow = SlowRoutine(0.05, "slow")
    with chain(Stamps("stamps"), slow, CollectingDestination("seen"), auto_pacing_mechanism=True) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: source_rate(pipe) < 30, what="a rate near 20/s")
        held = source_rate(pipe, 30)
        assert held > 5
        pipe.notify_event("SET_DELAY", wait=60, seconds=0.002)
        wait_until(lambda: source_rate(pipe, 30) > 3 * held, what="a rate near 500/s")
        pipe.notify_event("SET_DELAY", wait=60, seconds=0.1)
        wait_until(lambda: source_rate(pipe, 5) < 20, what="a rate near 10/s")


def test_automatic_pacing_follows_the_fastest_branch():
    stamps, slow, quick = Stamps("stamps"), SlowRoutine(0.2, "slow"), SlowRoutine(0.02, "quick")
    ends = CollectingDestination("end-1"), CollectingDestination("end-2")
    with Pipe(auto_pacing_mechanism=True) as pipe:
        for routine in (stamps, slow, quick, *ends):
            pipe.create_flow(routine.name, False, routine)
        pipe.link(Wire(stamps, (slow, quick)), Wire(slow, (ends[0],)), Wire(quick, (ends[1],)))
        pipe.notify_event("start", wait=60)
        wait_until(lambda: 30 < source_rate(pipe, 20) < 80, what="a rate near 50/s")


def test_without_pacing_the_source_runs_free(chain):
    with chain(Stamps("stamps"), SlowRoutine(0.05, "slow"), CollectingDestination("seen")) as pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().routine("slow").received > 5)
        assert source_rate(pipe, 500) > 400


def test_automatic_pacing_loses_nothing_on_lossless_wires(chain):
    seen = CollectingDestination("seen")
    pipe = chain(
        ListSource(range(200), "stamps"), SlowRoutine(0.001, "slow"), seen, lossless=True, auto_pacing_mechanism=True
    )
    assert pipe.run(timeout=60).reason == "finished"
    assert seen.items() == list(range(200))


class Slack(SourceRoutine):
    """Says by how many nanoseconds the kernel may let its thread sleep too long."""

    @events("SLACK")
    def slack(self) -> int:
        return ctypes.CDLL(None).prctl(30, 0)  # PR_GET_TIMERSLACK

    def main_logic(self) -> None:
        self.wait(1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets sleeps end late on purpose")
def test_a_flow_is_woken_as_near_to_its_time_as_the_kernel_can(chain):
    with chain(Slack("slack"), CollectingDestination("seen")) as pipe:
        assert pipe.notify_event("SLACK", wait=60)["slack"].unwrap() == 1
