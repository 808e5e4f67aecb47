"""Pipe: the object people hold."""

from __future__ import annotations

import copy
import importlib
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from pipert2.errors import PipeBuildError, PipeStateError, UnknownFlowError
from pipert2.events.notices import Notices
from pipert2.graph.blueprint import Blueprint, check_transmitter
from pipert2.graph.handlers import START_EVENT_NAME
from pipert2.graph.hidden import hidden_names
from pipert2.graph.routine import Routine, has_keys
from pipert2.graph.spec import MOST_REPLICAS, EdgeSpec, PipeSpec
from pipert2.graph.transmitter import DataTransmitter
from pipert2.graph.wire import QueueNetwork, Wire
from pipert2.observe.monitor import Monitor
from pipert2.observe.snapshot import PipeState, PipeStatus, RunSummary
from pipert2.pipe.messages import MessageVerbs
from pipert2.pipe.outside import Outside
from pipert2.pipe.recording import Recording, add_recorders, captures_of
from pipert2.pipe.routines import RoutineVerbs
from pipert2.runtime import commands
from pipert2.runtime.clock import Clock, SystemClock
from pipert2.runtime.configuration.live import LiveConfigurations
from pipert2.runtime.configuration.routines import configure_all, raise_problems, warnings_of
from pipert2.runtime.flow.handover import check_start_method
from pipert2.runtime.routine.histogram import Histogram
from pipert2.runtime.settings import Settings
from pipert2.runtime.supervision.auto_pacing import INTERVAL, AutoPacing
from pipert2.runtime.supervision.ending import end, end_at_exit, ended, signals_noted
from pipert2.runtime.supervision.restart import Restart
from pipert2.runtime.supervision.rewiring import Rewiring
from pipert2.runtime.supervision.supervisor import TICK, Supervisor
from pipert2.store import Store
from pipert2.transport.board import RoutineState

_numbers = itertools.count()


