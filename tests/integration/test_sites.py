"""Streams over several sites that end, and begin again when a site was lost, tried without a cluster."""

from __future__ import annotations

import pytest

from pipert2 import EndOfStream, MiddleRoutine, Pipe, SourceRoutine, Wire, events
from pipert2.testing import CollectingDestination, ListSource, wait_until
from tests.ray_nodes import HAVE_RAY
from tests.sites_here import LosableSite, sites_here

pytestmark = pytest.mark.skipif(not HAVE_RAY, reason='an engine needs Ray and Zenoh: pip install "pipert2[cluster]"')


class Numbers(SourceRoutine):
    """Counts until it is told to end."""

    ending = False
    number = 0

    @events("END")
    def end(self) -> None:
        self.ending = True

    def main_logic(self) -> int:
        self.wait(0.002)
        if self.ending:
            raise EndOfStream
        self.number += 1
        return self.number


class Passes(MiddleRoutine):
    def main_logic(self, number: int) -> int:
        return number


def two_sites(*, lossless: bool) -> tuple[Pipe, Numbers, Passes, CollectingDestination]:
    """Numbers and what collects them here; at another site what could pass them on, and has finished."""
    numbers, passes, seen = Numbers("numbers"), Passes("passes"), CollectingDestination("seen")
    few, aside = ListSource([-1], "few"), CollectingDestination("aside")
    pipe = Pipe("two", engine="ray", lossless=lossless)
    pipe.create_flow("here", False, numbers, aside)
    pipe.create_flow("there", False, few, passes, host="there")
    pipe.create_flow("back", False, seen)
    pipe.link(Wire(numbers, aside), Wire(few, passes), Wire(passes, seen))
    return pipe, numbers, passes, seen


@pytest.mark.parametrize("lossless", [True, False])
def test_a_way_that_was_laid_and_is_out_of_use_keeps_no_pipe_from_ending_when_a_site_was_lost(lossless: bool) -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, numbers, passes, seen = two_sites(lossless=lossless)
        with pipe:
            pipe.notify_event("start", wait=60)
            wait_until(lambda: pipe.status().routine("passes").finished)
            pipe.link(Wire(numbers, passes))
            wait_until(lambda: len(seen.items()) > 20)
            pipe.unlink(numbers, passes)
            wait_until(lambda: pipe.status().routine("seen").finished)
            found["there"].lose()
            wait_until(lambda: pipe.status().sites[1].restarts == 1 and pipe.status().sites[1].state == "running")
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)


def test_a_way_that_was_laid_is_there_again_when_its_site_was_lost() -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found):
        pipe, numbers, passes, seen = two_sites(lossless=True)
        with pipe:
            pipe.notify_event("start", wait=60)
            pipe.link(Wire(numbers, passes))
            wait_until(lambda: len(seen.items()) > 20)
            found["there"].lose()
            wait_until(lambda: pipe.status().sites[1].restarts == 1 and pipe.status().sites[1].state == "running")
            count = len(seen.items())
            wait_until(lambda: len(seen.items()) > count + 20)
            pipe.notify_event("END", wait=60)
            assert pipe.join(timeout=60)
        got = {item for item in seen.items() if item > 0}
        assert got == set(range(min(got), max(got) + 1))


@pytest.mark.parametrize("lossless", [True, False])
def test_a_pipe_ends_whose_replicas_are_at_two_sites_that_both_have_work_for_them(lossless: bool) -> None:
    with sites_here({}):
        one, other = ListSource([("one", number) for number in range(50)], "one"), ListSource(["other"], "other")
        passes, seen = Passes("passes"), CollectingDestination("seen")
        pipe = Pipe("both", engine="ray", lossless=lossless)
        pipe.create_flow("one", False, one, host="a")
        pipe.create_flow("other", False, other, host="b")
        pipe.create_flow("passes", False, passes, host="a+b", replicas=2)
        pipe.create_flow("seen", False, seen)
        pipe.link(Wire(one, passes), Wire(other, passes), Wire(passes, seen))
        with pipe:
            pipe.notify_event("start", wait=60)
            assert pipe.join(timeout=60)
        if lossless:
            assert sorted(map(str, seen.items())) == sorted(
                map(str, [("one", number) for number in range(50)] + ["other"])
            )
