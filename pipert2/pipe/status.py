"""What a pipe is made of, and how it is."""

from __future__ import annotations

from typing import Any

from pipert2.graph.wire import Wire
from pipert2.observe.monitor import Monitor
from pipert2.observe.snapshot import PipeState, PipeStatus
from pipert2.pipe.base import PipeBase
from pipert2.runtime.routine.histogram import Histogram
from pipert2.runtime.supervision.supervisor import Supervisor
from pipert2.transport.board import RoutineState


class StatusVerbs(PipeBase):
    """Its structure and its status."""

    _monitor: Monitor | None
    _last_histograms: dict[str, tuple[Histogram, Histogram]]

    # --- what it is made of

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

    # --- how it is

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
