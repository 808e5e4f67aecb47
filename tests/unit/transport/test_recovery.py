"""A process may be killed between any two of its stores; what its supervisor then does makes everything right again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipert2.transport import board as b
from pipert2.transport.segment import TAKEN

SIZE = 8192
CAPACITY = 3
RULES = [pytest.param(False, id="real-time"), pytest.param(True, id="lossless")]


def frame(number: int, size: int = SIZE) -> np.ndarray:
    return np.full(size, number % 256, np.uint8)


def every_slot_is_free(rig: Any, name: str = "a") -> bool:
    """Whether so many arrays can be loaned at once as there are slots, without any more memory."""
    count = sum(slots for owner, size, slots in rig.grown if owner == name and size == SIZE)
    segments = len(rig.grown)
    loans = [rig.outlets[name].loan((SIZE - 4096,), np.dtype("u1")) for _ in range(count)]
    return len(loans) == count and len(rig.grown) == segments


def accounted_for(rig: Any, edge: str) -> bool:
    counters = rig.counters(edge)
    return bool(counters.sent == counters.received + counters.dropped + counters.lost + counters.queued)


# ------------------------------------------------------------------------------------------------ named half-done steps


@pytest.mark.parametrize("lossless", RULES)
def test_what_a_dead_receiver_held_is_given_back(make_rig: Any, lossless: bool) -> None:
    rig = make_rig("a>b", lossless=lossless, capacity=3)
    for number in range(3):
        rig.send("a", frame(number))
    rig.keep_for_ever(rig.take_all("a>b"))
    rig.die("b")
    assert rig.taken_slots("a>b") == 3
    rig.recover("b")
    assert rig.taken_slots("a>b") == 0
    assert every_slot_is_free(rig)


def test_what_a_dead_receiver_had_not_read_is_read_by_its_successor(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=5)
    for number in range(5):
        rig.send("a", frame(number))
    rig.take("a>b")
    rig.die("b")
    rig.recover("b")
    rig.restart("b")
    assert [int(item[0]) for item in rig.take_all("a>b")] == [1, 2, 3, 4]


def test_a_message_claimed_but_not_taken_counts_as_lost(make_rig: Any) -> None:
    # Given a receiver killed after hold = n + TAKEN and before R = n
    rig = make_rig("a>b", lossless=True, capacity=2)
    rig.send("a", frame(1))
    ((segment, _, hold),) = rig.words_given("a>b", 1)
    rig.die("b")
    segment.words[hold] = 1 | TAKEN
    # When
    rig.recover("b")
    # Then
    assert (rig.counters("a>b").taken, rig.counters("a>b").lost) == (1, 1)
    assert segment.words[hold] == 1


def test_a_message_taken_but_not_counted_counts_as_lost(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=2)
    rig.send("a", "small")
    rig.die("b")
    rig.board.words[rig.board.edge(0) + b.R] = 1
    rig.recover("b")
    assert rig.counters("a>b").lost == 1
    assert accounted_for(rig, "a>b")


def test_the_second_slot_of_a_message_that_was_half_claimed_is_given_back(make_rig: Any) -> None:
    # Given a message with a slot of a's and one of b's, of which its receiver claimed the first only
    rig = make_rig("a>m b>m m>z", lossless=True, capacity=2)
    rig.send("a", frame(1))
    rig.send("b", frame(2))
    rig.send("m", [rig.take("a>m"), rig.take("b>m")])
    (first, _, first_hold), (second, second_given, second_hold) = rig.words_given("m>z", 1)
    rig.die("z")
    first.words[first_hold] = 1 | TAKEN
    # When
    rig.recover("z")
    # Then
    assert second.words[second_hold] == second.words[second_given] == 1


def test_a_slot_given_to_a_message_that_was_not_published_becomes_free(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=2)
    rig.send("a", frame(1))
    rig.take("a>b")
    ((segment, given, hold),) = rig.words_given("a>b", 1)
    rig.die("a")
    segment.words[given] = 2
    rig.recover("a")
    assert segment.words[given] == segment.words[hold] == 1
    rig.restart("a")
    assert every_slot_is_free(rig)


@pytest.mark.parametrize("arrays", [1, 40], ids=["direct", "indirect"])
def test_an_unread_message_keeps_its_slot_when_that_was_given_again_but_not_published(
    make_rig: Any, arrays: int
) -> None:
    # Given an unread message whose slot its sender was about to send once more when it died
    rig = make_rig("a>b", lossless=True, capacity=2)
    sent = [frame(number, SIZE // arrays // 2) for number in range(arrays)]
    rig.send("a", sent)
    ((segment, given, _),) = rig.words_given("a>b", 1)
    rig.die("a")
    segment.words[given] = 2
    # When it is recovered and its successor sends as much as there is room for
    rig.recover("a")
    rig.restart("a")
    assert segment.words[given] == 1
    rig.send("a", frame(99))
    # Then the message is read as it was
    arrived = rig.take("a>b")
    assert all(np.array_equal(one, other) for one, other in zip(arrived, sent, strict=True))


def test_a_half_written_cell_is_not_believed(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=2)
    rig.send("a", frame(1))
    ((segment, given, _),) = rig.words_given("a>b", 1)
    rig.die("a")
    segment.words[given] = 2
    ring = rig.rings[0].view
    ring[2 * 512 : 3 * 512] = b"\xff" * 512
    ring[0:512] = b"\xff" * 512
    rig.recover("a")
    assert segment.words[given] == 1


def test_a_restarted_sender_goes_on_with_the_next_number(make_rig: Any) -> None:
    rig = make_rig("a>b", lossless=True, capacity=4)
    rig.send("a", 1)
    rig.send("a", 2)
    rig.die("a")
    rig.recover("a")
    rig.restart("a")
    rig.send("a", 3)
    assert rig.take_all("a>b") == [1, 2, 3]


def test_a_restarted_sender_lives_on_the_memory_of_the_dead_one(make_rig: Any) -> None:
    rig = make_rig("a>b")
    rig.send("a", frame(1))
    rig.take("a>b")
    rig.die("a")
    rig.recover("a")
    rig.restart("a")
    for number in range(20):
        rig.send("a", frame(number))
        rig.take("a>b")
    assert len(rig.grown) == 1


def test_recovering_what_did_nothing_changes_nothing(make_rig: Any) -> None:
    rig = make_rig("a>b b>c", lossless=True, capacity=2)
    rig.die("b")
    rig.recover("b")
    rig.restart("b")
    rig.send("a", frame(1))
    rig.send("b", rig.take("a>b"))
    assert (rig.take("b>c") == 1).all()


# ------------------------------------------------------------------------------------------------ killed at every step

Step = tuple[str, int]


def script(seed: int) -> Iterator[Step]:
    """Sends, takes, and drops of views in some order."""
    dice = random.Random(seed)
    for number in range(1, 12):
        yield "send", number
        if dice.random() < 0.7:
            yield "take", number
        if dice.random() < 0.5:
            yield "drop", number


def has_room(rig: Any, *edges: str) -> bool:
    """A source that would have to wait does not send: nobody would ever wake it here."""
    return not any(rig.edges[edge].lossless and rig.counters(edge).queued >= CAPACITY for edge in edges)


class World:
    """One run of a script: what was sent, what arrived, what is held."""

    def __init__(self, rig: Any, last: str) -> None:
        self.rig = rig
        self.last = last
        self.arrived: list[int] = []
        self.held: list[tuple[int, np.ndarray]] = []

    def take(self) -> bool:
        data = self.rig.take(self.last)
        if data is not None:
            array = data if isinstance(data, np.ndarray) else data[0]
            self.arrived.append(int(array[0]))
            self.held.append((int(array[0]), array))
        return data is not None

    def drop(self) -> None:
        if self.held:
            del self.held[len(self.held) // 2]

    def intact(self) -> bool:
        return all((array == number).all() for number, array in self.held)


def play(world: World, steps: Iterator[Step], do: Callable[[str, int], None], died: type) -> tuple[str, int] | None:
    """Do the steps; the one at which somebody died, None if nobody did. Can be called again for the rest."""
    for what, number in steps:
        try:
            do(what, number)
        except died:
            return what, number
        assert world.intact()
    return None


def drain(world: World) -> None:
    while world.take():
        assert world.intact()
    world.held.clear()


@pytest.fixture
def _quiet_destructors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is killed inside a destructor cannot raise; Python would print that."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)


def stores(run: Callable[[int | None], Any]) -> int:
    """How many stores the mortal one makes when it is not killed."""
    made: int = run(None).life.made
    assert made > 10
    return made


PAYLOADS: dict[str, Callable[[Any, int], Any]] = {
    "one array": lambda rig, number: frame(number),
    "many arrays": lambda rig, number: [frame(number, 100) for _ in range(20)],
    "a loan": lambda rig, number: filled(rig.outlets["a"].loan((SIZE - 4096,), np.dtype("u1")), number),
}


def filled(array: np.ndarray, number: int) -> np.ndarray:
    array[:] = number
    return array


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("lossless", RULES)
def test_a_source_may_be_killed_at_any_step(make_rig: Any, died: type, lossless: bool, payload: str) -> None:
    def run(left: int | None) -> Any:
        # Given a source with two readers, of which one is slow, that is killed after so many stores
        rig = make_rig("a>b a>c", lossless=lossless, capacity=CAPACITY, mortal="a")
        rig.life.left = left
        world, other = World(rig, "a>b"), World(rig, "a>c")
        sent: set[int] = set()

        def do(what: str, number: int) -> None:
            if what == "send" and has_room(rig, "a>b", "a>c"):
                rig.send("a", PAYLOADS[payload](rig, number))
                sent.add(number)
            elif what == "take":
                world.take()
                other.take()
                other.drop()
            elif what == "drop":
                world.drop()

        steps = script(1)
        fatal = play(world, steps, do, died)
        # When it is recovered and its successor goes on
        if fatal is not None:
            rig.die("a")
            rig.recover("a")
        rig.restart("a")
        play(world, steps, do, died)
        # Then every message arrives whole, in order, once, and on lossless edges all that were sent do
        for reader in (world, other):
            drain(reader)
            assert reader.arrived == sorted(set(reader.arrived))
            if lossless:
                assert sent <= set(reader.arrived) <= sent | ({fatal[1]} if fatal is not None else set())
            assert accounted_for(rig, reader.last)
        assert every_slot_is_free(rig)
        return rig

    for left in range(stores(run)):
        run(left)


@pytest.mark.parametrize("payload", ["one array", "many arrays"])
@pytest.mark.parametrize("lossless", RULES)
@pytest.mark.usefixtures("_quiet_destructors")
def test_a_destination_may_be_killed_at_any_step(make_rig: Any, died: type, lossless: bool, payload: str) -> None:
    def run(left: int | None) -> Any:
        # Given a destination that holds some views and is killed after so many stores
        rig = make_rig("a>b", lossless=lossless, capacity=CAPACITY, mortal="b")
        rig.life.left = left
        world = World(rig, "a>b")
        sent: set[int] = set()

        def do(what: str, number: int) -> None:
            if what == "send" and has_room(rig, "a>b"):
                rig.send("a", PAYLOADS[payload](rig, number))
                sent.add(number)
            elif what == "take":
                world.take()
            elif what == "drop":
                world.drop()
            if rig.life.dead and fatal is None:
                raise died  # inside a destructor, which cannot say so

        steps = script(2)
        fatal: tuple[str, int] | None = None
        fatal = play(world, steps, do, died)
        # When it is recovered and its successor goes on
        if fatal is not None:
            rig.keep_for_ever(list(world.held))
            world.held.clear()
            rig.die("b")
            rig.recover("b")
        rig.life.left = None
        rig.restart("b")
        play(world, steps, do, died)
        drain(world)
        # Then every message arrives whole, in order, once, and at most the one in hand is lost
        assert world.arrived == sorted(set(world.arrived))
        if lossless:
            assert len(sent - set(world.arrived)) <= (fatal is not None and fatal[0] == "take")
        assert accounted_for(rig, "a>b")
        assert every_slot_is_free(rig)
        return rig

    for left in range(stores(run)):
        run(left)


@pytest.mark.parametrize("lossless", RULES)
@pytest.mark.usefixtures("_quiet_destructors")
def test_a_middle_may_be_killed_at_any_step(make_rig: Any, died: type, lossless: bool) -> None:
    def run(left: int | None) -> Any:
        # Given a middle that passes frames on where they are, some of them twice, and is killed after so many stores
        rig = make_rig("a>b b>c", lossless=lossless, capacity=CAPACITY, mortal="b")
        rig.life.left = left
        world = World(rig, "b>c")
        middle: list[np.ndarray] = []

        def do(what: str, number: int) -> None:
            if what == "send" and has_room(rig, "a>b"):
                rig.send("a", frame(number))
            elif what == "take":
                data = rig.take("a>b")
                if data is not None:
                    middle.append(data)
                for item in middle[-2:]:
                    if has_room(rig, "b>c"):
                        rig.send("b", item)
                item = data = None
                world.take()
            elif what == "drop":
                middle[:1] = []
                world.drop()
            if rig.life.dead and fatal is None:
                raise died

        steps = script(3)
        fatal: tuple[str, int] | None = None
        fatal = play(world, steps, do, died)
        # When it is recovered and its successor goes on
        if fatal is not None:
            rig.keep_for_ever(list(middle))
            middle.clear()
            rig.die("b")
            rig.recover("b")
        rig.life.left = None
        rig.restart("b")
        play(world, steps, do, died)
        middle.clear()
        rig.take_all("a>b")
        drain(world)
        # Then every frame arrives whole, everything is accounted for, and all slots are free
        assert accounted_for(rig, "a>b")
        assert accounted_for(rig, "b>c")
        assert every_slot_is_free(rig)
        return rig

    for left in range(stores(run)):
        run(left)
