"""Messages leave in order, in a thread, and what cannot be sent says so."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from pipert2 import UnsendableDataError
from pipert2.runtime.flow.logs import ForwardingHandler
from pipert2.runtime.flow.outbox import Outbox
from pipert2.runtime.messages import EventAnswer, EventRequest, LogRecords, Packed
from pipert2.transport.codec import loads


class Line:
    """An outbox and the other end of its connection."""

    def __init__(self) -> None:
        here, self.there = multiprocessing.Pipe()
        self.here: Connection = here
        self.outbox = Outbox(here, "pipert2-test-outbox")

    def receive(self) -> Any:
        assert self.there.poll(30.0)
        return loads(self.there.recv_bytes())


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.outbox.close(30.0)
    made.here.close()
    made.there.close()


def test_messages_arrive_in_order(line: Line) -> None:
    for number in range(500):
        line.outbox.put(number)
    assert [line.receive() for _ in range(500)] == list(range(500))


def test_who_sends_does_not_wait_for_who_reads(line: Line) -> None:
    for _ in range(50):
        line.outbox.put(b"x" * 100_000)
    assert len(line.receive()) == 100_000
    for _ in range(49):
        line.receive()


def test_closing_sends_what_waits(line: Line) -> None:
    for number in range(100):
        line.outbox.put(number)
    line.outbox.close(30.0)
    assert [line.receive() for _ in range(100)] == list(range(100))


def test_an_answer_opens_where_it_is_needed(line: Line) -> None:
    line.outbox.put(EventAnswer(1, 2, {"zoom": 3}))
    answer = line.receive()
    assert isinstance(answer.value, Packed)
    assert answer.value.open() == {"zoom": 3}


def test_an_answer_that_cannot_be_sent_becomes_one_that_says_so(line: Line) -> None:
    line.outbox.put(EventAnswer(1, 2, (number for number in [])))
    answer = line.receive()
    assert answer.value is None
    assert answer.error[0].startswith("what its handler returned (generator) cannot be sent: TypeError")


def test_parameters_that_cannot_be_sent_are_refused_with_the_events_name(line: Line) -> None:
    with pytest.raises(UnsendableDataError, match="a parameter of event 'ZOOM' cannot be sent to another process"):
        line.outbox.put(EventRequest(0, "ZOOM", (1,), {"factor": (number for number in [])}, 0.0))


def test_parameters_travel_packed(line: Line) -> None:
    line.outbox.put(EventRequest(7, "ZOOM", (1,), {"factor": 3}, 1.5))
    request = line.receive()
    assert (request.request, request.name, request.routines, request.wait) == (7, "ZOOM", (1,), 1.5)
    assert request.params.open() == {"factor": 3}


def test_log_records_are_sent_too(line: Line) -> None:
    handler = ForwardingHandler(line.outbox.wake)
    line.outbox.logs = handler
    logger = logging.Logger("flow")
    logger.addHandler(handler)
    logger.warning("hello %s", "there")
    logs = line.receive()
    assert isinstance(logs, LogRecords)
    assert [record.getMessage() for record in logs.records] == ["hello there"]


def test_when_the_other_side_is_gone_nothing_happens() -> None:
    line = Line()
    line.there.close()
    line.outbox.put("into the void")
    line.outbox.close(30.0)
    line.outbox.put("after the end")
    line.here.close()
