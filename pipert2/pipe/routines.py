"""What can be asked of each routine of a pipe, and set: parameters, configuration, log level, previews, results."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipert2.graph.parameter import plain_value
from pipert2.graph.routine import Routine
from pipert2.observe.snapshot import ParameterStatus
from pipert2.pipe.base import PipeBase
from pipert2.runtime import commands
from pipert2.runtime.configuration.configuration import Configuration
from pipert2.runtime.configuration.live import LiveConfigurations
from pipert2.runtime.configuration.routines import configure_all, raise_problems
from pipert2.runtime.routine.preview import PreviewFrame, Side
from pipert2.runtime.routine.shown import Sketches
from pipert2.runtime.supervision.live_parameters import LiveParameters


class RoutineVerbs(PipeBase):
    """Parameters, configuration, log levels, previews and results of routines."""

    config_folder: Path | None
    _configurations: LiveConfigurations | None
    _shared: dict[str, Any]
    _levels_set: set[logging.Logger]

    # --- parameters

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

    # --- configuration

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
        found, errors = configure_all([routine], self.config_folder, os.environ, has_store=self.store is not None)
        raise_problems((), errors)
        return found[routine_name].configuration

    # --- what it tells and shows

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
        supervisor.standing.tell(commands.LOG_LEVEL, self._index(supervisor, routine_name), "", {"level": logger.level})

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
        supervisor.standing.tell(commands.PREVIEW, self._index(supervisor, routine_name), side, params)

    def preview_frame(self, routine_name: str, side: Side = "output") -> PreviewFrame | None:
        """The newest picture of a routine's frames; None if there is none, or its preview is not on."""
        self.routine(routine_name)
        supervisor = self._supervisor
        return supervisor.standing.previews.get((routine_name, side)) if supervisor is not None else None

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