class Pipe(MessageVerbs, RoutineVerbs):
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
        store: the file of the pipe's store, an SQLite database, made when the pipe is built if it is not there;
            ``self.store`` in routines.
        config: the folder of the routines' configuration files; ``self.config`` in routines.
        clock: what tells the time to triggers, where the pipe runs inline: a :class:`pipert2.testing.VirtualClock` lets
            hours pass at once.
        engine: where flows run: ``"ray://HOST:PORT"``, ``"ray"`` or a :class:`RayEngine` for a cluster; left out, on
            this machine.

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
        engine: Any = None,
    ) -> None:
        check_transmitter(data_transmitter, "Pipe(data_transmitter=...)")
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
        self.blueprint = Blueprint(
            self.name, network=network or QueueNetwork(), lossless=lossless, data_transmitter=data_transmitter
        )
        self.logger = logger if logger is not None else logging.getLogger(f"pipert2.{self.name}")
        if config is not None and not isinstance(config, str | Path):
            raise TypeError(f'Pipe(config=...) is the path of a folder, as in "configs", not {config!r}')
        if clock is not None and not inline:
            raise ValueError("Pipe(clock=...) needs inline=True: the processes of flows have the machine's clock")
        self.config_folder = None if config is None else Path(config)
        self._clock: Clock = clock or SystemClock()
        # A pipe that is only looked at, by ``pipert2 graph`` or ``validate``, leaves no file behind.
        self.store = Store(store, now=self._clock.now, made_later=True) if store is not None else None
        self.auto_pacing = auto_pacing_mechanism
        self.settings = Settings(
            inline=inline,
            restart=restart if isinstance(restart, Restart) else Restart(times=restart),
            hang_timeout=hang_timeout,
            kill_timeout=kill_timeout,
            start_method=start_method,
            store=self.store,
            requires=tuple(requires),
            drain_timeout=drain_timeout,
            replicas=self.blueprint.replicas,
            clock=self._clock,
        )
        self._configurations: LiveConfigurations | None = None
        self._shared: dict[str, Any] = {}
        self._supervisor: Supervisor | None = None
        self._monitor: Monitor | None = None
        self._last_status: PipeStatus | None = None
        self.log_listeners: list[Callable[[logging.LogRecord], None]] = []
        self._levels_set: set[logging.Logger] = set()
        self._last_dead_letters = ()
        self._notices = Notices()
        self.recordings: list[Recording] = []
        self._last_histograms: dict[str, tuple[Histogram, Histogram]] = {}
        self._rewiring: Rewiring | None = None
        self._wiring = threading.RLock()
        self._lock = threading.RLock()
        if engine is not None:
            move_to(self, engine)

    # --- putting it together

    def create_flow(
        self,
        flow_name: str,
        auto_wire: bool = True,
        *routines: Routine,
        data_transmitter: DataTransmitter | None = None,
        replicas: int | None = None,
        depends_on: Sequence[str] = (),
        resources: Mapping[str, float] | None = None,
        host: str | None = None,
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
            resources: on a cluster, what each replica needs of its host, as in ``{"GPU": 1, "edge": 1}``.
            host: on a cluster, a host's name or address, a label of it as in ``"rack=3"``, or ``"driver"``.

        Raises:
            ValueError: replicas is not 1 or more, or a resource is no amount.
            PipeBuildError: the name is taken, or a routine is in a flow already.
            PipeStateError: the pipe is built already.
            TypeError: something given is not a routine.
        """
        self._must_be_new("create_flow")
        check_transmitter(data_transmitter, f"create_flow({flow_name!r}, ..., data_transmitter=...)")
        self.blueprint.add_flow(
            flow_name,
            auto_wire,
            routines,
            data_transmitter=data_transmitter,
            replicas=replicas,
            depends_on=depends_on,
            resources=resources,
            host=host,
        )
        for routine in routines:
            routine._context = Outside(self, routine)

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
                    self.blueprint.add_wires(wires)
                    return
            rewiring.link(self._new_edges(supervisor, wires), wait)
            self.blueprint.add_wires(wires)

    def _new_edges(self, supervisor: Supervisor, wires: Sequence[Wire]) -> list[EdgeSpec]:
        before = self.blueprint.problems()
        found = [text for text in self.blueprint.problems(wires) if text not in before]
        if found:
            raise PipeBuildError(found)
        edges = self.blueprint.edges(wires)
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
        self.blueprint.check_wire(start, end)
        self.blueprint.forget(start, end)
        with self._lock:
            supervisor, rewiring = self._supervisor, self._rewiring
        if supervisor is not None and rewiring is not None:
            rewiring.unlink(self._index(supervisor, start), self._index(supervisor, end), wait)

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
            configurations = self._checked()
            spec = self.blueprint.spec((lambda count: count) if self.settings.inline else _most_replicas)
            routines = self._objects(spec)
            supervisor = Supervisor(
                spec,
                routines,
                self.settings,
                self.logger,
                self.log_listeners,
                self.blueprint.forget,
                configurations,
                self._notices,
            )
            supervisor.shared.update(self._shared)
            supervisor.start()
            self._supervisor = supervisor
            self._rewiring = Rewiring(supervisor)
            self._monitor = Monitor(supervisor)
            supervisor.on_tick(self._monitor.tick, TICK)
            if self.auto_pacing:
                supervisor.on_tick(AutoPacing(lambda: supervisor.spec, supervisor.board).tick, INTERVAL)
            end_at_exit(supervisor)
            self._show_to_handlers()

    def _checked(self) -> LiveConfigurations:
        """Put in what is still missing, and raise what is wrong with the pipe; its routines' configurations."""
        add_recorders(self, [*self.recordings, *captures_of(self.blueprint.wires)])
        found = self.blueprint.problems()
        if self.store is None:
            found += [
                f"{type(routine).__name__} {routine.name!r} has an idempotency_key, which needs a store: "
                'Pipe(store="run.db")'
                for routine in self.blueprint.routines
                if has_keys(routine)
            ]
        return self._configure(found)

    def _show_to_handlers(self) -> None:
        """Tell the logger's handlers that show the pipe, not only its log, that it is there."""
        for handler in self.logger.handlers:
            watch = getattr(handler, "pipert2_watch", None)
            if watch is not None:
                watch(self)

    def _configure(self, problems: Sequence[str] = ()) -> LiveConfigurations:
        """The routines' configurations; raises what is wrong with them, and *problems*."""
        routines = self.blueprint.routines
        has_store = self.store is not None
        if not all(isinstance(routine.name, str) for routine in routines):  # then nothing is found by it
            raise_problems(problems, ())
        found, errors = configure_all(routines, self.config_folder, os.environ, has_store=has_store)
        raise_problems(problems, errors)
        for warning in [*hidden_names(routines), *warnings_of(self.config_folder, routines, found.values())]:
            self.logger.warning("%s", warning)
        self._configurations = LiveConfigurations(routines, found, self.logger, has_store=has_store)
        return self._configurations

    def _objects(self, spec: PipeSpec) -> list[Routine]:
        """The routines' objects by index; replicas are handed over by value, but inline each needs one of its own."""
        first = self.blueprint.routines
        return [
            copy.deepcopy(first[routine.base]) if routine.replica and self.settings.inline else first[routine.base]
            for routine in spec.routines
        ]

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
                waiting = {flow: reasons for flow in self.blueprint.flows if (reasons := supervisor.waits_for(flow))}
                reason = "timeout" if not waiting else f"timeout, {_never_started(waiting)}"
                self._drain(supervisor, signals)
            settled = supervisor.progress.settled
            if signals and settled is None:
                reason = f"interrupted by {signal.Signals(signals[0]).name}"
                self._drain(supervisor, signals)
            reason = reason or settled or "stopped"
            failed = settled if settled not in (None, "finished", "killed") else None
            if failed and not signals:  # what the others have sent is still worked on
                self._drain(supervisor, signals)
            status = self.status()
            self._end(supervisor, signals, by_force_after=2)
        final = self._last_status or status
        given_up = supervisor.dead_letters.given_up
        return RunSummary(
            ok=failed is None and reason in ("finished", "timeout") and not given_up,
            dead_letters=given_up,
            dead_letters_dropped=final.dead_letters_dropped,
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
        limit, progress = max(1.0, 2 * self.settings.kill_timeout), supervisor.progress
        supervisor.wait(lambda: progress.drained or progress.resting or len(signals) > 1, limit)

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
        if flow_name not in self.blueprint.flows:
            raise UnknownFlowError(flow_name, tuple(self.blueprint.flows), f"pipe {self.name!r}")
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
            raise ValueError(f"set_replicas({flow_name!r}, ...) takes a number, 1 or more, not {replicas!r}")
        self._running("set_replicas").replicas.set(flow_name, replicas)

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
        if flow_name not in self.blueprint.flows:
            raise UnknownFlowError(flow_name, tuple(self.blueprint.flows), f"pipe {self.name!r}")
        return self._running("restart_flow").lives.replace(flow_name)

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
        return self.blueprint.flow_names

    @property
    def wires(self) -> tuple[Wire, ...]:
        """The wires as they are now: one for each source and destination, with the rule that holds for it."""
        return self.blueprint.settled_wires

    @property
    def replicas(self) -> dict[str, int]:
        """Of each flow that was made with ``replicas``, how many processes it has now."""
        status = self.status()
        return {
            flow: status.replicas(flow) or count  # none: it is not built
            for flow, count in self.blueprint.replicas.items()
        }

    @property
    def depends_on(self) -> dict[str, tuple[str, ...]]:
        """Of each flow that waits for others, which."""
        return dict(self.blueprint.depends_on)

    @property
    def requires(self) -> tuple[str, ...]:
        """The parameters of the pipe as a whole without which no routine starts."""
        return self.settings.requires

    @property
    def structure_version(self) -> int:
        """Grows with each change of the wires."""
        return self.blueprint.version

    def get_pipe_structure(self) -> dict[str, Any]:
        """The pipe's routines, wires and events.

        Returns:
            ``{"Routines": [{"flow_name", "routine_name", "events"}], "Events": [built-in event names], "Wires":
            [{"source", "destinations", "lossless"}]}``
        """
        return self.blueprint.structure()

    def __repr__(self) -> str:
        return f"<Pipe {self.name!r}, {len(self.blueprint.flows)} flows>"


def move_to(pipe: Pipe, engine: Any) -> None:
    """Let a pipe that is not built yet run on a cluster; see ``Pipe(engine=...)``."""
    move = importlib.import_module("pipert2.engine.cluster_pipe").move  # clusters stand above pipes
    move(pipe, engine)


def _most_replicas(count: int) -> int:
    return min(MOST_REPLICAS, max(16, 2 * count))


def _never_started(waiting: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"flow {flow!r} still waits for {' and '.join(reasons)}" for flow, reasons in waiting.items())
