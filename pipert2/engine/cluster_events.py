"""Events, sent to the sites that they are for."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from pipert2.engine.cluster import Cluster
from pipert2.engine.cluster_base import ClusterBase
from pipert2.engine.sites import ANSWER
from pipert2.errors import EventHandlerError, PipertError
from pipert2.events.bus import EventResult
from pipert2.events.target import Targets, resolve
from pipert2.graph.handlers import (
    CONFIGURE_EVENT_NAME,
    KILL_EVENT_NAME,
    START_EVENT_NAME,
    STOP_EVENT_NAME,
    UNLINK_EVENT_NAME,
)
from pipert2.graph.spec import PipeSpec
from pipert2.transport.codec import dumps_plain

_KEPT = (START_EVENT_NAME, STOP_EVENT_NAME, KILL_EVENT_NAME, CONFIGURE_EVENT_NAME)
"""What a site that begins anew is told again."""
_QUIET_LOOK = 0.05
"""Seconds between two looks whether all sites have run empty."""


class EventsAtSites(ClusterBase):
    """Events to routines, wherever they are."""

    _spec: PipeSpec

    def notify_event(  # type: ignore[override]
        self,
        event_name: str,
        specific_flow_routines: Targets | None = None,
        *,
        wait: float | None = None,
        **params: Any,
    ) -> dict[str, EventResult] | None:
        cluster = self._built_here(event_name)
        if cluster is None:
            return {} if wait is not None else None
        specs = resolve(self._spec, event_name, specific_flow_routines)
        if wait is not None and not wait >= 0:
            raise ValueError(f"notify_event(wait=...) is a time in seconds, 0 or more, not {wait!r}")
        names = tuple(dict.fromkeys(spec.name for spec in specs))
        whole = not specific_flow_routines and event_name in (START_EVENT_NAME, STOP_EVENT_NAME, KILL_EVENT_NAME)
        dumps_plain(params)  # what cannot travel is said here
        self._note(event_name, names, params)
        if event_name == UNLINK_EVENT_NAME:
            return self._unlink_all(cluster, names, wait, params)
        if event_name == STOP_EVENT_NAME and whole and self.blueprint.lossless:
            return self._stop_empty(cluster, wait)
        wanted: dict[str, tuple[str, ...] | None] = {}
        for site in cluster.sites.records:
            here = tuple(name for name in names if site in cluster.sites_with(name))
            if here or whole:
                wanted[site] = None if whole else here
        if whole and event_name == KILL_EVENT_NAME:
            cluster.sites.give_up_missing()
        results: dict[str, EventResult] = {}
        for site, answers in self._event_at(cluster, wanted, event_name, wait, params).items():
            if wait is None and isinstance(answers, BaseException) and event_name not in _KEPT:
                self.logger.warning("event %r reaches nobody there: %s", event_name, answers)
            results.update(self._named(cluster, site, answers, event_name, wanted[site] or names))
        if event_name == START_EVENT_NAME:
            cluster.sites.look_again(wanted)  # one that had finished has not any more
        return None if wait is None else {name: results[name] for name in sorted(results, key=self._place_of)}

    def _unlink_all(
        self, cluster: Cluster, names: Sequence[str], wait: float | None, params: Mapping[str, Any]
    ) -> dict[str, EventResult] | None:
        """Take wires away as the event asks for that; one to another site is not known by its end at the source's."""
        end = str(params.get("unlink_routine_name"))

        def unlink() -> dict[str, EventResult]:
            results = {}
            for name in names:
                error = None
                try:
                    self.unlink(name, end, **({} if wait is None else {"wait": wait}))
                except PipertError as failure:
                    error = EventHandlerError(name, UNLINK_EVENT_NAME, str(failure))
                    self.logger.warning("%s", error)
                results[name] = EventResult(name, error is None or None, error)
            return results

        if wait is not None:
            return unlink()
        cluster.sites.later(unlink)
        return None

    def _event_at(
        self,
        cluster: Cluster,
        wanted: Mapping[str, tuple[str, ...] | None],
        event: str,
        wait: float | None,
        params: dict[str, Any],
    ) -> dict[str, Any]:
        asked: dict[tuple[str, ...] | None, list[str]] = {}
        for site, names in wanted.items():
            asked.setdefault(names, []).append(site)
        found: dict[str, Any] = {}
        for names, sites in asked.items():
            found.update(
                cluster.sites.ask_all(sites, "event", event, names, wait, params, patience=ANSWER + (wait or 0.0))
            )
        return found

    def _named(
        self, cluster: Cluster, site: str, answers: Any, event: str, names: Sequence[str]
    ) -> dict[str, EventResult]:
        """What a site's routines answered, by the names they have in the whole pipe."""
        if isinstance(answers, BaseException):
            if event == START_EVENT_NAME:
                self.logger.warning("%s: what runs there is started when it is back", answers)
            here = [name for name in names if site in cluster.sites_of(name)]
            return {name: EventResult(name, None, EventHandlerError(name, event, str(answers))) for name in here}
        found: dict[str, EventResult] = {}
        for label, result in (answers or {}).items():
            name = cluster.label_of(site, label)
            if name is not None:
                error = result.error
                if error is not None:
                    error = type(error)(name, event, error.reason, error.traceback)
                found[name] = EventResult(name, result.value, error)
        return found

    def _place_of(self, label: str) -> int:
        name = label.partition("#")[0]
        return next((spec.index for spec in self._spec.routines if label == spec.label or name == spec.name), 0)

    def _note(self, event: str, names: Iterable[str], params: Mapping[str, Any]) -> None:
        """Remember what each routine was asked for, for sites that begin anew."""
        if event == CONFIGURE_EVENT_NAME and params:
            for name in names:
                key = ("configure", name, *sorted(params))
                self._given[key] = ("event", (CONFIGURE_EVENT_NAME, (name,), None, dict(params)), {})
        if event == START_EVENT_NAME:
            self._wanted.update(names)
            for record in () if self._cluster is None else self._cluster.sites.records.values():
                record.finished = frozenset()  # before they tell of it
        elif event in (STOP_EVENT_NAME, KILL_EVENT_NAME):
            self._wanted.difference_update(names)
        if event == KILL_EVENT_NAME:
            self._killed.update(names)

    def _stop_empty(self, cluster: Cluster, wait: float | None) -> dict[str, EventResult] | None:
        """Stop the sources of all sites, and the rest when all that came of what they sent is done, wherever."""
        if wait is None:
            limit = self.settings.drain_timeout
            cluster.sites.later(functools.partial(self._stop_sites, cluster, limit))
            return None
        return self._stop_sites(cluster, wait)

    def _stop_sites(self, cluster: Cluster, wait: float) -> dict[str, EventResult]:
        deadline = monotonic() + wait
        sites, present, names = cluster.sites, cluster.progress.present, list(self.flow_names)
        results: dict[str, EventResult] = {}
        for site, answers in sites.ask_all(present, "stop_sources", wait, patience=wait + ANSWER).items():
            results.update(self._named(cluster, site, answers, STOP_EVENT_NAME, names))
        limit = min(deadline, monotonic() + self.settings.drain_timeout)
        while monotonic() < limit and not all(
            quiet is True for quiet in sites.ask_all(cluster.progress.present, "quiet", patience=ANSWER).values()
        ):
            if self._wanted or sites.closed.wait(_QUIET_LOOK):  # started again, or ended
                return results
            if cluster.progress.stranded:
                break
        left = max(0.5, deadline - monotonic())
        present = cluster.progress.present
        if cluster.progress.stranded:  # nothing can run empty before there is another host
            found = sites.ask_all(present, "stop_rest", left, patience=left + ANSWER)
        else:
            found = sites.ask_all(present, "event", STOP_EVENT_NAME, None, left, {}, patience=left + ANSWER)
        for site, answers in found.items():
            results.update(self._named(cluster, site, answers, STOP_EVENT_NAME, names))
        return results

    def _built_here(self, event: str) -> Cluster | None:
        found = self._built(f"event {event!r}", over_is_fine=event in (STOP_EVENT_NAME, KILL_EVENT_NAME))
        assert found is None or isinstance(found, Cluster)
        return found

    def receivers_of(self, event_name: str, specific_flow_routines: Targets | None = None) -> tuple[str, ...]:
        cluster = self._built_here(event_name)
        if cluster is None:
            return ()
        return tuple(dict.fromkeys(spec.name for spec in resolve(self._spec, event_name, specific_flow_routines)))
