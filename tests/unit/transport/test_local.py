"""Edges within a flow, and the copies that keep one receiver's changes from another."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2.graph.data import Data
from pipert2.transport.local import separate
from pipert2.transport.ring import Interrupted


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Plain:
    items: list[int]
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Frozen:
    items: list[int]


@dataclass(slots=True)
class Slotted:
    items: list[int]


@dataclass(frozen=True, slots=True)
class FrozenSlotted:
    items: list[int]


@dataclass(slots=True)
class SlottedData(Data):
    items: list[int]


@dataclass
class Child(Plain):
    more: list[int] = field(default_factory=list)


class Reading(dict):  # type: ignore[type-arg]
    pass


# ------------------------------------------------------------------------------------------------ separate

HOLDERS: dict[str, tuple[Callable[[list[int]], Any], Callable[[Any], list[int]]]] = {
    "list": (lambda x: [x], lambda d: d[0]),
    "tuple": (lambda x: (x,), lambda d: d[0]),
    "dict": (lambda x: {"a": x}, lambda d: d["a"]),
    "named tuple": (lambda x: Pair(x, 1), lambda d: d.left),
    "dataclass": (Plain, lambda d: d.items),
    "frozen dataclass": (Frozen, lambda d: d.items),
    "slotted dataclass": (Slotted, lambda d: d.items),
    "frozen slotted dataclass": (FrozenSlotted, lambda d: d.items),
    "slotted Data": (SlottedData, lambda d: d.items),
    "child of a dataclass": (lambda x: Child([], more=x), lambda d: d.more),
    "OrderedDict": (lambda x: OrderedDict(a=x), lambda d: d["a"]),
    "defaultdict": (lambda x: defaultdict(list, a=x), lambda d: d["a"]),
    "dict's child": (lambda x: Reading(a=x), lambda d: d["a"]),
    "dict in a list in a dataclass": (lambda x: Plain([], {"deep": [{"x": x}]}), lambda d: d.extra["deep"][0]["x"]),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_change_inside_a_container_is_not_seen_by_others(kind: str) -> None:
    make, inside = HOLDERS[kind]
    mine = make([1, 2])
    inside(separate(mine)).append(3)
    assert inside(mine) == [1, 2]


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_copy_is_of_the_same_type_and_equal(kind: str) -> None:
    mine = HOLDERS[kind][0]([1, 2])
    twin = separate(mine)
    assert type(twin) is type(mine)
    assert twin == mine


def test_a_set_is_copied() -> None:
    mine = {1, 2}
    separate(mine).add(3)
    assert mine == {1, 2}


def test_a_bytearray_is_copied() -> None:
    mine = bytearray(b"abc")
    separate(mine)[0] = 0
    assert mine == b"abc"


def test_an_attribute_that_is_no_field_is_copied_too() -> None:
    mine = Plain([1])
    mine.note = ["mine"]  # type: ignore[attr-defined]
    separate(mine).note.append("yours")
    assert mine.note == ["mine"]  # type: ignore[attr-defined]


def test_a_default_factory_survives() -> None:
    assert separate(defaultdict(list))["new"] == []


def test_arrays_are_shared_and_not_copied() -> None:
    array = np.arange(5)
    assert np.shares_memory(separate({"a": array})["a"], array)


def test_shared_arrays_are_read_only() -> None:
    array = np.arange(5)
    twin = separate([array])[0]
    with pytest.raises(ValueError, match="read-only"):
        twin[0] = 9


def test_the_sources_own_array_stays_writable() -> None:
    array = np.arange(5)
    separate(array)
    array[0] = 9
    assert array[0] == 9


def test_anything_else_is_handed_on_as_it_is() -> None:
    thing = object()
    assert separate([thing])[0] is thing


def test_a_class_is_not_taken_for_a_dataclass_instance() -> None:
    assert separate(Plain) is Plain


nested = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Plain, st.lists(inner, max_size=3))
        | st.builds(FrozenSlotted, st.lists(inner, max_size=3))
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(mine=nested)
def test_any_nesting_is_copied_equal(mine: Any) -> None:
    assert separate(mine) == mine


# ------------------------------------------------------------------------------------------------ the edge


def test_data_is_handed_over_by_reference(make_rig: Any) -> None:
    rig = make_rig("a=b")
    mine = {"a": [1]}
    rig.send("a", mine)
    assert rig.take("a=b") is mine


def test_an_empty_edge_gives_nothing(make_rig: Any) -> None:
    assert make_rig("a=b").take_message("a=b") is None


def test_several_receivers_get_copies_of_their_own(make_rig: Any) -> None:
    rig = make_rig("a=b a=c")
    rig.send("a", {"a": [1]})
    rig.take("a=b")["a"].append(2)
    assert rig.take("a=c") == {"a": [1]}


def test_a_receiver_beside_one_in_another_flow_gets_a_copy_too(make_rig: Any) -> None:
    rig = make_rig("a=b a>c")
    mine = {"a": [1]}
    rig.send("a", mine)
    rig.take("a=b")["a"].append(2)
    assert mine == {"a": [1]}


def test_what_waited_when_the_flow_died_is_counted_as_lost(make_rig: Any) -> None:
    rig = make_rig("a=b", lossless=True, capacity=5)
    for number in range(4):
        rig.send("a", number)
    rig.take("a=b")
    rig.die("b")
    rig.die("a")
    rig.restart("b")
    assert rig.counters("a=b").lost == 3
    assert rig.counters("a=b").queued == 0


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(st.sampled_from(["send", "take"]), max_size=60),
    capacity=st.integers(1, 4),
    kind=st.sampled_from("=>"),
)
def test_on_a_real_time_edge_the_newest_win_and_all_others_are_counted(
    make_rig: Any, steps: list[str], capacity: int, kind: str
) -> None:
    # Given an edge and, as a model of it, the last few numbers
    edge = f"a{kind}b"
    rig = make_rig(edge, capacity=capacity)
    waiting: deque[int] = deque(maxlen=capacity)
    sent = received = 0
    # When messages are sent and taken in any order
    for step in steps:
        if step == "send":
            sent += 1
            rig.send("a", sent)
            waiting.append(sent)
        else:
            expected = waiting.popleft() if waiting else None
            received += expected is not None
            # Then the oldest of the newest is what arrives
            assert rig.take(edge) == expected
    received += len(rig.take_all(edge))
    counters = rig.counters(edge)
    assert (counters.sent, counters.received) == (sent, received)
    assert counters.sent == counters.received + counters.dropped + counters.queued


@pytest.mark.parametrize("kind", "=>")
@pytest.mark.parametrize("capacity", [1, 2, 7])
def test_a_lossless_edge_takes_as_many_messages_as_its_capacity(make_rig: Any, kind: str, capacity: int) -> None:
    rig = make_rig(f"a{kind}b", lossless=True, capacity=capacity)
    for number in range(capacity):
        rig.send("a", number)
    with pytest.raises(AssertionError, match="would wait for ever for room"):
        rig.send("a", capacity)


@pytest.mark.parametrize("kind", "=>")
def test_a_full_lossless_edge_makes_the_source_wait_until_something_is_taken(make_rig: Any, kind: str) -> None:
    rig = make_rig(f"a{kind}b", lossless=True, capacity=3)
    arrived: list[int] = []
    rig.waiters["a"].on_sleep = lambda: arrived.append(rig.take(f"a{kind}b"))
    for number in range(50):
        rig.send("a", number)
    arrived += rig.take_all(f"a{kind}b")
    assert arrived == list(range(50))


@pytest.mark.parametrize("kind", "=>")
def test_a_waiting_source_is_rung_once_there_is_room(make_rig: Any, kind: str) -> None:
    rig = make_rig(f"a{kind}b", lossless=True, capacity=4)
    rungs: list[bool] = []

    def take_until_rung() -> None:
        while not rig.rung("a"):
            assert rig.take(f"a{kind}b") is not None
        rungs.append(True)

    for number in range(4):
        rig.send("a", number)
    rig.rung("a")
    rig.waiters["a"].on_sleep = take_until_rung
    rig.send("a", 4)
    assert rungs == [True]


@pytest.mark.parametrize("kind", "=>")
def test_the_time_a_source_waits_is_shown_while_it_waits(make_rig: Any, kind: str) -> None:
    edge = f"a{kind}b"
    rig = make_rig(edge, lossless=True)
    seen: list[bool] = []
    rig.waiters["a"].on_sleep = lambda: seen.append(rig.counters(edge).blocked) or rig.take(edge)
    rig.send("a", 1)
    rig.send("a", 2)
    assert seen == [True]
    assert not rig.counters(edge).blocked


@pytest.mark.parametrize("kind", "=>")
def test_a_source_that_is_told_to_stop_while_it_waits_keeps_its_message(make_rig: Any, kind: str) -> None:
    # Given a source that waits for room
    edge = f"a{kind}b"
    rig = make_rig(edge, lossless=True)
    rig.send("a", "first")
    # When it is told to stop
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", "second")
    # Then nothing was published, and nothing lost: after the next start the message goes out
    assert rig.counters(edge).sent == 1
    assert rig.outlets["a"].has_unsent
    rig.waiters["a"].stopped = False
    assert rig.take(edge) == "first"
    rig.outlets["a"].resume()
    assert rig.take(edge) == "second"
    assert not rig.outlets["a"].has_unsent


@pytest.mark.parametrize("kind", "=>")
def test_a_message_given_up_is_counted(make_rig: Any, kind: str) -> None:
    edge = f"a{kind}b"
    rig = make_rig(edge, lossless=True)
    rig.send("a", 1)
    rig.waiters["a"].stopped = True
    with pytest.raises(Interrupted):
        rig.send("a", 2)
    rig.outlets["a"].abandon()
    assert rig.counters(edge).discarded == 1
    assert not rig.outlets["a"].has_unsent


@pytest.mark.parametrize("kind", "=>")
def test_an_ended_edge_ends_once_everything_was_taken(make_rig: Any, kind: str) -> None:
    edge = f"a{kind}b"
    rig = make_rig(edge, lossless=True, capacity=3)
    rig.send("a", 1)
    rig.outlets["a"].end()
    receiver = rig.receivers[edge]
    assert not receiver.ended()
    rig.take(edge)
    assert receiver.ended()


@pytest.mark.parametrize("kind", "=>")
def test_an_edge_without_any_message_can_end(make_rig: Any, kind: str) -> None:
    rig = make_rig(f"a{kind}b")
    assert not rig.receivers[f"a{kind}b"].ended()
    rig.outlets["a"].end()
    assert rig.receivers[f"a{kind}b"].ended()


@pytest.mark.parametrize("kind", "=>")
def test_the_end_wakes_the_receiver(make_rig: Any, kind: str) -> None:
    rig = make_rig(f"a{kind}b")
    rig.falls_asleep("b")
    rig.outlets["a"].end()
    assert rig.rung("b")


@pytest.mark.parametrize("kind", "=>")
def test_a_source_that_starts_again_takes_its_end_back(make_rig: Any, kind: str) -> None:
    edge = f"a{kind}b"
    rig = make_rig(edge)
    rig.outlets["a"].end()
    rig.outlets["a"].reopen()
    assert not rig.receivers[edge].ended()
    rig.send("a", 1)
    assert rig.take(edge) == 1


@pytest.mark.parametrize("kind", "=>")
def test_a_sleeping_receiver_is_rung_by_a_message_and_an_awake_one_is_not(make_rig: Any, kind: str) -> None:
    rig = make_rig(f"a{kind}b", capacity=5)
    rig.send("a", 1)
    assert not rig.rung("b")
    rig.falls_asleep("b")
    rig.send("a", 2)
    assert rig.rung("b")


@pytest.mark.parametrize("kind", "=>")
def test_what_waits_on_an_unlinked_edge_still_arrives_and_then_it_ends(make_rig: Any, kind: str) -> None:
    edge = f"a{kind}b"
    rig = make_rig(f"{edge} a=c", lossless=True, capacity=5)
    rig.send("a", "before")
    assert rig.outlets["a"].unlink(rig.edges[edge].destination)
    rig.send("a", "after")
    assert rig.take_all(edge) == ["before"]
    assert rig.receivers[edge].ended()
    assert rig.take_all("a=c") == ["before", "after"]


def test_unlinking_what_is_not_linked_says_so(make_rig: Any) -> None:
    rig = make_rig("a>b b>c")
    assert not rig.outlets["a"].unlink(rig.names.index("c"))


@pytest.mark.parametrize("kind", "=>")
def test_a_message_keeps_its_origin_birth_and_attempt(make_rig: Any, kind: str) -> None:
    rig = make_rig(f"a{kind}b")
    rig.outlets["a"].send("data", 77, 123, 2)
    message = rig.take_message(f"a{kind}b")
    assert (message.data, message.origin, message.born, message.attempt) == ("data", 77, 123, 2)
    assert message.sent > 0
