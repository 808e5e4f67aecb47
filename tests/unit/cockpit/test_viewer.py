"""A browser gets at most one message of a kind before it acknowledged the last, and is told what it missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipert2.cockpit.server.live_pipe import RING, LivePipe
from pipert2.cockpit.server.viewer import MOST_AT_ONCE, Viewer
from pipert2.cockpit.store.accounts import ANYBODY
from pipert2.cockpit.store.log_filter import LogFilter
from pipert2.cockpit.store.pipe_store import KnownPipe, PipeRun
from tests.unit.cockpit.conftest import record


class _Wire:
    """What was sent to a browser; acknowledges when told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self._done: list[Callable[..., None]] = []

    def emit(self, sid: str, event: str, data: Any, done: Callable[..., None] | None) -> None:
        self.sent.append((event, data))
        if done is not None:
            self._done.append(done)

    def acknowledge(self) -> None:
        done, self._done = self._done, []
        for one in done:
            one()


@pytest.fixture
def wire() -> _Wire:
    return _Wire()


@pytest.fixture
def viewer(wire: _Wire) -> Viewer:
    return Viewer("sid", ANYBODY, None, "127.0.0.1", wire.emit)


def _pipe() -> LivePipe:
    return LivePipe(KnownPipe(1, PipeRun("x", "pipe", "host", 1, 1.0, "1"), 1.0, None, None))


def test_of_what_waits_for_an_acknowledgement_only_the_newest_is_sent(wire: _Wire, viewer: Viewer) -> None:
    for number in range(5):
        viewer.offer("status", number)
    viewer.offer("structure", "s")
    assert wire.sent == [("status", 0), ("structure", "s")]
    wire.acknowledge()
    assert wire.sent[2:] == [("status", 4)]
    wire.acknowledge()
    wire.acknowledge()
    assert len(wire.sent) == 3


def test_records_come_from_now_on_and_go_on_after_the_acknowledgement(wire: _Wire, viewer: Viewer) -> None:
    pipe = _pipe()
    pipe.append([record(1)], 0)
    viewer.watch(pipe, LogFilter(), frozenset())
    viewer.send_records()
    assert wire.sent == []
    pipe.append([record(2)], 0)
    viewer.send_records()
    pipe.append([record(3)], 0)
    viewer.send_records()
    wire.acknowledge()
    viewer.send_records()
    batches = [[one["number"] for one in data["records"]] for _, data in wire.sent]
    assert batches == [[2], [3]]


def test_of_too_many_records_the_newest_are_sent_and_the_others_counted(wire: _Wire, viewer: Viewer) -> None:
    pipe = _pipe()
    viewer.watch(pipe, LogFilter(), frozenset())
    pipe.append([record(n) for n in range(1, MOST_AT_ONCE + 101)], 7)
    viewer.send_records()
    data = wire.sent[0][1]
    assert (len(data["records"]), data["skipped"]) == (MOST_AT_ONCE, 107)
    assert data["records"][-1]["number"] == MOST_AT_ONCE + 100


def test_a_browser_that_stalls_costs_nothing_and_is_told_how_much_it_missed(wire: _Wire, viewer: Viewer) -> None:
    pipe = _pipe()
    viewer.watch(pipe, LogFilter(), frozenset())
    for start in range(0, RING * 2, 500):
        pipe.append([record(start + n + 1) for n in range(500)], 0)
        viewer.send_records()
    assert len(wire.sent) == 1
    wire.acknowledge()
    viewer.send_records()
    received = sum(len(data["records"]) for _, data in wire.sent)
    assert received + sum(data["skipped"] for _, data in wire.sent) == RING * 2


def test_only_records_that_fit_are_sent(wire: _Wire, viewer: Viewer) -> None:
    pipe = _pipe()
    viewer.watch(pipe, LogFilter(level="ERROR"), frozenset())
    pipe.append([record(1), record(2, level="ERROR"), record(3)], 0)
    viewer.send_records()
    pipe.append([record(4)], 0)
    wire.acknowledge()
    viewer.send_records()
    assert [[one["number"] for one in data["records"]] for _, data in wire.sent] == [[2]]


def test_pictures_are_sent_of_what_is_watched_each_by_itself(wire: _Wire, viewer: Viewer) -> None:
    viewer.watch(_pipe(), None, frozenset({("cam", "output"), ("cam", "input")}))
    for side in ("output", "input", "output"):
        viewer.offer_frame({"routine": "cam", "side": side})
    viewer.offer_frame({"routine": "other", "side": "output"})
    assert [(data["routine"], data["side"]) for _, data in wire.sent] == [("cam", "output"), ("cam", "input")]


def test_what_waits_of_another_pipe_is_not_sent_any_more(wire: _Wire, viewer: Viewer) -> None:
    viewer.watch(_pipe(), None, frozenset())
    viewer.offer("status", "first")
    viewer.offer("status", "second")
    viewer.watch(None, None, frozenset())
    wire.acknowledge()
    assert wire.sent == [("status", "first")]
