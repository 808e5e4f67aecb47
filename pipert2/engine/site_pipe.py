"""The pipe of one site: an ordinary pipe made from a fragment."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipert2.engine.fragment import FlowPlan, Fragment, LinkPlan, WirePlan
from pipert2.engine.link import Egress, Ingress, LinkSettings
from pipert2.graph.blueprint import Blueprint
from pipert2.graph.routine import MiddleRoutine, Routine
from pipert2.graph.spec import EdgeSpec, PipeSpec, with_flow
from pipert2.graph.wire import QueueNetwork, Wire
from pipert2.pipe import Pipe
from pipert2.runtime.configuration.live import LiveConfigurations
from pipert2.runtime.configuration.routines import Configured, configure_all
from pipert2.runtime.supervision.dead_letter_shelves import Letter, SentShelf
from pipert2.runtime.supervision.further_flows import NewFlow
from pipert2.runtime.supervision.restart import Restart
from pipert2.store import Store
from pipert2.store.elsewhere import StoreElsewhere
from pipert2.transport.board import RoutineState

LINK_FLOW = "link: "
"""What the names of flows begin with that carry wires to other sites."""
SPARE_LINKS = 16
"""Ends of links that a site may get while the pipe runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """All that a site needs to run its part of a pipe; travels by value.

    Attributes:
        pipe: the pipe's name.
        fragment: what runs there.
        level: of the pipe's logger.
        network, lossless, auto_pacing, restart, hang_timeout, kill_timeout, drain_timeout, requires: the pipe's.
        depends_on: of flows that are there.
        configured: what holds for each routine, by name.
        shared: the pipe's parameters.
        store: the file of the pipe's store, on the driver's host.
        main_classes: classes of the user's script that data may be made of.
        parts: how many sites there are.
    """

    pipe: str
    fragment: Fragment
    level: int
    network: QueueNetwork
    lossless: bool
    auto_pacing: bool
    restart: Restart
    hang_timeout: float | None
    kill_timeout: float
    drain_timeout: float
    requires: tuple[str, ...] = ()
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    configured: Mapping[str, Configured] = field(default_factory=dict)
    shared: Mapping[str, Any] = field(default_factory=dict)
    store: str | None = None
    main_classes: Mapping[str, type] = field(default_factory=dict)
    parts: int = 1


class StandIn(MiddleRoutine):
    """Stands where a routine of a flow would be whose work is done at another site."""

    def main_logic(self, data: Any) -> None:
        """Nothing comes here."""


class _SiteBlueprint(Blueprint):
    """The whole pipe was checked before it was cut.

    Attributes:
        partial: whether there are other sites. Then each lossless wire between flows keeps a message until all that
            came of it is done, also where the pipe does not say ``lossless=True``: a link that comes later may need it.
    """

    partial = False
    fragment: Fragment

    def problems(self, more: Sequence[Wire] = ()) -> list[str]:
        return []

    def edges(self, wires: Sequence[Wire]) -> list[EdgeSpec]:
        return [self._accounted(edge) for edge in super().edges(wires)]

    def spec(self, most_replicas: Callable[[int], int]) -> PipeSpec:
        spare = SPARE_LINKS if self.partial else 0
        spec = replace(super().spec(most_replicas), partial=self.partial, spare_routines=spare)
        standing_in = {
            (plan.name, plan.own + number) for plan in self.fragment.flows for number in range(len(plan.links))
        }
        # What another site has handed out to the replicas here is for them. If it went on from here to the next site's,
        # none of these ways would ever end: each would wait for the end of another.
        theirs = frozenset(link.ingress for link in self.fragment.ingresses if link.credit is not None)
        routines = (
            replace(one, leaves=theirs) if theirs and (one.flow, one.replica) in standing_in else one
            for one in spec.routines
        )
        edges = tuple(self._accounted(edge) for edge in spec.edges)
        return replace(spec, routines=tuple(routines), edges=edges)

    def _accounted(self, edge: EdgeSpec) -> EdgeSpec:
        return replace(edge, shared=edge.shared or (self.partial and edge.crosses and edge.lossless))


