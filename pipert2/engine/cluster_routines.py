"""What is asked of each routine and set, at the sites where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipert2.engine.cluster_base import ClusterBase
from pipert2.graph.routine import Routine
from pipert2.observe.snapshot import ParameterStatus
from pipert2.runtime.routine.preview import PreviewFrame, Side
from pipert2.runtime.routine.shown import Sketches
from pipert2.transport.codec import dumps_plain


class RoutinesAtSites(ClusterBase):
    """Parameters, configuration, log levels, previews and results of routines, wherever they are."""

    def parameters(self, routine_name: str) -> tuple[ParameterStatus, ...]:
        if self._cluster is None:
            return super().parameters(routine_name)
        found: tuple[ParameterStatus, ...] = self._of_routine(routine_name, "parameters")[0]
        return found

    @property
    def shared_parameters(self) -> dict[str, Any]:
        return dict(self._shared)

    def set_parameters(
        self,
        routine_name: str | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        wait: float = 5.0,
        **shared: Any,
    ) -> None:
        if self._cluster is None or routine_name is None or shared or values is None:
            super().set_parameters(routine_name, values, wait=wait, **shared)
            return
        self._of_routine(routine_name, "set_parameters", dict(values), wait=wait)
        key = ("parameters", routine_name, *sorted(values))
        self._given[key] = ("set_parameters", (routine_name, values), {})

    def _share(self, values: Mapping[str, Any]) -> None:
        cluster = self._cluster
        if cluster is None:
            super()._share(values)
            return
        dumps_plain(dict(values))
        self._shared.update(values)
        self._all(cluster.progress.present, "set_parameters", None, dict(values))  # others when they begin anew

    def _parameter_set(self, routine: Routine, name: str, value: Any) -> bool:
        if self._cluster is None:
            return True
        self.set_parameters(routine.name, {name: value})
        return False

    def configuration(self, routine_name: str) -> Any:
        if self._cluster is None:
            return super().configuration(routine_name)
        return self._of_routine(routine_name, "configuration")[0]

    def set_log_level(self, routine_name: str, level: int | str) -> None:
        self.routine(routine_name)
        self._alive("set_log_level")
        logger = self._logger_of(routine_name)
        logger.setLevel(level)
        self._levels_set.add(logger)
        self._of_routine(routine_name, "set_log_level", level)
        self._given[("level", routine_name)] = ("set_log_level", (routine_name, level), {})

    def preview(
        self, routine_name: str, side: Side = "output", *, on: bool = True, rate: float = 5.0, size: int = 480
    ) -> None:
        options = {"on": on, "rate": rate, "size": size}
        self._of_routine(routine_name, "preview", side, **options)
        self._given[("preview", routine_name, side)] = ("preview", (routine_name, side), options)

    def preview_frame(self, routine_name: str, side: Side = "output") -> PreviewFrame | None:
        self.routine(routine_name)
        if self._cluster is None:
            return None
        found = self._of_routine(routine_name, "preview_frame", side)
        return next((frame for frame in found if frame is not None), None)

    def results(self, routine_name: str, after: int = 0, *, wait: float = 2.0) -> Sketches:
        found = self._of_routine(routine_name, "results", after, wait=wait)
        values = {
            value.name: value
            for sketches in found
            for value in sketches.values
            if not value.name.startswith("link/")  # what stands in for replicas elsewhere shows its own
        }
        return Sketches(
            tuple(values.values()), max(one.last for one in found), any(sketches.more for sketches in found)
        )
