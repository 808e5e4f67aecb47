"""A pipe's sites come into being: hosts are asked, flows placed, links laid."""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pipert2.engine.cluster import Cluster
from pipert2.engine.cutting import cut
from pipert2.engine.fragment import Fragment
from pipert2.engine.needs import needs_of, together_of, weights_of
from pipert2.engine.placement import DRIVER, HostOffer, Placement, place
from pipert2.engine.ray_engine import RayEngine, endpoint, is_loopback
from pipert2.engine.ray_sites import RayCluster, RaySite
from pipert2.engine.reserve import RayGrants, Reserve
from pipert2.engine.site import Site
from pipert2.engine.site_pipe import SitePlan
from pipert2.engine.site_words import Feed
from pipert2.engine.sites import SiteHandle, SiteHere, Sites
from pipert2.engine.store_letters import StoreLetters
from pipert2.engine.waiting import SiteNeed, waiting_text
from pipert2.errors import PipeBuildError
from pipert2.runtime.configuration.routines import Configured
from pipert2.runtime.flow.handover import classes_of_main

if TYPE_CHECKING:
    from pipert2.pipe import Pipe

_RELEASED_WITHIN = 10.0  # seconds in which Ray has given back what actors had that were ended
_LOOK = 0.1


def open_cluster(
    pipe: Pipe,
    engine: RayEngine,
    configured: Mapping[str, Configured],
    shared: Mapping[str, Any],
    *,
    told: Callable[[str, Feed], None],
    begun_anew: Callable[[str], None],
    letters: StoreLetters | None,
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
        site_needs = {site: _need(pipe, placement, offers[site]) for site in plans if site != DRIVER}
        for site, plan in plans.items():
            if site != DRIVER:
                found = ray.make_site(plan, offers[site], site_needs[site], rendezvous, run)
                stack.callback(found.close)
                remote.append(found)
                handles.append(found)
        if DRIVER in plans:
            here = Site(
                plans[DRIVER],
                engine.link(own, rendezvous, run),
                logger=pipe.logger,
                log_listeners=pipe.log_listeners,
                keep_letter=functools.partial(letters.keep, DRIVER) if letters is not None else None,
                store=pipe.store,
            )
            stack.callback(here.close)
            handles.insert(0, SiteHere(DRIVER, here, ray.address))
        for one in remote:
            one.await_start()
        nodes = {one.name: one for one in remote}
        reserve = Reserve(RayGrants(ray.hosts), lambda site: nodes[site].node(10.0) if site in nodes else None)
        stack.callback(reserve.close)
        stranded = _waiting_teller(pipe.logger, fragments, site_needs, ray.head)
        sites = Sites(handles, told, begun_anew, _loss_teller(pipe.logger), stranded, engine.restarts)
        stack.callback(sites.close)
        kept = contextlib.ExitStack()
        kept.push(stack.pop_all())
        return Cluster(sites, placement, fragments, reserve, run, kept)


def _placed(pipe: Pipe, ray: RayCluster) -> tuple[list[HostOffer], Placement]:
    """The hosts, and the place of each flow. Waits a moment for what a pipe that has just ended still has of them.

    Raises:
        PipeBuildError: something fits nowhere.
    """
    blueprint = pipe.blueprint
    needs, wires = needs_of(blueprint), (weights_of(blueprint), together_of(blueprint))
    deadline = monotonic() + _RELEASED_WITHIN
    may_come = False
    while True:
        hosts = ray.hosts()
        try:
            return hosts, place(needs, hosts, *wires)
        except PipeBuildError:
            if not may_come:  # whether it is worth waiting: the hosts as they would be if nobody else used them
                with contextlib.suppress(PipeBuildError):
                    place(needs, ray.hosts(whole=True), *wires)
                    may_come = True
            if not may_come or monotonic() > deadline:
                raise
        sleep(_LOOK)


def _loss_teller(logger: logging.Logger) -> Callable[[str, str], None]:
    def tell(site: str, reason: str) -> None:
        logger.error("site %r is not there: %s", site, reason)

    return tell


def _waiting_teller(
    logger: logging.Logger, fragments: Mapping[str, Fragment], needs: Mapping[str, SiteNeed], head: str
) -> Callable[[str, str], None]:
    def tell(site: str, waits_for: str) -> None:
        logger.warning(
            "%s: no host is left for what ran at %s. It goes on by itself when there is one (%s); what is lossless is "
            "kept until then",
            waiting_text(fragments[site], waits_for),
            site,
            needs[site].advice(head),
        )

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


def _need(pipe: Pipe, placement: Placement, host: HostOffer) -> SiteNeed:
    """What all flows of a site ask for together."""
    asked: dict[str, float] = {}
    address, labels = None, dict[str, str]()
    for need in needs_of(pipe.blueprint):
        count = placement[need.name].count(host.name)
        if count and need.host is not None:
            key, is_label, text = need.host.partition("=")
            if is_label:
                labels[key.strip()] = text.strip()
            else:
                address = host.aliases[0]
        for name, amount in need.resources.items():
            asked[name] = asked.get(name, 0.0) + amount * count
    return SiteNeed({name: amount for name, amount in asked.items() if amount}, address, labels)


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
