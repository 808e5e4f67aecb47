"""A rig of edges over private memory: every routine has its own end of everything, as if it had its own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pipert2.errors import SharedMemoryFullError
from pipert2.graph.routine import RoutineKind
from pipert2.graph.spec import EdgeSpec, PipeSpec, RoutineSpec
from pipert2.graph.transmitter import BasicTransmitter, DataTransmitter, SharedMemoryTransmitter
from pipert2.transport import board as b
from pipert2.transport.board import NEVER, Board
from pipert2.transport.envelope import Message
from pipert2.transport.local import LocalEdge
from pipert2.transport.memory import Fence, PrivateArena, ThreadBell
from pipert2.transport.outlet import Outlet
from pipert2.transport.pool import SlotPool
from pipert2.transport.recovery import release_receiver, retract_sender
from pipert2.transport.ring import Interrupted, RingReceiver, RingSender, ring_key, ring_size
from pipert2.transport.segment import TAKEN, Segment, Segments, create_segment
from tests.arrays import address_of


class StepWaiter:
    """A sender's sleep that a test plays by hand: *on_sleep* is what the rest of the world does meanwhile."""

    def __init__(self, bell: ThreadBell) -> None:
        self.bell = bell
        self.stopped = False
        self.slept: list[str] = []
        self.on_sleep: Callable[[], object] | None = None

    def check(self) -> None:
        if self.stopped:
            raise Interrupted

    def wait_for_room(self, waiting_for: str) -> None:
        self.slept.append(waiting_for)
        if self.on_sleep is None:
            raise AssertionError(f"would wait for ever for {waiting_for}")
        self.on_sleep()

    def wake(self) -> None:
        self.bell.ring()


class Died(BaseException):
    """What happens to a mortal process at the store it does not live to make."""


