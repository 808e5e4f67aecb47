"""What becomes of wires that are added or taken away while a pipe runs at several sites. Plain decisions.

Links are laid when the pipe is built. So a new wire between sites needs one that carries what its source sends already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipert2.engine.fragment import Fragment, LinkPlan, Trace, WirePlan
from pipert2.errors import PipeBuildError
from pipert2.graph.wire import Wire

SitesOf = Callable[[str], tuple[str, ...]]
"""The sites where a routine does its work."""


@dataclass(frozen=True, slots=True)
class SiteChange:
    """What changes at a site, in this order.

    Attributes:
        gone: wires that are taken away. begins: ingresses whose stream had ended, and comes again. new: wires.
        traces: where the user's new wires are seen there.
        empty: an egress that is to have nothing under way any more before this happens, and its site.
    """

    site: str
    gone: tuple[WirePlan, ...] = ()
    begins: tuple[str, ...] = ()
    new: tuple[WirePlan, ...] = ()
    traces: tuple[Trace, ...] = ()
    empty: tuple[str, str] | None = None

    def applied(self, fragment: Fragment) -> Fragment:
        """The site's fragment after it."""
        wires = tuple(one for one in fragment.wires if one not in self.gone)
        traces = tuple(one for one in fragment.traces if one not in self.traces)
        return replace(fragment, wires=(*wires, *self.new), traces=(*traces, *self.traces))


def linked(fragments: Mapping[str, Fragment], sites_of: SitesOf, wire: Wire) -> list[SiteChange]:
    """What a new wire means for each site.

    Args:
        wire: with its rule settled, one destination.

    Raises:
        PipeBuildError: it cannot be while the pipe runs.
    """
    source, end = wire.source.name, wire.destinations[0].name
    here, there = sites_of(source), sites_of(end)
    if len({*here, *there}) == 1:
        names = source, end
        new = WirePlan(wire, source, end)
        return [SiteChange(here[0], new=(new,), traces=(Trace(source, end, names, begins=True, ends=True),))]
    if len(here) > 1 or len(there) > 1:
        raise PipeBuildError(
            [f"wire {source!r} -> {end!r}: with replicas on several hosts it must be there when the pipe is built"]
        )
    near, far = fragments[here[0]], fragments[there[0]]
    link = _link(near, far, source, bool(wire.lossless))
    if link is None:
        raise PipeBuildError(
            [
                f"wire {source!r} -> {end!r}: what {source!r} sends does not go from {near.site} to {far.site} yet, "
                "and the ways between hosts are laid when the pipe is built: build it with a wire of this rule from "
                f"{source!r} to a routine there, or put both on one host"
            ]
        )
    carrying = next((one for one in near.wires if (one.source, one.destination) == (source, link.egress)), None)
    filtered = carrying is not None and carrying.where and carrying.wire.where is not None
    if carrying is not None and filtered and carrying.wire.where is not wire.where:
        raise PipeBuildError(
            [
                f"wire {source!r} -> {end!r}: the way from {near.site} to {far.site} carries only what meets the "
                "condition (where=) of another wire: give both the same, or build the pipe with this wire"
            ]
        )
    stale = () if carrying is not None else tuple(one for one in far.wires if one.source == link.ingress)
    changes = [
        SiteChange(
            far.site,
            gone=stale,
            begins=() if carrying is not None else (link.ingress,),
            new=(WirePlan(wire, link.ingress, end, where=not filtered),),
            traces=(Trace(source, end, (link.ingress, end), begins=False, ends=True),),
        )
    ]
    seen = Trace(source, end, (source, link.egress), begins=True, ends=False)
    again = () if carrying is not None else (WirePlan(wire, source, link.egress, where=False),)
    return [*changes, SiteChange(near.site, new=again, traces=(seen,))]


def unlinked(fragments: Mapping[str, Fragment], sites_of: SitesOf, source: str, end: str) -> list[SiteChange]:
    """What taking a wire away means for each site.

    Raises:
        PipeBuildError: it cannot be while the pipe runs.
    """
    here, there = sites_of(source), sites_of(end)
    if set(here) == set(there) and (len(here) == 1 or not _crosses(fragments, source, end)):
        return [SiteChange(site, gone=_wires(fragments[site], source, end)) for site in here]
    if len(here) > 1 or len(there) > 1:
        raise PipeBuildError(
            [f"wire {source!r} -> {end!r}: with replicas on several hosts it stays for as long as the pipe runs"]
        )
    near, far = fragments[here[0]], fragments[there[0]]
    for link in (one for one in near.egresses if one.target == far.site):
        beyond = _wires(far, link.ingress, end)
        carrying = _wires(near, source, link.egress)
        if beyond and carrying:
            if any(one.source == link.ingress and one not in beyond for one in far.wires):
                return [SiteChange(far.site, gone=beyond, empty=(near.site, link.egress))]
            return [SiteChange(near.site, gone=carrying)]  # the stream ends there, and here when all has arrived
    return []


def undone(planned: Fragment, now: Fragment) -> SiteChange:
    """What is to be changed at a site that begins anew with what was planned, so that it is as it was."""
    gone = tuple(one for one in planned.wires if one not in now.wires)
    return SiteChange(now.site, gone=gone, new=tuple(one for one in now.wires if one not in planned.wires))


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


def _wires(fragment: Fragment, source: str, end: str) -> tuple[WirePlan, ...]:
    return tuple(one for one in fragment.wires if (one.source, one.destination) == (source, end))


def _crosses(fragments: Mapping[str, Fragment], source: str, end: str) -> bool:
    """Whether a wire leads from one site to another somewhere."""
    return any(
        (one.source, one.destination) == (source, end) and one.begins != one.ends
        for fragment in fragments.values()
        for one in fragment.traces
    )
