"""Sites of a pipe without a cluster: all in this process, linked over loopback; each can be lost and begins anew."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

from pipert2 import Pipe, RayEngine
from pipert2.engine.cluster import Cluster
from pipert2.engine.cutting import cut
from pipert2.engine.opening import _plan, _waiting_teller
from pipert2.engine.placement import DRIVER
from pipert2.engine.ray_engine import endpoint
from pipert2.engine.reserve import Reserve
from pipert2.engine.site import Site
from pipert2.engine.site_words import Feed, SiteProgress
from pipert2.engine.sites import SiteHandle, SiteLost, Sites
from pipert2.engine.waiting import SiteNeed
from tests.ports import free_port


class LosableSite:
    """A site that lives in this process and can be lost."""

    def __init__(self, name: str, make: Callable[[], Site]) -> None:
        self.name = name
        self._make = make
        self._site: Site | None = make()
        self._lock = threading.Lock()
        self.closed = False
        self.lacks: str | None = None
        """What it waits for, after it was lost and could not begin anew."""

    def lose(self, lacks: str | None = None) -> None:
        """As if its process were killed: its flows die, and it knows nothing when it begins anew, which it does at
        once, or, if there is something that it lacks, when :meth:`begin` is called."""
        self.lacks = lacks
        with self._lock:
            site, self._site = self._site, None
        if site is None:
            return
        supervisor = site.pipe._supervisor
        assert supervisor is not None
        with supervisor.lock:  # all at once: flows that are told to end acknowledge what they will not do
            for flow in supervisor.flows.values():
                if flow.handle is not None and flow.handle.pid is not None:
                    os.kill(flow.handle.pid, signal.SIGKILL)
            supervisor.kill()
        site.close()
        if lacks is None:
            self.begin()

    def begin(self) -> None:
        """It is there again."""
        with self._lock:
            self.lacks = None
            if not self.closed:
                self._site = self._make()

    def _here(self) -> Site:
        site = self._site
        if site is None:
            raise SiteLost(self.name, "it was lost")
        return site

    def ask(self, verb: str, args: tuple[Any, ...], options: Mapping[str, Any], timeout: float) -> Any:
        site = self._here()
        try:
            return site.do(verb, args, dict(options))
        except Exception:
            if self._site is not site:
                raise SiteLost(self.name, "it was lost") from None
            raise

    def feed(self, known: SiteProgress | None, wait: float) -> Feed:
        site = self._here()
        try:
            return site.feed(known, min(wait, 0.2))
        except Exception:
            if self._site is not site:
                raise SiteLost(self.name, "it was lost") from None
            raise

    def where(self, timeout: float) -> tuple[int, str]:
        return os.getpid(), self.name

    def place_anew(self) -> None:
        """It comes back by itself."""

    def waits_for(self, seconds: float) -> str | None:
        return self.lacks

    def close(self) -> None:
        with self._lock:
            self.closed = True
            site, self._site = self._site, None
        if site is not None:
            site.close()


def _sites_of(pipe: Pipe, flow: str) -> tuple[str, ...]:
    """The site of each of a flow's replicas."""
    wish = pipe.blueprint.wishes.get(flow)
    sites = wish.host.split("+") if wish is not None and wish.host else [DRIVER]
    return tuple(sorted(sites[at % len(sites)] for at in range(pipe.blueprint.replicas.get(flow, 1))))


@contextlib.contextmanager
def sites_here(found: dict[str, LosableSite]) -> Iterator[None]:
    """Pipes with an engine are opened here: each flow at the site that its ``host=`` names. *found* gets these.

    ``host="a+b"`` has the flow's replicas at both in turn.
    """

    def open_here(pipe: Pipe, engine: RayEngine, configured: Any, shared: Any, *, told: Any, begun_anew: Any,
                  letters: Any) -> Cluster:  # fmt: skip
        blueprint = pipe.blueprint
        placement = {flow: _sites_of(pipe, flow) for flow in blueprint.flows}
        run = secrets.token_hex(6)
        with contextlib.ExitStack() as stack:
            fragments = cut(blueprint.flows, blueprint.settled_wires, blueprint.replicas, placement, run)
            port = free_port()
            stack.callback(engine.link("127.0.0.1", None, run, port).open_session().close)
            link = engine.link("127.0.0.1", endpoint("127.0.0.1", port, tls=False), run)
            handles: list[SiteHandle] = []
            for site, fragment in fragments.items():
                plan = _plan(pipe, fragment, configured, shared, len(fragments))
                keep = functools.partial(letters.keep, site) if letters is not None else None
                make = functools.partial(
                    Site, plan, link, logger=pipe.logger, log_listeners=[], keep_letter=keep, store=pipe.store
                )
                handle = LosableSite(site, make)
                stack.callback(handle.close)
                found[site] = handle
                handles.append(handle)
            reserve = Reserve(mock.Mock(), lambda site: None)
            needs = {site: SiteNeed({"GPU": 1.0}) for site in fragments}
            stranded = _waiting_teller(pipe.logger, fragments, needs, "10.0.0.1:6379")
            sites = Sites(handles, told, begun_anew, lambda *_: None, stranded, 100)
            stack.callback(sites.close)
            kept = contextlib.ExitStack()
            kept.push(stack.pop_all())
            return Cluster(sites, placement, fragments, reserve, run, kept)

    with mock.patch("pipert2.engine.cluster_pipe.open_cluster", open_here):
        yield
