"""What is said of ends of links that do not find each other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pipert2.engine import site_links
from pipert2.engine.cutting import link_of
from pipert2.engine.fragment import Fragment
from pipert2.engine.link.counting import CONNECTED, WAITING
from pipert2.engine.site_links import LATE, LinkWatch
from pipert2.errors import PipertError
from pipert2.testing import wait_until
from pipert2.transport.board import RoutineState

LINK = link_of("run", "near", "far", "numbers", True, returns=False)


class Pipe:
    """A site's pipe with one end of a link."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("pipert2.links")
        self.shown = WAITING
        self.state = RoutineState.RUNNING
        self.asked = 0

    def results(self, name: str, wait: float) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise PipertError("it is being restarted")
        return SimpleNamespace(values=[SimpleNamespace(name="link/state", text=self.shown)])

    def failed_ends(self) -> list[str]:
        return []

    def _running(self, what: str) -> Any:
        spec = SimpleNamespace(routine=lambda name: SimpleNamespace(index=0))
        return SimpleNamespace(spec=spec, state=lambda index: self.state)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    monkeypatch.setattr(site_links, "LINKS_LOOK", 0.01)
    monkeypatch.setattr(site_links, "LATE_AFTER", 0.05)
    return Pipe()


@pytest.fixture
def watch(pipe: Any) -> Iterator[LinkWatch]:
    watch = LinkWatch(pipe, Fragment("near", (), (), (LINK,), ()))
    yield watch
    watch.close()
    watch.close()


def late(watch: LinkWatch) -> bool:
    return bool(watch.counts.get(LINK.egress, {}).get(LATE))


def test_an_end_that_does_not_find_the_other_one_is_late_which_is_said_once(
    pipe: Pipe, watch: LinkWatch, caplog: pytest.LogCaptureFixture
) -> None:
    wait_until(lambda: late(watch))
    asked = pipe.asked
    wait_until(lambda: pipe.asked > asked + 5)
    (said,) = *caplog.get_records("setup"), *caplog.records  # it is looked at since the fixture was made
    assert said.levelno == logging.WARNING
    assert f"link {LINK.egress}: its other end was not found" in said.getMessage()
    pipe.shown = CONNECTED
    wait_until(lambda: not late(watch))


def test_an_end_that_does_not_run_is_not_late(pipe: Pipe, watch: LinkWatch, caplog: pytest.LogCaptureFixture) -> None:
    pipe.state = RoutineState.IDLE
    asked = pipe.asked
    wait_until(lambda: pipe.asked > asked + 20)
    assert not late(watch)
    assert not caplog.records
