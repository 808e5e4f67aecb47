"""What the flows tell the supervisor, and what it does about each."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipert2.errors import SharedMemoryFullError
from pipert2.events.bus import EventCall
from pipert2.events.notices import FLOW_FINISHED, ROUTINE_RESTARTED
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME
from pipert2.runtime import messages as m
from pipert2.runtime.flow.logs import FORWARDED_ATTRIBUTE
from pipert2.runtime.routine.preview import PreviewFrame
from pipert2.runtime.supervision.flow_handle import InlineFlow, ProcessFlow
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import loads

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor


class Reception:
    """Takes the messages of flows. Safe to use from any thread.

    Args:
        supervisor: whose flows.
        log_listeners: called with each record that a flow's process sends, those that are there at that time.
    """

    def __init__(self, supervisor: Supervisor, log_listeners: Sequence[Callable[[logging.LogRecord], None]]) -> None:
        self._supervisor = supervisor
        self._log_listeners = log_listeners
        self._finished: set[str] = set()

    def read(self, flow: FlowRecord) -> None:
        """Take all messages that wait; an end of file means that the process is going."""
        supervisor = self._supervisor
        handle = flow.handle
        if not isinstance(handle, ProcessFlow):
            return
        try:
            for _ in range(100):
                data = handle.connection.recv_bytes()
                try:
                    self.receive(flow, loads(data))
                except Exception:
                    supervisor.logger.exception("a message of flow %r cannot be dealt with", flow.name)
                if not handle.connection.poll():
                    return
        except (EOFError, OSError):
            handle.hang_up()

    def receive(self, flow: FlowRecord, message: Any) -> None:
        """A message from a flow; from any thread where flows are inline."""
        supervisor = self._supervisor
        reply = functools.partial(supervisor.reply, flow, flow.handle)
        if isinstance(message, m.EventAnswer):
            supervisor.delivery.answered(message)
        elif isinstance(message, m.StateChange):
            self._on_state(flow, message)
        elif isinstance(message, m.EventRequest):
            supervisor.delivery.asked(message, reply)
        elif isinstance(message, m.CallRequest):
            supervisor.calls.start(
                message.routine,
                message.data,
                message.timeout,
                lambda outcome: reply(m.CallReply(message.request, outcome)),
            )
        elif isinstance(message, m.OutwardRequest):
            if supervisor.settings.outward is not None:
                request = message.request
                supervisor.settings.outward(message, lambda outcome: reply(m.OutwardReply(request, outcome)))
        elif isinstance(message, m.SegmentRequest):
            reply(m.SegmentReply(message.request, self._make_segment(message)))
        elif isinstance(message, m.LogRecords):
            self._log(message)
        elif isinstance(message, m.DeadLetterRequest):
            supervisor.dead_letters.keep(message.letter)
            reply(m.Receipt(message.request))
        elif isinstance(message, m.Announcement):
            supervisor.announce(message.name, message.values)
        elif isinstance(message, m.ParameterSet):
            supervisor.live_parameters(message.routine).changed(message.name, message.value)
        elif isinstance(message, m.ConfigurationChanged):
            supervisor.configurations.changed(supervisor.spec.routines[message.routine].name, message.values)
        elif isinstance(message, PreviewFrame):
            supervisor.standing.keep_preview(message)
        elif isinstance(message, m.Ready):
            self._on_ready(flow)
        elif isinstance(message, m.Died):
            flow.boot_failure = message
            supervisor.notify()

    def _make_segment(self, request: m.SegmentRequest) -> int | SharedMemoryFullError:
        supervisor = self._supervisor
        try:
            return supervisor.memory.make_segment(request.owner, request.slot_size, request.slots)
        except SharedMemoryFullError as error:
            return error

    def _on_ready(self, flow: FlowRecord) -> None:
        supervisor = self._supervisor
        with supervisor.lock:
            flow.ready = True
            supervisor.standing.tell_again(flow)
            wanted = tuple(
                index
                for index in flow.routines
                if index in supervisor.wanted
                and not supervisor.board.words[supervisor.board.routine(index) + b.FINISHED]
            )
            assert flow.handle is not None
            if (flow.restarts or flow.revived) and wanted:
                flow.handle.send(EventCall(0, START_EVENT_NAME, wanted, {}))
            killed = tuple(index for index in flow.routines if index in supervisor.killed)
            for index in killed:  # they begin nothing any more
                supervisor.states[index] = RoutineState.KILLED
            waiting, flow.waiting = flow.waiting, []
            for call in waiting:
                supervisor.delivery.hand_over(flow, call)
            if killed:
                flow.handle.send(EventCall(0, KILL_EVENT_NAME, killed, {}))
            if flow.exiting:
                flow.handle.send(m.Exit(supervisor.settings.kill_timeout))
        if flow.restarts > 0:
            for index in flow.routines:
                routine = supervisor.spec.routines[index]
                about: dict[str, Any] = {"routine": routine.name, "flow": routine.flow, "replica": routine.replica}
                supervisor.announce(
                    ROUTINE_RESTARTED, {**about, "restarts": flow.restarts, "cause": flow.last_exit or ""}
                )
        supervisor.notify()

    def _on_state(self, flow: FlowRecord, change: m.StateChange) -> None:
        supervisor = self._supervisor
        with supervisor.lock:
            supervisor.states[change.routine] = change.state
            if change.state is RoutineState.KILLED and all(
                supervisor.states[index] is RoutineState.KILLED for index in flow.routines
            ):
                supervisor.lives.end(flow)
                if isinstance(flow.handle, InlineFlow):
                    flow.ended = True
                    flow.kill_at = None
            if change.finished and change.state is RoutineState.IDLE:
                supervisor.go_on([change.routine])
            elif change.state is RoutineState.RUNNING:
                self._go_on_behind(change.routine)
        if change.state is not RoutineState.STARTING:
            supervisor.calls.look()
        if change.finished:
            supervisor.look_at_gates()
        self._tell_of_end(supervisor.spec.routines[change.routine].flow)
        supervisor.notify()

    def _go_on_behind(self, routine: int) -> None:
        """A stream has begun. If that of before had just ended, those behind it may have finished by that."""
        supervisor = self._supervisor
        words, board, spec = supervisor.board.words, supervisor.board, supervisor.spec
        behind = [end for edge in spec.outputs(routine) for end in spec.members(edge.destination)]
        finished = [end for end in behind if words[board.routine(end) + b.FINISHED]]
        if finished:
            supervisor.go_on(finished)

    def _tell_of_end(self, flow: str) -> None:
        supervisor = self._supervisor
        with supervisor.lock:
            was = flow in self._finished
            ended = supervisor.progress.streams_ended(flow)
            (self._finished.add if ended else self._finished.discard)(flow)
        if ended and not was:
            supervisor.announce(FLOW_FINISHED, {"flow": flow})

    def _log(self, message: m.LogRecords) -> None:
        supervisor = self._supervisor
        proper = logging.getLogger(supervisor.logger.name) is supervisor.logger
        for record in message.records:
            logger = logging.getLogger(record.name) if proper else supervisor.logger
            setattr(record, FORWARDED_ATTRIBUTE, True)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
                for listener in tuple(self._log_listeners):
                    listener(record)
        if message.dropped:
            supervisor.logger.warning("%d log records were dropped, they came too fast", message.dropped)
