"""The monitor turns words into a snapshot in which nothing is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2 import PipeState, PipeStatus
from pipert2.graph.routine import Routine, RoutineKind
from pipert2.graph.spec import EdgeSpec, PipeSpec, RoutineSpec
from pipert2.graph.transmitter import SharedMemoryTransmitter
from pipert2.observe.monitor import Monitor
from pipert2.runtime.routine.histogram import bucket_of
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.runtime.supervision.live_parameters import LiveParameters
from pipert2.transport import board as b
from pipert2.transport.board import Board, RoutineState
from pipert2.transport.memory import PrivateArena


class Shop:
    """A source and a destination, their words, and a monitor of them."""

    def __init__(self, *, lossless: bool = False, capacity: int = 1) -> None:
        edge = EdgeSpec(
            index=0,
            source=0,
            destination=1,
            lossless=lossless,
            capacity=capacity,
            transmitter=SharedMemoryTransmitter(7),
            crosses=True,
        )
        self.spec = PipeSpec(
            "shop",
            {"f": (0, 1)},
            (
                RoutineSpec(0, "camera", "f", RoutineKind.SOURCE, ()),
                RoutineSpec(1, "show", "f", RoutineKind.DESTINATION, ()),
            ),
            (edge,),
            1.0,
        )
        self.board = Board(PrivateArena().create("board", Board.size(2, 1)), 2)
        self.flow = FlowRecord("f", (0, 1))
        supervisor: Any = SimpleNamespace(
            spec=self.spec,
            board=self.board,
            flows={"f": self.flow},
            memory=SimpleNamespace(size=4096),
            waits_for=lambda flow: (),
            replicas=SimpleNamespace(is_present=lambda index: True),
            live_parameters=lambda index: LiveParameters(Routine.__new__(Routine)),
            dead_letters=SimpleNamespace(counts=lambda: {"show": 2, "of an earlier run": 1}, dropped=5),
            configurations=SimpleNamespace(trigger=lambda name: None),
        )
        self.monitor = Monitor(supervisor)

    def set_edge(self, **words: int) -> None:
        for name, value in words.items():
            self.board.words[self.board.edge(0) + getattr(b, name)] = value

    def set_routine(self, index: int, **words: int) -> None:
        for name, value in words.items():
            self.board.words[self.board.routine(index) + getattr(b, name)] = value

    def look(self) -> PipeStatus:
        return self.monitor.snapshot(PipeState.RUNNING, None)


@given(data=st.data(), capacity=st.integers(1, 5), sent=st.integers(0, 100))
def test_every_message_on_a_real_time_wire_is_received_dropped_or_queued(
    data: st.DataObject, capacity: int, sent: int
) -> None:
    taken = data.draw(st.integers(0, sent))
    received = data.draw(st.integers(0, taken))
    shop = Shop(capacity=capacity)
    shop.set_edge(W=sent, R=taken, RECEIVED=received, DROPPED=taken - received)
    wire = shop.look().wires[0]
    assert wire.sent == wire.received + wire.dropped + wire.queued
    assert 0 <= wire.queued <= capacity


def test_what_passed_an_unread_message_counts_as_dropped_at_once() -> None:
    shop = Shop(capacity=2)
    shop.set_edge(W=10)
    wire = shop.look().wires[0]
    assert (wire.queued, wire.dropped) == (2, 8)


def test_on_a_lossless_wire_all_that_was_not_taken_is_queued() -> None:
    shop = Shop(lossless=True, capacity=20)
    shop.set_edge(W=10, R=3, RECEIVED=3)
    wire = shop.look().wires[0]
    assert (wire.queued, wire.dropped) == (7, 0)


def test_a_message_that_is_taken_before_it_is_counted_is_no_debt() -> None:
    shop = Shop()
    shop.set_edge(W=9, R=10, RECEIVED=10)
    assert shop.look().wires[0].queued >= 0


@pytest.mark.parametrize("counted", [{}, {"DROPPED": 24}])
def test_who_looks_while_a_message_is_taken_sees_it_received_and_those_that_it_passed_dropped(
    counted: dict[str, int],
) -> None:
    shop = Shop()
    shop.set_edge(**{"W": 30, "R": 30, "RECEIVED": 5, "DROPPED": 3, **counted})
    wire = shop.look().wires[0]
    assert (wire.sent, wire.received, wire.dropped, wire.queued) == (30, 6, 24, 0)


def test_messages_given_up_or_lost_count_as_dropped() -> None:
    shop = Shop(lossless=True, capacity=9)
    shop.set_edge(DISCARDED=2, LOST=3)
    assert shop.look().wires[0].dropped == 5


def test_a_wire_shows_its_rule() -> None:
    wire = Shop(lossless=True, capacity=9).look().wires[0]
    assert (wire.source, wire.destination, wire.lossless, wire.capacity) == ("camera", "show", True, 9)
    assert wire.transmitter == "SharedMemoryTransmitter(data_size_threshold=7)"


def test_a_wire_shows_that_its_source_waits() -> None:
    shop = Shop(lossless=True)
    assert not shop.look().wires[0].blocked
    shop.set_edge(BLOCKED_SINCE=1, BLOCKED_NS=2_000_000_000)
    wire = shop.look().wires[0]
    assert wire.blocked
    assert wire.blocked_seconds > 2.0


def test_a_wire_shows_that_it_was_taken_away() -> None:
    shop = Shop()
    shop.set_edge(CLOSED=1)
    assert shop.look().wires[0].unlinked


@pytest.mark.parametrize("state", RoutineState)
def test_a_routine_shows_its_state(state: RoutineState) -> None:
    shop = Shop()
    shop.set_routine(0, STATE=state)
    assert shop.look().routine("camera").state == state.name.lower()


def test_a_routine_shows_its_counters() -> None:
    shop = Shop()
    shop.set_routine(1, SENT=4, ERRORS=3, SKIPPED=2, INTERRUPTED=1, FINISHED=1)
    shop.set_edge(W=6, R=6, RECEIVED=5, DROPPED=1)
    status = shop.look().routine("show")
    assert (status.received, status.sent, status.errors, status.skipped, status.interrupted) == (5, 4, 3, 2, 1)
    assert status.finished
    assert status.kind == "destination"


def test_a_routine_shows_what_its_last_error_said() -> None:
    shop = Shop()
    assert shop.look().routine("show").last_error is None
    shop.board.write_error(1, "main_logic: ValueError: no")
    assert shop.look().routine("show").last_error == "main_logic: ValueError: no"


def test_a_routine_shows_how_long_it_is_busy() -> None:
    shop = Shop()
    assert shop.look().routine("show").busy_for == 0.0
    shop.set_routine(1, BUSY_SINCE=1)
    assert shop.look().routine("show").busy_for > 0.0


def test_latencies_are_told_in_seconds() -> None:
    shop = Shop()
    assert shop.look().routine("show").logic_time.p50 is None
    row = shop.board.routine(1) + b.LOGIC + 2
    shop.board.words[row + bucket_of(2_000_000)] = 98
    shop.board.words[row + bucket_of(50_000_000)] = 2
    latency = shop.look().routine("show").logic_time
    assert latency.p50 == pytest.approx(0.002, rel=0.07)
    assert latency.p99 == pytest.approx(0.050, rel=0.07)


def test_rates_are_those_since_a_few_seconds_ago() -> None:
    shop = Shop()
    shop.set_edge(W=100, R=100, RECEIVED=100)
    shop.set_routine(0, SENT=100)
    status = shop.look()
    assert status.routine("camera").rate > 0.0
    assert status.routine("show").rate > 0.0
    assert status.wires[0].rate > 0.0


def test_a_flow_shows_what_became_of_it() -> None:
    shop = Shop()
    assert shop.look().flow("f").state == "starting"
    shop.flow.ready = True
    assert shop.look().flow("f").state == "running"
    shop.flow.ready = False
    shop.flow.deaths.append(1.0)
    shop.flow.restarts = 1
    shop.flow.last_exit = "killed by signal SIGKILL"
    flow = shop.look().flow("f")
    assert (flow.state, flow.restarts, flow.last_exit) == ("restarting", 1, "killed by signal SIGKILL")
    shop.flow.ended = True
    assert shop.look().flow("f").state == "ended"
    shop.flow.given_up = True
    assert shop.look().flow("f").state == "failed"


def test_a_flow_without_a_process_uses_nothing() -> None:
    flow = Shop().look().flow("f")
    assert (flow.pid, flow.cpu_percent, flow.rss_bytes) == (None, 0.0, 0)


def test_a_snapshot_says_how_much_shared_memory_is_taken() -> None:
    assert Shop().look().shared_memory_bytes == 4096


def test_dead_letters_are_counted_by_routine_and_in_all() -> None:
    status = Shop().look()
    assert {one.name: one.dead_letters for one in status.routines} == {"camera": 0, "show": 2}
    assert status.dead_letters == 3


def test_a_routine_with_a_crew_shows_how_many_messages_are_in_hand() -> None:
    shop = Shop()
    row = shop.board.routine(1)
    shop.board.words[row + b.STATE] = RoutineState.RUNNING
    assert shop.monitor.snapshot(PipeState.RUNNING, None).routine("show").in_hand == 0
    shop.board.words[row + b.BUSY_SINCE] = 1
    assert shop.monitor.snapshot(PipeState.RUNNING, None).routine("show").in_hand == 1
    shop.board.words[row + b.IN_HAND] = 4
    status = shop.monitor.snapshot(PipeState.RUNNING, None)
    assert status.routine("show").in_hand == 4
    assert status.dead_letters_dropped == 5
