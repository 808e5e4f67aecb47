"""The sites of a pipe as its driver holds them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from pipert2.engine.site_words import Feed, SiteProgress
from pipert2.engine.sites import SiteLost, Sites

PROGRESS = SiteProgress(None, False, False, True, False, True, frozenset(), 0)


class Idle:
    """A site of which nothing is new."""

    def __init__(self) -> None:
        self.name = "there"
        self._closed = threading.Event()

    def ask(self, verb: str, args: tuple[Any, ...], options: Mapping[str, Any], timeout: float) -> Any:
        return PROGRESS

    def feed(self, known: SiteProgress | None, wait: float) -> Feed:
        if self._closed.wait(0.1):
            raise SiteLost(self.name, "it has ended", for_good=True)
        return Feed("first", PROGRESS)

    def where(self, timeout: float) -> tuple[int, str]:
        return 1, self.name

    def place_anew(self) -> None:
        """It is not lost."""

    def close(self) -> None:
        self._closed.set()


def test_what_routines_want_of_other_sites_keeps_nobody_from_asking_them() -> None:
    sites = Sites([Idle()], lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None, 0)
    count = 40
    all_here, answers = threading.Barrier(count + 1), []

    def want() -> None:
        all_here.wait(20)
        answers.append(sites.ask_all(["there"], "progress", patience=1.0)["there"])
        all_here.wait(20)

    try:
        for _ in range(count):
            sites.later(want)
        all_here.wait(20)
        all_here.wait(20)
        assert answers == [PROGRESS] * count
    finally:
        sites.close()
