"""Routines that work on several messages in a way of their own, and sources that are fed from outside."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from time import monotonic_ns
from typing import Any

import pytest

from pipert2 import DataTransmitter, DestinationRoutine, Pipe, QueueNetwork, SourceRoutine, Wire, events
from pipert2.runtime.routine.crew import BringsCrew, Outcome
from pipert2.runtime.routine.feed import BringsFeed, Fed, UnreadableFeed
from pipert2.testing import CollectingDestination, FailingRoutine, ListSource, wait_until
from pipert2.transport.codec import Encoded, dumps_plain
from pipert2.transport.envelope import Message
from pipert2.transport.ring import Interrupted


class Holding:
    """A crew that holds what it gets until it is told to let go."""

    def __init__(self, most: int, outcomes: deque[Outcome], ring: Callable[[], None]) -> None:
        self.most, self.outcomes, self.ring = most, outcomes, ring
        self.logic: Callable[[Any], Any] = print
        self.held: list[Message] = []
        self.said_farewell = False
        self.since = 0

    @property
    def busy(self) -> int:
        return len(self.held)

    @property
    def room(self) -> int:
        return self.most - len(self.held)

    def submit(self, message: Message) -> None:
        self.held.append(message)

    def let_go(self, error: BaseException | None = None) -> None:
        for message in self.held:
            self.outcomes.append(Outcome(message, None, error, monotonic_ns(), monotonic_ns()))
        self.held.clear()
        self.ring()

    def tend(self) -> float | None:
        return None

    def finish(self) -> bool:
        if not self.said_farewell:
            self.said_farewell = True
            threading.Timer(0.05, self.ring).start()
            return False
        return True

    def release(self) -> None:
        self.let_go(Interrupted())

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


class Holds(BringsCrew, DestinationRoutine):
    def __init__(self, most: int) -> None:
        super().__init__("holds")
        self.most = most
        self.got: list[Any] = []

    def make_crew(self, outcomes: deque[Outcome], ring: Callable[[], None], run: str) -> Holding:
        self.crew = Holding(self.most, outcomes, ring)
        return self.crew

    def main_logic(self, data: Any) -> None: ...

    @events("HELD")
    def held(self) -> list[Any]:
        return [message.data for message in self.crew.held]

    @events("LET_GO")
    def let_go(self) -> None:
        self.got += self.held()
        self.crew.let_go()

    @events("GOT")
    def what_it_got(self) -> list[Any]:
        return self.got


def one(pipe: Pipe, event: str) -> Any:
    return pipe.notify_event(event, wait=60.0)["holds"].value


def test_a_brought_crew_holds_what_it_wants_and_no_more_and_has_the_last_word(inline: bool) -> None:
    pipe, source, holds = Pipe(inline=inline, lossless=True), ListSource([1, 2, 3, 4, 5], "items"), Holds(2)
    pipe.create_flow("one", False, source)
    pipe.create_flow("two", False, holds)
    pipe.link(Wire(source, holds))
    with pipe:
        pipe.notify_event("start")
        for held in ([1, 2], [3, 4], [5]):
            wait_until(lambda held=held: one(pipe, "HELD") == held)
            assert not pipe.status().routine("holds").finished
            pipe.notify_event("LET_GO", wait=60.0)
        wait_until(lambda: pipe.status().routine("holds").finished)
        assert one(pipe, "GOT") == [1, 2, 3, 4, 5]


def test_what_a_brought_crew_breaks_off_is_there_again_after_the_next_start(inline: bool) -> None:
    pipe, source, holds = Pipe(inline=inline, lossless=True), ListSource([1, 2, 3], "items"), Holds(5)
    pipe.create_flow("one", False, source)
    pipe.create_flow("two", False, holds)
    pipe.link(Wire(source, holds))
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: one(pipe, "HELD") == [1, 2, 3])
        pipe.notify_event("stop", {"two": []}, wait=60.0)
        pipe.notify_event("start", {"two": []}, wait=60.0)
        wait_until(lambda: one(pipe, "HELD") == [1, 2, 3])
        pipe.notify_event("LET_GO", wait=60.0)


class Basket:
    """A feed of numbers: those below zero cannot be read."""

    def __init__(self, numbers: list[int], over: list[int], ring: Callable[[], None]) -> None:
        self.numbers, self.done, self.ring = numbers, over, ring

    @property
    def ready(self) -> bool:
        return bool(self.numbers)

    @property
    def ended(self) -> bool:
        return not self.numbers

    def take(self) -> Fed | None:
        number = self.numbers.pop(0)
        if number < 0:
            raise UnreadableFeed("basket", "it is below zero", number, 100 - number)
        return Fed(self.data(number), number, 100 + number, monotonic_ns())

    def data(self, number: int) -> Any:
        return number

    def over(self, tag: int) -> None:
        self.done.append(tag)

    def tend(self) -> float | None:
        return None

    def close(self) -> None:
        pass


class Encoding(Basket):
    """A feed that has most numbers encoded already; every tenth is too long for a cell, and one at least unreadable."""

    def data(self, number: int) -> Any:
        if number % 10 == 5:
            return number
        if number == UNREADABLE:
            return Encoded(False, b"nothing that was encoded")
        return Encoded(False, dumps_plain((number, "x" * 1000) if number % 10 == 0 else number))


UNREADABLE = 1_001


class Fedder(BringsFeed, SourceRoutine):
    basket = Basket

    def __init__(self, numbers: list[int], most: int | None = None) -> None:
        super().__init__("fed")
        self.numbers = numbers
        self.max_in_flight = most
        self.over: list[int] = []

    def open_feed(self, ring: Callable[[], None]) -> Basket:
        return self.basket(self.numbers, self.over, ring)

    def main_logic(self) -> None: ...

    @events("OVER")
    def what_is_over(self) -> list[int]:
        return self.over


def fed_pipe(inline: bool, lossless: bool, *routines: Any) -> Pipe:
    pipe = Pipe(inline=inline, lossless=lossless)
    for routine in routines:
        pipe.create_flow(f"flow of {routine.name}", False, routine)
    pipe.link(*(Wire(one, other) for one, other in pairwise(routines)))
    return pipe


def over(pipe: Pipe) -> Any:
    return pipe.notify_event("OVER", wait=60.0)["fed"].value


@pytest.mark.parametrize("most", [1, 4, 256])
def test_a_feed_learns_of_each_message_when_all_that_came_of_it_is_done(inline: bool, most: int) -> None:
    class Waits(CollectingDestination):
        def main_logic(self, data: Any) -> None:
            super().main_logic((data, self.message.sequence))

    got = Waits("got")
    pipe = fed_pipe(inline, True, Fedder(list(range(300)), most), FailingRoutine(lambda _: False, "passes"), got)
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: pipe.status().routine("got").finished, 60.0)
        assert sorted(over(pipe)) == list(range(300))
        assert pipe.status().routine("fed").finished
    assert got.items() == [(number, 100 + number) for number in range(300)]


def test_a_message_of_a_feed_is_not_over_while_somebody_works_on_it() -> None:
    class Stuck(DestinationRoutine):
        def main_logic(self, data: Any) -> None:
            if data == 3:
                self.wait(60.0)

    pipe = fed_pipe(False, True, Fedder(list(range(1, 6)), 10), Stuck("stuck"))
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: sorted(over(pipe)) == [1, 2])
        assert not pipe.status().routine("fed").finished


def test_without_accounts_a_message_of_a_feed_is_over_when_it_was_sent(inline: bool) -> None:
    pipe = fed_pipe(inline, False, Fedder([1, 2, 3]), CollectingDestination("got"))
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: pipe.status().routine("got").finished)
        assert over(pipe) == [1, 2, 3]


@pytest.mark.expects_errors
def test_what_a_feed_cannot_read_is_a_dead_letter_and_over(inline: bool) -> None:
    got = CollectingDestination("got")
    pipe = fed_pipe(inline, True, Fedder([1, -7, 3], 10), got)
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: pipe.status().routine("got").finished)
        assert sorted(over(pipe)) == [-7, 1, 3]
        (letter,) = pipe.dead_letters()
        assert "it is below zero" in letter.reason
        assert pipe.status().routine("fed").dead_letters == 1
    assert got.items() == [1, 3]


class Encodes(Fedder):
    basket = Encoding


class Negates(DataTransmitter):
    """Of small numbers."""

    def transmit(self) -> Callable[[Any], Any]:
        return lambda data: -data if is_small(data) else data


def received(number: int) -> Any:
    return (number, "x" * 1000) if number % 10 == 0 else number


def is_small(data: Any) -> bool:
    return isinstance(data, int)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("looked_at", ["", "where", "transmitter", "preview", "two wires"])
def test_what_a_feed_has_encoded_arrives_as_data_whoever_looks_at_it(
    looked_at: str, lossless: bool, inline: bool
) -> None:
    numbers = list(range(100))
    fed, got, other = Encodes(list(numbers), 50 if lossless else None), CollectingDestination("got"), None
    pipe = Pipe(inline=inline, lossless=lossless, network=QueueNetwork(max_queue_sizes=200))
    pipe.create_flow("one", False, fed)
    pipe.create_flow("two", False, got)
    wire: dict[str, Any] = {"where": is_small} if looked_at == "where" else {}
    if looked_at == "transmitter":
        wire["data_transmitter"] = Negates()
    pipe.link(Wire(fed, got, **wire))
    if looked_at == "two wires":
        other = CollectingDestination("other")
        pipe.create_flow("three", False, other)
        pipe.link(Wire(fed, other))
    with pipe:
        pipe.build()
        if looked_at == "preview":
            pipe.preview("fed")
        pipe.notify_event("start")
        wait_until(lambda: all(one.finished for one in pipe.status().routines), 60.0)
        assert sorted(over(pipe)) == numbers
    expected = [received(number) for number in numbers]
    if looked_at == "where":
        expected = [data for data in expected if is_small(data)]
    if looked_at == "transmitter":
        expected = [-data if is_small(data) else data for data in expected]
    assert got.items() == expected
    assert other is None or other.items() == expected


@pytest.mark.expects_errors
@pytest.mark.parametrize("looked_at", [False, True])
def test_what_was_encoded_and_cannot_be_read_is_a_dead_letter_and_over(looked_at: bool, inline: bool) -> None:
    got = CollectingDestination("got")
    fed = Encodes([1, UNREADABLE, 3], 10)
    pipe = Pipe(inline=inline, lossless=True)
    pipe.create_flow("one", False, fed)
    pipe.create_flow("two", False, got)
    pipe.link(Wire(fed, got, where=is_small) if looked_at else Wire(fed, got))
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: all(one.finished for one in pipe.status().routines), 60.0)
        assert sorted(over(pipe)) == [1, 3, UNREADABLE]
        (letter,) = pipe.dead_letters()
        assert "UnpicklingError" in letter.reason
        assert letter.routine == ("fed" if looked_at else "got")
    assert got.items() == [1, 3]
