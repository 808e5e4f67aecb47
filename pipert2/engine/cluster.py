"""A pipe's cluster while the pipe runs: its sites, and what is where."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from pipert2.engine.cluster_progress import ClusterProgress
from pipert2.engine.fragment import FlowPlan, Fragment, LinkPlan, with_count
from pipert2.engine.placement import Placement
from pipert2.engine.reserve import Reserve
from pipert2.engine.sites import ANSWER, Sites
from pipert2.engine.stream_keeper import StreamKeeper
from pipert2.graph.spec import process_name


class Cluster:
    """What is known of a pipe's sites. Closes twice without complaint.

    Attributes:
        sites: the way to them.
        placement: by flow the site of each of its replicas.
        fragments: by site, as they are now. planned: as they were when the pipe was built.
        progress: how far it is.
        reserve: what is held for replicas that came while it runs.
        run: names the run, for the links' keys.
    """

    def __init__(
        self,
        sites: Sites,
        placement: Placement,
        fragments: dict[str, Fragment],
        reserve: Reserve,
        run: str,
        stack: contextlib.ExitStack,
    ) -> None:
        self.sites = sites
        self.reserve = reserve
        self.run = run
        self.placement = dict(placement)
        self.fragments = fragments
        self.planned = dict(fragments)
        self.progress = ClusterProgress(sites.records)
        self._keeper = StreamKeeper(sites, lambda: self.fragments)
        self._stack = stack
        self._names = tuple(fragments)
        self._flow_of = {
            routine.name: plan.name
            for fragment in fragments.values()
            for plan in fragment.flows
            for routine in plan.routines
        }
        atexit.register(self.close)

    # --- what is where

    def sites_of(self, routine: str) -> tuple[str, ...]:
        """The sites where a routine does its work."""
        return tuple(dict.fromkeys(self.placement[self._flow_of[routine]]))

    def sites_with(self, routine: str) -> tuple[str, ...]:
        """The sites that know a routine: where it works, and where something stands in for it."""
        flow = self._flow_of[routine]
        return tuple(
            site for site, fragment in self.fragments.items() if any(plan.name == flow for plan in fragment.flows)
        )

    def label_of(self, site: str, label: str) -> str | None:
        """What the whole pipe calls a routine or flow that a site calls *label*; None if it is none of the user's."""
        name, hashed, number = label.rpartition("#")
        if not hashed or not number.isdigit():
            name, number = label, "1"
        replica = int(number) - 1
        for plan in self.fragments[site].flows:
            if name == plan.name or any(routine.name == name for routine in plan.routines):
                return process_name(name, plan.first + replica) if replica < plan.own or not plan.links else None
        return None

    def flow_plan(self, site: str, flow: str) -> FlowPlan:
        """A flow as a site has it."""
        return next(plan for plan in self.fragments[site].flows if plan.name == flow)

    def links_to(self, site: str, flow: str, target: str) -> list[LinkPlan]:
        """The links on which a site hands out work to replicas of a flow at another one."""
        plans = [plan for plan in self.fragments[site].flows if plan.name == flow]
        return [link for plan in plans for part in plan.links for link in part.values() if link.target == target]

    def room(self, flow: str, site: str, each: Mapping[str, float], count: int) -> int | None:
        """For how many more replicas than *count* a site has room; None: for any number."""
        more = self.reserve.room(site, each)
        return None if more is None else more + max(0, self._planned(flow, site) - count)

    def _planned(self, flow: str, site: str) -> int:
        return next(plan.own for plan in self.planned[site].flows if plan.name == flow)

    def hold(self, flow: str, site: str, each: Mapping[str, float], count: int) -> None:
        """Hold at a site what so many replicas of a flow need beyond those that the pipe was built with.

        Raises:
            PipeStateError: there is not as much left.
        """
        self.reserve.hold(flow, site, each, max(0, count - self._planned(flow, site)))

    def set_count(self, flow: str, site: str, count: int) -> None:
        """A site has another number of a flow's replicas now."""
        before = self.placement[flow].count(site)
        sites = dict.fromkeys(self.placement[flow])
        counts = {one: count if one == site else self.placement[flow].count(one) for one in sites}
        self.placement[flow] = tuple(one for one in sites for _ in range(counts[one]))
        first = 0
        firsts = {}
        for one in sites:
            firsts[one] = first
            first += counts[one]
        for name, fragment in self.fragments.items():
            plans = []
            for plan in fragment.flows:
                if plan.name == flow:
                    plan = with_count(plan, site, count, before)
                    own = count if name == site else plan.own
                    plan = replace(plan, replicas=own + len(plan.links), first=firsts.get(name, plan.first))
                plans.append(plan)
            self.fragments[name] = replace(fragment, flows=tuple(plans))

    def letter_number(self, site: str, number: int) -> int:
        """What the whole pipe calls a dead letter of a site."""
        return number * len(self._names) + self._names.index(site)

    def site_of_letter(self, number: int) -> tuple[str, int]:
        """The site of a dead letter, and its number there."""
        own, index = divmod(number, len(self._names))
        return self._names[index], own

    def finished_before(self, site: str, killed: Collection[str]) -> tuple[str, ...]:
        """The routines of a site, if the streams of all had ended before it was lost, so that nothing is left to do.

        Args:
            killed: routines whose streams have no end.
        """
        finished = self.sites.records[site].finished
        wired = {end for wire in self.fragments[site].wires for end in (wire.source, wire.destination)}
        return tuple(finished) if wired and wired.difference(killed) <= finished else ()

    def ended_links(self, site: str) -> tuple[str, ...]:
        """The ingresses of a site to which nothing will come: all of it was acknowledged, and its egress has ended."""
        records = self.sites.records
        return tuple(
            link.ingress for link in self.fragments[site].ingresses if link.egress in records[link.origin].finished
        )

    # --- running it: what a pipe asks of whoever runs its flows

    @property
    def ended(self) -> bool:
        """Whether all flows have ended for good."""
        return self.progress.ended

    def wait(self, done: Callable[[], Any], timeout: float | None) -> bool:
        """Wait until *done*, looked at after each change; False when *timeout* seconds were not enough."""
        return self.sites.wait(done, timeout)

    def nudge(self) -> None:
        """Nothing: a wait looks again twice a second, also after a signal."""

    def waits_for(self, flow: str) -> tuple[str, ...]:
        """What keeps a flow that was asked to start from starting, or from beginning anew, in words."""
        there = [site for site in dict.fromkeys(self.placement[flow]) if site in self.progress.present]
        found = self.sites.ask_all(there, "waits_for", flow, patience=ANSWER)
        lost = [one for site in self.placement[flow] if (one := self.sites.records[site].waits_for) is not None]
        told = [text for texts in found.values() if isinstance(texts, tuple) for text in texts]
        return tuple(dict.fromkeys((*told, *lost)))

    def close(self) -> None:
        """End all sites and let go of the cluster."""
        atexit.unregister(self.close)
        self._keeper.close()
        self.sites.close()
        self._stack.close()
