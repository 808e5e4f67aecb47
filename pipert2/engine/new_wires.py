"""What becomes of wires that are added or taken away while a pipe runs at several sites. Plain decisions.

A new wire between sites goes over the link that carries what its source sends under its rule. If there is none, one is
laid; it stays when its last wire is taken away, and is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipert2.engine.cutting import asking, link_of
from pipert2.engine.fragment import Fragment, LinkPlan, Trace, WirePlan
from pipert2.errors import PipeBuildError
from pipert2.graph.wire import Wire

SitesOf = Callable[[str], tuple[str, ...]]
"""The sites where a routine does its work."""


@dataclass(frozen=True, slots=True)
class SiteChange:
    """What changes at a site, in this order.

    Attributes:
        gone: wires that are taken away. new: wires.
        traces: where the user's new wires are seen there.
        empty: an egress that is to have nothing under way any more before this happens, and its site.
        link: one that is laid, with one end there.
    """

    site: str
    gone: tuple[WirePlan, ...] = ()
    new: tuple[WirePlan, ...] = ()
    traces: tuple[Trace, ...] = ()
    empty: tuple[str, str] | None = None
    link: LinkPlan | None = None

    def applied(self, fragment: Fragment) -> Fragment:
        """The site's fragment after it."""
        wires = tuple(one for one in fragment.wires if one not in self.gone)
        traces = tuple(one for one in fragment.traces if one not in self.traces)
        found = replace(fragment, wires=(*wires, *self.new), traces=(*traces, *self.traces))
        if self.link is None:
            return found
        if self.link.origin == self.site:
            return replace(found, egresses=(*found.egresses, self.link))
        return replace(found, ingresses=(*found.ingresses, self.link))


@dataclass(frozen=True, slots=True)
class Ground:
    """What links are laid on.

    Attributes:
        run: names the run, for the links' keys.
        wires: the pipe's, settled.
    """

    run: str
    wires: Sequence[Wire]


def linked(fragments: Mapping[str, Fragment], sites_of: SitesOf, wire: Wire, ground: Ground) -> list[SiteChange]:
    """What a new wire means for each site.

    Args:
        wire: with its rule settled, one destination.
        ground: for a link that is to be laid.

    Raises:
        PipeBuildError: it cannot be while the pipe runs.
    """
    source, end = wire.source.name, wire.destinations[0].name
    changes: list[SiteChange] = []
    for site, target in _ways(fragments, sites_of, source, end):
        if site == target:
            plan = WirePlan(wire, source, end)
            changes.append(SiteChange(site, new=(plan,), traces=(Trace(source, end, (source, end), True, True),)))
        else:
            changes += _crossing(fragments[site], fragments[target], wire, ground)
    weak = [one.target for site in fragments.values() for one in site.handing_out(end) if not one.lossless]
    if wire.lossless and weak:
        raise PipeBuildError(
            [
                f"wire {source!r} -> {end!r}: it is lossless, and what {end!r} has at {' and '.join(weak)} comes there "
                "by the rule of the wires that the pipe was built with, which are real-time: make it real-time, or "
                f"build the pipe with a lossless wire to {end!r}"
            ]
        )
    return changes


def _ways(fragments: Mapping[str, Fragment], sites_of: SitesOf, source: str, end: str) -> list[tuple[str, str]]:
    """From where to where a wire leads: from each site of its source, to where its destination gets its messages.

    With replicas at several sites these are handed out, where the wires that the pipe was built with came from.

    Raises:
        PipeBuildError: they come nowhere, as it had no wire when the pipe was built.
    """
    here, there = sites_of(source), sites_of(end)
    if any(source in names and end in names for names in _flows(fragments)):
        return [(site, site) for site in here]
    if len(there) == 1:
        return [(site, there[0]) for site in here]
    handing_out = [site for site, fragment in fragments.items() if fragment.handing_out(end)]
    if not handing_out:
        raise PipeBuildError(
            [f"{end!r} had no input when the pipe was built, so it cannot get one now: link it before"]
        )
    return [(site, site if site in handing_out else handing_out[0]) for site in here]


def _flows(fragments: Mapping[str, Fragment]) -> list[set[str]]:
    """The names of the routines of each flow."""
    return [{one.name for one in plan.routines} for fragment in fragments.values() for plan in fragment.flows]


