"""The ends of work queues: what a message goes through, and that a process may die before any store of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, SourceRoutine, Wire
from pipert2.graph.spec import make_spec
from pipert2.graph.wire import QueueNetwork
from pipert2.runtime.supervision.pipe_memory import PipeMemory, bell_key
from pipert2.transport import board as b
from pipert2.transport import work_table as w
from pipert2.transport.board import Board
from pipert2.transport.codec import dumps_plain
from pipert2.transport.envelope import DIRECT, small_cell
from pipert2.transport.memory import Fence, ThreadBell
from pipert2.transport.outlet import Outlet
from pipert2.transport.pool import SlotPool
from pipert2.transport.segment import Segments
from pipert2.transport.work_ends import Delivery, WorkReceiver, WorkSender, end_all
from pipert2.transport.work_queue import WorkQueues
from tests.unit.transport.conftest import Died, Life, MortalWords, StepWaiter

ROUTINES = ("hand", "work", "collect")
MESSAGES = 3


class Hand(SourceRoutine):
    max_in_flight = 10

    def main_logic(self) -> None:
        """Played by the tests."""


class Work(MiddleRoutine):
    retries = 10

    def main_logic(self, data: object) -> None:
        """Played by the tests."""


class Collect(DestinationRoutine):
    retries = 10

    def main_logic(self, data: object) -> None:
        """Played by the tests."""


class Shop:
    """The memory of a lossless pipe from hand over work, which has replicas, to collect."""

    def __init__(self) -> None:
        hand, work, collect = Hand("hand"), Work("work"), Collect("collect")
        self.spec = make_spec(
            "shop",
            {"a": [hand], "b": [work], "c": [collect]},
            [Wire(hand, work), Wire(work, collect)],
            network=QueueNetwork(),
            lossless=True,
            data_transmitter=None,
            replicas={"b": 2},
        )
        self.memory = PipeMemory(self.spec, inline=True)

    def close(self) -> None:
        self.memory.close()

    def left(self) -> list[int]:
        """How many messages of each queue are not over."""
        return [queue.table.words[w.UNDONE] for queue in self.memory.queues.all()]


class Process:
    """One routine's ends as its process has them; *life*: how long it lives."""

    def __init__(self, shop: Shop, name: str, life: Life | None = None) -> None:
        index = ROUTINES.index(name)
        spec, memory = shop.spec, shop.memory
        board = Board(memory.board.block, len(spec.routines))
        segments = Segments(memory.arena, self.bell)
        self.shop, self.name = shop, name
        self.queues = WorkQueues(memory.arena, board, segments, self.bell, lambda: spec)
        if life is not None:
            board.words = MortalWords(board.words, life)  # type: ignore[assignment]
            for queue in self.queues.all():
                queue.table.words = MortalWords(queue.table.words, life)  # type: ignore[assignment]
        waiter = StepWaiter(ThreadBell())
        outputs = [self.queues.get(edge.index) for edge in spec.outputs(index)]
        senders = [WorkSender(self.queues, queue, board, 0, waiter) for queue in outputs]
        pool = SlotPool(index, spec.carriers(index), board, segments, Fence(), waiter, lambda size, slots: 0)
        self.outlet = Outlet(senders, pool, segments, lambda owner, edge: False, False)
        inputs = [self.queues.get(edge.index) for edge in spec.inputs(index)]
        self.receivers = [
            WorkReceiver(self.queues, queue, segments, board, self.bell(index), index, "it", None) for queue in inputs
        ]
        ledger = spec.ledger(index)
        self.ledger = self.queues.get(ledger.index) if ledger is not None else None

    def bell(self, routine: int) -> ThreadBell:
        return self.shop.memory.arena.bell(bell_key(routine))  # type: ignore[return-value]

    def hand_out(self, number: int) -> None:
        """What a source does with one message."""
        assert self.ledger is not None
        delivery = Delivery(self.queues, self.ledger, self.queues.open_account(self.ledger, 0))
        self.outlet.send(number, number, 1, 0, delivery)
        delivery.done()

    def hand_out_all(self, numbers: list[int]) -> int:
        """What a source does with many that are encoded already; how many there was room for."""
        assert self.ledger is not None
        assert self.outlet.only_queue is not None
        cells = [small_cell(DIRECT, dumps_plain(number), number, 1, 1, 0) for number in numbers]
        return len(self.outlet.only_queue.put_many([cell for cell in cells if cell], self.ledger))

    def run_several(self) -> Iterator[int]:
        """:meth:`run`, two messages at a time."""
        receiver = self.receivers[0]
        while claims := receiver.claim_some(2):
            messages = [receiver.message(claim) for claim in claims]
            for message in messages:
                if self.outlet.senders:
                    self.outlet.send(message.data, message.origin, 1, message.attempt, message.delivery)
                yield message.data
            end_all([message.delivery for message in messages])

    def run(self) -> Iterator[int]:
        """Take messages until there is none; each that was sent on, or that has arrived."""
        receiver = self.receivers[0]
        message = receiver.take()
        while message is not None:
            if self.outlet.senders:
                self.outlet.send(message.data, message.origin, 1, message.attempt, message.delivery)
            yield message.data
            message = receiver.take_after(message.delivery)


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def test_the_next_message_is_claimed_with_the_end_of_the_last_one(shop: Shop) -> None:
    hand, work = Process(shop, "hand"), Process(shop, "work")
    for number in range(2):
        hand.hand_out(number)
    receiver = work.receivers[0]
    first = receiver.take()
    assert first is not None
    second = receiver.take_after(first.delivery)
    assert (first.data, second and second.data) == (0, 1)
    assert shop.left() == [1, 0, 1]


