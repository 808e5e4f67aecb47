"""What can be done to the flows of a pipe on a cluster."""

from __future__ import annotations

from typing import Any

from pipert2.engine.cluster import Cluster
from pipert2.engine.cluster_base import ClusterBase
from pipert2.engine.spread import spread
from pipert2.errors import PipeStateError


class FlowsAtSites(ClusterBase):
    """Replicas and restarts, at the sites where a flow is."""

    def restart_flow(self, flow_name: str) -> int:
        return sum(self._of_flow(flow_name, "restart_flow"))

    def set_replicas(self, flow_name: str, replicas: int) -> None:
        self.blueprint.check_flow(flow_name)
        cluster = self._alive("set_replicas")
        now = {site: cluster.placement[flow_name].count(site) for site in cluster.placement[flow_name]}
        if len(now) == 1:
            self._of_flow(flow_name, "set_replicas", replicas)
            return
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
            raise ValueError(f"set_replicas({flow_name!r}, ...) takes a number, 1 or more, not {replicas!r}")
        with self._wiring:
            handing_out = [site for site in now if cluster.flow_plan(site, flow_name).links]
            try:
                counts = spread(now, replicas, handing_out)
            except ValueError as error:
                raise PipeStateError(f"flow {flow_name!r}: {error}") from None
            for site, count in counts.items():
                if count != now[site]:
                    self._all([site], "set_replicas", flow_name, count)
                    cluster.set_count(flow_name, site, count)
                    self._hand_out(cluster, flow_name, site)

    def _hand_out(self, cluster: Cluster, flow: str, target: str) -> None:
        """Tell who hands out work to the replicas of a site how much they can work on."""
        for site in cluster.fragments:
            for link in cluster.links_to(site, flow, target):
                cluster.sites.ask_all([site], "set_credit", flow, link.key, link.credit)

    def _of_flow(self, flow: str, verb: str, *args: Any) -> list[Any]:
        self.blueprint.check_flow(flow)
        cluster = self._alive(verb)
        return self._all(dict.fromkeys(cluster.placement[flow]), verb, flow, *args)
