"""Pipe: the object people hold."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, overload

import numpy as np

from pipert2.errors import PipeBuildError, PipeStateError, UnknownFlowError, UnknownRoutineError, UnknownWireError
from pipert2.events.bus import EventResult
from pipert2.events.target import Targets, resolve
from pipert2.graph.handlers import (
    BUILT_IN_EVENTS,
    KILL_EVENT_NAME,
    START_EVENT_NAME,
    STOP_EVENT_NAME,
    event_handlers,
)
from pipert2.graph.parameter import plain_value
from pipert2.graph.routine import Routine, has_keys
from pipert2.graph.spec import EdgeSpec, PipeSpec, make_edges, make_spec
from pipert2.graph.transmitter import DataTransmitter
from pipert2.graph.validation import problems
from pipert2.graph.wire import QueueNetwork, Wire
from pipert2.observe.monitor import Monitor
from pipert2.observe.snapshot import ParameterStatus, PipeState, PipeStatus, RunSummary
from pipert2.runtime import commands
from pipert2.runtime.clock import Clock, SystemClock
from pipert2.runtime.configuration.configuration import Configuration
from pipert2.runtime.configuration.live import LiveConfigurations
from pipert2.runtime.configuration.routines import configure_all, raise_problems, warnings_of
from pipert2.runtime.flow.handover import check_start_method
from pipert2.runtime.messages import Packed
from pipert2.runtime.routine.histogram import Histogram
from pipert2.runtime.routine.preview import PreviewFrame, Side
from pipert2.runtime.routine.shown import Sketches
from pipert2.runtime.settings import Settings
from pipert2.runtime.supervision.auto_pacing import INTERVAL, AutoPacing
from pipert2.runtime.supervision.dead_letters import DeadLetterStatus, RequeueResult
from pipert2.runtime.supervision.ending import end, end_at_exit, ended, signals_noted
from pipert2.runtime.supervision.gates import dependency_problems
from pipert2.runtime.supervision.live_parameters import LiveParameters
from pipert2.runtime.supervision.restart import Restart
from pipert2.runtime.supervision.rewiring import Rewiring
from pipert2.runtime.supervision.supervisor import TICK, Supervisor
from pipert2.store import Store
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import dumps_plain
from pipert2.transport.work_table import MOST_MEMBERS

RECORDING = "recording"
"""The flow of what records wires."""

_numbers = itertools.count()


class Pipe:
    """Flows of routines and the wires between them: build it, start it, send it events, join it.

    Args:
        name: shown in logs and status.
        network: the delivery rule of wires that do not name their own.
        logger: where the pipe's and its routines' log records go; ``logging.getLogger("pipert2.NAME")`` if left out.
        data_transmitter: how data is placed on wires that do not say; :class:`BasicTransmitter` if left out.
        auto_pacing_mechanism: hold sources near the rate at which their data can be used.
        lossless: make wires lossless that do not say.
        inline: run everything in this process, each routine in a thread, for debuggers, tests and notebooks.
        restart: how often a flow that dies is restarted, within a minute; or a :class:`Restart` that says it in full.
        hang_timeout: kill and restart a flow in which one call of the user's code takes longer (seconds).
        kill_timeout: seconds that routines have to clean up when killed, before their process is ended by force.
        drain_timeout: seconds that a lossless pipe may take, when it is stopped as a whole, for what its sources have
            sent already; what is left waits for the next start.
        start_method: of multiprocessing; ``"forkserver"`` where there is one, else ``"spawn"``.
        requires: names of parameters of the pipe as a whole without which no routine starts; see
            :meth:`set_parameters`.
        store: the file of the pipe's store, an SQLite database, made if it is not there; ``self.store`` in routines.
        config: the folder of the routines' configuration files; ``self.config`` in routines.
        clock: what tells the time to triggers, where the pipe runs inline: a :class:`pipert2.testing.VirtualClock` lets
            hours pass at once.

    Raises:
        TypeError, ValueError: an argument is not what it should be.

    >>> from pipert2 import Pipe, destination, source
    >>> @source
    ... def numbers():
    ...     yield from range(3)
    >>> pipe = Pipe(inline=True, lossless=True)
    >>> pipe.create_flow("all", True, numbers, destination(print))
    >>> summary = pipe.run()
    0
    1
    2
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        network: QueueNetwork | None = None,
        logger: logging.Logger | None = None,
        data_transmitter: DataTransmitter | None = None,
        auto_pacing_mechanism: bool = False,
        lossless: bool = False,
        inline: bool = False,
        restart: int | Restart = 3,
        hang_timeout: float | None = None,
        kill_timeout: float = 2.0,
        start_method: str | None = None,
        store: str | Path | None = None,
        requires: Sequence[str] = (),
        drain_timeout: float = 5.0,
        config: str | Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        _check_transmitter(data_transmitter, "Pipe(data_transmitter=...)")
        check_start_method(start_method)
        if network is not None and not isinstance(network, QueueNetwork):
            raise TypeError(f"Pipe(network=...): {network!r} is not a QueueNetwork's instance")
        if hang_timeout is not None and not hang_timeout > 0:
            raise ValueError(f"Pipe(hang_timeout=...) is a time in seconds above 0, not {hang_timeout!r}")
        if not kill_timeout >= 0:
            raise ValueError(f"Pipe(kill_timeout=...) is a time in seconds, 0 or more, not {kill_timeout!r}")
        if not drain_timeout >= 0:
            raise ValueError(f"Pipe(drain_timeout=...) is a time in seconds, 0 or more, not {drain_timeout!r}")
        if isinstance(requires, str) or not all(isinstance(one, str) and one for one in requires):
            raise TypeError(f'Pipe(requires=...) is a list of names, as in ("workload",), not {requires!r}')
        self.name = name if name is not None else f"pipe-{next(_numbers)}"
        self.logger = logger if logger is not None else logging.getLogger(f"pipert2.{self.name}")
        if config is not None and not isinstance(config, str | Path):
            raise TypeError(f'Pipe(config=...) is the path of a folder, as in "configs", not {config!r}')
        if clock is not None and not inline:
            raise ValueError("Pipe(clock=...) needs inline=True: the processes of flows have the machine's clock")
        self._config = None if config is None else Path(config)
        self._clock: Clock = clock or SystemClock()
        self.store = Store(store, now=self._clock.now) if store is not None else None
        self._network = network or QueueNetwork()
        self._replicas: dict[str, int] = {}
        self._data_transmitter = data_transmitter
        self._auto_pacing = auto_pacing_mechanism
        self._lossless = lossless
        self._settings = Settings(
            inline=inline,
            restart=restart if isinstance(restart, Restart) else Restart(times=restart),
            hang_timeout=hang_timeout,
            kill_timeout=kill_timeout,
            start_method=start_method,
            store=self.store,
            requires=tuple(requires),
            drain_timeout=drain_timeout,
            replicas=self._replicas,
            clock=self._clock,
        )
        self._configurations: LiveConfigurations | None = None
        self._flows: dict[str, list[Routine]] = {}
        self._wires: list[Wire] = []
        self._depends_on: dict[str, tuple[str, ...]] = {}
        self._shared: dict[str, Any] = {}
        self._supervisor: Supervisor | None = None
        self._monitor: Monitor | None = None
        self._last_status: PipeStatus | None = None
        self.log_listeners: list[Callable[[logging.LogRecord], None]] = []
        self._structure_version = 0
        self._levels_set: set[logging.Logger] = set()
        self._last_dead_letters: tuple[DeadLetterStatus, ...] = ()
        self._last_histograms: dict[str, tuple[Histogram, Histogram]] = {}
        self._rewiring: Rewiring | None = None
        self._wiring = threading.RLock()
        self._describing = threading.Lock()
        self._lock = threading.RLock()

    # --- putting it together

    def create_flow(
        self,
        flow_name: str,
        auto_wire: bool = True,
        *routines: Routine,
        data_transmitter: DataTransmitter | None = None,
        replicas: int | None = None,
        depends_on: Sequence[str] = (),
    ) -> None:
        """Add a flow: routines that share a process.

        Args:
            flow_name: unique within the pipe.
            auto_wire: wire the routines to one another in the order given.
            routines: the flow's routines.
            data_transmitter: for these wires.
            replicas: processes of this flow that compete for its input: each message goes to one of them.
            depends_on: names of flows: it starts when their streams have ended and all of it is done. If some of it is
                given up for good, it never starts.

        Raises:
            ValueError: replicas is not 1 or more.
            PipeBuildError: the name is taken, or a routine is in a flow already.
            PipeStateError: the pipe is built already.
            TypeError: something given is not a routine.
        """
        self._must_be_new("create_flow")
        if not isinstance(flow_name, str) or not flow_name:
            raise TypeError(f"create_flow: a flow's name is a non-empty text, not {flow_name!r}")
        if not isinstance(auto_wire, bool):
            raise TypeError(
                f"create_flow({flow_name!r}, ...): the second argument, auto_wire, is True or False, not {auto_wire!r}"
            )
        _check_transmitter(data_transmitter, f"create_flow({flow_name!r}, ..., data_transmitter=...)")
        for routine in routines:
            if not isinstance(routine, Routine):
                hint = ""
                if isinstance(routine, type):
                    hint = ", create an instance of the class"
                elif callable(routine):
                    hint = ", make it one with @source, @middle or @destination"
                raise TypeError(f"create_flow({flow_name!r}, ...): {routine!r} is not a routine{hint}")
        if replicas is not None and (
            isinstance(replicas, bool) or not isinstance(replicas, int) or not 1 <= replicas <= MOST_MEMBERS
        ):
            raise ValueError(
                f"create_flow({flow_name!r}, ..., replicas=...) is a number from 1 to {MOST_MEMBERS}, not {replicas!r}"
            )
        if isinstance(depends_on, str) or not all(isinstance(one, str) for one in depends_on):
            raise TypeError(
                f"create_flow({flow_name!r}, ..., depends_on=...) is a list of flows' names, not {depends_on!r}"
            )
        if flow_name in self._flows:
            raise PipeBuildError([f"there are two flows {flow_name!r}: give them different names"])
        present = {id(routine): flow for flow, members in self._flows.items() for routine in members}
        for number, routine in enumerate(routines):
            if id(routine) in present or any(routine is other for other in routines[:number]):
                flow = present.get(id(routine), flow_name)
                raise PipeBuildError(
                    [f"{routine!r} is in flow {flow!r} already: create another instance for flow {flow_name!r}"]
                )
        taken = [routine.name for members in self._flows.values() for routine in members]
        for routine in routines:
            routine._ensure_name(taken)
            taken.append(routine.name)
            routine.flow_name = flow_name
            routine._context = _Outside(self, routine)
        self._flows[flow_name] = list(routines)
        if replicas is not None:
            self._replicas[flow_name] = replicas
        if depends_on:
            self._depends_on[flow_name] = tuple(depends_on)
        if auto_wire:
            self._wires += [Wire(source, after, data_transmitter) for source, after in pairwise(routines)]

    def link(self, *wires: Wire, wait: float = 5.0) -> None:
        """Add wires, also while the pipe runs: what their sources send after this returns travels on them.

        Args:
            wires: of a pipe that is built, each leads to a routine that had an input when it was built.
            wait: seconds that the routines of a running pipe may take to end the message in hand.

        Raises:
            PipeBuildError: a running pipe cannot have such a wire; it is as it was.
            PipeStateError: the pipe has ended, or a routine did not get ready for the wire in time.
            TypeError: something given is not a wire.
        """
        for wire in wires:
            if not isinstance(wire, Wire):
                raise TypeError(f"link takes wires, as in link(Wire(source=a, destinations=(b,))), not {wire!r}")
        with self._wiring:
            with self._lock:
                supervisor, rewiring = self._supervisor, self._rewiring
                if supervisor is None or rewiring is None:
                    self._must_be_new("link")
                    self._describe(wires)
                    return
            rewiring.link(self._new_edges(supervisor, wires), wait)
            self._describe(wires)

    def _describe(self, wires: Sequence[Wire]) -> None:
        with self._describing:
            self._wires = [*self._wires, *wires]
            self._structure_version += 1

    def _new_edges(self, supervisor: Supervisor, wires: Sequence[Wire]) -> list[EdgeSpec]:
        rules: dict[str, Any] = {"network": self._network, "lossless": self._lossless}
        before = problems(self._flows, self._wires, **rules)
        found = [text for text in problems(self._flows, [*self._wires, *wires], **rules) if text not in before]
        if found:
            raise PipeBuildError(found)
        edges = make_edges(
            self._flows,
            wires,
            data_transmitter=self._data_transmitter,
            replicas=self._replicas,
            **rules,
        )
        spec = supervisor.spec
        for edge in edges:
            source, end = spec.routines[edge.source].name, spec.routines[edge.destination].name
            if not spec.inputs(edge.destination):
                raise PipeBuildError(
                    [f"{end!r} had no input when the pipe was built, so it cannot get one now: link it before"]
                )
            for index in (edge.source, edge.destination):
                if supervisor.state(index) is RoutineState.KILLED:
                    raise PipeStateError(f"link {source!r} to {end!r}: {spec.routines[index].name!r} was killed")
        return edges

    def unlink(self, source: Routine | str, destination: Routine | str, *, wait: float = 5.0) -> None:
        """Take the wire from one routine to another away, also while the pipe runs.

        What waits on the wire is still delivered; a routine without any other input ends its stream then. If the wire
        comes back with another rule, what still waited on the old one may arrive among what comes on the new one.

        Args:
            source: the routine that sends, or its name.
            destination: the routine that gets nothing from it any more, or its name.
            wait: seconds that the source may take to end the message in hand; the wire is taken away in any case.

        Raises:
            UnknownRoutineError, UnknownWireError: there is no such routine, or no wire between the two.
        """
        start, end = (item.name if isinstance(item, Routine) else item for item in (source, destination))
        known = [routine.name for members in self._flows.values() for routine in members]
        for name in (start, end):
            if name not in known:
                raise UnknownRoutineError(name, known, f"pipe {self.name!r}")
        pairs = [(wire.source.name, to.name) for wire in self._wires for to in wire.destinations]
        if (start, end) not in pairs:
            raise UnknownWireError(f"{start} -> {end}", [f"{a} -> {b}" for a, b in pairs], f"pipe {self.name!r}")
        self._forget(start, end)
        with self._lock:
            supervisor, rewiring = self._supervisor, self._rewiring
        if supervisor is not None and rewiring is not None:
            rewiring.unlink(self._index(supervisor, start), self._index(supervisor, end), wait)

    def _forget(self, source: str, destination: str) -> None:
        """Take a wire out of the pipe's description."""
        with self._describing:
            wires = []
            for wire in self._wires:
                left = tuple(end for end in wire.destinations if end.name != destination)
                if wire.source.name != source or left == wire.destinations:
                    wires.append(wire)
                elif left:
                    wires.append(wire.to(left))
            self._wires = wires
            self._structure_version += 1

    def build(self) -> None:
        """Check everything, start the flows' processes, and wait until they are ready for events.

        Raises:
            PipeBuildError: what is wrong with the pipe, all of it.
            FlowStartError: a process did not come up.
            SharedMemoryFullError: there is no room for the wires.
            PipeStateError: it is built already, or has ended.
        """
        with self._lock:
            if self._supervisor is not None:
                raise PipeStateError(f"pipe {self.name!r} is built already")
            self._must_be_new("build")
            self._add_recorders()
            found = problems(self._flows, self._wires, network=self._network, lossless=self._lossless)
            found += dependency_problems(self._flows, self._depends_on)
            if self.store is None:
                found += [
                    f"{type(routine).__name__} {routine.name!r} has an idempotency_key, which needs a store: "
                    'Pipe(store="run.db")'
                    for members in self._flows.values()
                    for routine in members
                    if has_keys(routine)
                ]
            configurations = self._configure(found)
            spec = make_spec(
                self.name,
                self._flows,
                self._wires,
                network=self._network,
                lossless=self._lossless,
                data_transmitter=self._data_transmitter,
                replicas=self._replicas,
                depends_on=self._depends_on,
                most_replicas=(lambda count: count) if self._settings.inline else _most_replicas,
            )
            routines = self._objects(spec)
            supervisor = Supervisor(
                spec, routines, self._settings, self.logger, self.log_listeners, self._forget, configurations
            )
            supervisor.shared.update(self._shared)
            supervisor.start()
            self._supervisor = supervisor
            self._rewiring = Rewiring(supervisor)
            self._monitor = Monitor(supervisor)
            supervisor.on_tick(self._monitor.tick, TICK)
            if self._auto_pacing:
                supervisor.on_tick(AutoPacing(lambda: supervisor.spec, supervisor.board).tick, INTERVAL)
            end_at_exit(supervisor)
            for handler in self.logger.handlers:
                watch = getattr(handler, "pipert2_watch", None)  # one that shows the pipe, not only its log
                if watch is not None:
                    watch(self)

    def _add_recorders(self) -> None:
        """Put what records wires into a flow of its own, one recorder for each file and source."""
        recorders: dict[tuple[str, str], Routine] = {}
        for wire in self._wires:
            if wire.capture is None:
                continue
            key = str(wire.capture), wire.source.name
            if key not in recorders:
                recorders[key] = _recorder(wire.capture, wire.source.name)
        if not recorders:
            return
        self.create_flow(RECORDING, False, *recorders.values())
        sources = {wire.source.name: wire.source for wire in self._wires}
        self._wires = [
            *self._wires,
            *(Wire(sources[source], recorder, lossless=False) for (_, source), recorder in recorders.items()),
        ]

    def _configure(self, problems: Sequence[str] = ()) -> LiveConfigurations:
        """The routines' configurations; raises what is wrong with them, and *problems*."""
        routines = [routine for members in self._flows.values() for routine in members]
        has_store = self.store is not None
        found, errors = configure_all(routines, self._config, os.environ, has_store=has_store)
        raise_problems(problems, errors)
        for warning in warnings_of(self._config, routines, found.values()):
            self.logger.warning("%s", warning)
        self._configurations = LiveConfigurations(routines, found, self.logger, has_store=has_store)
        return self._configurations

    def _objects(self, spec: PipeSpec) -> list[Routine]:
        """The routines' objects by index; replicas are handed over by value, but inline each needs one of its own."""
        first = [routine for members in self._flows.values() for routine in members]
        return [
            copy.deepcopy(first[routine.base]) if routine.replica and self._settings.inline else first[routine.base]
            for routine in spec.routines
        ]

    def _must_be_new(self, what: str) -> None:
        if self._last_status is not None:
            raise PipeStateError(f"{what}: pipe {self.name!r} has ended, create a new one")
        if self._supervisor is not None:
            raise PipeStateError(f"{what}: pipe {self.name!r} is built already")

    # --- events

    @overload
    def notify_event(
        self, event_name: str, specific_flow_routines: Targets | None = None, *, wait: float, **params: Any
    ) -> dict[str, EventResult]: ...
    @overload
    def notify_event(
        self, event_name: str, specific_flow_routines: Targets | None = None, *, wait: None = None, **params: Any
    ) -> None: ...
    def notify_event(
        self,
        event_name: str,
        specific_flow_routines: Targets | None = None,
        *,
        wait: float | None = None,
        **params: Any,
    ) -> dict[str, EventResult] | None:
        """Send an event to routines. A pipe that is not built yet is built first.

        Args:
            event_name: ``"start"``, ``"stop"``, ``"kill"`` or one that routines handle with ``@events(...)``.
            specific_flow_routines: flow names with lists of names of routines in them; an empty list is the whole flow.
                Left out: all routines that handle the event.
            wait: seconds to wait for what the handlers return; left out, the event is sent and forgotten.
            params: the handlers' keyword arguments.

        Returns:
            With *wait*: by routine name what each handler returned or raised. Without: None.

        Raises:
            UnknownFlowError, UnknownRoutineError, UnknownEventError: with the nearest name that there is.
            PipeStateError: the pipe has ended. ``stop`` and ``kill`` are then done already and do nothing.
            UnsendableDataError: a parameter cannot be sent to another process.
        """
        supervisor = self._current(
            f"event {event_name!r}", over_is_fine=event_name in (STOP_EVENT_NAME, KILL_EVENT_NAME)
        )
        if supervisor is None:
            return {} if wait is not None else None
        routines = resolve(supervisor.spec, event_name, specific_flow_routines)
        if wait is not None and not wait >= 0:
            raise ValueError(f"notify_event(wait=...) is a time in seconds, 0 or more, not {wait!r}")
        if event_name == STOP_EVENT_NAME and not specific_flow_routines and supervisor.spec.acknowledged:
            return supervisor.stopping.stop(wait)
        if wait is None:
            supervisor.bus.send(event_name, routines, params)
            return None
        return supervisor.bus.call(event_name, routines, params, wait)

    def _current(self, what: str, *, over_is_fine: bool = False) -> Supervisor | None:
        """The supervisor of the pipe, which is built if need be; None if the pipe has ended and that is fine."""
        with self._lock:
            if self._last_status is not None and over_is_fine:
                return None
            if self._supervisor is None:
                self._must_be_new(what)
                self.build()
            return self._supervisor

    def receivers_of(self, event_name: str, specific_flow_routines: Targets | None = None) -> tuple[str, ...]:
        """The names of the routines that an event would go to; raises what :meth:`notify_event` raises."""
        supervisor = self._current(
            f"event {event_name!r}", over_is_fine=event_name in (STOP_EVENT_NAME, KILL_EVENT_NAME)
        )
        if supervisor is None:
            return ()
        return tuple(routine.name for routine in resolve(supervisor.spec, event_name, specific_flow_routines))

    # --- calls

    def call(self, routine: Routine | str, data: Any, *, timeout: float = 30.0) -> Any:
        """Let a routine work on *data*, and get what its ``main_logic`` returns. One of its replicas that runs does it.

        Args:
            routine: whom to call, or its name; also one that is on no wire, if it is a ``service``.
            data: what its ``main_logic`` gets; any picklable object.
            timeout: seconds to wait for the result.

        Raises:
            CallError: it raised an exception, or its process died again and again.
            CallTimeoutError: there was no result in time (a ``TimeoutError`` as well).
            UnknownRoutineError: there is no such routine.
            PipeStateError: the pipe is not built, or has ended.
        """
        name = routine.name if isinstance(routine, Routine) else routine
        self.routine(name)
        if not timeout > 0:
            raise ValueError(f"call(timeout=...) is a time in seconds above 0, not {timeout!r}")
        supervisor = self._running(f"call of {name!r}")
        spec = supervisor.spec.routines[self._index(supervisor, name)]
        return supervisor.calls.call(spec, Packed(dumps_plain(data)), timeout).unwrap()

    # --- dead letters

    def dead_letters(
        self, routine_name: str | None = None, *, after: int = 0, limit: int | None = None
    ) -> tuple[DeadLetterStatus, ...]:
        """The messages that were given up after all their attempts, oldest first.

        Without a store they are kept with this object. In a store they are kept until they are dropped or done, so that
        a later run of a pipe of the same name finds them; when the pipe has ended this lists the oldest hundred.

        Args:
            routine_name: only those of this routine.
            after: only those with a higher number.
            limit: how many at most.

        Raises:
            StoreError: the store cannot be read.
        """
        supervisor = self._supervisor
        if supervisor is not None:
            return supervisor.dead_letters.list(routine_name, after=after, limit=limit)
        found = [letter for letter in self._last_dead_letters if letter.number > after]
        return tuple(letter for letter in found if routine_name in (None, letter.routine))[:limit]

    def requeue_dead_letter(self, number: int, *, wait: float = 30.0) -> None:
        """Give a message that was given up to its routine again; whatever goes wrong, it is kept as it was.

        Args:
            number: the dead letter's number.
            wait: seconds that the routine may take.

        Raises:
            UnknownDeadLetterError: there is none of this number.
            UnknownRoutineError: an earlier run left it, and there is no such routine any more.
            EventHandlerError: it failed again.
            PipeStateError: the pipe or the routine does not run, or the message cannot be read.
            StoreError: the store cannot be written.
        """
        self._running("requeue_dead_letter").dead_letters.requeue(number, wait)

    def requeue_dead_letters(self, routine_name: str | None = None, *, wait: float = 30.0) -> RequeueResult:
        """Give all messages that were given up to their routines again, one after the other.

        Args:
            routine_name: only those of this routine.
            wait: seconds that all of them together may take.

        Raises:
            PipeStateError: the pipe does not run.
            StoreError: the store cannot be read or written.
        """
        return self._running("requeue_dead_letters").dead_letters.requeue_all(routine_name, wait)

    def drop_dead_letter(self, number: int) -> None:
        """Forget a message that was given up.

        Raises:
            UnknownDeadLetterError: there is none of this number.
            PipeStateError: the pipe does not run.
            StoreError: the store cannot be written.
        """
        self._running("drop_dead_letter").dead_letters.drop(number)

    def drop_dead_letters(self, routine_name: str | None = None) -> tuple[int, ...]:
        """Forget all messages that were given up, or those of a routine; the numbers of those that were forgotten.

        Raises:
            PipeStateError: the pipe does not run.
            StoreError: the store cannot be read or written.
        """
        return self._running("drop_dead_letters").dead_letters.drop_all(routine_name)

    # --- parameters, levels, previews of routines

    def parameters(self, routine_name: str) -> tuple[ParameterStatus, ...]:
        """The parameters of a routine, with limits and history.

        Raises:
            UnknownRoutineError: there is no such routine.
        """
        routine = self.routine(routine_name)
        supervisor = self._supervisor
        if supervisor is not None:
            return supervisor.live_parameters(self._index(supervisor, routine_name)).status()
        if self._last_status is not None:
            return self._last_status.routine(routine_name).parameters
        return LiveParameters(routine).status()

    @property
    def shared_parameters(self) -> dict[str, Any]:
        """The parameters of the pipe as a whole that were given so far: ``self.parameters`` in routines."""
        supervisor = self._supervisor
        return dict(supervisor.shared if supervisor is not None else self._shared)

    def set_parameters(
        self,
        routine_name: str | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        wait: float = 5.0,
        **shared: Any,
    ) -> None:
        """Set parameters of a routine: all of them between the same two messages, or none if one value is wrong.

        Without a routine, set parameters of the pipe as a whole, as in ``pipe.set_parameters(workload=0.01)``: every
        routine finds them in ``self.parameters``, those that are started later too, and those that handle the event
        ``"parameters"`` are told. They may be given before or after the pipe is built.

        Args:
            routine_name: the routine.
            values: new values by parameter.
            wait: seconds that the routine may take to end the message in hand.
            shared: parameters of the pipe as a whole.

        Raises:
            UnknownRoutineError, UnknownParameterError: with the nearest name that there is.
            ParameterError: a value is not allowed.
            EventTimeoutError: the routine did not get to it in time; it will still set them.
            PipeStateError: the pipe has ended.
        """
        if routine_name is None:
            self._share({**(values or {}), **shared})
            return
        if shared or values is None:
            raise TypeError(
                f"set_parameters({routine_name!r}, ...): a routine's parameters are given as a dict, as in "
                f'set_parameters({routine_name!r}, {{"gain": 2}})'
            )
        routine, supervisor = self.routine(routine_name), self._supervisor
        if supervisor is None:
            self._must_be_new("set_parameters")
            for name, value in LiveParameters(routine).checked(values).items():
                setattr(routine, name, value)
            return
        index = self._index(supervisor, routine_name)
        checked = supervisor.live_parameters(index).checked(values)
        supervisor.ask(commands.PARAMETERS, index, {"values": checked}, wait)

    def _share(self, values: Mapping[str, Any]) -> None:
        with self._lock:
            supervisor = self._supervisor
            if supervisor is None:
                self._must_be_new("set_parameters")
            self._shared.update(values)
        if supervisor is not None:
            supervisor.share(values)

    def _parameter_set(self, routine: Routine, name: str, value: Any) -> bool:
        """A parameter of the routine's object out here was set; whether the object keeps it by itself."""
        if self._supervisor is None:
            return True
        self.set_parameters(routine.name, {name: plain_value(value)})
        return False

    def configuration(self, routine_name: str) -> Configuration:
        """The settings of a routine as they are now: a mapping that can :meth:`~Configuration.explain` itself.

        Those of a pipe that is not built yet are read anew each time.

        Raises:
            UnknownRoutineError: there is no such routine.
            ConfigError: a setting of this routine cannot be used.
        """
        routine = self.routine(routine_name)
        if self._configurations is not None:
            return self._configurations.of(routine_name)
        found, errors = configure_all([routine], self._config, os.environ, has_store=self.store is not None)
        raise_problems((), errors)
        return found[routine_name].configuration

    def log_level(self, routine_name: str) -> int:
        """From which level on the log records of a routine are kept; see the :mod:`logging` module."""
        return self._logger_of(routine_name).getEffectiveLevel()

    def set_log_level(self, routine_name: str, level: int | str) -> None:
        """Set from which level on the log records of a routine of a running pipe are kept, such as ``"DEBUG"``.

        Raises:
            UnknownRoutineError: there is no such routine.
            PipeStateError: the pipe is not built, or has ended.
            ValueError: there is no such level.
        """
        logger = self._logger_of(routine_name)
        supervisor = self._running("set_log_level")
        logger.setLevel(level)
        self._levels_set.add(logger)
        supervisor.tell(commands.LOG_LEVEL, self._index(supervisor, routine_name), "", {"level": logger.level})

    def _logger_of(self, routine_name: str) -> logging.Logger:
        return self.logger.getChild(f"{self.routine(routine_name).flow_name}.{routine_name}")

    def preview(
        self, routine_name: str, side: Side = "output", *, on: bool = True, rate: float = 5.0, size: int = 480
    ) -> None:
        """Begin or end to keep small pictures of the frames that a routine gets or returns.

        Args:
            routine_name: the routine.
            side: ``"input"`` or ``"output"``.
            on: begin or end.
            rate: pictures per second, at most.
            size: pixels of a picture's longer side, at most.

        Raises:
            UnknownRoutineError: there is no such routine.
            PipeStateError: the pipe is not built, or has ended.
        """
        if side not in ("input", "output"):
            raise ValueError(f"preview: a routine's side is 'input' or 'output', not {side!r}")
        if not 0 < rate <= 100 or not size >= 1:
            raise ValueError(f"preview: rate and size are above 0, rate at most 100, not {rate!r} and {size!r}")
        self.routine(routine_name)
        supervisor = self._running("preview")
        params = {"side": side, "on": on, "rate": float(rate), "size": int(size)}
        supervisor.tell(commands.PREVIEW, self._index(supervisor, routine_name), side, params)

    def preview_frame(self, routine_name: str, side: Side = "output") -> PreviewFrame | None:
        """The newest picture of a routine's frames; None if there is none, or its preview is not on."""
        self.routine(routine_name)
        supervisor = self._supervisor
        return supervisor.previews.get((routine_name, side)) if supervisor is not None else None

    def results(self, routine_name: str, after: int = 0, *, wait: float = 2.0) -> Sketches:
        """What a routine shows with :meth:`pipert2.Routine.show`, all of its replicas, as sketches for people.

        Args:
            routine_name: the routine.
            after: the ``last`` of an earlier answer, to get only what is newer; 0: all that is there.
            wait: seconds to wait for a process that is busy; what does not answer by then is left out.

        Raises:
            UnknownRoutineError: there is no such routine.
            PipeStateError: the pipe is not built, or has ended.
        """
        self.routine(routine_name)
        supervisor = self._running("results")
        return supervisor.results(self._index(supervisor, routine_name), after, wait)

    @staticmethod
    def _index(supervisor: Supervisor, routine_name: str) -> int:
        spec = supervisor.spec.routine(routine_name)
        assert spec is not None
        return spec.index

    # --- running and ending

    def run(self, timeout: float | None = None) -> RunSummary:
        """Build if need be, start, wait for the end of all streams, join.

        Args:
            timeout: seconds after which sources are told to end; what they have sent is still worked on.

        Returns:
            How it went. SIGINT and SIGTERM end the run cleanly as well, the second one by force.
        """
        supervisor = self._current("run")
        assert supervisor is not None
        began = monotonic()
        reason: str | None = None
        with signals_noted(supervisor.nudge) as signals:
            self.notify_event(START_EVENT_NAME)
            if not supervisor.wait(lambda: supervisor.progress.settled or signals, timeout):
                waiting = {flow: reasons for flow in self._flows if (reasons := supervisor.waits_for(flow))}
                reason = "timeout" if not waiting else f"timeout, {_never_started(waiting)}"
                self._drain(supervisor, signals)
            settled = supervisor.progress.settled
            if signals and settled is None:
                reason = f"interrupted by {signal.Signals(signals[0]).name}"
                self._drain(supervisor, signals)
            reason = reason or settled or "stopped"
            failed = settled if settled not in (None, "finished", "killed") else None
            status = self.status()
            self._end(supervisor, signals, by_force_after=2)
        final = self._last_status or status
        given_up = supervisor.dead_letters.given_up
        return RunSummary(
            ok=failed is None and reason in ("finished", "timeout") and not given_up,
            dead_letters=given_up,
            reason=failed or reason,
            elapsed=monotonic() - began,
            errors=sum(routine.errors for routine in final.routines),
            routines=final.routines,
            wires=final.wires,
            flows=final.flows,
        )

    def _drain(self, supervisor: Supervisor, signals: list[int]) -> None:
        """End the sources' streams and let what is on its way arrive, for as long as routines have to clean up."""
        spec = supervisor.spec
        supervisor.gates.let_go(range(len(spec.routines)))
        sources = [routine for routine in spec.routines if not spec.inputs(routine.index)]
        supervisor.bus.send(commands.DRAIN, sources, {})
        limit = max(1.0, 2 * self._settings.kill_timeout)
        supervisor.wait(lambda: supervisor.progress.settled or supervisor.progress.resting or len(signals) > 1, limit)

    def join(self, to_kill: bool = False, timeout: float | None = None) -> bool:
        """Wait until the pipe has been killed, or all its streams have ended and everything has arrived; then tidy up.

        SIGINT (Ctrl-C) or SIGTERM while it waits stops the pipe cleanly; the second one ends it by force.

        Args:
            to_kill: kill it first.
            timeout: seconds to wait; the pipe goes on when they are over.

        Returns:
            Whether the pipe has ended.
        """
        supervisor = self._supervisor
        if supervisor is None:
            return True
        with signals_noted(supervisor.nudge) as signals:
            if not to_kill:
                done = supervisor.wait(lambda: supervisor.ended or signals or supervisor.progress.drained, timeout)
                if not done:
                    return False
            if signals:
                self.logger.info("%s: stopping pipe %r", signal.Signals(signals[0]).name, self.name)
            self._end(supervisor, signals, by_force_after=1 if to_kill else 2)
        return True

    def set_replicas(self, flow_name: str, replicas: int) -> None:
        """Change how many processes of a flow compete for its input, while the pipe runs.

        Processes that go end the message in hand; what they had not begun goes to the others. A flow may come to have
        16 replicas, or twice as many as it was made with.

        Args:
            flow_name: a flow that was made with ``create_flow(..., replicas=...)``.
            replicas: 1 or more.

        Raises:
            UnknownFlowError: there is no such flow.
            ValueError: *replicas* is not 1 or more.
            PipeStateError: the pipe is inline, not built or has ended, or the flow cannot have so many.
        """
        if flow_name not in self._flows:
            raise UnknownFlowError(flow_name, tuple(self._flows), f"pipe {self.name!r}")
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
            raise ValueError(f"set_replicas({flow_name!r}, ...) takes a number, 1 or more, not {replicas!r}")
        self._running("set_replicas").set_replicas(flow_name, replicas)

    def restart_flow(self, flow_name: str) -> int:
        """End a flow's process and start a new one, with its routines in the state they were asked to be in.

        Its routines clean up before; a flow that died too often and was given up is brought back as well. What waits on
        wires from other flows is kept, what waits on wires within the flow is not, and counted.

        Returns:
            How often it was restarted before.

        Raises:
            UnknownFlowError: there is no such flow.
            PipeStateError: the pipe is inline, not built or has ended, or the flow was killed.
        """
        if flow_name not in self._flows:
            raise UnknownFlowError(flow_name, tuple(self._flows), f"pipe {self.name!r}")
        return self._running("restart_flow").restart_flow(flow_name)

    def _running(self, what: str) -> Supervisor:
        supervisor = self._supervisor
        if supervisor is None:
            how = "has ended, create a new one" if self._last_status is not None else "is not built yet, build it first"
            raise PipeStateError(f"{what}: pipe {self.name!r} {how}")
        return supervisor

    def _end(self, supervisor: Supervisor, signals: list[int], by_force_after: int) -> None:
        """End the flows, keep the last status, and leave nothing behind."""
        end(supervisor, signals, by_force_after)
        rewiring = self._rewiring
        if rewiring is not None:
            rewiring.close()
        with self._lock:
            if self._supervisor is supervisor:
                self._last_status = self.status()
                self._last_histograms = self.histograms()
                self._last_dead_letters = supervisor.dead_letters.last()
                self._supervisor = self._monitor = self._rewiring = None
        supervisor.close()
        for logger in self._levels_set:  # a later pipe of this name begins as the first one did
            logger.setLevel(logging.NOTSET)
        ended(supervisor)

    def __enter__(self) -> Pipe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.join(to_kill=True)

    # --- what it is and how it is

    def status(self) -> PipeStatus:
        """A frozen snapshot: routines, wires, flows, with states, rates, latencies, errors. Cheap: ask often."""
        with self._lock:
            if self._supervisor is None or self._monitor is None:
                if self._last_status is not None:
                    return self._last_status
                return PipeStatus(self.name, PipeState.NEW, None, 0.0, 0, (), (), ())
            state, reason = self._state(self._supervisor)
            return self._monitor.snapshot(state, reason)

    def histograms(self) -> dict[str, tuple[Histogram, Histogram]]:
        """By routine, the time in ``main_logic`` and the age of data on arrival, since the pipe was built."""
        with self._lock:
            return self._monitor.histograms() if self._monitor is not None else self._last_histograms

    def _state(self, supervisor: Supervisor) -> tuple[PipeState, str | None]:
        if supervisor.ended:
            return PipeState.ENDED, None
        settled = supervisor.progress.settled
        if settled == "finished":
            return PipeState.FINISHED, None
        if settled is not None and settled != "killed":
            return PipeState.FAILED, settled
        active = (RoutineState.STARTING, RoutineState.RUNNING, RoutineState.STOPPING)
        running = any(supervisor.state(index) in active for index in range(len(supervisor.spec.routines)))
        return (PipeState.RUNNING if running else PipeState.BUILT), None

    @property
    def flow_names(self) -> dict[str, str]:
        """The flow of each routine, by the routine's name, in the order in which they were created."""
        return {routine.name: flow for flow, members in self._flows.items() for routine in members}

    def routine(self, name: str) -> Routine:
        """The routine of this name.

        Raises:
            UnknownRoutineError: there is none.
        """
        for members in self._flows.values():
            for routine in members:
                if routine.name == name:
                    return routine
        raise UnknownRoutineError(name, tuple(self.flow_names), f"pipe {self.name!r}")

    @property
    def wires(self) -> tuple[Wire, ...]:
        """The wires as they are now: one for each source and destination, with the rule that holds for it."""
        edges = make_edges(
            self._flows,
            self._wires,
            network=self._network,
            lossless=self._lossless,
            data_transmitter=self._data_transmitter,
        )
        pairs = [(wire, end) for wire in self._wires for end in wire.destinations]
        return tuple(
            wire.to((end,), data_transmitter=edge.transmitter, lossless=edge.lossless, capacity=edge.capacity)
            for (wire, end), edge in zip(pairs, edges, strict=True)
        )

    @property
    def replicas(self) -> dict[str, int]:
        """Of each flow that was made with ``replicas``, how many processes it has now."""
        status = self.status()
        return {
            flow: status.replicas(flow) or count  # none: it is not built
            for flow, count in self._replicas.items()
        }

    @property
    def depends_on(self) -> dict[str, tuple[str, ...]]:
        """Of each flow that waits for others, which."""
        return dict(self._depends_on)

    @property
    def requires(self) -> tuple[str, ...]:
        """The parameters of the pipe as a whole without which no routine starts."""
        return self._settings.requires

    @property
    def structure_version(self) -> int:
        """Grows with each change of the wires."""
        return self._structure_version

    def get_pipe_structure(self) -> dict[str, Any]:
        """The pipe's routines, wires and events.

        Returns:
            ``{"Routines": [{"flow_name", "routine_name", "events"}], "Events": [built-in event names], "Wires":
            [{"source", "destinations", "lossless"}]}``
        """
        return {
            "Routines": [
                {
                    "flow_name": flow,
                    "routine_name": routine.name,
                    "events": sorted(set(event_handlers(type(routine))) - set(BUILT_IN_EVENTS)),
                }
                for flow, members in self._flows.items()
                for routine in members
            ],
            "Events": [START_EVENT_NAME, STOP_EVENT_NAME, KILL_EVENT_NAME],
            "Wires": [
                {
                    "source": wire.source.name,
                    "destinations": [end.name for end in wire.destinations],
                    "lossless": wire.lossless
                    if wire.lossless is not None
                    else (self._lossless or self._network.put_block),
                }
                for wire in self._wires
            ],
        }

    def __repr__(self) -> str:
        return f"<Pipe {self.name!r}, {len(self._flows)} flows>"


