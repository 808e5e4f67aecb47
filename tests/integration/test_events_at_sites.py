"""Events to sites whose flows are being replaced, or that are not there; tried without a cluster."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipert2 import Pipe, Routine, events
from pipert2.testing import wait_until
from tests.processes import Journal
from tests.ray_nodes import HAVE_RAY
from tests.sites_here import LosableSite, sites_here

pytestmark = pytest.mark.skipif(not HAVE_RAY, reason='an engine needs Ray and Zenoh: pip install "pipert2[cluster]"')


class Rests(Routine):
    @events("REST")
    def rest(self) -> None: ...


class Hears(Routine):
    """Notes what it begins with; holds until it is let go."""

    def __init__(self, journal: Journal) -> None:
        super().__init__("hears")
        self.journal = journal
        self.gate = journal.path.with_name("gate")

    @events("SAY")
    def say(self, word: str) -> int:
        self.journal.note(word, os.getpid())
        return os.getpid()

    @events("HOLD")
    def hold(self) -> None:
        self.journal.note("hold", os.getpid())
        wait_until(self.gate.exists)


def test_events_to_a_flow_of_a_site_that_is_being_replaced_there_are_handled_once_by_the_next_process(
    journal: Journal,
) -> None:
    found: dict[str, LosableSite] = {}
    hears = Hears(journal)
    with sites_here(found), Pipe("two", engine="ray") as pipe, ThreadPoolExecutor(1) as caller:
        pipe.create_flow("here", False, Rests("rests"))
        pipe.create_flow("there", False, hears, host="there")
        pipe.build()
        # Given a flow of another site that is to be replaced when it is done with what it has in hand
        pipe.notify_event("HOLD")
        wait_until(journal.lines)
        pipe.restart_flow("there")
        # When events are sent to it
        pipe.notify_event("SAY", word="a")
        waited: Any = caller.submit(pipe.notify_event, "SAY", wait=60, word="b")
        site: Any = found["there"]._site
        wait_until(lambda: len(site.pipe._supervisor.flows["there"].waiting) == 2)
        hears.gate.touch()
        # Then the next process handles each of them
        new = waited.result(60)["hears"].unwrap()
        held, *said = [line.split() for line in journal.lines()]
        assert held[1] != str(new)
        assert said == [["a", str(new)], ["b", str(new)]]


def test_an_event_that_reaches_nobody_because_its_site_is_not_there_is_told(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    found: dict[str, LosableSite] = {}
    with sites_here(found), Pipe("two", engine="ray") as pipe, caplog.at_level(logging.WARNING):
        pipe.create_flow("here", False, Rests("rests"))
        pipe.create_flow("there", False, Hears(journal), host="there")
        pipe.build()
        there = found["there"]
        site, there._site = there._site, None
        try:
            pipe.notify_event("SAY", word="a")
        finally:
            there._site = site
        assert "event 'SAY' reaches nobody there: site 'there' is not there: it was lost" in caplog.text
