"""A pipe's cluster while the pipe runs: its sites, what is where, and the way to Ray and Zenoh."""

from __future__ import annotations

import atexit
import contextlib
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pipert2.engine.fragment import Fragment, cut
from pipert2.engine.needs import needs_of, together_of, weights_of
from pipert2.engine.placement import DRIVER, HostOffer, Placement, place
from pipert2.engine.ray_engine import RayEngine, endpoint, is_loopback
from pipert2.engine.ray_sites import RayCluster, RaySite
from pipert2.engine.site import Feed, Site
from pipert2.engine.site_pipe import SitePlan
from pipert2.engine.sites import SiteHandle, SiteHere, Sites
from pipert2.errors import PipeBuildError
from pipert2.graph.spec import process_name
from pipert2.runtime.configuration.routines import Configured
from pipert2.runtime.flow.handover import classes_of_main

if TYPE_CHECKING:
    import logging

    from pipert2.pipe import Pipe

_RELEASED_WITHIN = 10.0  # seconds in which Ray has given back what actors had that were ended
_LOOK = 0.1


class Cluster:
    """What is known of a pipe's sites. Closes twice without complaint.

    Attributes:
        sites: the way to them.
        placement: by flow the site of each of its replicas.
        fragments: by site.
    """

    def __init__(
        self, sites: Sites, placement: Placement, fragments: Mapping[str, Fragment], stack: contextlib.ExitStack
    ) -> None:
        self.sites = sites
        self.placement = placement
        self.fragments = fragments
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

    def letter_number(self, site: str, number: int) -> int:
        """What the whole pipe calls a dead letter of a site."""
        return number * len(self._names) + self._names.index(site)

    def site_of_letter(self, number: int) -> tuple[str, int]:
        """The site of a dead letter, and its number there."""
        own, index = divmod(number, len(self._names))
        return self._names[index], own

    def note_done(self, site: str) -> bool:
        """Whether all streams of a site had ended before it was lost, so that it has nothing left to do."""
        record = self.sites.records[site]
        wired = {end for wire in self.fragments[site].wires for end in (wire.source, wire.destination)}
        record.done = bool(wired) and wired <= record.finished
        return record.done

    def ended_links(self, site: str) -> tuple[str, ...]:
        """The ingresses of a site to which nothing will come: all of it was acknowledged, and its egress has ended."""
        records = self.sites.records
        return tuple(
            link.ingress for link in self.fragments[site].ingresses if link.egress in records[link.origin].finished
        )

    # --- how it is

    @property
    def present(self) -> list[str]:
        """The sites that are there."""
        return [site for site, record in self.sites.records.items() if record.progress is not None]

    @property
    def missing(self) -> str | None:
        """Which sites are not there, and why."""
        found = [
            f"site {site!r} is not there: {record.reason}"
            for site, record in self.sites.records.items()
            if record.reason is not None
        ]
        return "; ".join(found) or None

    @property
    def settled(self) -> str | None:
        """Why nothing more will happen anywhere; None while something may."""
        records = self.sites.records
        for site, record in records.items():
            if record.lost:
                return f"site {site!r} was lost too often ({record.reason})"
        progress = [record.progress for record in records.values() if not record.done]
        if not progress:
            return "finished"
        if any(one is None for one in progress):
            return None
        there = [one for one in progress if one is not None]
        for one in there:
            if one.settled not in (None, "finished", "killed"):
                return one.settled
        wired = [one for one in there if one.wired]
        if all(one.settled == "killed" for one in there):
            return "killed"
        done = any(record.done for record in records.values())
        return "finished" if (wired or done) and all(one.settled in ("finished", "killed") for one in wired) else None

    @property
    def ended(self) -> bool:
        """Whether all flows have ended for good."""
        return all(one.progress is not None and one.progress.ended for one in self.sites.records.values())

    @property
    def resting(self) -> bool:
        """Whether nothing runs anywhere, nor was asked to."""
        return all(one.progress is None or one.progress.resting for one in self.sites.records.values())

    @property
    def given_up(self) -> int:
        """Messages that were given up in this run."""
        return sum(one.progress.given_up for one in self.sites.records.values() if one.progress is not None)

    def close(self) -> None:
        """End all sites and let go of the cluster."""
        atexit.unregister(self.close)
        self.sites.close()
        self._stack.close()


