"""What all workers get: one that cannot be reached is told of, unless the pipe ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from pipert2 import DestinationRoutine, EventHandlerError
from pipert2.events.bus import EventResult
from pipert2.patterns.events.batch import Lane, Share, make
from pipert2.patterns.events.call_workers import call_workers

MADE = make("one", "", [])
GONE = EventHandlerError("two", "pipert2.scan.call", "its flow has no living process", "")


class Asking(DestinationRoutine):
    """Asks two workers, of which the second is gone."""

    asked: Mapping[str, list[str]] | None = None
    ends = False

    def main_logic(self, data: Any) -> None: ...

    def notify_event(self, event_name: str, targets: Any = None, wait: float | None = None, **params: Any) -> Any:
        self.asked = targets
        return {"one": EventResult("one", (MADE, 2.0), None), "two": EventResult("two", None, GONE)}

    def wait(self, seconds: float) -> bool:
        return self.ends


def ask(routine: Asking, *lanes: Lane, last: bool = False) -> list[Any]:
    share = Share(7, 1, ())
    return call_workers(routine, lanes, scan_id="scan", share=share, opening=None, parameters=b"", last=last)


LANES = Lane("left", "one"), Lane("left", "two"), Lane("right", "three")


@pytest.mark.expects_errors
def test_all_workers_are_asked_and_those_that_are_there_answer() -> None:
    routine = Asking()
    assert ask(routine, *LANES) == [(MADE, 2.0)]
    assert routine.asked == {"left": ["one", "two"], "right": ["three"]}


def test_where_there_are_no_workers_nobody_is_asked() -> None:
    routine = Asking()
    assert ask(routine) == []
    assert routine.asked is None


@pytest.mark.expects_errors
@pytest.mark.parametrize(("last", "what"), [(False, "event 7"), (True, "the end of the scan")])
def test_a_worker_that_is_gone_is_an_error(caplog: pytest.LogCaptureFixture, last: bool, what: str) -> None:
    ask(Asking(), *LANES, last=last)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, f"{what} did not reach a worker: {GONE}")


def test_a_worker_that_is_gone_is_no_error_when_the_pipe_ends(caplog: pytest.LogCaptureFixture) -> None:
    routine = Asking()
    routine.ends = True
    with caplog.at_level(logging.DEBUG, routine.logger.name):
        ask(routine, *LANES)
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
