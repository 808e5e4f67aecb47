"""An egress and an ingress, without clocks and sockets, over a way that loses what it likes."""

from __future__ import annotations

import random
from collections import Counter, deque
from typing import Any

import pytest

from pipert2.engine.link.frames import Kind, Report, There, unpack_report, unpack_there
from pipert2.engine.link.inbound import LINGER, Inbound, Tag
from pipert2.engine.link.outbound import MOST_UNCONFIRMED, Outbound
from pipert2.engine.link.payload import Packer, Parcel, parcels_of

MS = 1_000_000


class World:
    """Two ends and the way between them: first in, first out, and cut at times."""

    def __init__(self, *, lossless: bool, credit: int | None = None, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.lossless = lossless
        self.credit = credit
        self.now = 1_000 * MS
        self.packer = Packer()
        self.out: Outbound[int] = Outbound(7, self.now, lossless=lossless, credit=credit)
        self.inbound = Inbound(1, 1)
        self.there: deque[bytes] = deque()
        self.back: deque[bytes] = deque()
        self.working: list[tuple[Tag, Any]] = []
        self.arrived: list[Any] = []
        self.confirmed: list[int] = []
        self.returned: dict[int, bytes] = {}
        self.is_cut = False
        self.ends = 0

    def add(self, number: int, identity: tuple[int, int] | None = None) -> None:
        self.out.add(number, self.packer.parcel(number, number, 1, identity or (1, number)))

    def step(self, dt: int = 5 * MS) -> None:
        """Each end does what there is to do, once."""
        self.now += dt
        while (batch := self.out.next_batch(self.now)) is not None:
            self.ends += batch.parcels[-1].ends
            self._send(self.there, bytes(self.packer.batch(*batch)))
        if self.out.seconds_to_probe(self.now) == 0:
            self._send(self.there, self.out.probe(self.now).pack())
        while self.there:
            frame = self.there.popleft()
            head = unpack_there(frame)
            stream = self.inbound.hear(head)
            if stream is not None and head.kind is Kind.BATCH:
                self.inbound.parcels.extend(stream.arrived(head, parcels_of(head, frame)))
        while self.inbound.parcels and (self.lossless or self.random.random() < 0.8):
            tag, parcel = self.inbound.parcels.popleft()
            self.arrived.append(parcel.data())
            if self.lossless:
                self.working.append((tag, parcel))
            else:
                tag.stream.over(tag)
        for report in self.inbound.reports(self.now):
            self._send(self.back, report.pack())
        while self.back:
            report = unpack_report(self.back.popleft())
            self.returned.update(self.out.answered(report))
            self.confirmed += self.out.take(report, self.now)

    def _send(self, way: deque[bytes], frame: bytes) -> None:
        if not self.is_cut:
            way.append(frame)

    def finish_some(self) -> None:
        """Some of what the ingress's pipe works on is done, in any order."""
        self.random.shuffle(self.working)
        for _ in range(self.random.randint(0, len(self.working))):
            tag, parcel = self.working.pop()
            tag.stream.returned(tag, f"{parcel.data()} is done".encode())
            tag.stream.over(tag)

    def end(self) -> None:
        """The input of the egress has ended: go on until both ends know."""
        self.is_cut = False
        for _ in range(400):
            self.finish_some()
            if not self.out.held:
                self.out.end()
            self.step()
            if self.out.ended:
                self.there.append(self.out.close_head(self.now).pack())
                self.step()
                return
        raise AssertionError("it has not come to its end")


def test_nothing_is_sent_before_the_ingress_was_heard_of() -> None:
    world = World(lossless=False)
    assert not world.out.room
    world.step()
    assert world.out.room


@pytest.mark.parametrize("seed", range(30))
def test_a_lossless_link_delivers_each_message_once_and_in_order_however_often_it_is_cut(seed: int) -> None:
    world = World(lossless=True, seed=seed)
    number = 0
    for _ in range(300):
        world.is_cut = world.random.random() < 0.3
        while world.out.room and world.random.random() < 0.8:
            number += 1
            world.add(number)
        world.finish_some()
        world.step(world.random.choice((1, 20, 300)) * MS)
    world.end()
    assert world.arrived == list(range(1, number + 1))
    assert sorted(world.confirmed) == world.arrived
    assert world.inbound.ended(world.now)


@pytest.mark.parametrize("seed", range(30))
def test_what_was_returned_comes_with_the_confirmation_however_often_the_way_is_cut(seed: int) -> None:
    world = World(lossless=True, credit=4, seed=seed)
    number, back_in_the_queue = 0, list[int]()
    for _ in range(300):
        world.is_cut = world.random.random() < 0.3
        while world.out.room and world.random.random() < 0.8:
            if not back_in_the_queue:
                number += 1
                back_in_the_queue.append(number)
            world.add(back_in_the_queue.pop(0))
        if world.random.random() < 0.05:  # the egress is stopped, and started again
            back_in_the_queue += world.out.release()
            world.out = Outbound(7, world.now, lossless=True, credit=4)
        world.finish_some()
        world.step(world.random.choice((1, 20, 300)) * MS)
    world.end()
    assert {one: world.returned[one] for one in world.confirmed} == {
        one: f"{one} is done".encode() for one in world.confirmed
    }
    assert len(world.confirmed) > 50


@pytest.mark.parametrize("seed", range(30))
def test_a_lossless_link_loses_nothing_when_either_end_begins_anew(seed: int) -> None:
    world = World(lossless=True, seed=seed)
    number, anew = 0, 0
    back_in_the_queue: list[int] = []
    for _ in range(300):
        world.is_cut = world.random.random() < 0.2
        while world.out.room and world.random.random() < 0.8:
            if back_in_the_queue:
                world.add(back_in_the_queue.pop(0))
                continue
            number += 1
            world.add(number)
        if world.random.random() < 0.03:  # the ingress's host is lost, and what it worked on
            anew += 1
            world.inbound = Inbound(100 + anew, 1)
            world.working.clear()
        if world.random.random() < 0.03:  # the egress is stopped, and started again
            back_in_the_queue = world.out.release() + back_in_the_queue
            world.out = Outbound(7, world.now, lossless=True, credit=None)
        world.finish_some()
        world.step(world.random.choice((1, 20, 300)) * MS)
    while back_in_the_queue:
        world.is_cut = False
        world.finish_some()
        world.step()
        while back_in_the_queue and world.out.room:
            world.add(back_in_the_queue.pop(0))
    world.end()
    assert set(world.confirmed) == set(world.arrived) == set(range(1, number + 1))
    assert max(Counter(world.confirmed).values()) == 1
    if not anew:
        assert len(world.arrived) == number  # what came again was known


@pytest.mark.parametrize("seed", range(30))
def test_a_real_time_link_counts_each_message_that_a_cut_has_taken(seed: int) -> None:
    world = World(lossless=False, seed=seed)
    number = 0
    for _ in range(300):
        world.is_cut = world.random.random() < 0.4
        while world.out.room and world.random.random() < 0.8:
            number += 1
            world.add(number)
        world.step(world.random.choice((1, 20, 300)) * MS)
    world.end()
    (stream,) = world.inbound.streams.values()
    assert world.arrived == sorted(set(world.arrived))
    assert len(world.arrived) == stream.received
    assert number <= stream.received + stream.gap <= number + world.ends  # an end that was lost counts, too


def test_no_more_is_under_way_than_the_credit_says() -> None:
    world = World(lossless=True, credit=3)
    world.step()
    for number in range(1, 4):
        assert world.out.room
        world.add(number)
    assert not world.out.room
    world.step()
    assert not world.out.room  # they have arrived, but are not done
    tag, _ = world.working.pop(1)
    tag.stream.over(tag)
    world.step()
    assert world.confirmed == [2]
    assert world.out.room


def test_a_lossless_link_bounds_what_is_under_way() -> None:
    world = World(lossless=True)
    world.step()
    number = 0
    while world.out.room:
        number += 1
        world.add(number)
    assert number == MOST_UNCONFIRMED


def test_what_is_large_is_bounded_by_its_size() -> None:
    out: Outbound[int] = Outbound(1, 1, lossless=True, credit=None)
    out.take(Report(5, 1, 1, 1, False, 0, ()), 10)
    parcel = Parcel(1, 1, (0, 0), 0, b"", (bytearray(40 << 20),))
    out.add(1, parcel)
    assert out.room
    out.add(2, parcel)
    assert not out.room


def test_a_report_for_somebody_else_changes_nothing() -> None:
    world = World(lossless=True)
    world.step()
    world.add(1)
    for report in (Report(1, 8, world.out.epoch, 2, False, 0, [(1, 1)]), Report(1, 7, 5, 2, False, 0, [(1, 1)])):
        assert world.out.take(report, world.now) == []
    assert world.out.take(Report(1, 7, world.out.epoch, 99, False, 0, [(1, 99)]), world.now) == []
    assert world.out.held == 1


def test_an_egress_that_is_closed_before_the_end_is_not_awaited_for_ever() -> None:
    world = World(lossless=False)
    world.step()
    world.out.end()
    world.step()
    assert world.out.ended
    assert not world.inbound.ended(world.now)
    assert world.inbound.ended(world.now + 2 * LINGER)


def test_a_frame_from_an_earlier_life_of_the_egress_is_left_out() -> None:
    inbound = Inbound(1, 1)
    assert inbound.hear(There(Kind.PROBE, True, 7, 20, 1, 1, 5)) is not None
    assert inbound.hear(There(Kind.PROBE, True, 7, 10, 1, 1, 5)) is None


def test_the_stream_ends_when_those_of_all_egresses_have() -> None:
    inbound = Inbound(1, 2)
    packer = Packer()
    for run in (1, 2):
        out: Outbound[int] = Outbound(run, 1, lossless=False, credit=None)
        inbound.hear(out.probe(5))
        (report,) = inbound.reports(5)
        out.take(report, 6)
        out.end()
        batch = out.next_batch(7)
        assert batch is not None
        frame = bytes(packer.batch(*batch))
        head = unpack_there(frame)
        stream = inbound.hear(head)
        assert stream is not None
        assert stream.arrived(head, parcels_of(head, frame)) == []
        (report,) = inbound.reports(8)
        out.take(report, 9)
        assert out.ended
        inbound.hear(out.close_head(10))
        assert inbound.ended(10) == (run == 2)


@pytest.mark.parametrize("lost", ["before they arrived", "on the way back"])
def test_what_others_take_over_while_the_way_is_cut_is_given_up_and_the_rest_goes_on(lost: str) -> None:
    world = World(lossless=True, credit=2)
    world.step()
    for number in (1, 2):
        world.add(number)
    if lost == "on the way back":
        world.step()
    world.is_cut = True
    for _ in range(50):
        world.step()
    left = world.out.give_up()
    assert not world.out.room  # nothing more lies with an ingress that nobody can reach
    assert world.out.held == 0
    world.is_cut = False
    for _ in range(300):
        world.step()
    assert world.out.room
    for number in (3, 4):
        world.add(number)
    for _ in range(300):
        world.step()
        world.finish_some()
    assert set(left) | set(world.confirmed) == {1, 2, 3, 4}
    assert {3, 4} <= set(world.confirmed)
    assert world.arrived[-2:] == [3, 4]


def test_an_end_that_is_sent_again_is_no_message() -> None:
    world = World(lossless=True)
    for _ in range(100):
        world.step()
    world.out.end()
    world.is_cut = True
    world.step()
    world.is_cut = False
    for _ in range(400):
        world.step()
    assert world.out.ended
    assert (world.out.sent, world.out.resent) == (0, 0)