class Life:
    """How many stores to shared words a process still makes before it is killed; None: as many as it likes."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.dead = False
        self.made = 0

    def may_store(self) -> bool:
        """False for a process that is dead: what runs of it, in a test, no longer has any effect."""
        if self.dead:
            return False
        if self.left is not None and self.made >= self.left:
            self.dead = True
            raise Died
        self.made += 1
        return True


class MortalWords:
    """Shared words as a process sees them that may be killed before any store."""

    def __init__(self, words: memoryview, life: Life) -> None:
        self._words = words
        self._life = life

    def __getitem__(self, index: Any) -> Any:
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        if self._life.may_store():
            self._words[index] = value


class MortalRing:
    """A ring as a sender sees it that may be killed half-way through a cell."""

    def __init__(self, view: memoryview, life: Life) -> None:
        self.view = self
        self._ring = view
        self._life = life

    def __setitem__(self, where: slice, cell: bytes) -> None:
        try:
            if self._life.may_store():
                self._ring[where] = cell
        except Died:
            half = len(cell) // 2
            self._ring[where.start : where.start + half] = cell[:half]
            raise


class MortalSegments(Segments):
    """A directory of segments whose words are mortal ones."""

    def __init__(self, arena: PrivateArena, owner_bell: Callable[[int], Any], life: Life) -> None:
        super().__init__(arena, owner_bell)
        self._life = life

    def get(self, number: int) -> Segment:
        segment = super().get(number)
        if not isinstance(segment.words, MortalWords):
            segment.words = MortalWords(segment.words, self._life)  # type: ignore[assignment]
        return segment


@dataclass(frozen=True)
class Counters:
    """The words of an edge that tests look at."""

    sent: int
    taken: int
    received: int
    dropped: int
    discarded: int
    copied: int
    lost: int
    blocked: bool
    wake_at: int

    @property
    def queued(self) -> int:
        return self.sent - self.taken


class Rig:
    """Edges written as ``"a>b"`` (between flows) and ``"a=b"`` (within one), each routine with its own end of each.

    *mortal* is the one routine whose process can be killed, at the store that ``rig.life.left`` says.
    """

    def __init__(
        self,
        edges: str,
        *,
        lossless: bool | Mapping[str, bool] = False,
        capacity: int | Mapping[str, int] = 1,
        transmitter: DataTransmitter | Mapping[str, DataTransmitter] | None = None,
        memory: int = 1 << 40,
        mortal: str = "",
    ) -> None:
        texts = edges.split()
        pairs = [tuple(text.replace("=", ">").split(">")) for text in texts]
        self.names = list(dict.fromkeys(name for pair in pairs for name in pair))

        def of(option: Any, text: str, default: Any) -> Any:
            value = option.get(text, default) if isinstance(option, Mapping) else option
            return default if value is None else value

        specs = [
            EdgeSpec(
                index=index,
                source=self.names.index(start),
                destination=self.names.index(end),
                lossless=of(lossless, text, False),
                capacity=of(capacity, text, 1),
                transmitter=of(transmitter, text, SharedMemoryTransmitter(0)),
                crosses=">" in text,
            )
            for index, (text, (start, end)) in enumerate(zip(texts, pairs, strict=True))
        ]
        self.spec = PipeSpec(
            "rig",
            {name: (index,) for index, name in enumerate(self.names)},
            tuple(RoutineSpec(i, name, name, RoutineKind.ANY, ()) for i, name in enumerate(self.names)),
            tuple(specs),
            1.0,
        )
        self.edges = dict(zip(texts, specs, strict=True))
        self.memory = memory
        self.arena = PrivateArena()
        self.board = Board(self.arena.create("board", Board.size(len(self.names), len(specs))), len(self.names))
        self.rings = {}
        for edge in specs:
            self.board.words[self.board.edge(edge.index) + b.WAKE_AT] = NEVER
            if edge.crosses:
                self.rings[edge.index] = self.arena.create(ring_key(edge.index), ring_size(edge))
        self.bells = [self.arena.bell(f"b{index:x}", create=True) for index in range(len(self.names))]
        self.grown: list[tuple[str, int, int]] = []
        """Owner, slot size and number of slots of every segment made so far."""
        self.supervised: list[Segment] = []
        self.waiters: dict[str, StepWaiter] = {}
        self.segments: dict[str, Segments] = {}
        self.pools: dict[str, SlotPool] = {}
        self.outlets: dict[str, Outlet] = {}
        self.receivers: dict[str, RingReceiver | LocalEdge] = {}
        self.life = Life()
        self._mortal = mortal
        self._sequence = 0
        self._zombies: list[object] = []
        for name in self.names:
            self.segments[name] = self._new_segments(name)
            self.waiters[name] = StepWaiter(self.bells[self.names.index(name)])  # type: ignore[arg-type]
        for text, edge in self.edges.items():
            self.connect_receiver(text, edge)
        for name in self.names:
            self.connect_sender(name)

    def _new_segments(self, name: str) -> Segments:
        if name == self._mortal:
            return MortalSegments(self.arena, self.bells.__getitem__, self.life)
        return Segments(self.arena, self.bells.__getitem__)

    def _board_of(self, name: str) -> Board:
        """The board as a routine's process sees it."""
        board = Board(self.board.block, len(self.names))
        if name == self._mortal:
            board.words = MortalWords(self.board.words, self.life)  # type: ignore[assignment]
        return board

    def connect_receiver(self, text: str, edge: EdgeSpec) -> None:
        if edge.crosses:
            self.receivers[text] = RingReceiver(
                edge,
                self._board_of(self.names[edge.destination]),
                self.arena.open(ring_key(edge.index)),
                self.segments[self.names[edge.destination]],
                self.bells[edge.source],
                self.names[edge.source],
                edge.transmitter.receive(),
            )
        else:
            self.receivers[text] = LocalEdge(
                edge,
                self.board,
                self.bells[edge.destination],
                self.bells[edge.source],
                self.waiters[self.names[edge.source]],
            )

    def connect_sender(self, name: str) -> None:
        index, fence, waiter = self.names.index(name), Fence(), self.waiters[name]
        board = self._board_of(name)
        senders = [
            RingSender(edge, board, self._ring_of(name, edge), self.bells[edge.destination], fence, waiter)
            if edge.crosses
            else self.receivers[text]
            for text, edge in self.edges.items()
            if edge.source == index
        ]
        carriers = {at: {edge.index for edge in self.spec.carriers(at)} for at in range(len(self.names))}
        pool = SlotPool(index, self.spec.carriers(index), board, self.segments[name], fence, waiter, self._grower(name))
        pool.adopt([segment.number for segment in self.supervised if segment.owner == index])
        self.pools[name] = pool
        self.outlets[name] = Outlet(
            senders,  # type: ignore[arg-type]
            pool,
            self.segments[name],
            lambda owner, edge: edge in carriers[owner],
            bool(self.spec.inputs(index)),
        )

    def _ring_of(self, name: str, edge: EdgeSpec) -> Any:
        ring = self.arena.open(ring_key(edge.index))
        return MortalRing(ring.view, self.life) if name == self._mortal else ring

    def _grower(self, name: str) -> Callable[[int, int], int]:
        def grow(slot_size: int, slots: int) -> int:
            if slot_size * slots > self.memory:
                raise SharedMemoryFullError(slot_size * slots, self.memory)
            self.memory -= slot_size * slots
            number = len(self.grown)
            block = create_segment(
                self.arena,
                number,
                owner=self.names.index(name),
                columns=len(self.spec.edges),
                slot_size=slot_size,
                slots=slots,
            )
            self.grown.append((name, slot_size, slots))
            self.supervised.append(Segment(number, block))
            return number

        return grow

    # --- what happens in a pipe

    def send(self, name: str, data: Any) -> None:
        self._sequence += 1
        self.outlets[name].send(data, self._sequence, 0)

    def take_message(self, edge: str) -> Message | None:
        return self.receivers[edge].take()

    def take(self, edge: str) -> Any:
        """The data of the next message, None if there is none."""
        message = self.take_message(edge)
        return None if message is None else message.data

    def take_all(self, edge: str) -> list[Any]:
        found = []
        while (message := self.take_message(edge)) is not None:
            found.append(message.data)
        return found

    def counters(self, edge: str) -> Counters:
        words, row = self.board.words, self.board.edge(self.edges[edge].index)
        return Counters(
            sent=words[row + b.W],
            taken=words[row + b.R],
            received=words[row + b.RECEIVED],
            dropped=words[row + b.DROPPED],
            discarded=words[row + b.DISCARDED],
            copied=words[row + b.COPIED],
            lost=words[row + b.LOST],
            blocked=bool(words[row + b.BLOCKED_SINCE]),
            wake_at=words[row + b.WAKE_AT],
        )

    def rung(self, name: str) -> bool:
        """Whether a routine's bell was rung since the last look."""
        bell, found = self.bells[self.names.index(name)], False
        while bell.wait(0):
            found = True
        return found

    def falls_asleep(self, name: str) -> None:
        self.board.words[self.board.routine(self.names.index(name)) + b.SLEEPING] = 1

    # --- slots as the supervisor sees them

    @property
    def slots(self) -> int:
        return sum(slots for _, _, slots in self.grown)

    def taken_slots(self, edge: str) -> int:
        """Slots that the edge's receiver says it uses."""
        column = self.edges[edge].index
        return sum(
            bool(segment.words[segment.hold(slot) + column] & TAKEN)
            for segment in self.supervised
            for slot in range(segment.slots)
        )

    def place_of(self, array: np.ndarray) -> tuple[int, int] | None:
        """Segment and slot in which an array lies, None if in none."""
        address = address_of(array)
        for segment in self.supervised:
            start = address_of(np.frombuffer(segment.block.view, np.uint8)) + segment.start(0)
            if start <= address < start + segment.slots * segment.slot_size:
                return segment.number, (address - start) // segment.slot_size
        return None

    def words_given(self, edge: str, number: int) -> list[tuple[Segment, int, int]]:
        """The slots that message *number* of an edge was given: segment, index of `given`, index of `hold`."""
        column = self.edges[edge].index
        return [
            (segment, segment.given(slot) + column, segment.hold(slot) + column)
            for segment in self.supervised
            for slot in range(segment.slots)
            if segment.words[segment.given(slot) + column] == number
        ]

    # --- death and what the supervisor does then

    def die(self, name: str) -> None:
        """The routine's process is gone: nothing of it runs any more, so nothing is given back either."""
        index = self.names.index(name)
        self._zombies += [self.outlets.pop(name), self.pools.pop(name), self.segments[name]]
        for text, edge in self.edges.items():
            if edge.destination == index:
                self._zombies.append(self.receivers.pop(text))

    def keep_for_ever(self, thing: object) -> None:
        """What a process held when it died."""
        self._zombies.append(thing)

    def recover(self, name: str) -> None:
        index = self.names.index(name)
        for edge in self.edges.values():
            if edge.destination == index:
                release_receiver(edge, self.board, self.supervised)
            if edge.source == index:
                retract_sender(edge, self.board, self.rings[edge.index], self.supervised)

    def restart(self, name: str) -> None:
        """A new process takes the place of one that died; it is not mortal any more."""
        index = self.names.index(name)
        if name == self._mortal:
            self._mortal = ""
        self.segments[name] = self._new_segments(name)
        for text, edge in self.edges.items():
            if edge.destination == index:
                self.connect_receiver(text, edge)
        self.connect_sender(name)


@pytest.fixture(scope="session")
def died() -> type[Died]:
    """What a mortal process raises when it is killed."""
    return Died


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    """Makes a :class:`Rig`."""
    return Rig


@pytest.fixture(scope="session")
def basic() -> BasicTransmitter:
    return BasicTransmitter()
