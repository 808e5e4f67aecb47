"""What sites tell without being asked, and what one is told that has begun anew."""

from __future__ import annotations

import functools
import logging
from typing import Any

from pipert2.engine.cluster import Cluster
from pipert2.engine.cluster_base import ClusterBase
from pipert2.engine.new_wires import laid_for, undone
from pipert2.engine.site_words import Feed
from pipert2.engine.sites import ANSWER, LAYS, SiteLost
from pipert2.errors import PipertError, PipeStateError
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME
from pipert2.runtime.messages import CallOutcome, OutwardRequest, Packed
from pipert2.store.elsewhere import answer
from pipert2.transport.codec import dumps_plain


class SitesHeard(ClusterBase):
    """Hears what sites tell, and does what their routines want of others."""

    def _told(self, site: str, feed: Feed) -> None:
        proper = logging.getLogger(self.logger.name) is self.logger
        for record in feed.records:
            logger = logging.getLogger(record.name) if proper else self.logger
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
                for listener in tuple(self.log_listeners):
                    listener(record)
        if feed.dropped:
            self.logger.warning("%d log records of site %r were dropped, they came too fast", feed.dropped, site)
        cluster = self._cluster
        if cluster is not None:
            for number, request in feed.requests:
                cluster.sites.later(functools.partial(self._serve, site, number, request))

    def _serve(self, site: str, number: int, request: OutwardRequest) -> None:
        """Do what a routine wants of other sites, and tell it what came of it."""
        outcome = CallOutcome(None)
        try:
            outcome = CallOutcome(Packed(dumps_plain(self._do_for(site, request))))
        except PipertError as error:
            outcome = CallOutcome(None, error)
        except Exception as error:
            outcome = CallOutcome(None, PipertError(f"{type(error).__name__}: {error}"))
        cluster = self._cluster
        if number and cluster is not None:
            cluster.sites.ask_all([site], "answer", number, outcome, patience=ANSWER)
        elif outcome.error is not None:
            self.logger.error("a routine at site %r: %s", site, outcome.error)

    def _do_for(self, site: str, request: OutwardRequest) -> Any:
        arguments = request.arguments.open()
        if request.verb == "event":
            asking, name, targets, wait, params = arguments
            if wait is not None and asking in self.receivers_of(name, targets):
                raise PipeStateError(
                    f"routine {asking!r} would wait for itself to answer {name!r}: name the other routines, or leave "
                    "out wait="
                )
            return self.notify_event(name, targets, wait=wait, **params)
        if request.verb == "call":
            routine, data, timeout = arguments
            return self.call(routine, data, timeout=timeout)
        if self.store is None or self._letters is None:
            raise PipeStateError(f"pipe {self.name!r} has no store")
        if request.verb == "letter":
            return self._letters.keep(site, *arguments)
        return answer(self.store, *arguments)

    def _hold_anew(self, site: str) -> None:
        """A site may be on another node now."""
        cluster = self._cluster
        if cluster is None:
            return
        host = cluster.sites.records[site].host
        try:
            for flow in cluster.reserve.follow(site):
                self.logger.warning(
                    "flow %r: %s has no room for all replicas that it was given while the pipe runs; they run all the "
                    "same, but Ray may give what they need to others",
                    flow,
                    host,
                )
        except PipertError as error:
            self.logger.warning("what the replicas at site %r need is not held: %s", site, error)

    def _begun_anew(self, site: str) -> None:
        """A site knows nothing any more: tell it what was asked of it."""
        cluster = self._cluster
        if cluster is None:
            return
        self.logger.warning("site %r was begun anew on %s", site, cluster.sites.records[site].host)
        cluster.sites.later(functools.partial(self._hold_anew, site))
        if self._shared:
            self._tell(cluster, site, "set_parameters", None, dict(self._shared))
        for (_, routine, *_), (verb, args, options) in tuple(self._given.items()):
            if site in cluster.sites_of(routine):
                self._tell(cluster, site, verb, *args, **options)
        with self._wiring:  # a wire that comes or goes just now is there for all sites, or for none
            self._wire_anew(cluster, site)
        self._kill_anew(cluster, site)
        self._start_anew(cluster, site)

    def _wire_anew(self, cluster: Cluster, site: str) -> None:
        """Let a site have the replicas and wires that it had."""
        for before, plan in zip(cluster.planned[site].flows, cluster.fragments[site].flows, strict=True):
            if plan.own != before.own:
                self._tell(cluster, site, "set_replicas", plan.name, plan.replicas)
            for link in (link for part in plan.links for link in part.values()):
                self._tell(cluster, site, "set_credit", plan.name, link.key, link.credit)
        change = undone(cluster.planned[site], cluster.fragments[site])
        for one in change.gone:
            self._tell(cluster, site, "unlink_wire", one.source, one.destination, ANSWER)
        for one in change.new:
            laid = laid_for(cluster.planned[site], cluster.fragments[site], one)
            self._tell(cluster, site, "link_wire", one, ANSWER, laid, patience=LAYS)

    def _kill_anew(self, cluster: Cluster, site: str) -> None:
        """What was killed stays so."""
        killed = tuple(name for name in self._killed if site in cluster.sites_with(name))
        if self._killed.issuperset(self.flow_names):
            self._tell(cluster, site, "event", KILL_EVENT_NAME, None, None, {})
        elif killed:
            self._tell(cluster, site, "event", KILL_EVENT_NAME, killed, None, {})

    def _start_anew(self, cluster: Cluster, site: str) -> None:
        """Let a site run what was asked to, if it had not finished all of it."""
        names = tuple(name for name in self._wanted if site in cluster.sites_with(name))
        finished = cluster.finished_before(site, self._killed)
        if finished:
            self._tell(cluster, site, "have_finished", finished)
            names = tuple(name for name in names if name not in finished)
        if not names:
            return
        self._tell(cluster, site, "event", START_EVENT_NAME, names, None, {})
        stopped = tuple(name for name in names if name not in self._wanted)
        if stopped:  # meanwhile
            self._tell(cluster, site, "event", STOP_EVENT_NAME, stopped, None, {})
        over = () if finished else cluster.ended_links(site)
        if over:
            self._tell(cluster, site, "end_streams", over)

    def _tell(
        self, cluster: Cluster, site: str, verb: str, *args: Any, patience: float = ANSWER, **options: Any
    ) -> None:
        """Ask a site that has begun anew; when it is lost again it will be told once more."""
        found = cluster.sites.ask_all([site], verb, *args, patience=patience, **options)[site]
        if isinstance(found, BaseException) and not isinstance(found, SiteLost):
            self.logger.warning("site %r was begun anew, and is not as it was (%s): %s", site, verb, found)
