"""What the main process knows of the routines' configurations: how they are now, for it and for later processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipert2.errors import ConfigError
from pipert2.graph.parameter import parameters_of
from pipert2.graph.routine import Routine
from pipert2.runtime.configuration.configuration import Configuration
from pipert2.runtime.configuration.routines import Configured, trigger_of
from pipert2.runtime.triggers.triggers import Trigger


class LiveConfigurations:
    """The configurations of a pipe's routines. Closes twice without complaint.

    Args:
        routines: the objects in the main process.
        found: what holds for each, by name.
        logger: the pipe's; levels of those below it are set as configured, until this is closed.
        has_store: whether the pipe has a store.
    """

    def __init__(
        self, routines: Sequence[Routine], found: Mapping[str, Configured], logger: logging.Logger, *, has_store: bool
    ) -> None:
        self._found = dict(found)
        self._routines = {routine.name: routine for routine in routines}
        self._logger = logger
        self._has_store = has_store
        self._lock = threading.Lock()
        self._levels_set: set[logging.Logger] = set()
        for routine in routines:
            declared = parameters_of(type(routine))
            for name, value in self.of(routine.name).parameters.items():
                declared[name].store(routine, value)
            self._set_level(routine.name)

    def of(self, name: str) -> Configuration:
        """The configuration of a routine."""
        return self._found[name].configuration

    def of_all(self, names: Iterable[str]) -> tuple[Configured, ...]:
        """What holds for these routines now."""
        return tuple(self._found[name] for name in names if name in self._found)

    def trigger(self, name: str) -> Trigger | None:
        """When a routine runs."""
        found = self._found.get(name)
        return None if found is None else found.trigger

    def changed(self, name: str, values: Mapping[str, Any]) -> None:
        """A routine says that it has these settings now."""
        with self._lock:
            configuration = self.of(name).changed(values)
            try:
                trigger = trigger_of(self._routines[name], configuration, has_store=self._has_store)
            except ConfigError:  # it has checked that itself
                trigger = self.trigger(name)
            self._found[name] = Configured(configuration, trigger)
        if "log_level" in values:
            self._set_level(name)

    def _set_level(self, name: str) -> None:
        configuration = self.of(name)
        if configuration.says_log_level:
            logger = self._logger.getChild(f"{self._routines[name].flow_name}.{name}")
            logger.setLevel(configuration.log_level)
            self._levels_set.add(logger)

    def close(self) -> None:
        """A later pipe of this name begins with the levels that this one found."""
        for logger in self._levels_set:
            logger.setLevel(logging.NOTSET)
