"""A pipe is cut into fragments, one for each site."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipert2.engine.fragment import FlowPlan, Fragment, LinkPlan, Trace, WirePlan
from pipert2.engine.placement import Placement
from pipert2.graph.routine import Routine
from pipert2.graph.wire import Wire


@dataclass(slots=True)
class _Draft:
    """A fragment being made."""

    site: str
    flows: list[FlowPlan] = field(default_factory=list)
    wires: list[WirePlan] = field(default_factory=list)
    egresses: list[LinkPlan] = field(default_factory=list)
    ingresses: list[LinkPlan] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)

    def done(self) -> Fragment:
        return Fragment(
            self.site,
            tuple(self.flows),
            tuple(self.wires),
            tuple(self.egresses),
            tuple(self.ingresses),
            tuple(self.traces),
        )


def cut(
    flows: Mapping[str, Sequence[Routine]],
    wires: Sequence[Wire],
    replicas: Mapping[str, int],
    placement: Placement,
    run: str,
) -> dict[str, Fragment]:
    """Cut a pipe into fragments.

    A wire between routines of one site stays as it is. For one that crosses there is a link from each site of its
    source to each other site of its destination, which carries a message once however many destinations it has there.
    A flow with replicas at several sites is there at each site that sends to it, with a process that stands in for
    those of each other site: it takes from the same queue as the replicas beside it, no more than they can work on.

    Args:
        flows, replicas: the pipe's.
        wires: with the rule of each settled, one destination each.
        placement: the site of each replica of each flow.
        run: names the run, for the links' keys.

    Returns:
        By site; each site that the placement names.
    """
    flow_of = {routine.name: flow for flow, members in flows.items() for routine in members}
    drafts: dict[str, _Draft] = {}
    for sites in placement.values():
        for site in sites:
            drafts.setdefault(site, _Draft(site))
    cutter = _Cutter(flows, wires, placement, drafts, run)
    for flow, members in flows.items():
        first = 0
        for site in dict.fromkeys(placement[flow]):
            count = placement[flow].count(site)
            several = count if flow in replicas else None
            drafts[site].flows.append(FlowPlan(flow, tuple(members), several, first=first))
            first += count
    crossing: dict[tuple[str, str, str, bool], list[Wire]] = {}
    for wire in wires:
        (end,) = wire.destinations
        source_sites = dict.fromkeys(placement[flow_of[wire.source.name]])
        end_flow = flow_of[end.name]
        end_sites = dict.fromkeys(placement[end_flow])
        if flow_of[wire.source.name] == end_flow:
            for site in end_sites:
                cutter.keep(site, wire)
        elif len(end_sites) > 1:
            for site in source_sites:
                cutter.compete(site, wire, end_flow)
        else:
            for site in source_sites:
                for target in end_sites:
                    if site == target:
                        cutter.keep(site, wire)
                    else:
                        crossing.setdefault((site, target, wire.source.name, bool(wire.lossless)), []).append(wire)
    for (site, target, source, lossless), group in crossing.items():
        cutter.carry(site, target, source, lossless, group)
    return {site: draft.done() for site, draft in drafts.items()}


class _Cutter:
    """Writes into the drafts what becomes of each wire."""

    def __init__(
        self,
        flows: Mapping[str, Sequence[Routine]],
        wires: Sequence[Wire],
        placement: Placement,
        drafts: Mapping[str, _Draft],
        run: str,
    ) -> None:
        self._flows = flows
        self._ruling: dict[str, Wire] = {}  # by destination the wire whose rule holds for a link that carries them all
        for wire in sorted(wires, key=lambda wire: (bool(wire.lossless), _room(wire))):
            self._ruling.update({end.name: wire for end in wire.destinations})
        self._wires = wires
        self._asking = asking(wires)
        self._placement = placement
        self._drafts = drafts
        self._run = run

    def keep(self, site: str, wire: Wire) -> None:
        """The wire is within the site."""
        (end,) = wire.destinations
        ends = wire.source.name, end.name
        self._drafts[site].wires.append(WirePlan(wire, *ends))
        self._drafts[site].traces.append(Trace(*ends, ends, begins=True, ends=True))

    def carry(self, site: str, target: str, source: str, lossless: bool, wires: Sequence[Wire]) -> None:
        """One link for all wires of one source and one rule to one site."""
        link = link_of(self._run, site, target, source, lossless, returns=source in self._asking)
        near, far = self._drafts[site], self._drafts[target]
        near.egresses.append(link)
        far.ingresses.append(link)
        one_condition = len({id(wire.where) for wire in wires}) == 1  # asked before anything travels
        near.wires.append(WirePlan(max(wires, key=_room), source, link.egress, where=one_condition))
        for wire in wires:
            (end,) = wire.destinations
            far.wires.append(WirePlan(wire, link.ingress, end.name, where=not one_condition))
            near.traces.append(Trace(source, end.name, (source, link.egress), begins=True, ends=False))
            far.traces.append(Trace(source, end.name, (link.ingress, end.name), begins=False, ends=True))

    def compete(self, site: str, wire: Wire, flow: str) -> None:
        """The replicas behind the wire are at several sites: those of other sites are stood in for."""
        (end,) = wire.destinations
        draft = self._drafts[site]
        here = self._stand_ins(draft, flow)
        ends = wire.source.name, end.name
        draft.wires.append(WirePlan(wire, *ends))
        draft.traces.append(Trace(*ends, ends, begins=True, ends=True))
        for number, target in enumerate(self._others(site, flow)):
            part = dict(here.links[number])
            if end.name not in part:
                ruling = self._ruling[end.name]
                count = self._placement[flow].count(target)
                returns = any(one.source.name in self._asking for one in self._wires if one.destinations[0] is end)
                credit = count * end.concurrency
                what = f"{end.name}.in"
                link = link_of(self._run, site, target, what, bool(ruling.lossless), returns=returns, credit=credit)
                part[end.name] = link
                self._drafts[target].ingresses.append(link)
                self._drafts[target].wires.append(WirePlan(ruling, link.ingress, end.name, where=False))
            link = part[end.name]
            self._drafts[target].traces.append(Trace(*ends, (link.ingress, end.name), begins=False, ends=False))
            here = replace(here, links=(*here.links[:number], part, *here.links[number + 1 :]))
        draft.flows = [here if one.name == flow else one for one in draft.flows]

    def _others(self, site: str, flow: str) -> list[str]:
        return [other for other in dict.fromkeys(self._placement[flow]) if other != site]

    def _stand_ins(self, draft: _Draft, flow: str) -> FlowPlan:
        """The flow at this site, with a process for each other site that has replicas of it."""
        plan = next((one for one in draft.flows if one.name == flow), None)
        if plan is not None and plan.links:
            return plan
        others = self._others(draft.site, flow)
        links: tuple[Mapping[str, LinkPlan], ...] = tuple({} for _ in others)
        if plan is None:
            plan = FlowPlan(flow, tuple(self._flows[flow]), len(others), links)
            draft.flows.append(plan)
            return plan
        return replace(plan, replicas=(plan.replicas or 0) + len(others), links=links)


def link_of(
    run: str, site: str, target: str, what: str, lossless: bool, *, returns: bool, credit: int | None = None
) -> LinkPlan:
    """The link from one site to another for what a routine sends under one rule, or, with credit, for what replicas of
    it take."""
    rule = "lossless" if lossless else "real-time"
    return LinkPlan(
        key="/".join(_plain(part) for part in (run, site, target, what, rule)),
        origin=site,
        target=target,
        egress=f"{what} to {target}" + ("" if lossless else ", newest"),
        ingress=f"{what} from {site}" + ("" if lossless else ", newest"),
        lossless=lossless,
        source=what if credit is None else "",
        credit=credit,
        returns=lossless and returns,
    )


def asking(wires: Sequence[Wire]) -> set[str]:
    """The routines that send what came of messages whose source waits for what is returned for each."""
    found = {wire.source.name for wire in wires if wire.source.max_in_flight == 1}
    todo = list(found)
    while todo:
        one = todo.pop()
        behind = {end.name for wire in wires if wire.source.name == one for end in wire.destinations} - found
        found |= behind
        todo += behind
    return found


def _room(wire: Wire) -> int:
    return wire.capacity or 0


def _plain(text: str) -> str:
    """A text as a part of a key; two texts that differ stay different."""
    return re.sub(r"[^A-Za-z0-9_.-]", lambda found: f"-{ord(found[0]):x}-", text)