def open_cluster(
    pipe: Pipe,
    engine: RayEngine,
    configured: Mapping[str, Configured],
    shared: Mapping[str, Any],
    *,
    told: Callable[[str, Feed], None],
    begun_anew: Callable[[str], None],
) -> Cluster:
    """Give each flow of a pipe a place, and let each site begin its part.

    Raises:
        PipeBuildError: something fits nowhere, or cannot travel. PipeStateError: there is no such cluster.
        PipertError: a site did not begin.
    """
    with contextlib.ExitStack() as stack:
        ray = RayCluster(engine)
        stack.callback(ray.close)
        hosts, placement = _placed(pipe, ray)
        run = secrets.token_hex(6)
        fragments = cut(pipe.blueprint.flows, pipe.blueprint.settled_wires, pipe.blueprint.replicas, placement, run)
        plans = {
            site: _plan(pipe, fragment, configured, shared, len(fragments)) for site, fragment in fragments.items()
        }
        offers = {host.name: host for host in hosts}
        own = _own_address(engine, ray, [offers[site] for site in fragments if site != DRIVER])
        port = _free_port(own)
        rendezvous = endpoint(own, port, tls=engine.certificates is not None and not is_loopback(own))
        if len(fragments) > 1:
            session = engine.link(own, None, run, port).open_session()
            stack.callback(session.close)
        handles: list[SiteHandle] = []
        remote: list[RaySite] = []
        for site, plan in plans.items():
            if site != DRIVER:
                wishes = pipe.blueprint.wishes
                asked = _asked(pipe, placement, site)
                stays = any(
                    wishes[flow].host is not None for flow in placement if site in placement[flow] and flow in wishes
                )
                found = ray.make_site(plan, offers[site], asked, rendezvous, run, stays=stays)
                stack.callback(found.close)
                remote.append(found)
                handles.append(found)
        if DRIVER in plans:
            here = Site(
                plans[DRIVER],
                engine.link(own, rendezvous, run),
                logger=pipe.logger,
                log_listeners=pipe.log_listeners,
                store=pipe.store,
            )
            stack.callback(here.close)
            handles.insert(0, SiteHere(DRIVER, here, ray.address))
        for one in remote:
            one.await_start()
        sites = Sites(handles, told, begun_anew, _loss_teller(pipe.logger), engine.restarts)
        stack.callback(sites.close)
        kept = contextlib.ExitStack()
        kept.push(stack.pop_all())
        return Cluster(sites, placement, fragments, kept)


def _placed(pipe: Pipe, ray: RayCluster) -> tuple[list[HostOffer], Placement]:
    """The hosts, and the place of each flow. Waits a moment for what a pipe that has just ended still has of them.

    Raises:
        PipeBuildError: something fits nowhere.
    """
    blueprint = pipe.blueprint
    needs, wires = needs_of(blueprint), (weights_of(blueprint), together_of(blueprint))
    deadline = monotonic() + _RELEASED_WITHIN
    while True:
        hosts = ray.hosts()
        try:
            return hosts, place(needs, hosts, *wires)
        except PipeBuildError as error:
            with contextlib.suppress(PipeBuildError):
                place(needs, ray.hosts(whole=True), *wires)
                if monotonic() < deadline:
                    sleep(_LOOK)
                    continue
            raise error from None


def _loss_teller(logger: logging.Logger) -> Callable[[str, str], None]:
    def tell(site: str, reason: str) -> None:
        logger.error("site %r is not there: %s", site, reason)

    return tell


def _plan(
    pipe: Pipe, fragment: Fragment, configured: Mapping[str, Configured], shared: Mapping[str, Any], parts: int
) -> SitePlan:
    settings, flows = pipe.settings, {plan.name for plan in fragment.flows}
    names = {routine.name for plan in fragment.flows if plan.own for routine in plan.routines}
    return SitePlan(
        pipe=pipe.name,
        fragment=fragment,
        level=pipe.logger.getEffectiveLevel(),
        network=pipe.blueprint.network,
        lossless=pipe.blueprint.lossless,
        auto_pacing=pipe.auto_pacing,
        restart=settings.restart,
        hang_timeout=settings.hang_timeout,
        kill_timeout=settings.kill_timeout,
        drain_timeout=settings.drain_timeout,
        requires=settings.requires,
        depends_on={flow: others for flow, others in pipe.blueprint.depends_on.items() if flow in flows},
        configured={name: one for name, one in configured.items() if name in names},
        shared=dict(shared),
        store=None if pipe.store is None else pipe.store.path,
        main_classes=classes_of_main(),
        parts=parts,
    )


def _asked(pipe: Pipe, placement: Placement, site: str) -> dict[str, float]:
    """What all flows of a site ask for together."""
    asked: dict[str, float] = {}
    for need in needs_of(pipe.blueprint):
        for name, amount in need.resources.items():
            asked[name] = asked.get(name, 0.0) + amount * placement[need.name].count(site)
    return {name: amount for name, amount in asked.items() if amount}


def _own_address(engine: RayEngine, ray: RayCluster, others: Sequence[HostOffer]) -> str:
    """The address at which the others find the driver: the loopback one if they are all on its machine.

    Raises:
        PipeBuildError: they are not, and nothing keeps the links safe.
    """
    if all(host.aliases[0] == ray.address for host in others):
        return "127.0.0.1"
    if all(is_loopback(address) for address in (ray.address, *(host.aliases[0] for host in others))):
        return ray.address
    problems = []
    if engine.certificates is None and not engine.insecure:
        problems.append(
            f"engine {engine.address!r}: links to other hosts need certificates: RayEngine(certificates=FOLDER), or "
            "?certificates=FOLDER (see docs/cluster.md); insecure=True lets whoever reaches the hosts run code there"
        )
    if not ray.asks_for_tokens and not engine.insecure:
        problems.append(
            f"engine {engine.address!r}: Ray itself asks nobody who they are: start it with RAY_AUTH_MODE=token on all "
            "hosts and here (see docs/cluster.md); insecure=True does without"
        )
    if problems:
        raise PipeBuildError(problems)
    return ray.address


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
