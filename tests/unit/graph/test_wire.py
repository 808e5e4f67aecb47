"""What a wire and a queue network take, and what they answer to a mistake."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pipert2 import (
    BasicTransmitter,
    DataTransmitter,
    QueueNetwork,
    SharedMemoryTransmitter,
    Wire,
    destination,
    middle,
    source,
)
from pipert2.testing import CollectingDestination

start = source(lambda: 1, name="start")
one = destination(lambda data: None, name="one")
two = destination(lambda data: None, name="two")


def test_a_wire_may_have_one_destination_given_as_it_is() -> None:
    assert Wire(start, one).destinations == (one,)


def test_a_wire_may_have_several_destinations() -> None:
    assert Wire(start, [one, two]).destinations == (one, two)
    assert Wire(source=start, destinations=(one, two)).destinations == (one, two)


def test_a_wire_says_nothing_where_nothing_was_said() -> None:
    wire = Wire(start, one)
    assert (wire.lossless, wire.capacity, wire.data_transmitter) == (None, None, None)


def test_a_wire_keeps_its_rule() -> None:
    transmitter = SharedMemoryTransmitter()
    wire = Wire(start, one, transmitter, lossless=True, capacity=5)
    assert (wire.lossless, wire.capacity, wire.data_transmitter) == (True, 5, transmitter)


def test_a_wire_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Wire(start, one).capacity = 5  # type: ignore[misc]


@pytest.mark.parametrize("thing", ["one", 5, None, print])
def test_a_destination_that_is_no_routine_is_named(thing: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Wire(start, (one, thing))
    assert str(caught.value) == f"Wire(destinations=...): {thing!r} is not a routine"


@pytest.mark.parametrize("thing", [5, None])
def test_destinations_that_are_no_list_are_named(thing: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Wire(start, thing)
    assert str(caught.value) == f"Wire(destinations=...): {thing!r} is not a routine"


@pytest.mark.parametrize("ends", [(CollectingDestination,), CollectingDestination])
def test_a_class_in_place_of_a_destination_gets_the_hint(ends: Any) -> None:
    with pytest.raises(
        TypeError, match=r"Wire\(destinations=...\): .* is not a routine, create an instance of the class"
    ):
        Wire(start, ends)


def test_a_class_in_place_of_a_source_gets_the_hint() -> None:
    with pytest.raises(TypeError, match=r"Wire\(source=...\): .* is not a routine, create an instance of the class"):
        Wire(CollectingDestination, one)  # type: ignore[arg-type]


def test_a_wire_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        Wire(start, ())
    assert str(caught.value) == "Wire(source='start'): destinations is empty, name at least one routine"


def test_a_transmitters_class_gets_the_hint() -> None:
    with pytest.raises(TypeError, match=r"is not a data transmitter, create an instance of the class"):
        Wire(start, one, BasicTransmitter)  # type: ignore[arg-type]


def test_what_is_no_transmitter_is_named() -> None:
    with pytest.raises(TypeError) as caught:
        Wire(start, one, "shared")  # type: ignore[arg-type]
    assert str(caught.value) == "Wire(data_transmitter=...): 'shared' is not a data transmitter"


@pytest.mark.parametrize("capacity", [0, -1, 1.5, "5", True])
def test_a_capacity_is_a_positive_whole_number(capacity: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Wire(start, one, capacity=capacity)
    assert str(caught.value) == f"Wire(capacity=...) is a number of messages, 1 or more, not {capacity!r}"


@pytest.mark.parametrize("size", [0, -1, 1.5, "5", False, None])
def test_a_networks_queue_size_is_a_positive_whole_number(size: Any) -> None:
    with pytest.raises(ValueError) as caught:
        QueueNetwork(max_queue_sizes=size)
    assert str(caught.value) == f"QueueNetwork(max_queue_sizes=...) is a number of messages, 1 or more, not {size!r}"


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_networks_timeout_is_a_positive_time(timeout: float) -> None:
    with pytest.raises(ValueError) as caught:
        QueueNetwork(timeout=timeout)
    assert str(caught.value) == f"QueueNetwork(timeout=...) is a time in seconds above 0, not {timeout!r}"


@pytest.mark.parametrize("threshold", [-1, 1.5, "5", True, None])
def test_a_threshold_is_a_number_of_bytes(threshold: Any) -> None:
    with pytest.raises(ValueError) as caught:
        SharedMemoryTransmitter(threshold)
    assert str(caught.value) == f"data_size_threshold is a number of bytes, 0 or more, not {threshold!r}"


def test_transmitters_show_themselves() -> None:
    assert repr(SharedMemoryTransmitter(7)) == "SharedMemoryTransmitter(data_size_threshold=7)"
    assert repr(BasicTransmitter()) == "BasicTransmitter()"


def test_a_plain_transmitter_leaves_data_as_it_is() -> None:
    plain = DataTransmitter()
    assert (plain.transmit(), plain.receive(), plain.view_threshold) == (None, None, None)


def test_a_middle_can_be_both_ends() -> None:
    through = middle(lambda data: data, name="through")
    assert Wire(start, through).destinations == (through,)
    assert Wire(through, one).source is through
