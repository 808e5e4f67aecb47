"""What one routine sends another gets, whatever it is, wherever flows run, and by whatever rule it travels."""

from __future__ import annotations

from typing import Any

import pytest

GROUPS = ("sizes", "bytes", "many arrays", "layouts", "kinds", "containers", "classes")
READERS = ("beside", "scribbling", "holding")


def test_every_stream_ends_and_nothing_fails(journey: Any) -> None:
    assert (journey.summary.ok, journey.summary.reason, journey.summary.errors) == (True, "finished", 0)


def test_nothing_is_lost_where_the_sender_waits_for_its_readers(journey: Any) -> None:
    counts = {(wire.received, wire.dropped, wire.queued) for wire in journey.summary.wires}
    assert counts == {(journey.summary.wires[0].sent, 0, 0)}


@pytest.mark.parametrize("group", GROUPS)
def test_everything_arrives_equal_and_in_order(journey: Any, group: str) -> None:
    differences = {
        (reader, found.name): found.difference
        for reader in READERS
        for found in journey.of(reader, group)
        if found.difference
    }
    assert differences == {}
    assert all(journey.of(reader, group) for reader in READERS)


def test_what_is_held_does_not_change(journey: Any) -> None:
    changed = {
        (reader, found.group, found.name): found.while_held
        for reader in ("beside", "holding")
        for found in journey.found[reader]
        if found.while_held
    }
    assert changed == {}


def test_arrays_from_another_flow_are_private_or_read_only_as_the_transmitter_says(journey: Any) -> None:
    private = journey.transmitter.view_threshold is None
    wrong = {
        (reader, found.group, found.name)
        for reader in ("scribbling", "holding")
        for found in journey.found[reader]
        if any(writable != private for writable in found.writable)
    }
    assert wrong == set()


def test_arrays_that_several_routines_of_a_flow_see_are_read_only(journey: Any) -> None:
    as_they_are = ("local", "of a module that is nowhere")  # objects that are no containers
    writable = {found.name for found in journey.found["beside"] if any(found.writable)}
    assert writable <= set(as_they_are)