class SitePipe(Pipe):
    """Runs one fragment.

    Args:
        plan: what.
        link: how links are reached from here.
        outward: told of what routines want of other sites, and whom to tell what came of it.
        logger: None: the one of the pipe's name.
        log_listeners: the driver's, where this is in its process.
        keep_letter: keeps a dead letter in the pipe's store, if it has one; the letter's number.
        store: the pipe's, if it is here.
    """

    def __init__(
        self,
        plan: SitePlan,
        link: LinkSettings,
        outward: Callable[[Any, Callable[[Any], None]], None],
        *,
        keep_letter: Callable[[Letter], int],
        logger: logging.Logger | None = None,
        log_listeners: list[Callable[[logging.LogRecord], None]] | None = None,
        store: Store | None = None,
    ) -> None:
        super().__init__(
            plan.pipe,
            network=plan.network,
            logger=logger,
            lossless=plan.lossless,
            auto_pacing_mechanism=plan.auto_pacing,
            restart=plan.restart,
            hang_timeout=plan.hang_timeout,
            kill_timeout=plan.kill_timeout,
            drain_timeout=plan.drain_timeout,
            requires=plan.requires,
        )
        if log_listeners is not None:
            self.log_listeners = log_listeners
        before = self.blueprint
        self.blueprint = _SiteBlueprint(
            before.name, network=before.network, lossless=before.lossless, data_transmitter=None
        )
        self.blueprint.partial = plan.parts > 1
        self.blueprint.fragment = plan.fragment
        if store is None and plan.store is not None:
            store = StoreElsewhere(plan.store)
        self.store = store
        letters = SentShelf(keep_letter) if store is not None else None
        self.settings = replace(
            self.settings, replicas=self.blueprint.replicas, store=store, outward=outward, letters=letters
        )
        self._plan = plan
        self._link = link
        self._shared.update(plan.shared)
        self._put_together()

    def _put_together(self) -> None:
        fragment = self._plan.fragment
        ends: dict[str, Routine] = {}
        for plan in fragment.flows:
            routines = [copy.copy(routine) for routine in plan.routines]  # the user's objects stay the user's
            if not plan.own:
                routines = [self._egress(link, name) for name, link in plan.links[0].items()]
            self.create_flow(
                plan.name, False, *routines, replicas=plan.replicas, depends_on=self._plan.depends_on.get(plan.name, ())
            )
            ends.update((routine.name, routine) for routine in routines)
        for link in (*fragment.egresses, *fragment.ingresses):
            end = self._end_of(link)
            ends[end.name] = end
            self.create_flow(LINK_FLOW + end.name, False, end)
        for one in fragment.wires:
            if one.source not in ends or one.destination not in ends:
                continue
            self.link(_wire(one, ends[one.source], ends[one.destination]))

    def link_plan(self, one: WirePlan, wait: float) -> None:
        """Add a wire while the pipe runs."""
        self.link(_wire(one, self.blueprint.routine(one.source), self.blueprint.routine(one.destination)), wait=wait)

    def link_way(self, one: WirePlan, link: LinkPlan, wait: float) -> Routine:
        """Add a wire and the end of a link that it leads to or comes from, in a flow of its own; the end."""
        with self._wiring:
            supervisor, rewiring = self._running("link"), self._rewiring
            assert rewiring is not None
            known = {routine.name: routine for routine in self.blueprint.routines}
            end = known.get(link.end_at(self._plan.fragment.site))
            if end is None:
                end = self._end_of(link)
                self.blueprint.add_flow(LINK_FLOW + end.name, False, [end])
            flow = NewFlow(LINK_FLOW + end.name, (end,))
            spec = supervisor.spec
            if flow.name not in spec.flows:
                spec = with_flow(spec, flow.name, flow.routines)
            wire = _wire(one, self.blueprint.routine(one.source), self.blueprint.routine(one.destination))
            rewiring.link(self._numbered(spec, self.blueprint.edges([wire])), wait, flow)
            self.blueprint.add_wires([wire])
            return end

    def has_wire(self, source: str, destination: str) -> bool:
        """Whether there is a wire between two routines, or ends of links."""
        wires = self.blueprint.wires
        return any(wire.source.name == source and wire.destinations[0].name == destination for wire in wires)

    def failed_ends(self) -> tuple[str, ...]:
        """The processes of ends of links that have failed when all was said: to close a session in time."""
        supervisor = self._running("link")
        standing_in = {(routine, replica) for _, routine, replica in self._plan.fragment.handed_out}
        return tuple(
            one.process
            for one in supervisor.spec.routines
            if (one.flow.startswith(LINK_FLOW) or (one.name, one.replica) in standing_in)
            and supervisor.state(one.index) is RoutineState.FAILED
            and (supervisor.board.read_error(one.index) or "").startswith("cleanup: ")
            and not supervisor.flows[one.process].ended
        )

    def replace_process(self, process: str) -> None:
        """Replace the process of an end of a link by a new one, which goes on with what it was asked to do."""
        self._running("link").lives.replace(process)

    def has_end(self, link: LinkPlan) -> bool:
        """Whether the end of a link that is here has a process."""
        flow = self._running("link").flows.get(LINK_FLOW + link.end_at(self._plan.fragment.site))
        return flow is not None and not flow.dormant

    def _show_to_handlers(self) -> None:
        """They show the whole pipe."""

    def _end_of(self, link: LinkPlan) -> Routine:
        """The end of a link that is here."""
        if link.origin == self._plan.fragment.site:
            return self._egress(link, link.egress)
        return Ingress(link.ingress, key=link.key, link=self._link, lossless=link.lossless, returns=link.returns)

    def _egress(self, link: LinkPlan, name: str) -> Egress:
        return Egress(name, key=link.key, link=self._link, lossless=link.lossless, credit=link.credit)

    def _configure(self, problems: Sequence[str] = ()) -> LiveConfigurations:
        """What the driver found; the ends of links have no configuration but their defaults."""
        routines = self.blueprint.routines
        others = [routine for routine in routines if routine.name not in self._plan.configured]
        found, _ = configure_all(others, None, {}, has_store=self.store is not None)
        found.update(self._plan.configured)
        self._configurations = LiveConfigurations(routines, found, self.logger, has_store=self.store is not None)
        return self._configurations

    def _objects(self, spec: PipeSpec) -> list[Routine]:
        found = super()._objects(spec)
        for plan in self._plan.fragment.flows:
            for number, part in enumerate(plan.links):
                for routine in spec.routines:
                    if routine.flow == plan.name and routine.replica == plan.own + number:
                        link = part.get(routine.name)
                        made = StandIn(routine.name) if link is None else self._egress(link, routine.name)
                        made.flow_name = plan.name
                        found[routine.index] = made
        return found

    @property
    def flow_plans(self) -> Mapping[str, FlowPlan]:
        """By name."""
        return {plan.name: plan for plan in self._plan.fragment.flows}


def _wire(plan: WirePlan, source: Routine, destination: Routine) -> Wire:
    wire = plan.wire
    return Wire(
        source,
        destination,
        wire.data_transmitter,
        lossless=wire.lossless,
        capacity=wire.capacity,
        where=wire.where if plan.where else None,
        feedback=wire.feedback,
    )
