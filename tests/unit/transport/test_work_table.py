"""The table of a work queue: no message is lost, doubled or forgotten, whatever is done to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipert2.transport import work_table as w
from pipert2.transport.work_table import Claim, Parent, WorkTable, recount, table_words

CELLS = 6


def table(cells: int = CELLS) -> WorkTable:
    made = WorkTable(memoryview(bytearray(8 * table_words(cells))).cast("Q"), cells)
    made.rebuild()
    return made


def put(queue: WorkTable, parent: Parent | None = None, parents: WorkTable | None = None) -> int:
    return queue.put(queue.take_free(), 0, parent, parents)


def claim(queue: WorkTable, claimer: int = 1) -> Claim:
    found = queue.claim(claimer)
    assert found is not None
    return found


def test_messages_are_claimed_in_the_order_in_which_they_were_put() -> None:
    queue = table()
    numbers = [put(queue) for _ in range(3)]
    assert [claim(queue, claimer).number for claimer in range(3)] == numbers
    assert queue.claim(9) is None


def test_a_message_without_descendants_is_over_when_its_routine_is_done() -> None:
    queue = table()
    put(queue)
    found = claim(queue)
    assert queue.returned(found.cell)
    assert not queue.complete(found.cell, None, None)
    assert (queue.under_way(), queue.words[w.DONE]) == ([], 1)


def test_a_message_is_over_when_all_that_came_of_it_is() -> None:
    above, below = table(), table()
    put(above)
    found = claim(above)
    parent = Parent(0, found.cell, found.number, found.turn)
    for _ in range(2):
        put(below, parent, above)
    assert not above.returned(found.cell)
    children = [claim(below), claim(below)]
    assert [below.returned(child.cell) for child in children] == [True, True]
    assert [below.complete(child.cell, child.parent, above) for child in children] == [False, True]


def test_what_a_dead_replica_had_is_claimed_again_ahead_of_all_others() -> None:
    queue = table()
    first = put(queue)
    put(queue)
    lost = claim(queue, 7)
    assert queue.claimed_by(7) == [lost.cell]
    queue.give_back(lost.cell)
    queue.rebuild()
    again = claim(queue, 8)
    assert (again.number, again.attempt) == (first, 2)


def test_what_was_in_hand_at_a_death_is_suspect_until_it_is_over_and_the_next_message_of_its_cell_is_not() -> None:
    queue = table(1)
    put(queue)
    lost = claim(queue, 7)
    assert not queue.is_suspect(lost.cell)
    queue.give_back(lost.cell)
    queue.suspect(lost.cell)
    queue.rebuild()
    again = claim(queue, 8)
    assert queue.is_suspect(again.cell)
    queue.returned(again.cell)
    queue.complete(again.cell, None, None)
    put(queue)
    following = claim(queue, 8)
    assert following.cell == lost.cell
    assert not queue.is_suspect(following.cell)


@pytest.mark.parametrize("again", [True, False], ids=["failed", "handed back"])
def test_what_was_made_of_a_message_before_does_not_end_it_for_who_has_it_next(again: bool) -> None:
    above, below = table(), table()
    put(above)
    first = claim(above)
    put(below, Parent(0, first.cell, first.number, first.turn), above)
    above.give_back(first.cell, again=again)
    above.rebuild()
    second = claim(above)
    child = claim(below)
    below.returned(child.cell)
    assert not below.complete(child.cell, child.parent, above)
    assert above.returned(second.cell)


def test_a_message_that_is_looked_at_is_not_over() -> None:
    queue = table()
    put(queue)
    found = claim(queue)
    queue.words[queue.row(found.cell) + w.DESCENDANTS] += w.LOOKED_AT
    assert not queue.returned(found.cell)
    assert recount({0: queue}) == []
    queue.look_away(1)
    assert recount({0: queue}) == [(0, found.cell)]


def test_the_oldest_message_is_dropped_where_the_newest_counts() -> None:
    queue = table()
    put(queue)
    newest = put(queue)
    assert queue.drop_oldest() is not None
    assert claim(queue).number == newest
    assert queue.words[w.DROPPED] == 1


class Dies(Exception):
    """What a process does at some moment."""


class Words:
    """Words of a process that dies before it writes the *writes*-th."""

    def __init__(self, words: memoryview, writes: int) -> None:
        self.words, self.writes = words, writes

    def __getitem__(self, at: int) -> int:
        return self.words[at]

    def __setitem__(self, at: int, value: int) -> None:
        if not self.writes:
            raise Dies
        self.writes -= 1
        self.words[at] = value


@pytest.mark.parametrize("step", [put, claim, WorkTable.drop_oldest])
@pytest.mark.parametrize("writes", range(14))
def test_the_counts_add_up_wherever_a_process_has_died(step: Callable[[WorkTable], object], writes: int) -> None:
    queue = table()
    for _ in range(3):
        put(queue)
    claim(queue)
    with suppress(Dies):
        step(WorkTable(Words(queue.words, writes), CELLS))  # type: ignore[arg-type]
    queue.rebuild()
    for cell in queue.claimed_by(1):
        queue.give_back(cell)
    queue.rebuild()
    while queue.claim(1) is not None:
        pass
    words = queue.words
    assert words[w.PUT] == words[w.TAKEN] - words[w.AGAIN] + words[w.DROPPED]
    assert words[w.PUT] - words[w.DROPPED] == len(queue.claimed_by(1)) or step is WorkTable.drop_oldest


class Storm(RuleBasedStateMachine):
    """Two queues in a row, replicas that die at any step in between: each message is worked on until it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.above, self.below = table(), table()
        self.put_above: set[int] = set()
        self.over: list[int] = []
        self.claims: list[Claim] = []
        self.children: list[Claim] = []

    @precondition(lambda self: self.above.has_room(CELLS, 0, 0))
    @rule()
    def a_source_puts(self) -> None:
        self.put_above.add(put(self.above))

    @rule()
    def a_worker_claims(self) -> None:
        found = self.above.claim(1)
        if found is not None:
            self.claims.append(found)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_worker_makes_something_and_is_done(self, data: st.DataObject) -> None:
        found = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        for _ in range(data.draw(st.integers(0, 2))):
            if self.below.has_room(CELLS, 0, 0):
                put(self.below, Parent(0, found.cell, found.number, found.turn), self.above)
        if self.above.returned(found.cell):
            self.end(found.cell)

    @rule()
    def a_collector_claims(self) -> None:
        found = self.below.claim(2)
        if found is not None:
            self.children.append(found)

    @precondition(lambda self: self.children)
    @rule()
    def a_collector_is_done(self) -> None:
        child = self.children.pop(0)
        if self.below.returned(child.cell) and self.below.complete(child.cell, child.parent, self.above):
            assert child.parent is not None
            self.end(child.parent.cell)

    @rule()
    def the_workers_die(self) -> None:
        self.claims.clear()
        for cell in self.above.claimed_by(1):
            self.above.give_back(cell)
        self.put_right()

    @rule()
    def the_collectors_die(self) -> None:
        self.children.clear()
        for cell in self.below.claimed_by(2):
            self.below.give_back(cell)
        self.put_right()

    def put_right(self) -> None:
        self.above.rebuild()
        self.below.rebuild()
        for number, cell in recount({0: self.above, 1: self.below}):
            assert number == 0, "a message of the last queue is over when its routine is done"
            self.end(cell)

    def end(self, cell: int) -> None:
        self.over.append(int(self.above.words[self.above.row(cell) + w.NUMBER]))
        self.above.complete(cell, None, None)

    @invariant()
    def every_message_is_over_once_or_under_way(self) -> None:
        assert len(self.over) == len(set(self.over))
        under_way = {int(self.above.words[self.above.row(cell) + w.NUMBER]) for cell in self.above.under_way()}
        assert under_way == self.put_above - set(self.over)

    @invariant()
    def the_sums_are_right(self) -> None:
        for queue in (self.above, self.below):
            states = [queue.words[queue.row(cell) + w.STATE] for cell in queue.under_way()]
            assert queue.words[w.UNDONE] == len(states)
            assert queue.words[w.CLAIMED_NOW] == states.count(w.CLAIMED)
            assert queue.waiting == states.count(w.READY)


TestStorm = Storm.TestCase
TestStorm.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
