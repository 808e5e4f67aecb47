"""Replicas of a flow at several sites, and wires to and from them that come and go, tried without a cluster."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

from pipert2 import MiddleRoutine, Pipe, PipeBuildError, Wire
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.ray_nodes import HAVE_RAY
from tests.sites_here import LosableSite, sites_here
from tests.sources import Counting

pytestmark = pytest.mark.skipif(not HAVE_RAY, reason='an engine needs Ray and Zenoh: pip install "pipert2[cluster]"')


class Work(MiddleRoutine):
    def __init__(self, name: str, seconds: float = 0.001) -> None:
        super().__init__(name)
        self._seconds = seconds

    def main_logic(self, number: int) -> tuple[int, int]:
        self.wait(self._seconds)
        return number, os.getpid()


def worked_on(seen: CollectingDestination, *, sign: int = 1) -> list[int]:
    return [number for number, _ in seen.items() if number * sign > 0]


def stretches(numbers: list[int]) -> int:
    """In how many pieces they are, of which nothing is missing."""
    steps = sorted(set(map(abs, numbers)))
    return 1 + sum(after > before + 1 for before, after in pairwise(steps))


def unbroken(numbers: list[int]) -> bool:
    return stretches(numbers) == 1


def test_sources_and_replicas_at_the_same_two_sites_come_to_an_end_and_are_counted_once() -> None:
    with sites_here({}):
        first, second = ListSource(list(range(1, 101)), "first"), ListSource(list(range(-100, 0)), "second")
        work, seen = Work("work"), CollectingDestination("seen")
        pipe = Pipe("both", engine="ray", lossless=True)
        pipe.create_flow("one", False, first, host="x")
        pipe.create_flow("two", False, second, host="y")
        pipe.create_flow("work", False, work, replicas=3, host="x+y+y")
        pipe.create_flow("back", False, seen)
        pipe.link(Wire(first, work), Wire(second, work), Wire(work, seen))
        with pipe:
            summary = pipe.run(timeout=60)
        assert summary.ok, summary
        assert sorted(number for number, _ in seen.items()) == [*range(-100, 0), *range(1, 101)]
        assert [(wire.sent, wire.received) for wire in summary.wires] == [(100, 100), (100, 100), (200, 200)]
        assert pipe.status().routine("work").received == 200


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("where", ["driver", "x", "z"], ids=["handing out", "working", "elsewhere"])
def test_a_wire_to_replicas_at_several_sites_comes_and_goes(where: str, lossless: bool) -> None:
    with sites_here({}):
        up, down, work = Counting("up", 1), Counting("down", -1), Work("work")
        seen, aside = CollectingDestination("seen"), CollectingDestination("aside")
        pipe = Pipe("wired", engine="ray", lossless=lossless)
        pipe.create_flow("up", False, up)
        pipe.create_flow("down", False, down, host=where)
        pipe.create_flow("work", False, work, replicas=2, host="x+y")
        pipe.create_flow("back", False, seen)
        pipe.create_flow("aside", False, aside, host=where)
        pipe.link(Wire(up, work), Wire(work, seen), Wire(down, aside))
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: len({pid for _, pid in seen.items()}) == 2)
            for _ in range(2):
                count = len(worked_on(seen, sign=-1))
                pipe.link(Wire(down, work))
                wait_until(lambda count=count: len(worked_on(seen, sign=-1)) > count + 100)
                assert len({pid for number, pid in seen.items() if number < 0}) == 2
                pipe.unlink("down", "work")
                wait_until(lambda: len(aside.items()) > -min(worked_on(seen, sign=-1)) + 10)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        if lossless:
            assert unbroken(worked_on(seen))
            assert stretches(worked_on(seen, sign=-1)) == 2


@pytest.mark.parametrize("lossless", [True, False])
def test_replicas_at_several_sites_that_have_lost_their_last_wire_all_work_again_when_it_comes_back(
    lossless: bool,
) -> None:
    with sites_here({}):
        up, work = Counting("up", 1), Work("work", 0.01)  # more than two of them can do
        seen, aside = CollectingDestination("seen"), CollectingDestination("aside")
        pipe = Pipe("again", engine="ray", lossless=lossless)
        pipe.create_flow("up", False, up)
        pipe.create_flow("work", False, work, replicas=3, host="driver+y+y")
        pipe.create_flow("back", False, seen, aside)
        pipe.link(Wire(up, work), Wire(work, seen), Wire(up, aside))
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: len({pid for _, pid in seen.items()}) == 3)
            for _ in range(2):
                pipe.unlink("up", "work")
                wait_until(lambda: pipe.status().routine("seen").finished)
                count = len(seen.items())
                pipe.link(Wire(up, work))
                wait_until(lambda count=count: len({pid for _, pid in seen.items()[count:]}) == 3)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_wire_from_replicas_at_several_sites_comes_and_goes(lossless: bool) -> None:
    with sites_here({}):
        up, work, few = Counting("up", 1), Work("work"), ListSource([(-1, 0)], "few")
        seen, later = CollectingDestination("seen"), CollectingDestination("later")
        pipe = Pipe("from", engine="ray", lossless=lossless)
        pipe.create_flow("up", False, up)
        pipe.create_flow("work", False, work, replicas=2, host="x+y")
        pipe.create_flow("few", False, few)
        pipe.create_flow("later", False, later, host="x")
        pipe.create_flow("back", False, seen)
        pipe.link(Wire(up, work), Wire(work, seen), Wire(few, later))
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: len({pid for _, pid in seen.items()}) == 2)
            for _ in range(2):
                count = len(later.items())
                pipe.link(Wire(work, later))
                wait_until(lambda count=count: len({pid for _, pid in later.items()[count:] if pid}) == 2)
                pipe.unlink("work", "later")
                wait_until(lambda: pipe.status().routine("later").finished)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        if lossless:
            assert unbroken(worked_on(seen))


def test_a_site_with_replicas_that_is_lost_after_a_wire_has_come_works_again() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        up, down, work = Counting("up", 1), Counting("down", -1), Work("work")
        seen, aside = CollectingDestination("seen"), CollectingDestination("aside")
        pipe = Pipe("lost", engine="ray", lossless=True)
        pipe.create_flow("up", False, up)
        pipe.create_flow("down", False, down, host="z")
        pipe.create_flow("work", False, work, replicas=2, host="x+y")
        pipe.create_flow("back", False, seen, aside)
        pipe.link(Wire(up, work), Wire(work, seen), Wire(down, aside))
        with pipe:
            pipe.notify_event("start", wait=60)
            pipe.link(Wire(down, work))
            wait_until(lambda: len(worked_on(seen, sign=-1)) > 50)
            found["x"].lose()
            wait_until(lambda: {site.name: site.restarts for site in pipe.status().sites}["x"] == 1)
            count = len(seen.items())
            wait_until(lambda: len({pid for _, pid in seen.items()[count:]}) == 2)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        assert unbroken(worked_on(seen))
        assert unbroken(worked_on(seen, sign=-1))


def test_a_lossless_wire_to_replicas_elsewhere_that_get_the_newest_only_is_refused_with_what_to_do() -> None:
    with sites_here({}):
        up, down, work = Counting("up", 1), Counting("down", -1), Work("work")
        seen, aside = CollectingDestination("seen"), CollectingDestination("aside")
        pipe = Pipe("mixed", engine="ray")
        pipe.create_flow("up", False, up, down)
        pipe.create_flow("work", False, work, replicas=2, host="x+y")
        pipe.create_flow("back", False, seen, aside)
        pipe.link(Wire(up, work), Wire(work, seen), Wire(down, aside))
        with pipe:
            pipe.build()
            with pytest.raises(PipeBuildError, match="build the pipe with a lossless wire to 'work'"):
                pipe.link(Wire(down, work, lossless=True))
            assert [wire.source.name for wire in pipe.wires] == ["up", "work", "down"]


def test_a_lossless_wire_between_sites_of_a_pipe_that_has_no_other_loses_nothing_with_its_site() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        up, down, work = Counting("up", 1), Counting("down", -1), Work("work")
        seen, aside = CollectingDestination("seen"), CollectingDestination("aside")
        pipe = Pipe("mixed", engine="ray")
        pipe.create_flow("here", False, up)
        pipe.create_flow("down", False, down)
        pipe.create_flow("work", False, work, host="x")
        pipe.create_flow("back", False, seen, aside)
        pipe.link(Wire(up, work), Wire(work, seen, lossless=True), Wire(down, aside))
        with pipe:
            pipe.notify_event("start", wait=60)
            pipe.link(Wire(down, work, lossless=True))
            wait_until(lambda: len(worked_on(seen, sign=-1)) > 50)
            found["x"].lose()
            wait_until(lambda: pipe.status().sites[1].restarts == 1)
            count = len(worked_on(seen, sign=-1))
            wait_until(lambda: len(worked_on(seen, sign=-1)) > count + 100)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        assert unbroken(worked_on(seen, sign=-1))
