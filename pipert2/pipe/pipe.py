"""Pipe: the object people hold."""

from __future__ import annotations

import copy
import importlib
import itertools
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipert2.errors import PipeStateError
from pipert2.events.notices import Notices
from pipert2.graph.blueprint import Blueprint, check_transmitter, is_list_of_names
from pipert2.graph.hidden import hidden_names
from pipert2.graph.routine import Routine, has_keys
from pipert2.graph.spec import MOST_REPLICAS, PipeSpec
from pipert2.graph.transmitter import DataTransmitter
from pipert2.graph.wire import QueueNetwork
from pipert2.observe.monitor import Monitor
from pipert2.observe.snapshot import PipeStatus
from pipert2.pipe.flows import FlowVerbs
from pipert2.pipe.outside import Outside
from pipert2.pipe.recording import Recording, add_recorders, captures_of
from pipert2.pipe.routines import RoutineVerbs
from pipert2.pipe.runner import Runner
from pipert2.pipe.running import RunVerbs
from pipert2.pipe.status import StatusVerbs
from pipert2.pipe.wiring import WiringVerbs
from pipert2.runtime.clock import Clock, SystemClock
from pipert2.runtime.configuration.live import LiveConfigurations
from pipert2.runtime.configuration.routines import configure_all, raise_problems, warnings_of
from pipert2.runtime.flow.handover import check_start_method
from pipert2.runtime.routine.histogram import Histogram
from pipert2.runtime.settings import Settings
from pipert2.runtime.supervision.auto_pacing import INTERVAL, AutoPacing
from pipert2.runtime.supervision.ending import end, end_at_exit, ended
from pipert2.runtime.supervision.restart import Restart
from pipert2.runtime.supervision.rewiring import Rewiring
from pipert2.runtime.supervision.supervisor import TICK, Supervisor
from pipert2.store import Store

_numbers = itertools.count()


class Pipe(RunVerbs, RoutineVerbs, FlowVerbs, WiringVerbs, StatusVerbs):
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
        if not is_list_of_names(requires):
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
            supervisor.watch.on_tick(self._monitor.tick, TICK)
            if self.auto_pacing:
                supervisor.watch.on_tick(AutoPacing(lambda: supervisor.spec, supervisor.board).tick, INTERVAL)
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
        read = [one.configuration for one in found.values()]
        for warning in [*hidden_names(routines), *warnings_of(self.config_folder, routines, read, os.environ)]:
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

    # --- its end

    def _end_streams(self) -> None:
        self._running("drain").stopping.drain()

    def _end_flows(self, runner: Runner, signals: list[int], by_force_after: int) -> None:
        assert isinstance(runner, Supervisor)
        end(runner, signals, by_force_after)
        rewiring = self._rewiring
        if rewiring is not None:
            rewiring.close()
        with self._lock:
            if self._supervisor is runner:
                self._last_status = self.status()
                self._last_histograms = self.histograms()
                self._last_dead_letters = runner.dead_letters.last()
                self._supervisor = self._monitor = self._rewiring = None
        runner.close()
        ended(runner)

    def __repr__(self) -> str:
        return f"<Pipe {self.name!r}, {len(self.blueprint.flows)} flows>"


def move_to(pipe: Pipe, engine: Any) -> None:
    """Let a pipe that is not built yet run on a cluster; see ``Pipe(engine=...)``."""
    move = importlib.import_module("pipert2.engine.cluster_pipe").move  # clusters stand above pipes
    move(pipe, engine)


def _most_replicas(count: int) -> int:
    return min(MOST_REPLICAS, max(16, 2 * count))
