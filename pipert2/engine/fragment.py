"""The part of a pipe that runs at one site: its flows there, the wires between them, and the ends of the links that
carry the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipert2.graph.routine import Routine
from pipert2.graph.wire import Wire


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """One link: from a site to another one.

    Attributes:
        key: names it; the same on both ends.
        origin, target: the sites.
        egress, ingress: the names of its two ends, and of their flows.
        lossless: its rule.
        source: the routine whose data it carries; of one to replicas, which may have several sources, none.
        credit: the most messages that may be under way, None: as many as the link bears.
        returns: whether what destinations return goes back on it, to a source that waits for that.
    """

    key: str
    origin: str
    target: str
    egress: str
    ingress: str
    lossless: bool
    source: str = ""
    credit: int | None = None
    returns: bool = False

    def end_at(self, site: str) -> str:
        """The name of its end at one of its sites."""
        return self.egress if site == self.origin else self.ingress


@dataclass(frozen=True, slots=True)
class WirePlan:
    """A wire within a site, by names of routines.

    Attributes:
        wire: whose rule and transmitter it has.
        source, destination: routines there, or ends of links.
        where: whether the wire's condition is asked here.
    """

    wire: Wire
    source: str
    destination: str
    where: bool = True


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """A flow as a site has it.

    Attributes:
        replicas: processes there, with those that stand in for other sites'; None: it is not made to have several.
        links: of each process that stands in for another site's replicas, behind the others: by routine with inputs,
            the link that carries what it takes.
        first: the number of its first replica among those of all sites.
    """

    name: str
    routines: tuple[Routine, ...]
    replicas: int | None = None
    links: tuple[Mapping[str, LinkPlan], ...] = ()
    first: int = 0

    @property
    def own(self) -> int:
        """The replicas that run there."""
        return (self.replicas or 1) - len(self.links)


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a wire of the user's is seen in a site: the wire there, and which part of the way it is.

    Attributes:
        source, destination: of the user's wire.
        here: the names of the ends in the site.
        begins, ends: whether the way begins there, and whether its destination takes from it there; for one with
            replicas at several sites that is where what comes for them is handed out.
    """

    source: str
    destination: str
    here: tuple[str, str]
    begins: bool
    ends: bool


@dataclass(frozen=True, slots=True)
class Fragment:
    """The part of a pipe that runs at one site."""

    site: str
    flows: tuple[FlowPlan, ...]
    wires: tuple[WirePlan, ...]
    egresses: tuple[LinkPlan, ...]
    ingresses: tuple[LinkPlan, ...]
    traces: tuple[Trace, ...] = ()

    @property
    def handed_out(self) -> list[tuple[LinkPlan, str, int]]:
        """The links to other sites' replicas, each with the routine and the number of the replica that stands in."""
        return [
            (link, routine, plan.own + number)
            for plan in self.flows
            for number, part in enumerate(plan.links)
            for routine, link in part.items()
        ]

    def handing_out(self, routine: str) -> list[LinkPlan]:
        """The links on which other sites' replicas of a routine get of what comes for it here."""
        return [link for link, name, _ in self.handed_out if name == routine]


def with_count(plan: FlowPlan, target: str, count: int, before: int) -> FlowPlan:
    """A flow at a site that hands out work, when another site has another number of its replicas."""
    links = tuple(
        {name: _with_credit(link, count, before) if link.target == target else link for name, link in part.items()}
        for part in plan.links
    )
    return replace(plan, links=links)


def _with_credit(link: LinkPlan, count: int, before: int) -> LinkPlan:
    return replace(link, credit=None if link.credit is None else link.credit // before * count)
