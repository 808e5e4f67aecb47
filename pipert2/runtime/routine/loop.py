"""The life of one routine: its thread, its states, its events.

Everything of the user's runs in this thread: ``setup``, ``main_logic``, ``cleanup`` and event handlers, one at a time
(``main_logic`` in others where ``concurrency`` says so). What others want of the routine is put into its inbox and its
bell is rung; the loop looks there between two messages. What it does from start to stop is in
:mod:`pipert2.runtime.routine.producer` and :mod:`pipert2.runtime.routine.consumer`, what its user's code may call in
:mod:`pipert2.runtime.routine.inside`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from inspect import isasyncgenfunction, iscoroutine, iscoroutinefunction
from time import monotonic, monotonic_ns
from typing import Any

from pipert2.errors import PipertError
from pipert2.graph.handlers import BUILT_IN_EVENTS, KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME, event_handlers
from pipert2.graph.routine import Routine
from pipert2.graph.spec import PipeSpec, RoutineSpec
from pipert2.graph.validation import logic
from pipert2.runtime import commands
from pipert2.runtime.configuration.check import Declared
from pipert2.runtime.configuration.configuration import Configuration
from pipert2.runtime.routine.around import Command, End, Host, Receiver
from pipert2.runtime.routine.commands import RoutineCommands
from pipert2.runtime.routine.consumer import Consumer
from pipert2.runtime.routine.crew import About, BringsCrew, CoroutineCrew, Crew, Outcome, ThreadCrew
from pipert2.runtime.routine.failures import LONGEST_PAUSE, Failure, Failures
from pipert2.runtime.routine.histogram import Sampler
from pipert2.runtime.routine.inputs import Inputs
from pipert2.runtime.routine.inside import Inside
from pipert2.runtime.routine.pacing import SECOND, Ticker
from pipert2.runtime.routine.preview import Side, Tap
from pipert2.runtime.routine.producer import Producer
from pipert2.runtime.routine.requests import Requests
from pipert2.runtime.routine.shown import Shown
from pipert2.runtime.triggers.triggers import Trigger
from pipert2.transport import board as b
from pipert2.transport.board import Board, RoutineState
from pipert2.transport.codec import opened
from pipert2.transport.envelope import source_and_sequence
from pipert2.transport.memory import Bell, Fence
from pipert2.transport.outlet import Outlet
from pipert2.transport.ring import Interrupted
from pipert2.transport.work_queue import WorkQueue

_ENDING = (STOP_EVENT_NAME, KILL_EVENT_NAME)
_LEADING_TO_AN_END = (*_ENDING, commands.DRAIN, commands.LEAVE)


class RoutineLoop:
    """Runs one routine. It is its senders' waiter as well.

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
        self.pipe = pipe
        self.spec = spec
        self.routine = routine
        self.board = board
        self.words = board.words
        self.row = board.routine(spec.index)
        self.host = host
        self.logger = logger
        self.fence = Fence()
        self.failures = Failures(board, spec.index, spec.name, logger)
        self.sampler = Sampler(self.words, self.row + b.LOGIC, self.row + b.AGE)
        self.inbox: deque[Command] = deque()
        self.inputs = Inputs()
        self.outlet: Outlet | None = None
        self.producer: Producer | None = None
        self.consumer: Consumer | None = None
        self.taps: dict[Side, Tap] = {}
        self.shown = Shown(spec.label, logger)
        self.wanted: End | None = None
        self.due = False  # the loop must look anew at what is wanted of it and at its wires
        self.const_period = 0
        self.configuration = Configuration((), Declared(None, {}))
        self.trigger: Trigger | None = None
        self.about: About | None = None
        # Whether a source may wait for what this routine returns.
        self.returns_results = any(one.returned_to for one in pipe.routines)
        self._bell = bell
        self._handlers = event_handlers(type(routine))
        self._commands = RoutineCommands(self).table
        self._requests = Requests(self).table
        self._ticker = Ticker()
        self._ending: list[Command] = []
        self._starting: Command | None = None
        self._failed_calls = 0
        self._asked_to_end = threading.Event()
        self._is_over = False  # killed: what is asked of it from now on is answered by whoever asks
        self.words[self.row + b.SLEEPING] = 0
        self.words[self.row + b.BUSY_SINCE] = 0
        self.thread = threading.Thread(target=self._live, name=f"pipert2-{spec.name}", daemon=True)
        routine._context = self.inside = Inside(self)
        routine.flow_name = spec.flow
        self.set_rate(routine._rate)

    def connect(
        self,
        receivers: Sequence[Receiver],
        outlet: Outlet,
        ledger: WorkQueue | None,
        circle: Sequence[WorkQueue],
    ) -> None:
        """Give the loop its edges; then start its thread.

        Args:
            ledger: where a source keeps account of what is not acknowledged.
            circle: ledgers of sources, whose messages may come back to this routine until they are acknowledged.
        """
        self.inputs = Inputs(receivers, circle)
        self.outlet = outlet
        if receivers or self.routine.service:
            self.consumer = Consumer(self)
        else:
            self.producer = Producer(self, ledger)
        # Said before the flow says that it is up: once a start was asked for, it would be taken for a step back.
        self._set_state(RoutineState(self.words[self.row + b.STATE]), "")

    def post(self, command: Command) -> None:
        """Put something into the inbox, from any thread."""
        self.inbox.append(command)
        if command.name in _LEADING_TO_AN_END:
            self._asked_to_end.set()
        self._bell.ring()
        if self._is_over:  # looked at last: its thread looks into the inbox once more after it has said this
            self._answer_rest()

    # --- for what the routine's user calls

    def is_own_thread(self) -> bool:
        """Whether it is the routine's thread that asks, not one that its user started, or one of its crew."""
        return threading.current_thread() is self.thread

    def set_rate(self, rate: float) -> None:
        """How often ``main_logic`` may be called in a second; 0: as often as it can."""
        self.const_period = round(SECOND / rate) if rate > 0 else 0

    def wait_in_users_code(self, seconds: float) -> bool:
        """Wait so long, in the midst of ``main_logic``; True at once when the routine is to end."""
        if not self.is_own_thread():
            return self._asked_to_end.wait(seconds)  # the bell is the loop's own
        deadline = monotonic() + seconds
        with self.not_busy():
            while not self.inbox:
                left = deadline - monotonic()
                if left <= 0:
                    break
                self._bell.wait(left)
        return any(command.name in _LEADING_TO_AN_END for command in tuple(self.inbox))

    @contextlib.contextmanager
    def not_busy(self) -> Iterator[None]:
        """While the user's code waits in a call of ours it does not hang."""
        if not self.is_own_thread():
            yield
            return
        busy = self.row + b.BUSY_SINCE
        before = self.words[busy]
        self.words[busy] = 0
        try:
            yield
        finally:
            self.words[busy] = monotonic_ns() if before else 0

    # --- what the routine's senders call (Waiter)

    def check(self) -> None:
        """Handle events while a send waits; :class:`Interrupted` if the routine is to end at once."""
        if self.words[self.row + b.BUSY_SINCE]:  # inside main_logic, in loan(): no handler may run now
            if self._is_told_to_end():
                raise Interrupted
            return
        self.attend()
        if self.wanted in (End.STOPPED, End.KILLED) or (self.wanted is End.LEFT and self._is_told_to_end()):
            raise Interrupted

    def wait_for_room(self, waiting_for: str) -> None:
        if not self._bell.wait(self.pipe.patience):
            self.logger.debug("%s waits for %s", self.spec.name, waiting_for)

    def wake(self) -> None:
        self._bell.ring()

    # --- life

    def _live(self) -> None:
        while self._await_start():
            try:
                self._session()
            except BaseException as error:  # the last resort: without it the thread would be gone and nobody told
                failure = self.failures.note("the loop", error)
                self._set_state(RoutineState.FAILED, failure[0])
                self._answer_start(failure)
                self._answer_all(self._ending)
            if self.wanted in (End.KILLED, End.LEFT):
                break
        assert self.outlet is not None
        self.outlet.abandon()
        if self.consumer is not None:
            self.consumer.abandon()
        self.host.give_back(self.spec.index)
        if self.wanted is End.LEFT:
            return  # the streams go on, from another process
        self.outlet.end()  # nothing will ever come from here
        self.words[self.row + b.GONE] = 1
        self._set_state(RoutineState.KILLED, "")
        for receiver in self.inputs:
            receiver.wake_sender()  # which may wait for room that nobody will make
        self._answer_all(self._ending)
        self._is_over = True
        self._answer_rest()

    def _answer_rest(self) -> None:
        """Say of what is in the inbox that nobody will do it; from any thread."""
        with contextlib.suppress(IndexError):  # empty
            while True:
                command = self._next_command()
                builtin = command.name in BUILT_IN_EVENTS
                self.answer(command, None, None if builtin else ("it was killed before it got to that", ""))

    def _await_start(self) -> bool:
        """Idle: handle events until the routine is to start; False if it is to end for good."""
        self.wanted = None
        while True:
            while self.inbox:
                command = self._next_command()
                if command.name == START_EVENT_NAME:
                    self._starting = command
                    return True
                if command.name in (KILL_EVENT_NAME, commands.LEAVE):
                    self._ending.append(command)
                    self.wanted = End.KILLED if command.name == KILL_EVENT_NAME else End.LEFT
                    return False
                if command.name in (STOP_EVENT_NAME, commands.DRAIN):
                    self.answer(command, None)
                else:
                    self._handle(command)
            self.sleep(self._let_go, takes=False)  # what waits on its wires is for later

    def _let_go(self) -> bool:
        """End messages whose data nobody looks at any more; there is nothing else to do."""
        self.inputs.has_data()
        return False

    def _session(self) -> None:
        """From start to stop: setup, the loop, cleanup."""
        words, row = self.words, self.row
        self.due = False
        words[row + b.FINISHED] = 0
        if not self.inbox:
            self._asked_to_end.clear()
        self._set_state(RoutineState.STARTING, "")
        failure = self.call_user("setup", self.routine.setup)
        if failure is not None:
            self._set_state(RoutineState.FAILED, failure[0])
            self._answer_start(failure)
            return
        assert self.outlet is not None
        self.outlet.reopen()
        self._ticker.reset()
        self._failed_calls = 0
        self._set_state(RoutineState.RUNNING, "")
        self._answer_start(None)
        try:
            self.outlet.resume()
            worker = self.consumer or self.producer
            assert worker is not None
            end = worker.run()
        except Interrupted:
            end = self.interrupted()
        except _ThreadSetupError as error:
            self.call_user("cleanup", self.routine.cleanup)
            self._set_state(RoutineState.FAILED, error.failure[0])
            return
        self.wanted = end
        self._asked_to_end.set()  # threads of the routine's own that sleep in wait(), whatever the reason
        self._set_state(RoutineState.STOPPING, "")
        if end is End.FINISHED:
            self.outlet.end()
        failure = self.call_user("cleanup", self.routine.cleanup)
        if end is End.FINISHED:
            words[row + b.FINISHED] = 1
        if failure is not None:
            self._set_state(RoutineState.FAILED, failure[0])
        elif end is not End.KILLED:
            self._set_state(RoutineState.IDLE, "")
        if end is not End.KILLED:
            self._answer_all(self._ending)

    def interrupted(self) -> End:
        """The end that broke off a send."""
        self.attend()
        return self.wanted or End.STOPPED

    # --- what producing and consuming need

    finished = End.FINISHED

    @property
    def is_async(self) -> bool:
        """Whether ``main_logic`` runs on the flow's event loop."""
        function = logic(self.routine)
        return iscoroutinefunction(function) or isasyncgenfunction(function)

    @property
    def is_to_end_at_once(self) -> bool:
        """Whether the routine is killed, or will be as soon as it looks."""
        return self.wanted is End.KILLED or self._is_told_to_die()

    def _is_told_to_end(self) -> bool:
        return any(command.name in _ENDING for command in tuple(self.inbox))

    def _is_told_to_die(self) -> bool:
        return any(command.name == KILL_EVENT_NAME for command in tuple(self.inbox))

    def make_crew(self, outcomes: deque[Outcome]) -> Crew | None:
        """Who is to run ``main_logic``; None: this thread."""
        name, hands = self.spec.name, self.routine.concurrency
        if isinstance(self.routine, BringsCrew):
            crew = self.routine.make_crew(outcomes, self._bell.ring, self.host.run)
            crew.logic = self.logic()
            return crew
        if iscoroutinefunction(logic(self.routine)):
            return CoroutineCrew(name, hands, self.host.event_loop(), self.logic(), outcomes, self._bell.ring)
        if hands == 1:
            return None
        busy = self.row + b.BUSY_SINCE
        self.words[busy] = monotonic_ns()
        try:
            return ThreadCrew(name, hands, self.logic(), self.routine.setup_thread, outcomes, self._bell.ring)
        except BaseException as error:
            raise _ThreadSetupError(self.failures.note("setup_thread", error)) from error
        finally:
            self.words[busy] = 0

    def await_here(self, value: Any) -> Any:
        """*value*, or what it comes to on the flow's event loop if it is a coroutine."""
        if not iscoroutine(value):
            return value
        return self.host.event_loop().run(value, self.spec.name, self._is_told_to_die)

    def logic(self) -> Callable[[Any], Any]:
        """``main_logic``, behind the preview of the input where there is one."""
        tap, own = self.taps.get("input"), self.routine.main_logic
        if tap is None:
            return own

        def seen(data: Any) -> Any:
            tap.see(opened(data))
            return own(data)

        return seen

    def send(self) -> Callable[..., None] | None:
        """What takes results, behind the preview of the output where there is one; None if nothing does."""
        assert self.outlet is not None
        tap, send = self.taps.get("output"), self.outlet.send if self.outlet.senders else None
        if tap is None:
            return send

        def seen(data: Any, *about: Any) -> None:
            tap.see(data)
            if send is not None:
                send(data, *about)

        return seen

    def return_result(self, origin: int, data: Any) -> None:
        """Hand back to the source of a message what a destination returned for it."""
        source, _ = source_and_sequence(origin)
        if self.pipe.routines[source].returned_to:
            with self.not_busy():
                self.host.return_result(source, origin, data)

    def sleep(
        self,
        ready: Callable[[], bool] | None = None,
        timeout: float | None = None,
        until: float | None = None,
        *,
        takes: bool = True,
    ) -> None:
        """Wait for events, and until there may be something to do (data, if *ready* does not say otherwise).

        *until* is a moment on the pipe's clock, *timeout* a time in seconds. Data does not wake a routine that *takes*
        none now: it would be woken in place of another replica.

        The order matters: say that we sleep, then look once more, then sleep.
        """
        words, sleeping = self.words, self.row + b.SLEEPING
        words[sleeping] = int(takes)
        self.fence()
        if not self.inbox and not (self.inputs.has_data() if ready is None else ready()):
            if until is None:
                self._bell.wait(timeout)
            else:
                self.host.clock.sleep(self._bell, until)
        words[sleeping] = 0

    def rest(self) -> None:
        """Wait for the bell, without a look at what else there may be to do."""
        self._bell.wait(None)

    def await_tick(self) -> bool:
        """Wait until the rate allows the next call; False if an event that ends the session came first."""
        ticker = self._ticker
        ticker.set_period(max(self.const_period, self.words[self.row + b.PACE_NS]))
        skipped = ticker.skipped
        due = ticker.next(monotonic_ns())
        if ticker.skipped != skipped and self.const_period and not self.inputs:
            self.words[self.row + b.SKIPPED] += ticker.skipped - skipped
        while (left := due - monotonic_ns()) > 0:
            if self.inbox:
                self.attend()
                if self.wanted is not None:
                    return False
            self._bell.wait(left / SECOND)
        return True

    def wait_attending(self, seconds: float) -> None:
        """Wait, no longer than until the routine is to end, and handle events meanwhile."""
        due = monotonic() + seconds
        while (left := due - monotonic()) > 0 and self.wanted is None:
            if self.inbox:
                self.attend()
            self._bell.wait(left)

    def pause_after_failure(self) -> None:
        """A source that fails again and again is called less and less often, once a second at last."""
        self._failed_calls += 1
        if self._failed_calls > 3:
            self.sleep(timeout=min(LONGEST_PAUSE, 0.01 * 2.0 ** min(10, self._failed_calls - 3)))

    def forget_failures(self) -> None:
        """It works again."""
        self._failed_calls = 0

    # --- events

    def attend(self) -> None:
        """Handle what is in the inbox, up to an event that ends the session."""
        while self.inbox and self.wanted is None:
            command = self._next_command()
            if command.name in _ENDING:
                self._ending.append(command)
                self.wanted = End.KILLED if command.name == KILL_EVENT_NAME else End.STOPPED
            elif command.name == commands.LEAVE:
                self.wanted = End.LEFT
            elif command.name == commands.DRAIN:
                self.answer(command, None)
                if not self.inputs:  # others are drained by the end of their inputs
                    self.wanted = End.FINISHED
            elif command.name == START_EVENT_NAME:
                self.answer(command, None)
            else:
                self._handle(command)
        if self.wanted is not None:
            self.due = True

    def _next_command(self) -> Command:
        command = self.inbox.popleft()
        if command.place:  # it begins with it: no later process of the flow is to get it
            self.words[self.row + b.HEARD] = command.place
        return command

    def _handle(self, command: Command) -> None:
        request = self._requests.get(command.name)
        if request is not None:
            request(command)
            return
        own = self._commands.get(command.name)
        if own is not None:
            self._obey(command, own)
            return
        values: list[Any] = []
        for method in self._handlers.get(command.name, ()):
            handler = functools.partial(getattr(self.routine, method), **command.params)
            failure = self.call_user(f"the handler of {command.name!r}", handler, values)
            if failure is not None:
                self.answer(command, None, failure)
                return
        self.answer(command, values[0] if len(values) == 1 else tuple(values) or None)

    def _obey(self, command: Command, own: Callable[[dict[str, Any]], Any]) -> None:
        try:
            value = own(command.params)
        except BaseException as error:
            ours = isinstance(error, PipertError)
            reason = str(error) if ours else f"{type(error).__name__}: {error}"
            self.answer(command, None, (reason, "" if ours else traceback.format_exc()))
        else:
            self.answer(command, value)
        self.due = True

    def answer(self, command: Command, value: Any, error: Failure | None = None) -> None:
        """Answer a command, if anybody waits for that."""
        if command.number:
            self.host.answer(command.number, self.spec.index, value, error)

    def _answer_start(self, failure: Failure | None) -> None:
        """Answer who waits for the start; after the state is said, so that they find it so."""
        command, self._starting = self._starting, None
        if command is not None:
            self.answer(command, None, failure)

    def _answer_all(self, commands: list[Command] | deque[Command]) -> None:
        for command in tuple(commands):
            self.answer(command, None)
        commands.clear()

    def call_user(self, what: str, function: Callable[[], Any], values: list[Any] | None = None) -> Failure | None:
        """Call the user's code, which may be ``async``; None if it went well, else reason and traceback.

        Args:
            values: what it returned is appended here.
        """
        busy = self.row + b.BUSY_SINCE
        self.words[busy] = monotonic_ns()
        try:
            value = self.await_here(function())
            if values is not None:
                values.append(value)
        except BaseException as error:
            self.words[busy] = 0
            return self.failures.note(what, error)
        finally:
            self.words[busy] = 0
        return None

    def _set_state(self, state: RoutineState, reason: str) -> None:
        self.words[self.row + b.STATE] = state
        self.host.state_changed(self.spec.index, state, bool(self.words[self.row + b.FINISHED]), reason)


class _ThreadSetupError(Exception):
    """``setup_thread`` has raised."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
