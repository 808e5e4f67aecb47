"""Wires of a pipe on a cluster that come and go while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from pipert2.engine.cluster import Cluster
from pipert2.engine.cluster_base import ClusterBase
from pipert2.engine.fragment import WirePlan
from pipert2.engine.link.counting import CONNECTED
from pipert2.engine.new_wires import Ground, SiteChange, laid_for, linked, unlinked
from pipert2.engine.site import RESTING
from pipert2.engine.sites import ANSWER, LAYS
from pipert2.graph.routine import Routine
from pipert2.graph.wire import Wire

_LOOK = 0.05
"""Seconds between two looks at what a link does."""


class WiringAtSites(ClusterBase):
    """Link and unlink, wherever the ends are."""

    def link(self, *wires: Wire, wait: float = 5.0) -> None:
        with self._wiring:
            cluster = self._cluster
            if cluster is None:
                super().link(*wires, wait=wait)
                return
            self._check_new(wires)
            before, changes = dict(cluster.fragments), list[SiteChange]()
            try:
                for wire in self.blueprint.settled(wires):
                    for change in linked(cluster.fragments, cluster.sites_of, wire, self._ground(cluster)):
                        changes.append(change)
                        self._change(cluster, change, wait)
                        cluster.fragments[change.site] = change.applied(cluster.fragments[change.site])
            except BaseException:
                for change in reversed(changes):
                    self._take_back(cluster, change, wait)
                cluster.fragments.update(before)
                for change in changes:  # its other end may have begun meanwhile: both are to end
                    if change.link is not None:
                        laid = SiteChange(change.site, link=change.link)
                        cluster.fragments[change.site] = laid.applied(cluster.fragments[change.site])
                raise
            self.blueprint.add_wires(wires)
        self._await_streams(cluster, changes, wait)

    def unlink(self, source: Routine | str, destination: Routine | str, *, wait: float = 5.0) -> None:
        start, end = (item.name if isinstance(item, Routine) else item for item in (source, destination))
        with self._wiring:
            cluster = self._cluster
            if cluster is not None:
                self.blueprint.check_wire(start, end)
                changes = unlinked(cluster.fragments, cluster.sites_of, start, end)
                for change in changes:
                    self._change(cluster, change, wait)
                    cluster.fragments[change.site] = change.applied(cluster.fragments[change.site])
            super().unlink(source, destination, wait=wait)

    def _change(self, cluster: Cluster, change: SiteChange, wait: float) -> None:
        """Let a site do what changes there."""
        here = [change.site]
        if change.empty is not None:
            self._await_empty(cluster, *change.empty, wait)
        for one in change.gone:
            self._all(here, "unlink_wire", one.source, one.destination, wait, patience=wait + ANSWER)
        fragment = change.applied(cluster.fragments[change.site])
        for one in change.new:
            link = laid_for(cluster.planned[change.site], fragment, one)
            patience = wait + (ANSWER if link is None else LAYS)
            self._all(here, "link_wire", one, wait, link, patience=patience)

    def _take_back(self, cluster: Cluster, change: SiteChange, wait: float) -> None:
        """As it was; what did not come about is unlinked without complaint. A link that was laid stays, unused."""
        here, patience = [change.site], wait + ANSWER
        for one in change.new:
            cluster.sites.ask_all(here, "unlink_wire", one.source, one.destination, wait, patience=patience)
        for one in change.gone:
            cluster.sites.ask_all(here, "link_wire", one, wait, patience=patience)
        if change.link is not None and change.link.target == change.site:
            cluster.sites.ask_all(here, "end_streams", (change.link.ingress,), patience=ANSWER)

    def _ground(self, cluster: Cluster) -> Ground:
        return Ground(cluster.run, self.blueprint.settled_wires)

    def _await_streams(self, cluster: Cluster, changes: Sequence[SiteChange], wait: float) -> None:
        """Wait until what is sent on the new wires reaches the other side, or as long as the user would."""
        deadline = monotonic() + wait
        for change in changes:
            egresses = {link.egress for link in cluster.fragments[change.site].egresses}
            for wire in (one for one in change.new if one.destination in egresses):
                while monotonic() < deadline and not self._reaches(cluster, change.site, wire):
                    if cluster.sites.closed.wait(_LOOK):
                        return

    def _reaches(self, cluster: Cluster, site: str, wire: WirePlan) -> bool:
        """Whether an egress hears the other side, or will not before its source is started again."""
        progress = cluster.sites.records[site].progress
        if progress is None or wire.source in progress.finished:
            return True
        return cluster.sites.ask_all([site], "link_end", wire.destination, patience=ANSWER)[site] in (
            CONNECTED,
            RESTING,
        )

    def _await_empty(self, cluster: Cluster, site: str, egress: str, wait: float) -> None:
        """Wait until nothing is under way on a link, or as long as the user would."""
        deadline = monotonic() + wait
        while monotonic() < deadline and not self._all([site], "delivered", egress)[0]:
            if cluster.sites.closed.wait(_LOOK):
                return
