"""What becomes of wires that are added or taken away while a pipe runs at several sites. Plain decisions.

A new wire between sites goes over the link that carries what its source sends under its rule. If there is none, one is
laid; it stays when its last wire is taken away, and is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
        accounting: the sites that keep account of what is acknowledged, which lossless links need at both ends.
        wires: the pipe's, settled.
    """

    run: str
    accounting: Collection[str]
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
    laid = None
    if link is None:
        link = laid = _laid(near, far, wire, ground)
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
            new=(WirePlan(wire, link.ingress, end, where=not filtered),),
            traces=(Trace(source, end, (link.ingress, end), begins=False, ends=True),),
            link=laid,
        )
    ]
    seen = Trace(source, end, (source, link.egress), begins=True, ends=False)
    again = () if carrying is not None else (WirePlan(wire, source, link.egress, where=False),)
    return [*changes, SiteChange(near.site, new=again, traces=(seen,), link=laid)]


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


def _laid(near: Fragment, far: Fragment, wire: Wire, ground: Ground) -> LinkPlan:
    source, end, lossless = wire.source.name, wire.destinations[0].name, bool(wire.lossless)
    without = [site for site in (near.site, far.site) if site not in ground.accounting]
    if lossless and without:
        raise PipeBuildError(
            [
                f"wire {source!r} -> {end!r}: it is lossless, and nothing keeps account of what is acknowledged at "
                f"{' and '.join(without)}, where no lossless wire came from another host or went to one when the pipe "
                "was built: make it real-time, or build the pipe with lossless=True, or with this wire"
            ]
        )
    returns = source in asking([*ground.wires, wire])
    return link_of(ground.run, near.site, far.site, source, lossless, returns=returns)


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
