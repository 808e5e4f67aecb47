"""The life of one routine: its thread, its states, its loop.

Everything of the user's runs in this thread: ``setup``, ``main_logic``, ``cleanup`` and event handlers, one at a time.
What others want of the routine is put into its inbox and its bell is rung; the loop looks there between two messages.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from time import monotonic, monotonic_ns
from types import GeneratorType
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipert2.errors import PipertError, UnreadableDataError
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME, UNLINK_EVENT_NAME, event_handlers
from pipert2.graph.parameter import parameters_of, plain_value
from pipert2.graph.routine import EndOfStream, Routine
from pipert2.graph.spec import EdgeSpec, PipeSpec, RoutineSpec
from pipert2.graph.validation import has_logic
from pipert2.runtime import commands
from pipert2.runtime.histogram import Sampler
from pipert2.runtime.messages import DeadLetter, Packed
from pipert2.runtime.pacing import SECOND, Ticker
from pipert2.runtime.preview import Side, Tap
from pipert2.store import Store
from pipert2.transport import board as b
from pipert2.transport.board import Board, RoutineState
from pipert2.transport.codec import dumps_plain
from pipert2.transport.envelope import Message, origin_of
from pipert2.transport.local import LocalEdge
from pipert2.transport.memory import Bell, Fence
from pipert2.transport.outlet import Outlet
from pipert2.transport.ring import Interrupted, RingReceiver, RingSender
from pipert2.transport.work_ends import Delivery, WorkReceiver, WorkSender

_ENDING = (STOP_EVENT_NAME, KILL_EVENT_NAME)
_LEADING_TO_AN_END = (*_ENDING, commands.DRAIN, commands.LEAVE)
_LOG_INTERVAL = 1.0  # seconds in which failures of one kind are logged once; all are counted
_LONGEST_PAUSE = 1.0  # seconds between two calls of a source that keeps failing


Receiver = RingReceiver | LocalEdge | WorkReceiver


class Command(NamedTuple):
    """An event for this routine; *number* is 0 when nobody waits for the answer."""

    number: int
    name: str
    params: dict[str, Any]


class Host(Protocol):
    """What a routine's loop needs of the flow around it."""

    store: Store | None

    def answer(self, number: int, routine: int, value: Any, error: tuple[str, str] | None) -> None: ...

    def state_changed(self, routine: int, state: RoutineState, finished: bool, reason: str) -> None: ...

    def parameter_set(self, routine: int, name: str, value: Any) -> None: ...

    def tap(self, routine: str, side: Side, rate: float, size: int) -> Tap: ...

    def give_back(self, routine: int) -> None: ...

    def return_message(self, delivery: Delivery, *, again: bool) -> None: ...

    def keep_dead_letter(self, letter: DeadLetter) -> bool: ...

    def learn(self, spec: PipeSpec) -> None: ...

    def receiver(self, edge: EdgeSpec, routine: int) -> Receiver: ...

    def sender(self, edge: EdgeSpec, loop: RoutineLoop) -> RingSender | LocalEdge | WorkSender: ...

    def notify_event(
        self,
        sender: int | None,
        name: str,
        targets: Mapping[str, Sequence[str]] | None,
        wait: float | None,
        params: dict[str, Any],
    ) -> Any: ...


class _End(Enum):
    STOPPED = "stopped"
    KILLED = "killed"
    FINISHED = "finished"
    LEFT = "left"


