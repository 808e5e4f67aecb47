"""A flow at work: its routines' loops, their edges, and the way to the main process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from pipert2.errors import CallTimeoutError, PipertError, PipeStateError, SharedMemoryFullError, UnknownRoutineError
from pipert2.events.bus import EventCall, EventResult
from pipert2.events.target import resolve
from pipert2.graph.handlers import KILL_EVENT_NAME
from pipert2.graph.spec import EdgeSpec, PipeSpec
from pipert2.runtime import commands
from pipert2.runtime.commands import LEAVE
from pipert2.runtime.flow.event_loop import EventLoop
from pipert2.runtime.messages import (
    Announcement,
    CallOutcome,
    CallReply,
    CallRequest,
    ConfigurationChanged,
    DeadLetter,
    DeadLetterRequest,
    EventAnswer,
    EventReply,
    EventRequest,
    Exit,
    Launch,
    OutwardReply,
    OutwardRequest,
    Packed,
    ParameterSet,
    Receipt,
    SegmentReply,
    SegmentRequest,
    Send,
    Shared,
    StateChange,
)
from pipert2.runtime.routine.around import Command, Receiver
from pipert2.runtime.routine.crew import BringsCrew
from pipert2.runtime.routine.loop import RoutineLoop
from pipert2.runtime.routine.preview import Encoder, Side, Tap
from pipert2.runtime.routine.shown import Sketcher
from pipert2.runtime.supervision.pipe_memory import BOARD_KEY, bell_key
from pipert2.store.elsewhere import StoreElsewhere
from pipert2.transport.board import AWAITS_RECORDS, CLOSED, Board, RoutineState
from pipert2.transport.codec import dumps_plain
from pipert2.transport.local import LocalEdge
from pipert2.transport.memory import Arena, Bell
from pipert2.transport.outlet import Outlet
from pipert2.transport.pool import SlotPool
from pipert2.transport.ring import RingReceiver, RingSender, ring_key
from pipert2.transport.segment import Segments
from pipert2.transport.work_ends import Delivery, WorkReceiver, WorkSender
from pipert2.transport.work_queue import WorkQueue, WorkQueues

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT = 30.0
"""Seconds to wait for the main process to make a segment; it does nothing that takes long."""


class FlowHost:
    """Runs the routines of one flow, in a process of its own or inline.

    Args:
        launch: what to run.
        arena: where shared memory and bells are found.
        send: hands a message to the main process; never blocks.
    """

    def __init__(self, launch: Launch, arena: Arena, send: Send) -> None:
        self._spec = spec = launch.spec
        self._send = send
        self._arena = arena
        self._logger = logging.getLogger(f"{launch.logger}.{launch.flow}")
        self._requests = itertools.count(1)
        self._pending: dict[int, Callable[[Any], None]] = {}
        self._bells: dict[int, Bell] = {}
        board = Board(arena.open(BOARD_KEY), spec.rows)
        self._segments = Segments(arena, self._bell)
        self._board = board
        self._carriers = _carriers_of(spec)
        self.loops: dict[int, RoutineLoop] = {}
        for index, routine in zip(spec.flows[launch.flow], launch.routines, strict=True):
            name = spec.routines[index].name
            log = logging.getLogger(f"{launch.logger}.{launch.flow}.{name}")
            self.loops[index] = RoutineLoop(spec, spec.routines[index], routine, board, self._bell(index), self, log)
        for loop, configured in zip(self.loops.values(), launch.configured, strict=False):
            loop.configuration, loop.trigger = configured.configuration, configured.trigger
            if configured.configuration.says_log_level:
                loop.logger.setLevel(configured.configuration.log_level)
        self._queues = WorkQueues(arena, board, self._segments, self._bell, lambda: self._spec)
        self._local: dict[int, LocalEdge] = {}
        self._learning = threading.Lock()
        self._ended_loops: set[int] = set()
        self._encoder = Encoder(send)
        self._sketcher = Sketcher(lambda number, routine, found: self.answer(number, routine, found, None))
        self._flow = launch.flow
        self._event_loop: EventLoop | None = None
        self.store = launch.store
        if isinstance(self.store, StoreElsewhere):
            self.store.connect(lambda *arguments: self.ask_outward("store", arguments, ANSWER_TIMEOUT))
        self.parameters: Mapping[str, Any] = dict(launch.parameters)
        self.clock = launch.clock
        self.run = launch.prefix
        self._inline = not launch.prefix
        if self.store is not None and not self._inline:  # else the main process does it: it is the same store
            self.store.listen(self.records_written)
        self._make_local_edges(spec.edges)
        for index, loop in self.loops.items():
            ledger = spec.ledger(index)
            loop.connect(
                [self.receiver(edge, index) for edge in spec.inputs(index)],
                self._outlet(loop, launch.segments),
                self._queues.get(ledger.index) if ledger is not None else None,
                [self._queues.get(edge.index) for edge in spec.ledgers_of_circle(index)],
            )
        for loop in self.loops.values():
            loop.thread.start()

    def _make_local_edges(self, edges: Sequence[EdgeSpec]) -> None:
        for edge in edges:
            if not edge.crosses and edge.source in self.loops:
                bells = self._bell(edge.destination), self._bell(edge.source)
                self._local[edge.index] = LocalEdge(edge, self._board, *bells, self.loops[edge.source])

    def learn(self, spec: PipeSpec) -> None:
        """Take note of further edges; each loop does its own part of it after that."""
        with self._learning:
            fresh = spec.edges[len(self._spec.edges) :]
            if not fresh:
                return
            self._make_local_edges(fresh)
            self._carriers = _carriers_of(spec)
            self._spec = spec

    def receiver(self, edge: EdgeSpec, routine: int) -> Receiver:
        """The receiving end of an edge in one of the routines."""
        if not edge.crosses:
            return self._local[edge.index]
        if edge.shared:
            queue, receive = self._queues.get(edge.index), edge.transmitter.receive()
            name = self._spec.routines[edge.source].name
            bell = self._bell(routine)
            circle = any(other.feedback for other in self._spec.inputs(routine))
            taker = self.loops[routine].routine
            encoded = isinstance(taker, BringsCrew) and taker.takes_encoded
            own = self._queues, queue, self._segments, self._board, bell, routine, name, receive
            return WorkReceiver(*own, circle=circle, encoded=encoded)
        ring = self._arena.open(ring_key(edge.index))
        source = self._spec.routines[edge.source].name
        receive = edge.transmitter.receive()
        return RingReceiver(edge, self._board, ring, self._segments, self._bell(edge.source), source, receive)

    def sender(self, edge: EdgeSpec, loop: RoutineLoop) -> RingSender | LocalEdge | WorkSender:
        """The sending end of an edge."""
        if not edge.crosses:
            return self._local[edge.index]
        if edge.shared:
            return WorkSender(self._queues, self._queues.get(edge.index), self._board, loop.spec.replica, loop)
        ring = self._arena.open(ring_key(edge.index))
        return RingSender(edge, self._board, ring, self._bell(edge.destination), loop.fence, loop)

    def _outlet(self, loop: RoutineLoop, segments: Sequence[int]) -> Outlet:
        index, board = loop.spec.index, self._board
        senders = [
            self.sender(edge, loop)
            for edge in self._spec.outputs(index)
            if not board.words[board.edge(edge.index) + CLOSED]  # unlinked before the flow was restarted
        ]
        carriers = self._spec.carriers(index)
        pool = SlotPool(index, carriers, board, self._segments, loop.fence, loop, self._grower(index))
        pool.adopt([number for number in segments if self._segments.get(number).owner == index])
        return Outlet(senders, pool, self._segments, self._carries, bool(self._spec.inputs(index)))

    def _carries(self, owner: int, edge: int) -> bool:
        return edge in self._carriers[owner]

    def _bell(self, routine: int) -> Bell:
        bell = self._bells.get(routine)
        if bell is None:
            bell = self._bells[routine] = self._arena.bell(bell_key(routine))
        return bell

    def _grower(self, owner: int) -> Callable[[int, int], int]:
        def grow(slot_size: int, slots: int) -> int:
            number = self._ask(lambda request: SegmentRequest(request, owner, slot_size, slots), ANSWER_TIMEOUT)
            if isinstance(number, SharedMemoryFullError):
                raise number
            if number is None:
                raise SharedMemoryFullError(slot_size * slots, 0, "time: the main process did not answer")
            return int(number)

        return grow

    def _ask(self, make: Callable[[int], Any], timeout: float) -> Any:
        """Send a request to the main process and wait for its reply; None if none came in time."""
        answered = threading.Event()
        box: list[Any] = []

        def take(answer: Any) -> None:
            box.append(answer)
            answered.set()

        number = self._request(make, take)
        answered.wait(timeout)
        self._pending.pop(number, None)
        return box[0] if box else None

    def _request(self, make: Callable[[int], Any], take: Callable[[Any], None]) -> int:
        number = next(self._requests)
        self._pending[number] = take
        self._send(make(number))
        return number

    def handle(self, message: Any) -> None:
        """Take a message from the main process. Never blocks."""
        if isinstance(message, EventCall):
            self._post(message)
        elif isinstance(message, EventReply | SegmentReply | CallReply | OutwardReply | Receipt):
            take = self._pending.pop(message.request, None)
            if take is not None:
                take(message.answer)
        elif isinstance(message, Shared):
            self.parameters = message.values.open()
        elif isinstance(message, Exit):
            for loop in self.loops.values():
                loop.post(Command(0, LEAVE if message.again else KILL_EVENT_NAME, {}))
        else:
            raise PipertError(f"a flow got a message it does not know: {message!r}")

    def _post(self, call: EventCall) -> None:
        params = call.params
        if isinstance(params, Packed):
            try:
                params = params.open()
            except Exception as error:
                failure = f"the parameters of event {call.name!r} cannot be read here: {error!r}"
                logger.error("%s", failure)
                for index in call.routines:
                    self.answer(call.number, index, None, (failure, ""))
                return
        for index in call.routines:
            if index in self.loops and call.name == commands.RESULTS:
                self._sketcher.ask(call.number, index, self.loops[index].shown, params["after"])
            elif index in self.loops:
                self.loops[index].post(Command(call.number, call.name, params, call.place))

    def ended(self, timeout: float) -> bool:
        """Wait until all routines have ended for good; False if some have not within *timeout* seconds."""
        deadline = monotonic() + timeout
        for loop in self.loops.values():
            loop.thread.join(max(0.0, deadline - monotonic()))
        return not any(loop.thread.is_alive() for loop in self.loops.values())

    def close(self) -> None:
        """Let go of what is left when the routines have ended."""
        self._encoder.close()
        self._sketcher.close()
        if self._event_loop is not None:
            self._event_loop.close()

    # --- what the loops call

    def answer(self, number: int, routine: int, value: Any, error: tuple[str, str] | None) -> None:
        self._send(EventAnswer(number, routine, value, error))

    def configured(self, routine: int, values: Mapping[str, Any]) -> None:
        self._send(ConfigurationChanged(routine, dict(values)))

    def records_written(self) -> None:
        """Something was written to the store: wake the routines that wait for records."""
        words, board = self._board.words, self._board
        for routine in self._spec.routines:
            if words[board.routine(routine.index) + AWAITS_RECORDS]:
                self._bell(routine.index).ring()

    def announce(self, name: str, values: Mapping[str, Any]) -> None:
        """Tell everybody of something that has happened."""
        self._send(Announcement(name, dict(values)))

    def parameter_set(self, routine: int, name: str, value: Any) -> None:
        self._send(ParameterSet(routine, name, value))

    def give_back(self, routine: int) -> None:
        """The routine has ended. When all have, let other replicas have what they had claimed and nobody works on."""
        with self._learning:
            self._ended_loops.add(routine)
            last = len(self._ended_loops) == len(self.loops)
        if last:
            for index in self.loops:
                self._queues.release(index)

    def event_loop(self) -> EventLoop:
        """The flow's event loop, made when it is first needed."""
        with self._learning:
            if self._event_loop is None:
                self._event_loop = EventLoop(self._flow, self._logger)
            return self._event_loop

    def open_account(self, ledger: WorkQueue, routine: int) -> Delivery:
        return Delivery(self._queues, ledger, self._queues.open_account(ledger, routine))

    def return_result(self, source: int, origin: int, value: Any) -> None:
        """Hand what a destination returned for a message back to its source, which has it then, unless it has gone."""
        params = {"origin": origin, "value": Packed(dumps_plain(value))}
        self._ask(
            lambda request: EventRequest(request, commands.RESULT, (source,), params, ANSWER_TIMEOUT),
            2 * ANSWER_TIMEOUT,
        )

    def return_message(self, delivery: Delivery, *, again: bool) -> None:
        self._queues.give_back(delivery.queue, delivery.claim, again=again)

    def keep_dead_letter(self, letter: DeadLetter) -> bool:
        return self._ask(lambda request: DeadLetterRequest(request, letter), ANSWER_TIMEOUT) is not None

    def call(self, caller: int | None, routine: str, data: Any, timeout: float) -> Any:
        """Call a routine: what it returns, or, in async code, what is to be awaited for that."""
        if not timeout > 0:
            raise ValueError(f"call(timeout=...) is a time in seconds above 0, not {timeout!r}")
        spec = self._spec.routine(routine)
        late = CallOutcome(None, CallTimeoutError(routine, "there was no answer in time"))
        if spec is None and self._spec.partial:
            asked = Packed(dumps_plain((routine, data, timeout)))
            return self._sent_call(lambda request: OutwardRequest(request, "call", asked), timeout, late)
        if spec is None:
            known = list(dict.fromkeys(known.name for known in self._spec.routines))
            raise UnknownRoutineError(routine, known, f"pipe {self._spec.name!r}")
        if caller is not None and self._spec.routines[caller].base == spec.base:
            raise PipeStateError(f"routine {routine!r} would wait for itself: it cannot call itself")
        packed = Packed(dumps_plain(data))

        def make(request: int) -> CallRequest:
            return CallRequest(request, spec.base, packed, timeout)

        return self._sent_call(make, timeout, late)

    def _sent_call(self, make: Callable[[int], Any], timeout: float, late: CallOutcome) -> Any:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return (self._ask(make, timeout) or late).unwrap()
        return self._call_async(make, loop, timeout, late)

    async def _call_async(
        self, make: Callable[[int], Any], loop: asyncio.AbstractEventLoop, timeout: float, late: CallOutcome
    ) -> Any:
        answered: asyncio.Future[CallOutcome] = loop.create_future()

        def take(answer: CallOutcome) -> None:
            if not answered.done():
                answered.set_result(answer)

        number = self._request(make, lambda answer: _hand_over(loop, take, answer))
        try:
            outcome = await asyncio.wait_for(answered, timeout)
        except asyncio.TimeoutError:
            outcome = late
        finally:
            self._pending.pop(number, None)
        return outcome.unwrap()

    def ask_outward(self, verb: str, arguments: tuple[Any, ...], wait: float | None) -> Any:
        """Ask the parts of the pipe that are at other sites; without *wait*, tell them."""
        packed = Packed(dumps_plain(arguments))
        if wait is None:
            self._send(OutwardRequest(0, verb, packed))
            return None
        answer = self._ask(lambda request: OutwardRequest(request, verb, packed), wait + ANSWER_TIMEOUT)
        if answer is None:
            raise PipeStateError(f"the driver's host did not answer in time ({verb})")
        return answer.unwrap()

    def tap(self, routine: str, side: Side, rate: float, size: int) -> Tap:
        return Tap(self._encoder, routine, side, rate, size)

    def state_changed(self, routine: int, state: RoutineState, finished: bool, reason: str) -> None:
        self._send(StateChange(routine, state, finished, reason))

    def notify_event(
        self,
        sender: int | None,
        name: str,
        targets: Mapping[str, Sequence[str]] | None,
        wait: float | None,
        params: dict[str, Any],
    ) -> dict[str, EventResult] | None:
        if self._spec.partial:
            asking = None if sender is None else self._spec.routines[sender].name
            return self.ask_outward("event", (asking, name, targets, wait, params), wait)  # type: ignore[no-any-return]
        routines = resolve(self._spec, name, targets)
        indices = tuple(routine.index for routine in routines)
        if wait is None:
            self._send(EventRequest(0, name, indices, params, 0.0))
            return None
        if sender in indices:
            raise PipeStateError(
                f"routine {self._spec.routines[sender].name!r} would wait for itself to answer {name!r}: "
                "name the other routines, or leave out wait="
            )
        results = self._ask(lambda request: EventRequest(request, name, indices, params, wait), wait + ANSWER_TIMEOUT)
        if results is None:
            raise PipeStateError(f"the main process did not answer to {name!r}")
        return dict(results)


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[Any], None], answer: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(take, answer)


def _carriers_of(spec: PipeSpec) -> dict[int, frozenset[int]]:
    """For each routine the edges that its data can travel on."""
    return {routine.index: frozenset(edge.index for edge in spec.carriers(routine.index)) for routine in spec.routines}
