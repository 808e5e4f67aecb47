"""What can be done to the flows of a pipe on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
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
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
            raise ValueError(f"set_replicas({flow_name!r}, ...) takes a number, 1 or more, not {replicas!r}")
        wish = self.blueprint.wishes.get(flow_name)
        each = {} if wish is None else wish.resources
        with self._wiring:
            now = {site: cluster.placement[flow_name].count(site) for site in cluster.placement[flow_name]}
            for site, count in self._spread(cluster, flow_name, now, replicas, each).items():
                if count > now[site]:
                    cluster.hold(flow_name, site, each, count)
                if count != now[site]:
                    try:
                        self._all([site], "set_replicas", flow_name, count)
                    except BaseException:
                        cluster.hold(flow_name, site, each, now[site])
                        raise
                    cluster.set_count(flow_name, site, count)
                    cluster.hold(flow_name, site, each, count)
                    self._hand_out(cluster, flow_name, site)

    def _spread(
        self, cluster: Cluster, flow: str, now: Mapping[str, int], wanted: int, each: Mapping[str, float]
    ) -> dict[str, int]:
        """How many each site has of them."""
        if len(now) == 1:
            return dict.fromkeys(now, wanted)
        handing_out = [site for site in now if cluster.flow_plan(site, flow).links]
        room: dict[str, int | None] | None = None
        if wanted > sum(now.values()):
            room = {site: cluster.room(flow, site, each, now[site]) for site in now if site not in handing_out}
        try:
            return spread(now, wanted, handing_out, room)
        except ValueError as error:
            raise PipeStateError(f"flow {flow!r}: {error}") from None

    def _hand_out(self, cluster: Cluster, flow: str, target: str) -> None:
        """Tell who hands out work to the replicas of a site how much they can work on."""
        for site in cluster.fragments:
            for link in cluster.links_to(site, flow, target):
                cluster.sites.ask_all([site], "set_credit", flow, link.key, link.credit)

    def _of_flow(self, flow: str, verb: str, *args: Any) -> list[Any]:
        self.blueprint.check_flow(flow)
        cluster = self._alive(verb)
        return self._all(dict.fromkeys(cluster.placement[flow]), verb, flow, *args)
