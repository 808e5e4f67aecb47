"""What every verb of a pipe on a cluster stands on: the way to its sites."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipert2.engine.cluster import Cluster
from pipert2.engine.sites import ANSWER
from pipert2.engine.store_letters import StoreLetters
from pipert2.pipe import Pipe
from pipert2.pipe.runner import Runner


class ClusterBase(Pipe):
    """A pipe whose flows run at sites."""

    _cluster: Cluster | None
    _wanted: set[str]
    _killed: set[str]
    _letters: StoreLetters | None
    _given: dict[tuple[str, ...], tuple[str, tuple[Any, ...], dict[str, Any]]]

    @property
    def _runner(self) -> Runner | None:
        return self._cluster

    def _alive(self, what: str) -> Cluster:
        cluster = self._cluster
        if cluster is None:
            raise self._not_running(what)
        return cluster

    def _all(self, sites: Iterable[str], verb: str, *args: Any, patience: float = ANSWER, **options: Any) -> list[Any]:
        """Ask several sites; raises what the first of them raised."""
        found = self._alive(verb).sites.ask_all(sites, verb, *args, patience=patience, **options)
        for value in found.values():
            if isinstance(value, BaseException):
                raise value
        return list(found.values())

    def _of_routine(self, name: str, verb: str, *args: Any, wait: float = 0.0, **options: Any) -> list[Any]:
        """Ask the sites where a routine is."""
        self.routine(name)
        cluster = self._alive(verb)
        return self._all(cluster.sites_of(name), verb, name, *args, patience=ANSWER + wait, **options)
