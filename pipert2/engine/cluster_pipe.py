"""A pipe on a cluster: the object people hold, with the verbs of every pipe, each sent to the sites that it is for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipert2.engine.cluster import Cluster
from pipert2.engine.cluster_calls import CallsAtSites
from pipert2.engine.cluster_events import EventsAtSites
from pipert2.engine.cluster_flows import FlowsAtSites
from pipert2.engine.cluster_routines import RoutinesAtSites
from pipert2.engine.cluster_told import SitesHeard
from pipert2.engine.cluster_wiring import WiringAtSites
from pipert2.engine.merged import merged_histograms, merged_status, with_letters
from pipert2.engine.opening import open_cluster
from pipert2.engine.ray_engine import RayEngine, engine_of
from pipert2.engine.sites import ANSWER
from pipert2.engine.store_letters import StoreLetters
from pipert2.errors import PipeStateError
from pipert2.observe.snapshot import PipeState, PipeStatus
from pipert2.pipe import Pipe
from pipert2.pipe.runner import Runner
from pipert2.runtime.routine.histogram import Histogram
from pipert2.runtime.supervision.dead_letters import MOST_LAST


class ClusterPipe(EventsAtSites, CallsAtSites, RoutinesAtSites, FlowsAtSites, WiringAtSites, SitesHeard):
    """A pipe whose flows run on the hosts of a cluster. Made by ``Pipe(engine=...)``."""

    _engine: RayEngine
    _ended: bool

    # --- putting it together

    def build(self) -> None:
        with self._lock:
            if self._cluster is not None:
                raise PipeStateError(f"pipe {self.name!r} is built already")
            self._must_be_new("build")
            if self.settings.inline:
                raise PipeStateError(f"pipe {self.name!r}: inline=True runs it in this process, engine= on a cluster")
            configurations = self._checked()
            self._spec = self.blueprint.spec(lambda count: count)
            configured = {routine.name: configurations.of_all([routine.name])[0] for routine in self.blueprint.routines}
            if self.store is not None:
                self._letters = StoreLetters(self.store, self.name, self._redo_letter, self._letter_gone)
            try:
                self._cluster = open_cluster(
                    self,
                    self._engine,
                    configured,
                    self._shared,
                    told=self._told,
                    begun_anew=self._begun_anew,
                    letters=self._letters,
                )
            except BaseException:
                self._forget_letters()
                raise
            self._show_to_handlers()

    # --- how it is

    def status(self) -> PipeStatus:
        cluster = self._cluster
        if cluster is None:
            if self._last_status is not None:
                return self._last_status
            return PipeStatus(self.name, PipeState.NEW, None, 0.0, 0, (), (), ())
        found = cluster.sites.ask_all(
            [site for site, record in cluster.sites.records.items() if record.progress is not None],
            "report",
            patience=2.0,
        )
        if cluster.sites.closed.is_set() and self._last_status is not None:  # it ended while they were asked
            return self._last_status
        state, reason = self._cluster_state(cluster)
        return replace(self._merged(cluster, found), state=state, reason=reason, time=time.time())

    def _merged(self, cluster: Cluster, found: Mapping[str, Any]) -> PipeStatus:
        status = merged_status(cluster, self, found)
        return status if self._letters is None else with_letters(status, self._letters.counts())

    def _cluster_state(self, cluster: Cluster) -> tuple[PipeState, str | None]:
        settled = cluster.progress.settled
        if settled == "finished":
            return PipeState.FINISHED, None
        if cluster.ended:
            return PipeState.ENDED, None
        if settled is not None and settled != "killed":
            return PipeState.FAILED, settled
        missing = cluster.progress.missing
        running = any(one.progress is not None and one.progress.active for one in cluster.sites.records.values())
        return (PipeState.RUNNING if running or (missing and self._wanted) else PipeState.BUILT), missing

    def histograms(self) -> dict[str, tuple[Histogram, Histogram]]:
        cluster = self._cluster
        if cluster is None:
            return self._last_histograms
        found = cluster.sites.ask_all(cluster.progress.present, "histograms", patience=2.0)
        return merged_histograms([one for one in found.values() if not isinstance(one, BaseException)], self.flow_names)

    # --- its end

    def _end_streams(self) -> None:
        cluster = self._alive("drain")
        cluster.sites.ask_all(cluster.progress.present, "drain", patience=ANSWER)

    def _end_flows(self, runner: Runner, signals: list[int], by_force_after: int) -> None:
        """End all sites, keep the last status, and leave nothing behind."""
        cluster = runner
        assert isinstance(cluster, Cluster)
        with self._lock:
            if self._cluster is not cluster or self._ended:
                return
            self._ended = True
        try:
            letters = self.dead_letters(limit=MOST_LAST)
            histograms = self.histograms()
            limit = self.settings.kill_timeout + ANSWER
            found = cluster.sites.ask_all(cluster.progress.present, "end", patience=limit)
            last = self._merged(cluster, found)
            sites = tuple(replace(site, state="ended", pid=None) for site in last.sites)
            last = replace(last, state=PipeState.ENDED, time=time.time(), sites=sites)
            self._last_dead_letters, self._last_histograms, self._last_status = letters, histograms, last
        finally:
            cluster.close()
            self._forget_letters()
            with self._lock:
                self._cluster = None

    def _forget_letters(self) -> None:
        letters, self._letters = self._letters, None
        if letters is not None:
            letters.close()


def move(pipe: Pipe, engine: str | RayEngine) -> None:
    """Let a pipe that is not built yet run on an engine.

    Raises:
        ConfigError: it is none. PipertError: what it needs is not installed. PipeStateError: the pipe is built.
    """
    found = engine_of(engine)
    pipe._must_be_new("engine=")
    kind = type(pipe)
    if not isinstance(pipe, ClusterPipe):
        pipe.__class__ = ClusterPipe if kind is Pipe else type(kind.__name__, (ClusterPipe, kind), {})
    assert isinstance(pipe, ClusterPipe)
    pipe._engine = found
    pipe._cluster = None
    pipe._wanted = set()
    pipe._killed = set()
    pipe._given = {}
    pipe._letters = None
    pipe._ended = False
    pipe._turn = 0