class RoutineLoop:
    """Runs one routine. It is the routine's context and its senders' waiter as well.

    Args:
        pipe: the pipe's description.
        spec: the routine's own.
        routine: the user's object.
        board: where its counters are.
        bell: what wakes it.
        host: the flow it runs in.
        logger: the routine's logger.
    """

    def __init__(
        self,
        pipe: PipeSpec,
        spec: RoutineSpec,
        routine: Routine,
        board: Board,
        bell: Bell,
        host: Host,
        logger: logging.Logger,
    ) -> None:
        self.spec = spec
        self.routine = routine
        self.logger = logger
        self.fence = Fence()
        self._pipe = pipe
        self._board = board
        self._words = board.words
        self._row = board.routine(spec.index)
        self._bell = bell
        self._host = host
        self._inbox: deque[Command] = deque()
        self._handlers = event_handlers(type(routine))
        self._parameters = parameters_of(type(routine))
        self._taps: dict[Side, Tap] = {}
        self._own: dict[str, Callable[[dict[str, Any]], Any]] = {
            UNLINK_EVENT_NAME: self._unlink,
            commands.PARAMETERS: self._set_parameters,
            commands.LOG_LEVEL: self._set_log_level,
            commands.PREVIEW: self._preview,
            commands.LEARN: self._learn,
            commands.REDO: self._redo,
            commands.OPEN: self._open,
            commands.SHUT: self._shut,
        }
        self._receivers: list[Receiver] = []
        self._unfinished: Delivery | None = None
        self._outlet: Outlet | None = None
        self._turn = 0
        self._ticker = Ticker()
        self._const_period = 0
        self._sampler = Sampler(self._words, self._row + b.LOGIC, self._row + b.AGE)
        self._wanted: _End | None = None
        self._due = False  # the loop must look anew at what is wanted of it and at its wires
        self._ending: list[Command] = []
        self._starting: Command | None = None
        self._failures = 0
        self._last_failure: tuple[tuple[str, type] | None, float, int] = (None, 0.0, 0)
        self._asked_to_end = threading.Event()
        self._words[self._row + b.SLEEPING] = 0
        self._words[self._row + b.BUSY_SINCE] = 0
        self.thread = threading.Thread(target=self._live, name=f"pipert2-{spec.name}", daemon=True)
        routine._context = self
        routine.flow_name = spec.flow
        self.set_rate(routine._rate)

    def connect(self, receivers: Sequence[Receiver], outlet: Outlet) -> None:
        """Give the loop its edges; then start its thread."""
        self._receivers = list(receivers)
        self._outlet = outlet

    def post(self, command: Command) -> None:
        """Put something into the inbox, from any thread."""
        self._inbox.append(command)
        if command.name in _LEADING_TO_AN_END:
            self._asked_to_end.set()
        self._bell.ring()

    # --- what the routine's user calls (RoutineContext)

    def notify_event(
        self, name: str, targets: Mapping[str, Sequence[str]] | None, wait: float | None, params: dict[str, Any]
    ) -> Any:
        own = threading.current_thread() is self.thread
        with self._not_busy():
            return self._host.notify_event(self.spec.index if own else None, name, targets, wait, params)

    def loan(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        if self._outlet is None or threading.current_thread() is not self.thread:
            return np.empty(shape, dtype)
        return self._outlet.loan(shape, dtype)

    def wait(self, seconds: float) -> bool:
        if threading.current_thread() is not self.thread:
            return self._asked_to_end.wait(seconds)  # the bell is the loop's own
        deadline = monotonic() + seconds
        with self._not_busy():
            while not self._inbox:
                left = deadline - monotonic()
                if left <= 0:
                    break
                self._bell.wait(left)
        return any(command.name in _LEADING_TO_AN_END for command in tuple(self._inbox))

    @property
    def store(self) -> Store | None:
        return self._host.store

    def parameter_set(self, name: str, value: Any) -> bool:
        running = self._words[self._row + b.STATE] == RoutineState.RUNNING
        if running and threading.current_thread() is not self.thread:
            # Between two messages, as from anywhere else; but the routine may be waiting for this very thread.
            done = threading.Event()
            self.post(Command(0, commands.PARAMETERS, {"values": {name: plain_value(value)}, "done": done}))
            done.wait(_LONGEST_PAUSE)
            return False
        self._host.parameter_set(self.spec.index, name, plain_value(value))
        return True

    def set_rate(self, rate: float) -> None:
        self._const_period = round(SECOND / rate) if rate > 0 else 0

    @contextlib.contextmanager
    def _not_busy(self) -> Iterator[None]:
        """While the user's code waits in a call of ours it does not hang."""
        if threading.current_thread() is not self.thread:
            yield
            return
        busy = self._row + b.BUSY_SINCE
        before = self._words[busy]
        self._words[busy] = 0
        try:
            yield
        finally:
            self._words[busy] = monotonic_ns() if before else 0

    # --- what the routine's senders call (Waiter)

    def check(self) -> None:
        """Handle events while a send waits; :class:`Interrupted` if the routine is to end at once."""
        if self._words[self._row + b.BUSY_SINCE]:  # inside main_logic, in loan(): no handler may run now
            if any(command.name in _ENDING for command in tuple(self._inbox)):
                raise Interrupted
            return
        self._attend()
        if self._wanted in (_End.STOPPED, _End.KILLED):
            raise Interrupted

    def sleep(self, waiting_for: str) -> None:
        if not self._bell.wait(self._pipe.patience):
            self.logger.debug("%s waits for %s", self.spec.name, waiting_for)

    def wake(self) -> None:
        self._bell.ring()

    # --- life

    def _live(self) -> None:
        while True:
            self._set_state(RoutineState(self._words[self._row + b.STATE]), "")
            if not self._await_start():
                break
            try:
                self._session()
            except BaseException as error:  # the last resort: without it the thread would be gone and nobody told
                reason, _ = self._failed("the loop", error)
                self._set_state(RoutineState.FAILED, reason)
                self._answer_all(self._ending)
            if self._wanted in (_End.KILLED, _End.LEFT):
                break
        assert self._outlet is not None
        self._outlet.abandon()
        self._host.give_back(self.spec.index)
        if self._wanted is _End.LEFT:
            return  # the streams go on, from another process
        self._outlet.end()  # nothing will ever come from here
        self._words[self._row + b.GONE] = 1
        self._set_state(RoutineState.KILLED, "")
        for receiver in self._receivers:
            receiver.wake_sender()  # which may wait for room that nobody will make
        self._answer_all(self._ending)
        self._answer_all(self._inbox)

    def _await_start(self) -> bool:
        """Idle: handle events until the routine is to start; False if it is to end for good."""
        self._wanted = None
        while True:
            while self._inbox:
                command = self._inbox.popleft()
                if command.name == START_EVENT_NAME:
                    self._starting = command
                    return True
                if command.name in (KILL_EVENT_NAME, commands.LEAVE):
                    self._ending.append(command)
                    self._wanted = _End.KILLED if command.name == KILL_EVENT_NAME else _End.LEFT
                    return False
                if command.name in (STOP_EVENT_NAME, commands.DRAIN):
                    self._answer(command, None)
                else:
                    self._handle(command)
            self._sleep()

    def _session(self) -> None:
        """From start to stop: setup, the loop, cleanup."""
        words, row = self._words, self._row
        self._due = False
        words[row + b.FINISHED] = 0
        if not self._inbox:
            self._asked_to_end.clear()
        self._set_state(RoutineState.STARTING, "")
        failure = self._call_user("setup", self.routine.setup)
        if self._starting is not None:
            self._answer(self._starting, None, failure)
            self._starting = None
        if failure is not None:
            self._set_state(RoutineState.FAILED, failure[0])
            return
        assert self._outlet is not None
        self._outlet.reopen()
        self._ticker.reset()
        self._failures = 0
        self._set_state(RoutineState.RUNNING, "")
        try:
            self._outlet.resume()
            self._finish(self._unfinished)
            self._unfinished = None
            end = self._consume() if self._receivers else self._produce()
        except Interrupted:
            end = self._interrupted()
        self._wanted = end
        self._asked_to_end.set()  # threads of the routine's own that sleep in wait(), whatever the reason
        self._set_state(RoutineState.STOPPING, "")
        if end is _End.FINISHED:
            self._outlet.end()
        failure = self._call_user("cleanup", self.routine.cleanup)
        if end is _End.FINISHED:
            words[row + b.FINISHED] = 1
        if failure is not None:
            self._set_state(RoutineState.FAILED, failure[0])
        elif end is not _End.KILLED:
            self._set_state(RoutineState.IDLE, "")
        if end is not _End.KILLED:
            self._answer_all(self._ending)

    def _interrupted(self) -> _End:
        """The end that broke off a send."""
        self._attend()
        return self._wanted or _End.STOPPED

    # --- the loops

    def _produce(self) -> _End:
        if not has_logic(self.routine):
            return self._only_handle_events()
        words, busy, sent = self._words, self._row + b.BUSY_SINCE, self._row + b.SENT
        inbox, sampler, index = self._inbox, self._sampler, self.spec.index
        assert self._outlet is not None
        send = self._send() or self._outlet.send
        logic: Callable[[], Any] = self.routine.main_logic
        stream: GeneratorType[Any, Any, Any] | None = None
        sequence: int = words[sent]
        pace = self._row + b.PACE_NS
        try:
            while True:
                if inbox or self._due:
                    self._due = False
                    self._attend()
                    if self._wanted is not None:
                        return self._wanted
                    send = self._send() or self._outlet.send
                if self._const_period or words[pace]:
                    if not self._await_tick():
                        continue
                    if self._due:  # a command came meanwhile; the tick is not given up for it
                        send = self._send() or self._outlet.send
                began = words[busy] = monotonic_ns()
                try:
                    data = logic()
                    if type(data) is GeneratorType and stream is None:
                        stream = data
                        logic = stream.__next__
                        continue
                except (EndOfStream, StopIteration):
                    return _End.FINISHED
                except Interrupted:
                    return self._interrupted()
                except BaseException as error:
                    words[busy] = 0
                    self._failed("main_logic", error)
                    if stream is not None:
                        return _End.FINISHED  # a generator that raised has ended
                    self._pause_after_failure()
                    continue
                finally:
                    words[busy] = 0
                done = monotonic_ns()
                sampler.countdown -= 1
                if sampler.countdown <= 0:
                    sampler.record(began, done, None)
                if data is None:
                    continue
                sequence += 1
                words[sent] = sequence
                try:
                    send(data, origin_of(index, sequence), done)
                except Interrupted:
                    return self._interrupted()
                except Exception as error:
                    self._failed("sending", error)
                    self._pause_after_failure()
                else:
                    self._failures = 0
                data = None
        finally:
            if stream is not None:
                self._call_user("main_logic", stream.close)

    def _consume(self) -> _End:
        words, busy, sent = self._words, self._row + b.BUSY_SINCE, self._row + b.SENT
        inbox, sampler = self._inbox, self._sampler
        assert self._outlet is not None
        send, logic, take = self._send(), self._logic(), self._taker()
        counted = 1 if self._outlet.senders else 0  # a preview alone is no wire
        while True:
            if inbox or self._due:
                self._due = False
                self._attend()
                if self._wanted is not None:
                    return self._wanted
                send, logic, take = self._send(), self._logic(), self._taker()
                counted = 1 if self._outlet.senders else 0
            if self._const_period and self._has_data():
                if not self._await_tick():
                    continue
                if self._due:  # a command came meanwhile; the tick is not given up for it
                    send, logic, take = self._send(), self._logic(), self._taker()
                    counted = 1 if self._outlet.senders else 0
            try:
                message: Message | None = take()
            except Exception as error:
                self._failed("receiving", error)
                if not isinstance(error, UnreadableDataError):
                    self._pause_after_failure()  # the message is still there, and will be tried again
                continue
            if message is None:
                if self._inputs_ended():
                    return _End.FINISHED
                self._sleep()
                continue
            data, origin, born, _, attempt, delivery = message
            began = words[busy] = monotonic_ns()
            try:
                data = logic(data)
            except Interrupted:
                if delivery is not None:
                    self._host.return_message(delivery, again=False)
                return self._interrupted()
            except BaseException as error:
                words[busy] = 0
                data = None
                failure = self._failed("main_logic", error)
                if delivery is not None:
                    self._give_up_or_retry(message, failure)
                continue
            message = None
            words[busy] = 0
            sampler.countdown -= 1
            if sampler.countdown <= 0:
                sampler.record(began, monotonic_ns(), born)
            if data is not None and send is not None:
                words[sent] += counted
                try:
                    send(data, origin, born, attempt, delivery)
                except Interrupted:
                    self._unfinished = delivery
                    return self._interrupted()
                except Exception as error:
                    self._failed("sending", error)
            data = None
            if delivery is not None:
                delivery.done()

    @staticmethod
    def _finish(delivery: Delivery | None) -> None:
        if delivery is not None:
            delivery.done()

    def _give_up_or_retry(self, message: Message, failure: tuple[str, str]) -> None:
        """A message on a lossless way has failed: let it be tried again after a while, or keep it as a dead letter."""
        delivery: Delivery = message.delivery
        if not delivery.is_kept:
            delivery.done()
            return
        attempt = max(1, message.attempt)
        if attempt <= self.spec.retries:
            self._wait_before_retry(attempt)
            self._host.return_message(delivery, again=True)
            return
        try:
            data: Packed | None = Packed(dumps_plain(message.data))
        except PipertError:
            data = None
        reason, trace = failure
        letter = DeadLetter(self.spec.index, data, reason, trace, attempt, message.origin)
        if self._host.keep_dead_letter(letter):
            delivery.done()
        else:
            self._host.return_message(delivery, again=False)

    def _wait_before_retry(self, attempt: int) -> None:
        """Wait longer before each attempt, but no longer than until the routine is to end."""
        due = monotonic() + min(_LONGEST_PAUSE, 0.01 * 2.0**attempt)
        while (left := due - monotonic()) > 0 and self._wanted is None:
            if self._inbox:
                self._attend()
            self._bell.wait(left)

    def _logic(self) -> Callable[[Any], Any]:
        """``main_logic``, behind the preview of the input where there is one."""
        tap, logic = self._taps.get("input"), self.routine.main_logic
        if tap is None:
            return logic

        def seen(data: Any) -> Any:
            tap.see(data)
            return logic(data)

        return seen

    def _send(self) -> Callable[..., None] | None:
        """What takes results, behind the preview of the output where there is one; None if nothing does."""
        assert self._outlet is not None
        tap, send = self._taps.get("output"), self._outlet.send if self._outlet.senders else None
        if tap is None:
            return send

        def seen(data: Any, *about: Any) -> None:
            tap.see(data)
            if send is not None:
                send(data, *about)

        return seen

    def _inputs_ended(self) -> bool:
        ahead = [receiver for receiver in self._receivers if not receiver.spec.feedback] or self._receivers
        return all(receiver.ended() for receiver in ahead) and not self._has_data()

    def _only_handle_events(self) -> _End:
        while True:
            self._attend()
            if self._wanted is not None:
                return self._wanted
            self._sleep()

    def _taker(self) -> Callable[[], Message | None]:
        return self._receivers[0].take if len(self._receivers) == 1 else self._take_in_turn

    def _take_in_turn(self) -> Message | None:
        receivers = self._receivers
        for _ in receivers:
            self._turn = (self._turn + 1) % len(receivers)
            message = receivers[self._turn].take()
            if message is not None:
                return message
        return None

    def _sleep(self, timeout: float | None = None) -> None:
        """Wait for data or events. The order matters: say that we sleep, then look once more, then sleep."""
        words, sleeping = self._words, self._row + b.SLEEPING
        words[sleeping] = 1
        self.fence()
        if not self._inbox and not self._has_data():
            self._bell.wait(timeout)
        words[sleeping] = 0

    def _has_data(self) -> bool:
        return any(receiver.has_data() for receiver in self._receivers)

    def _await_tick(self) -> bool:
        """Wait until the rate allows the next call; False if an event that ends the session came first."""
        ticker = self._ticker
        ticker.set_period(max(self._const_period, self._words[self._row + b.PACE_NS]))
        skipped = ticker.skipped
        due = ticker.next(monotonic_ns())
        if ticker.skipped != skipped and self._const_period and not self._receivers:
            self._words[self._row + b.SKIPPED] += ticker.skipped - skipped
        while (left := due - monotonic_ns()) > 0:
            if self._inbox:
                self._attend()
                if self._wanted is not None:
                    return False
            self._bell.wait(left / SECOND)
        return True

    # --- events

    def _attend(self) -> None:
        """Handle what is in the inbox, up to an event that ends the session."""
        while self._inbox and self._wanted is None:
            command = self._inbox.popleft()
            if command.name in _ENDING:
                self._ending.append(command)
                self._wanted = _End.KILLED if command.name == KILL_EVENT_NAME else _End.STOPPED
            elif command.name == commands.LEAVE:
                self._wanted = _End.LEFT
            elif command.name == commands.DRAIN:
                self._answer(command, None)
                if not self._receivers:  # others are drained by the end of their inputs
                    self._wanted = _End.FINISHED
            elif command.name == START_EVENT_NAME:
                self._answer(command, None)
            else:
                self._handle(command)
        if self._wanted is not None:
            self._due = True

    def _handle(self, command: Command) -> None:
        own = self._own.get(command.name)
        if own is not None:
            self._handle_own(command, own)
            return
        values: list[Any] = []
        for method in self._handlers.get(command.name, ()):
            handler = functools.partial(getattr(self.routine, method), **command.params)
            failure = self._call_user(f"the handler of {command.name!r}", lambda call=handler: values.append(call()))  # type: ignore[misc]
            if failure is not None:
                self._answer(command, None, failure)
                return
        self._answer(command, values[0] if len(values) == 1 else tuple(values) or None)

    def _handle_own(self, command: Command, own: Callable[[dict[str, Any]], Any]) -> None:
        try:
            value = own(command.params)
        except Exception as error:
            self._answer(command, None, (str(error), "" if isinstance(error, PipertError) else traceback.format_exc()))
        else:
            self._answer(command, value)
        self._due = True

    def _unlink(self, params: dict[str, Any]) -> bool:
        name = params.get("unlink_routine_name")
        destination = self._pipe.routine(str(name))
        if destination is None or self._outlet is None or not self._outlet.unlink(destination.index):
            raise PipertError(f"{self.spec.name!r} is not linked to {name!r} (unlink_routine_name)")
        return True

    def _set_parameters(self, params: dict[str, Any]) -> None:
        values = {name: self._parameters[name].check(self.spec.name, value) for name, value in params["values"].items()}
        for name, value in values.items():
            setattr(self.routine, name, value)
        if "done" in params:
            params["done"].set()

    def _set_log_level(self, params: dict[str, Any]) -> None:
        self.logger.setLevel(params["level"])

    def _preview(self, params: dict[str, Any]) -> None:
        side = params["side"]
        if params["on"]:
            self._taps[side] = self._host.tap(self.spec.name, side, params["rate"], params["size"])
        else:
            self._taps.pop(side, None)

    def _learn(self, params: dict[str, Any]) -> None:
        self._pipe = pipe = params["spec"]
        self._host.learn(pipe)
        assert self._outlet is not None
        self._outlet.watch(pipe.carriers(self.spec.index))
        known = {receiver.spec.index for receiver in self._receivers}
        fresh = [edge for edge in pipe.inputs(self.spec.index) if edge.index not in known]
        self._receivers += [self._host.receiver(edge, self.spec.index) for edge in fresh]

    def _redo(self, params: dict[str, Any]) -> None:
        if self._words[self._row + b.STATE] != RoutineState.RUNNING or params["data"] is None:
            raise PipertError(f"{self.spec.name!r} does not run, or the message cannot be read")
        began = monotonic_ns()
        data = self.routine.main_logic(params["data"].open())
        send = self._send()
        if data is not None and send is not None:
            send(data, params["origin"], began)

    def _shut(self, params: dict[str, Any]) -> None:
        assert self._outlet is not None
        self._outlet.shut(params["edges"])

    def _open(self, params: dict[str, Any]) -> None:
        assert self._outlet is not None
        self._words[self._board.edge(params["edge"]) + b.CLOSED] = 0
        sender = self._host.sender(self._pipe.edges[params["edge"]], self)
        if isinstance(sender, LocalEdge):
            sender.open()
        if self._words[self._row + b.FINISHED]:
            sender.end()
        else:
            sender.reopen()
        self._outlet.link(sender)

    def _answer(self, command: Command, value: Any, error: tuple[str, str] | None = None) -> None:
        if command.number:
            self._host.answer(command.number, self.spec.index, value, error)

    def _answer_all(self, commands: list[Command] | deque[Command]) -> None:
        for command in tuple(commands):
            self._answer(command, None)
        commands.clear()

    # --- failures

    def _call_user(self, what: str, function: Callable[[], Any]) -> tuple[str, str] | None:
        """Call the user's code; None if it went well, else reason and traceback (logged and counted)."""
        busy = self._row + b.BUSY_SINCE
        self._words[busy] = monotonic_ns()
        try:
            function()
        except BaseException as error:
            self._words[busy] = 0
            return self._failed(what, error)
        finally:
            self._words[busy] = 0
        return None

    def _failed(self, what: str, error: BaseException) -> tuple[str, str]:
        self._words[self._row + b.ERRORS] += 1
        ours = isinstance(error, PipertError)
        try:
            reason = str(error) if ours else f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            exc_info = None if ours else error
        except Exception:  # an exception whose own __str__ raises
            reason, trace, exc_info = f"{type(error).__name__} (which cannot be shown)", "", None
        self._board.write_error(self.spec.index, f"{what}: {reason}")
        now = monotonic()
        kind, logged, muted = self._last_failure
        if kind == (what, type(error)) and now - logged < _LOG_INTERVAL:
            self._last_failure = (kind, logged, muted + 1)
        else:
            self._last_failure = ((what, type(error)), now, 0)
            more = f" ({muted} more like the one before)" if muted else ""
            self.logger.error("%s of %s failed: %s%s", what, self.spec.name, reason, more, exc_info=exc_info)
        return reason, trace

    def _pause_after_failure(self) -> None:
        """A source that fails again and again is called less and less often, once a second at last."""
        self._failures += 1
        if self._failures > 3:
            self._sleep(min(_LONGEST_PAUSE, 0.01 * 2.0 ** min(10, self._failures - 3)))

    def _set_state(self, state: RoutineState, reason: str) -> None:
        self._words[self._row + b.STATE] = state
        self._host.state_changed(self.spec.index, state, bool(self._words[self._row + b.FINISHED]), reason)