def _recorder(path: str | Path, source: str) -> Routine:
    import pipert2  # captures stand above pipes, and are imported when one is wanted

    made: Routine = pipert2.Recorder(path, topic=source, name=f"record-{source}")
    return made


def _most_replicas(count: int) -> int:
    return min(MOST_MEMBERS, max(16, 2 * count))


def _never_started(waiting: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"flow {flow!r} still waits for {' and '.join(reasons)}" for flow, reasons in waiting.items())


def _check_transmitter(transmitter: object, what: str) -> None:
    if transmitter is not None and not isinstance(transmitter, DataTransmitter):
        hint = ", create an instance of the class" if isinstance(transmitter, type) else ""
        raise TypeError(f"{what}: {transmitter!r} is not a data transmitter{hint}")


class _Outside:
    """The context of a routine object in the process where the pipe was put together."""

    def __init__(self, pipe: Pipe, routine: Routine) -> None:
        self._pipe = pipe
        self._routine = routine

    @property
    def logger(self) -> logging.Logger:
        return self._pipe.logger

    def notify_event(
        self, name: str, targets: Mapping[str, Sequence[str]] | None, wait: float | None, params: dict[str, Any]
    ) -> Any:
        return self._pipe.notify_event(name, targets, wait=wait, **params)

    def loan(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        return np.empty(shape, dtype)

    def call(self, routine: str, data: Any, timeout: float) -> Any:
        return self._pipe.call(routine, data, timeout=timeout)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {}

    @property
    def config(self) -> Mapping[str, Any]:
        return self._pipe.configuration(self._routine.name)

    @property
    def message(self) -> None:
        return None

    def wait(self, seconds: float) -> bool:
        return threading.Event().wait(seconds)

    def set_rate(self, rate: float) -> None:
        pass

    def show(self, name: str, value: Any) -> None:
        pass

    def parameter_set(self, name: str, value: Any) -> bool:
        return self._pipe._parameter_set(self._routine, name, value)

    @property
    def store(self) -> Store | None:
        return self._pipe.store

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # the pipe stays where it is when its routines travel


def _nothing() -> None:
    return None