def test_nothing_is_claimed_with_the_end_of_the_last_message(shop: Shop) -> None:
    hand, work = Process(shop, "hand"), Process(shop, "work")
    hand.hand_out(0)
    message = work.receivers[0].take()
    assert message is not None
    assert work.receivers[0].take_after(message.delivery) is None
    assert shop.left() == [0, 0, 0]


def test_a_message_that_another_routine_still_works_on_is_not_over_with_the_next_claim(shop: Shop) -> None:
    hand, work = Process(shop, "hand"), Process(shop, "work")
    for number in range(2):
        hand.hand_out(number)
    first = work.receivers[0].take()
    assert first is not None
    first.delivery.add()
    second = work.receivers[0].take_after(first.delivery)
    assert second is not None
    assert shop.left() == [2, 0, 2]
    first.delivery.done()
    assert shop.left() == [1, 0, 1]


def test_flows_of_one_process_have_the_same_lock(shop: Shop) -> None:
    one, other = (Process(shop, name).queues.get(0).lock for name in ("hand", "work"))
    taken: Any = other.acquire
    with one:
        assert not taken(blocking=False)
    assert taken(blocking=False)


def play(shop: Shop, mortal: str, stores: int, several: bool) -> tuple[list[int], bool]:
    """Let messages go all the way while one process dies after so many stores and is replaced.

    Args:
        several: at once, wherever there is a way to do that.

    Returns:
        What has arrived, and whether the process has died.
    """
    life = Life()
    processes = {name: Process(shop, name, life if name == mortal else None) for name in ROUTINES}
    life.left = life.made + stores
    todo, arrived = list(range(MESSAGES)), []
    run = Process.run_several if several else Process.run
    working = run(processes["work"])
    while True:
        try:
            if several:
                del todo[: processes["hand"].hand_out_all(todo)]
            while todo:
                processes["hand"].hand_out(todo[0])
                del todo[0]
            idle = True
            for _ in working:
                arrived += run(processes["collect"])
                idle = False
            working = run(processes["work"])
            arrived += run(processes["collect"])
            if idle:
                return arrived, life.dead
        except Died:
            shop.memory.recover([ROUTINES.index(mortal)])
            processes[mortal] = Process(shop, mortal)
            if mortal == "work":
                working = run(processes[mortal])


def test_many_are_put_as_far_as_there_is_room_and_taken_in_order(shop: Shop) -> None:
    hand, work = Process(shop, "hand"), Process(shop, "work")
    capacity = shop.memory.queues.get(0).spec.capacity
    numbers = list(range(capacity + 5))
    assert hand.hand_out_all(numbers) == capacity
    assert hand.hand_out_all(numbers) == 0
    receiver = work.receivers[0]
    claims = receiver.claim_some(capacity + 5)
    assert [receiver.message(claim).data for claim in claims] == numbers[:capacity]
    end_all([receiver.message(claim).delivery for claim in claims])
    assert shop.left() == [0, 0, 0]


def test_many_are_put_to_nobody_who_is_gone(shop: Shop) -> None:
    hand = Process(shop, "hand")
    for index in range(1, len(shop.spec.routines)):
        shop.memory.board.words[shop.memory.board.routine(index) + b.GONE] = 1
    assert hand.hand_out_all([1, 2]) == 0
    assert shop.left() == [0, 0, 0]


def test_who_is_told_while_it_waits_for_room_that_the_wire_is_gone_waits_no_longer(shop: Shop) -> None:
    outlet = Process(shop, "hand").outlet
    (sender,) = outlet.senders
    for number in range(sender.spec.capacity):
        outlet.send(number, number, 1)
    waiter = sender._waiter  # type: ignore[union-attr]
    waiter.check = lambda: outlet.unlink(sender.spec.destination)  # type: ignore[method-assign]
    outlet.send("too much", 1, 1)
    assert waiter.slept == []  # type: ignore[union-attr]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("mortal", ROUTINES)
def test_a_process_may_die_before_any_store(mortal: str, several: bool) -> None:
    died, stores = True, 0
    while died:
        shop = Shop()
        try:
            arrived, died = play(shop, mortal, stores, several)
            assert set(arrived) == set(range(MESSAGES)), f"after {stores} stores"
            assert shop.left() == [0, 0, 0], f"after {stores} stores"
        finally:
            shop.close()
        stores += 1
    assert stores > 10 * MESSAGES  # or the test does not do what it says