def _crossing(near: Fragment, far: Fragment, wire: Wire, ground: Ground) -> list[SiteChange]:
    """A new wire from one site to another."""
    source, end = wire.source.name, wire.destinations[0].name
    link = _link(near, far, source, bool(wire.lossless))
    laid = None
    if link is None:
        returns = source in asking([*ground.wires, wire])
        link = laid = link_of(ground.run, near.site, far.site, source, bool(wire.lossless), returns=returns)
    carrying = next((one for one in near.wires if (one.source, one.destination) == (source, link.egress)), None)
    filtered = carrying is not None and carrying.where and carrying.wire.where is not None
    if carrying is not None and filtered and carrying.wire.where is not wire.where:
        raise PipeBuildError(
            [
                f"wire {source!r} -> {end!r}: the way from {near.site} to {far.site} carries only what meets the "
                "condition (where=) of another wire: give both the same, or build the pipe with this wire"
            ]
        )
    new = WirePlan(wire, link.ingress, end, where=not filtered)
    before = [one for one in far.wires if one.source == link.ingress and carrying is None]
    kept = any(_alike(one, new) for one in before)  # what was sent before the wire was taken away may still come on it
    stale = tuple(one for one in before if not _alike(one, new))
    changes = [
        SiteChange(
            far.site,
            gone=stale,
            new=() if kept else (new,),
            traces=(Trace(source, end, (link.ingress, end), begins=False, ends=True),),
            empty=(near.site, link.egress) if stale else None,
            link=laid,
        )
    ]
    seen = Trace(source, end, (source, link.egress), begins=True, ends=False)
    again = () if carrying is not None else (WirePlan(wire, source, link.egress, where=False),)
    return [*changes, SiteChange(near.site, new=again, traces=(seen,), link=laid)]


def unlinked(fragments: Mapping[str, Fragment], sites_of: SitesOf, source: str, end: str) -> list[SiteChange]:
    """What taking a wire away means for each site."""
    found = []
    for site, target in _ways(fragments, sites_of, source, end):
        near, far = fragments[site], fragments[target]
        if site == target:
            found.append(SiteChange(site, gone=_wires(near, source, end)))
            continue
        for link in (one for one in near.egresses if one.target == target):
            beyond = _wires(far, link.ingress, end)
            carrying = _wires(near, source, link.egress)
            if beyond and carrying:
                if any(one.source == link.ingress and one not in beyond for one in far.wires):
                    found.append(SiteChange(target, gone=beyond, empty=(site, link.egress)))
                else:  # the stream ends there, and here when all has arrived
                    found.append(SiteChange(site, gone=carrying))
    return found


def undone(planned: Fragment, now: Fragment) -> SiteChange:
    """What is to be changed at a site that begins anew with what was planned, so that it is as it was."""
    gone = tuple(one for one in planned.wires if one not in now.wires)
    return SiteChange(now.site, gone=gone, new=tuple(one for one in now.wires if one not in planned.wires))


def laid_for(planned: Fragment, now: Fragment, wire: WirePlan) -> LinkPlan | None:
    """The link that a wire there leads to or comes from, if it was laid after the pipe was built."""
    known = {link.key for link in (*planned.egresses, *planned.ingresses)}
    return next(
        (
            link
            for link in (*now.egresses, *now.ingresses)
            if link.key not in known and link.end_at(now.site) in (wire.source, wire.destination)
        ),
        None,
    )


def _link(near: Fragment, far: Fragment, source: str, lossless: bool) -> LinkPlan | None:
    """The link that carries what a routine sends, whether it is in use or not."""
    return next(
        (
            one
            for one in near.egresses
            if one.target == far.site and one.lossless == lossless and one.source == source and one.credit is None
        ),
        None,
    )


def _alike(one: WirePlan, other: WirePlan) -> bool:
    """Whether the one can be used for the other."""
    rules = [
        (
            plan.destination,
            plan.wire.where if plan.where else None,
            plan.wire.capacity,
            repr(plan.wire.data_transmitter),
        )
        for plan in (one, other)
    ]
    return rules[0] == rules[1]


def _wires(fragment: Fragment, source: str, end: str) -> tuple[WirePlan, ...]:
    return tuple(one for one in fragment.wires if (one.source, one.destination) == (source, end))
