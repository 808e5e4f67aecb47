"""Slots are written once, shared by all readers, and never reused while anyone looks at them."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipert2.transport.lease import MOST_BYTES, MOST_VIEWS
from tests.arrays import address_of

RULES = [pytest.param(False, id="real-time"), pytest.param(True, id="lossless")]


def frame(number: int, size: int = 8192) -> np.ndarray:
    return np.full(size, number % 256, np.uint8)


def others_pass(rig: Any, *edges: str) -> None:
    """Far more frames than there are slots go by these edges (else by the first), and nobody keeps them."""
    for number in range(2, 50):
        rig.send("a", frame(number))
        for edge in edges or ("a>b",):
            rig.take(edge)


# ------------------------------------------------------------------------------------------------ one edge


@pytest.mark.parametrize("lossless", RULES)
def test_a_view_stays_as_it_is_for_as_long_as_it_is_held(make_rig: Any, lossless: bool) -> None:
    rig = make_rig("a>b", lossless=lossless)
    rig.send("a", frame(1))
    held = rig.take("a>b")
    others_pass(rig)
    assert (held == 1).all()


def test_a_view_of_a_view_holds_the_slot_too(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", frame(1).reshape(64, 128))
    corner = rig.take("a>b")[10:20, 5:7].T[::-1]
    others_pass(rig)
    assert (corner == 1).all()


def test_a_view_as_another_type_holds_the_slot_too(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", frame(1))
    words = rig.take("a>b").view(np.uint64)
    buffer = memoryview(words)
    del words
    others_pass(rig)
    assert set(buffer.tobytes()) == {1}


def test_one_array_of_several_holds_the_slot_they_share(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", {"left": frame(1), "right": frame(2)})
    right = rig.take("a>b")["right"]
    for number in range(3, 50):
        rig.send("a", {"left": frame(number), "right": frame(number)})
        rig.take("a>b")
    assert (right == 2).all()


@pytest.mark.parametrize("lossless", RULES)
def test_a_slot_is_given_back_with_its_last_view(make_rig: Any, lossless: bool) -> None:
    rig = make_rig("a>b", lossless=lossless)
    rig.send("a", frame(1))
    held = [rig.take("a>b")]
    held.append(held[0][5:])
    assert rig.taken_slots("a>b") == 1
    held.pop()
    assert rig.taken_slots("a>b") == 1
    held.pop()
    assert rig.taken_slots("a>b") == 0


def test_a_slot_is_given_back_by_the_garbage_collector_too(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", frame(1))
    knot: list[Any] = [rig.take("a>b")]
    knot.append(knot)
    del knot
    gc.collect()
    assert rig.taken_slots("a>b") == 0


def test_a_slot_is_given_back_when_another_thread_drops_the_view(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", frame(1))
    held = [rig.take("a>b")]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert rig.taken_slots("a>b") == 0


def test_an_unread_message_keeps_its_slot_on_a_lossless_edge(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=30)
    for number in range(30):
        rig.send("a", frame(number))
    assert [item[0] for item in rig.take_all("a>b")] == list(range(30))


def test_the_slots_of_messages_that_passed_are_used_again(make_rig: Any) -> None:
    rig = make_rig("a>b", capacity=2)
    for number in range(200):
        rig.send("a", frame(number))
    assert rig.slots <= 16


def test_private_copies_leave_no_slot_taken(make_rig: Any, basic: Any) -> None:
    rig = make_rig("a>b", transmitter=basic)
    rig.send("a", frame(1))
    arrived = rig.take("a>b")
    arrived[0] = 77
    assert rig.taken_slots("a>b") == 0


def test_the_first_array_is_a_view_however_large(make_rig: Any) -> None:
    assert MOST_BYTES > 0
    rig = make_rig("a>b")
    rig.send("a", frame(1, 5_000_000))
    assert rig.place_of(rig.take("a>b")) is not None


def test_who_holds_too_many_views_gets_copies_and_they_are_counted(make_rig: Any) -> None:
    # Given a receiver that keeps everything
    rig = make_rig("a>b", lossless=True, capacity=4)
    kept = []
    for number in range(MOST_VIEWS + 5):
        rig.send("a", frame(number))
        kept.append(rig.take("a>b"))
    # Then only so many of them are views, the others copies, and all are right
    views = [rig.place_of(item) is not None for item in kept]
    assert views == [True] * MOST_VIEWS + [False] * 5
    assert rig.counters("a>b").copied == 5
    assert [int(item[0]) for item in kept] == list(range(MOST_VIEWS + 5))


def test_the_copies_of_a_hoarder_are_read_only_like_its_views(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=4)
    kept = []
    for number in range(MOST_VIEWS + 1):
        rig.send("a", frame(number))
        kept.append(rig.take("a>b"))
    assert not kept[-1].flags.writeable


def test_who_lets_go_gets_views_again(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=4)
    kept = []
    for number in range(MOST_VIEWS + 1):
        rig.send("a", frame(number))
        kept.append(rig.take("a>b"))
    kept.clear()
    rig.send("a", frame(99))
    assert rig.place_of(rig.take("a>b")) is not None


# ------------------------------------------------------------------------------------------------ several readers


def test_data_for_several_readers_is_written_once(make_rig: Any) -> None:
    rig = make_rig("a>b a>c a>d")
    rig.send("a", frame(1))
    assert len({address_of(rig.take(f"a>{name}")) for name in "bcd"}) == 1


@pytest.mark.parametrize("holder", ["a>b", "a>c"])
def test_a_slot_is_not_reused_while_one_of_several_readers_holds_it(make_rig: Any, holder: str) -> None:
    rig = make_rig("a>b a>c", lossless={"a>c": True}, capacity={"a>c": 2})
    rig.send("a", frame(1))
    held = [view for edge in ("a>b", "a>c") for view in [rig.take(edge)] if edge == holder]
    others_pass(rig, "a>b", "a>c")
    assert (held[0] == 1).all()


# ------------------------------------------------------------------------------------------------ passing on


def test_what_is_passed_on_is_not_copied(make_rig: Any) -> None:
    rig = make_rig("a>b b>c c>d")
    rig.send("a", frame(1))
    first = rig.take("a>b")
    rig.send("b", first)
    second = rig.take("b>c")
    rig.send("c", {"frame": second, "boxes": [1, 2]})
    third = rig.take("c>d")["frame"]
    assert address_of(first) == address_of(second) == address_of(third)
    assert {owner for owner, _, _ in rig.grown} == {"a"}


def test_a_part_that_is_passed_on_is_not_copied(make_rig: Any) -> None:
    rig = make_rig("a>b b>c")
    rig.send("a", frame(1).reshape(64, 128))
    view = rig.take("a>b")
    rig.send("b", view[16:48])
    assert address_of(rig.take("b>c")) == address_of(view) + 16 * 128


def test_a_part_with_gaps_that_is_passed_on_is_right(make_rig: Any) -> None:
    rig = make_rig("a>b b>c")
    rig.send("a", np.arange(10_000, dtype=np.int32).reshape(100, 100))
    rig.send("b", rig.take("a>b")[::3, ::7])
    assert rig.take("b>c").tolist() == np.arange(10_000).reshape(100, 100)[::3, ::7].tolist()


def test_a_slot_is_not_reused_while_someone_further_down_holds_it(make_rig: Any) -> None:
    rig = make_rig("a>b b>c")
    rig.send("a", frame(1))
    rig.send("b", rig.take("a>b"))
    held = rig.take("b>c")
    others_pass(rig)
    assert (held == 1).all()


def test_a_slot_sent_twice_is_not_reused_while_the_first_of_the_two_is_held(make_rig: Any) -> None:
    # Given a middle that sends the same frame in two messages, of which its reader takes and holds the first
    rig = make_rig("a>b b>c")
    rig.send("a", frame(1))
    kept = rig.take("a>b")
    rig.send("b", kept)
    held = rig.take("b>c")
    rig.send("b", kept)
    # When the second one is passed by others and the middle lets go
    rig.send("b", "later")
    rig.send("b", "later still")
    del kept
    others_pass(rig)
    # Then what the reader holds is still the first frame
    assert (held == 1).all()


def test_a_slot_sent_twice_becomes_free_when_nobody_holds_it(make_rig: Any) -> None:
    rig = make_rig("a>b b>c")
    for number in range(100):
        rig.send("a", frame(number))
        kept = rig.take("a>b")
        rig.send("b", kept)
        held = rig.take("b>c")
        rig.send("b", kept)
        rig.send("b", "later")
        rig.send("b", "later still")
        del kept, held
    assert rig.slots <= 16


def test_frames_of_several_sources_passed_on_together_are_not_copied(make_rig: Any) -> None:
    rig = make_rig("a>m b>m m>z")
    rig.send("a", frame(1))
    rig.send("b", frame(2))
    pair = {"left": rig.take("a>m"), "right": rig.take("b>m")}
    rig.send("m", pair)
    arrived = rig.take("m>z")
    assert address_of(arrived["left"]) == address_of(pair["left"])
    assert address_of(arrived["right"]) == address_of(pair["right"])


def test_a_frame_passed_on_with_a_new_one_keeps_its_place(make_rig: Any) -> None:
    rig = make_rig("a>b b>c")
    rig.send("a", frame(1))
    view = rig.take("a>b")
    rig.send("b", [view, frame(2, 20_000)])
    arrived = rig.take("b>c")
    assert address_of(arrived[0]) == address_of(view)
    assert (arrived[1] == 2).all()


def test_private_copies_that_are_passed_on_are_copied_again(make_rig: Any, basic: Any) -> None:
    rig = make_rig("a>b b>c", transmitter={"a>b": basic})
    rig.send("a", frame(1))
    mine = rig.take("a>b")
    rig.send("b", mine)
    mine[:] = 9
    assert (rig.take("b>c") == 1).all()


def test_a_frame_that_came_over_an_edge_in_the_flow_is_passed_on_too(make_rig: Any) -> None:
    # Given a frame of a's that b gets, hands to c beside it in its flow, and c sends on
    rig = make_rig("a>b b=c c>d")
    rig.segments["c"] = rig.segments["b"]
    rig.connect_sender("c")
    rig.send("a", frame(1))
    view = rig.take("a>b")
    rig.send("b", view)
    rig.send("c", rig.take("b=c"))
    assert address_of(rig.take("c>d")) == address_of(view)


def test_a_frame_that_came_round_the_wires_is_copied(make_rig: Any) -> None:
    # Given b and c in one process, and c sending a frame that b got: no wire leads from its source to c
    rig = make_rig("a>b x>c c>d")
    rig.segments["c"] = rig.segments["b"]
    rig.connect_sender("c")
    rig.send("a", frame(1))
    rig.send("c", rig.take("a>b"))
    held = rig.take("c>d")
    # When the source, which cannot know of that, goes on
    others_pass(rig)
    # Then what d holds is what was sent
    assert (held == 1).all()


# ------------------------------------------------------------------------------------------------ loans


def loan(rig: Any, name: str, shape: tuple[int, ...], dtype: str = "u1") -> np.ndarray:
    array: np.ndarray = rig.outlets[name].loan(shape, np.dtype(dtype))
    return array


def test_a_loaned_array_is_sent_where_it_is(make_rig: Any) -> None:
    rig = make_rig("a>b")
    mine = loan(rig, "a", (64, 128))
    mine[:] = 5
    rig.send("a", mine)
    arrived = rig.take("a>b")
    assert address_of(arrived) == address_of(mine)
    assert (arrived == 5).all()


def test_a_part_of_a_loaned_array_is_sent_where_it_is(make_rig: Any) -> None:
    rig = make_rig("a>b")
    mine = loan(rig, "a", (64, 128))
    mine[:] = 5
    rig.send("a", mine[10:50])
    assert address_of(rig.take("a>b")) == address_of(mine) + 10 * 128


def test_a_loaned_array_in_a_dict_is_sent_where_it_is(make_rig: Any) -> None:
    rig = make_rig("a>b")
    mine = loan(rig, "a", (100, 100), "f4")
    mine[:] = 0.5
    rig.send("a", {"frame": mine, "name": "n" * 600, "mask": frame(3, 2000)})
    arrived = rig.take("a>b")
    assert address_of(arrived["frame"]) == address_of(mine)
    assert (arrived["mask"] == 3).all()
    assert arrived["name"] == "n" * 600


def test_a_loaned_slot_is_not_given_out_while_its_array_is_alive(make_rig: Any) -> None:
    rig = make_rig("a>b")
    mine = loan(rig, "a", (8192,))
    mine[:] = 1
    for number in range(2, 40):
        rig.send("a", frame(number))
        rig.take("a>b")
    assert (mine == 1).all()


def test_a_loan_that_is_not_sent_is_given_out_again(make_rig: Any) -> None:
    rig = make_rig("a>b")
    places = {address_of(loan(rig, "a", (8192,))) for _ in range(50)}
    assert len(places) == 1


def test_two_loans_are_two_places(make_rig: Any) -> None:
    rig = make_rig("a>b")
    one, other = loan(rig, "a", (8192,)), loan(rig, "a", (8192,))
    assert not np.shares_memory(one, other)


def test_several_loaned_arrays_in_one_message_arrive_right(make_rig: Any) -> None:
    rig = make_rig("a>b")
    mine = [loan(rig, "a", (3000,)) for _ in range(4)]
    for number, array in enumerate(mine):
        array[:] = number
    rig.send("a", mine)
    assert [(int(item.min()), int(item.max())) for item in rig.take("a>b")] == [(n, n) for n in range(4)]


def test_a_loaned_array_sent_twice_arrives_twice(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=4)
    mine = loan(rig, "a", (8192,))
    mine[:] = 5
    rig.send("a", mine)
    rig.send("a", {"again": mine, "with": frame(6)})
    del mine
    first, second = rig.take_all("a>b")
    for number in range(30):
        rig.send("a", frame(number))
        rig.take("a>b")
    assert (first == 5).all()
    assert (second["again"] == 5).all()
    assert (second["with"] == 6).all()


@pytest.mark.parametrize(
    ("shape", "dtype"), [((), "f8"), ((0,), "f8"), ((0, 3), "i4"), ((7, 5, 3), ">f4"), ((3,), "i2,f4")]
)
def test_a_loan_has_the_shape_and_type_asked_for(make_rig: Any, shape: tuple[int, ...], dtype: str) -> None:
    mine = loan(make_rig("a>b"), "a", shape, dtype)
    assert (mine.shape, mine.dtype) == (shape, np.dtype(dtype))
    assert mine.flags.writeable


def test_a_loan_to_private_receivers_arrives_as_their_own(make_rig: Any, basic: Any) -> None:
    rig = make_rig("a>b a>c", transmitter={"a>b": basic})
    mine = loan(rig, "a", (8192,))
    mine[:] = 5
    rig.send("a", mine)
    rig.take("a>b")[:] = 9
    assert (rig.take("a>c") == 5).all()


# ------------------------------------------------------------------------------------------------ anything goes


class AnyOrder(RuleBasedStateMachine):
    """a > b > c, where b and c hold and drop what they like and b passes on what it likes, as often as it likes."""

    make_rig: Callable[..., Any]
    lossless = False

    @initialize(capacity=st.integers(1, 3))
    def begin(self, capacity: int) -> None:
        self.capacity = capacity
        self.rig = type(self).make_rig("a>b b>c", lossless=self.lossless, capacity=capacity)
        self.number = 0
        self.held: dict[str, list[tuple[int, np.ndarray]]] = {"b": [], "c": []}

    def room(self, edge: str) -> bool:
        return not self.lossless or self.rig.counters(edge).queued < self.capacity

    @precondition(lambda self: self.room("a>b"))
    @rule()
    def a_sends_a_new_frame(self) -> None:
        self.number += 1
        self.rig.send("a", frame(self.number, 4000))

    @precondition(lambda self: self.room("a>b"))
    @rule()
    def a_sends_a_loaned_frame(self) -> None:
        self.number += 1
        mine = loan(self.rig, "a", (4000,))
        mine[:] = self.number % 256
        self.rig.send("a", mine)

    @rule()
    def a_passes_with_small_messages(self) -> None:
        for _ in range(self.capacity):
            if self.room("a>b"):
                self.rig.send("a", None)

    def take(self, edge: str, name: str) -> None:
        data = self.rig.take(edge)
        if data is not None:
            self.held[name].append((int(data[0]), data))

    @rule()
    def b_takes(self) -> None:
        self.take("a>b", "b")

    @rule()
    def c_takes(self) -> None:
        self.take("b>c", "c")

    @precondition(lambda self: self.held["b"] and self.room("b>c"))
    @rule(which=st.integers(0, 100))
    def b_passes_on_what_it_holds(self, which: int) -> None:
        self.rig.send("b", self.held["b"][which % len(self.held["b"])][1])

    @rule()
    def b_sends_small_messages(self) -> None:
        for _ in range(self.capacity):
            if self.room("b>c"):
                self.rig.send("b", None)

    @precondition(lambda self: self.held["b"] or self.held["c"])
    @rule(name=st.sampled_from("bc"), which=st.integers(0, 100))
    def one_is_dropped(self, name: str, which: int) -> None:
        if self.held[name]:
            del self.held[name][which % len(self.held[name])]

    @invariant()
    def what_is_held_is_as_it_was(self) -> None:
        for held in getattr(self, "held", {}).values():
            for number, array in held:
                assert (array == number).all()

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        self.held.clear()
        self.rig.take_all("a>b")
        self.rig.take_all("b>c")
        assert self.rig.taken_slots("a>b") == self.rig.taken_slots("b>c") == 0


@pytest.mark.parametrize("rule", RULES)
def test_whatever_the_order_nobody_sees_a_slot_change(make_rig: Any, rule: bool) -> None:
    machine = type("AnyOrder", (AnyOrder,), {"make_rig": staticmethod(make_rig), "lossless": rule}).TestCase
    machine.settings = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine().runTest()


@pytest.mark.parametrize("lossless", RULES)
def test_with_threads_nobody_sees_a_slot_change(make_rig: Any, lossless: bool) -> None:
    # Given a source and two readers behind each other, each in its own thread
    rig = make_rig("a>b b>c", lossless=lossless, capacity=3)
    for name in "ab":
        rig.waiters[name].on_sleep = lambda bell=rig.waiters[name].bell: bell.wait(0.2)
    count = 1500
    torn: list[str] = []
    seen: dict[str, list[int]] = {"b": [], "c": []}
    failures: list[BaseException] = []

    def read(edge: str, name: str, forward: bool) -> None:
        dice, held = random.Random(name), []
        receiver = rig.receivers[edge]
        bell = rig.bells[rig.names.index(name)]
        while not receiver.ended():
            rig.falls_asleep(name)
            message = receiver.take()
            if message is None:
                bell.wait(0.2)
                continue
            array = message.data
            seen[name].append(message.origin)
            held.append((int(array[0]), array))
            if forward:
                rig.outlets[name].send(array, message.origin, 0)
            while held and dice.random() < 0.6:
                number, old = held.pop(dice.randrange(len(held)))
                if not (old == number).all():
                    torn.append(f"{name} saw {number} change")
        if forward:
            rig.outlets[name].end()

    def guarded(function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except BaseException as error:
            failures.append(error)

    readers = [
        threading.Thread(target=guarded, args=(read, "a>b", "b", True)),
        threading.Thread(target=guarded, args=(read, "b>c", "c", False)),
    ]
    for thread in readers:
        thread.start()
    # When the source sends as fast as it can
    for number in range(count):
        rig.send("a", frame(number, 3000))
    rig.outlets["a"].end()
    for thread in readers:
        thread.join(60)
    # Then every frame stays whole, the order is kept, and every message is accounted for
    assert not failures
    assert not torn
    for name, edge in (("b", "a>b"), ("c", "b>c")):
        assert seen[name] == sorted(set(seen[name]))
        counters = rig.counters(edge)
        assert counters.sent == counters.received + counters.dropped
        if lossless:
            assert counters.received == count
