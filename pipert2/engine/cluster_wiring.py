"""Wires of a pipe on a cluster that come and go while it runs."""

from __future__ import annotations

from time import monotonic

from pipert2.engine.cluster import Cluster
from pipert2.engine.cluster_base import ClusterBase
from pipert2.engine.new_wires import SiteChange, linked, unlinked
from pipert2.engine.sites import ANSWER
from pipert2.graph.handlers import START_EVENT_NAME
from pipert2.graph.routine import Routine
from pipert2.graph.wire import Wire

_LOOK = 0.05
"""Seconds between two looks whether a link has delivered what was under way."""


class WiringAtSites(ClusterBase):
    """Link and unlink, wherever the ends are."""

    def link(self, *wires: Wire, wait: float = 5.0) -> None:
        with self._wiring:
            cluster = self._cluster
            if cluster is None:
                super().link(*wires, wait=wait)
                return
            self._check_new(wires)
            for wire in self.blueprint.settled(wires):
                changes = linked(cluster.fragments, cluster.sites_of, wire)
                done: list[SiteChange] = []
                try:
                    for change in changes:
                        done.append(change)
                        self._change(cluster, change, wait)
                except BaseException:
                    for change in reversed(done):  # as it was: what did not come about is unlinked without complaint
                        for one in change.new:
                            cluster.sites.ask_all(
                                [change.site], "unlink_wire", one.source, one.destination, wait, patience=wait + ANSWER
                            )
                    raise
                self._note_changes(cluster, changes)
            self.blueprint.add_wires(wires)

    def unlink(self, source: Routine | str, destination: Routine | str, *, wait: float = 5.0) -> None:
        start, end = (item.name if isinstance(item, Routine) else item for item in (source, destination))
        with self._wiring:
            cluster = self._cluster
            if cluster is not None:
                self.blueprint.check_wire(start, end)
                changes = unlinked(cluster.fragments, cluster.sites_of, start, end)
                for change in changes:
                    self._change(cluster, change, wait)
                self._note_changes(cluster, changes)
            super().unlink(source, destination, wait=wait)

    def _change(self, cluster: Cluster, change: SiteChange, wait: float) -> None:
        """Let a site do what changes there."""
        here = [change.site]
        if change.empty is not None:
            self._await_empty(cluster, *change.empty, wait)
        for one in change.gone:
            self._all(here, "unlink_wire", one.source, one.destination, wait, patience=wait + ANSWER)
        for one in change.new:
            self._all(here, "link_wire", one, wait, patience=wait + ANSWER)
        if change.begins:  # a stream that is still ending would take the start for its own, and end after it
            record, begins = cluster.sites.records[change.site], set(change.begins)
            cluster.sites.wait(lambda: record.progress is not None and begins <= record.progress.finished, wait)
            self._all(here, "event", START_EVENT_NAME, change.begins, wait, {}, patience=wait + ANSWER)
            self._all(here, "go_on", tuple(one.destination for one in change.new))

    def _await_empty(self, cluster: Cluster, site: str, egress: str, wait: float) -> None:
        """Wait until nothing is under way on a link, or as long as the user would."""
        deadline = monotonic() + wait
        while monotonic() < deadline and not self._all([site], "delivered", egress)[0]:
            if cluster.sites.closed.wait(_LOOK):
                return

    @staticmethod
    def _note_changes(cluster: Cluster, changes: list[SiteChange]) -> None:
        for change in changes:
            cluster.fragments[change.site] = change.applied(cluster.fragments[change.site])
