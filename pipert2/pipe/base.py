"""What every verb of a pipe stands on: its blueprint, its settings, and who runs it while it runs."""

from __future__ import annotations

import logging
import threading

from pipert2.errors import PipeStateError
from pipert2.graph.blueprint import Blueprint
from pipert2.graph.routine import Routine
from pipert2.observe.snapshot import PipeStatus
from pipert2.pipe.runner import Runner
from pipert2.runtime.settings import Settings
from pipert2.runtime.supervision.supervisor import Supervisor
from pipert2.store import Store


class PipeBase:
    """A pipe before it is built, while it runs, and after it has ended.

    Attributes:
        name: shown in logs and status.
        blueprint: its flows and wires.
        settings: how it is run.
        logger: where log records go.
        store: its store, if it has one.
    """

    name: str
    blueprint: Blueprint
    settings: Settings
    logger: logging.Logger
    store: Store | None
    _supervisor: Supervisor | None
    _last_status: PipeStatus | None
    _lock: threading.RLock

    def build(self) -> None:
        """Start the flows' processes."""
        raise NotImplementedError

    def status(self) -> PipeStatus:
        """How it is."""
        raise NotImplementedError

    def routine(self, name: str) -> Routine:
        """The routine of this name.

        Raises:
            UnknownRoutineError: there is none.
        """
        return self.blueprint.routine(name)

    @property
    def _runner(self) -> Runner | None:
        """Who runs the flows, from build to the end."""
        return self._supervisor

    def _must_be_new(self, what: str) -> None:
        if self._last_status is not None:
            raise PipeStateError(f"{what}: pipe {self.name!r} has ended, create a new one")
        if self._runner is not None:
            raise PipeStateError(f"{what}: pipe {self.name!r} is built already")

    def _built(self, what: str, *, over_is_fine: bool = False) -> Runner | None:
        """Who runs the pipe, which is built if need be; None if the pipe has ended and that is fine."""
        with self._lock:
            if self._last_status is not None and over_is_fine:
                return None
            if self._runner is None:
                self._must_be_new(what)
                self.build()
            return self._runner

    def _current(self, what: str, *, over_is_fine: bool = False) -> Supervisor | None:
        """The pipe's supervisor on this machine; else as :meth:`_built`."""
        found = self._built(what, over_is_fine=over_is_fine)
        assert found is None or isinstance(found, Supervisor)
        return found

    def _running(self, what: str) -> Supervisor:
        supervisor = self._supervisor
        if supervisor is None:
            raise self._not_running(what)
        return supervisor

    def _not_running(self, what: str) -> PipeStateError:
        """Why something cannot be done to a pipe that does not run."""
        how = "has ended, create a new one" if self._last_status is not None else "is not built yet, build it first"
        return PipeStateError(f"{what}: pipe {self.name!r} {how}")

    @staticmethod
    def _index(supervisor: Supervisor, routine_name: str) -> int:
        spec = supervisor.spec.routine(routine_name)
        assert spec is not None
        return spec.index
