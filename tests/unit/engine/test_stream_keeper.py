"""The ends of a link come to be in the same stream again, and an end that is still needed is left alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from pipert2.engine import stream_keeper
from pipert2.engine.cutting import link_of
from pipert2.engine.fragment import Fragment
from pipert2.engine.link.counting import CONNECTED, CUT, WAITING
from pipert2.engine.site import FINISHED, RESTING
from pipert2.engine.site_words import Feed, SiteProgress
from pipert2.engine.sites import SiteLost, Sites
from pipert2.engine.stream_keeper import StreamKeeper
from pipert2.testing import wait_until

LINK = link_of("run", "near", "far", "numbers", True, returns=False)


class End:
    """A site with one end of the link; what it is asked changes it, and is noted."""

    def __init__(self, name: str, end: str, state: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self._end = end
        self._state = state
        self._told = state == FINISHED
        self._changed = threading.Condition()
        self._closed = False

    def set(self, state: str, *, told: bool = True) -> None:
        """The end is like this now; *told*: and the driver hears of it."""
        with self._changed:
            self._state = state
            self._told = state == FINISHED if told else self._told
            self._changed.notify_all()

    def _progress(self) -> SiteProgress:
        finished = frozenset((self._end,)) if self._told else frozenset()
        return SiteProgress(None, False, False, True, False, True, finished, 0)

    def ask(self, verb: str, args: tuple[Any, ...], options: Mapping[str, Any], timeout: float) -> Any:
        if verb == "progress":
            return self._progress()
        self.asked.append(verb)
        if verb == "link_end":
            return self._state
        self.set(WAITING if verb == "begin_stream" else FINISHED)
        return None

    def feed(self, known: SiteProgress | None, wait: float) -> Feed:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._progress() != known, min(wait, 0.2))
        if self._closed:
            raise SiteLost(self.name, "it has ended", for_good=True)
        return Feed("first", self._progress())

    def where(self, timeout: float) -> tuple[int, str]:
        return 1, self.name

    def place_anew(self) -> None:
        """It is not lost."""

    def waits_for(self, seconds: float) -> str | None:
        return None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def did(self, verb: str) -> int:
        return self.asked.count(verb)


@contextmanager
def kept(near: End, far: End) -> Iterator[None]:
    sites = Sites([near, far], lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None, 0)
    fragments = {"near": Fragment("near", (), (), (LINK,), ()), "far": Fragment("far", (), (), (), (LINK,))}
    keeper = StreamKeeper(sites, lambda: fragments)
    try:
        yield
    finally:
        keeper.close()
        keeper.close()
        sites.close()


def ends(egress: str, ingress: str) -> tuple[End, End]:
    return End("near", LINK.egress, egress), End("far", LINK.ingress, ingress)


@pytest.mark.parametrize("alone", [WAITING, CUT])
def test_an_ingress_that_has_finished_begins_again_for_an_egress_that_hears_nobody(alone: str) -> None:
    near, far = ends(alone, FINISHED)
    with kept(near, far):
        wait_until(lambda: far.did("begin_stream"), 20)
        near.set(CONNECTED)
        far.set(CONNECTED)
    assert far.did("begin_stream") == 1
    assert far.did("end_streams") == 0


@pytest.mark.parametrize("egress", [CONNECTED, RESTING, ""])
def test_an_ingress_that_has_finished_is_left_alone_while_its_egress_is_about_to_or_does_not_run(egress: str) -> None:
    near, far = ends(egress, FINISHED)
    with kept(near, far):
        wait_until(lambda: near.did("link_end") > 2, 20)
        near.set(FINISHED)
    assert far.did("begin_stream") == 0


def test_what_was_heard_of_a_site_is_not_believed_if_it_says_something_else_now() -> None:
    near, far = ends(WAITING, FINISHED)
    far.set(CONNECTED, told=False)
    with kept(near, far):
        wait_until(lambda: far.did("link_end") > 2, 20)
    assert far.did("begin_stream") == 0


@pytest.mark.parametrize("alone", [WAITING, CUT])
def test_an_ingress_that_waits_in_vain_is_ended(monkeypatch: pytest.MonkeyPatch, alone: str) -> None:
    monkeypatch.setattr(stream_keeper, "_VAIN", 0.3)
    near, far = ends(FINISHED, alone)
    with kept(near, far):
        wait_until(lambda: far.did("end_streams"), 20)
        wait_until(lambda: far.did("link_end"), 20)
    assert far.did("end_streams") == 1


def test_an_ingress_that_still_hands_on_what_came_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_keeper, "_VAIN", 0.0)
    near, far = ends(FINISHED, CONNECTED)
    with kept(near, far):
        wait_until(lambda: far.did("link_end") > 3, 20)
    assert far.did("end_streams") == 0


def test_ends_that_are_in_the_same_stream_are_asked_nothing() -> None:
    near, far = ends(FINISHED, FINISHED)
    with kept(near, far):
        far.set(FINISHED)
    assert not [*near.asked, *far.asked]
