"""A pipe on a cluster: the object people hold, with the verbs of every pipe, each sent to the sites that it is for."""

from __future__ import annotations

import functools
import logging
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from pipert2.engine.cluster import Cluster, open_cluster
from pipert2.engine.merged import merged_histograms, merged_status, site_letters
from pipert2.engine.ray_engine import RayEngine, engine_of
from pipert2.engine.site import Feed
from pipert2.errors import CallError, EventHandlerError, PipertError, PipeStateError, UnknownDeadLetterError
from pipert2.events.bus import EventResult
from pipert2.events.target import Targets, resolve
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME
from pipert2.graph.routine import Routine
from pipert2.graph.spec import PipeSpec
from pipert2.graph.wire import Wire
from pipert2.observe.snapshot import ParameterStatus, PipeState, PipeStatus, RunSummary
from pipert2.pipe import Pipe
from pipert2.runtime.messages import CallOutcome, OutwardRequest, Packed
from pipert2.runtime.routine.histogram import Histogram
from pipert2.runtime.routine.preview import PreviewFrame, Side
from pipert2.runtime.routine.shown import Sketches
from pipert2.runtime.supervision.dead_letters import DeadLetterStatus, RequeueResult
from pipert2.runtime.supervision.ending import signals_noted
from pipert2.store.elsewhere import answer
from pipert2.transport.codec import dumps_plain

ANSWER = 10.0
"""Seconds that a site may take for a question that it need not think about."""
_QUIET_LOOK = 0.05
"""Seconds between two looks whether all sites have run empty."""


class ClusterPipe(Pipe):
    """A pipe whose flows run on the hosts of a cluster. Made by ``Pipe(engine=...)``."""

    _engine: RayEngine
    _cluster: Cluster | None
    _spec: PipeSpec
    _wanted: set[str]
    _given: dict[tuple[str, ...], tuple[str, tuple[Any, ...], dict[str, Any]]]
    _ended: bool
    _turn: int

    # --- putting it together

    def build(self) -> None:
        with self._lock:
            if self._cluster is not None:
                raise PipeStateError(f"pipe {self.name!r} is built already")
            self._must_be_new("build")
            if self.settings.inline:
                raise PipeStateError(f"pipe {self.name!r}: inline=True runs it in this process, engine= on a cluster")
            configurations = self._checked()
            self._spec = self.blueprint.spec(lambda count: count)
            configured = {routine.name: configurations.of_all([routine.name])[0] for routine in self.blueprint.routines}
            self._cluster = open_cluster(
                self, self._engine, configured, self._shared, told=self._told, begun_anew=self._begun_anew
            )
            self._show_to_handlers()

    def link(self, *wires: Wire, wait: float = 5.0) -> None:
        if self._cluster is not None:
            raise PipeStateError(f"pipe {self.name!r} runs on a cluster, where wires are settled when it is built")
        super().link(*wires, wait=wait)

    def unlink(self, source: Routine | str, destination: Routine | str, *, wait: float = 5.0) -> None:
        start, end = (item.name if isinstance(item, Routine) else item for item in (source, destination))
        cluster = self._cluster
        if cluster is not None:
            self.blueprint.check_wire(start, end)
            both = [site for site in cluster.sites_of(start) if site in cluster.sites_of(end)]
            if set(both) != set(cluster.sites_of(start)) | set(cluster.sites_of(end)):
                raise PipeStateError(
                    f"unlink {start!r} from {end!r}: they are on different hosts, between which wires are settled when "
                    "the pipe is built"
                )
            self._all(both, "unlink", start, end, wait=wait)
        super().unlink(source, destination, wait=wait)

    def _must_be_new(self, what: str) -> None:
        if self._cluster is not None:
            raise PipeStateError(f"{what}: pipe {self.name!r} is built already")
        super()._must_be_new(what)

    # --- the way to the sites

    def _alive(self, what: str) -> Cluster:
        cluster = self._cluster
        if cluster is None:
            raise self._not_running(what)
        return cluster

    def _all(self, sites: Iterable[str], verb: str, *args: Any, patience: float = ANSWER, **options: Any) -> list[Any]:
        """Ask several sites; raises what the first of them raised."""
        found = self._alive(verb).sites.ask_all(sites, verb, *args, patience=patience, **options)
        for value in found.values():
            if isinstance(value, BaseException):
                raise value
        return list(found.values())

    def _of_routine(self, name: str, verb: str, *args: Any, wait: float = 0.0, **options: Any) -> list[Any]:
        """Ask the sites where a routine is."""
        self.routine(name)
        cluster = self._alive(verb)
        return self._all(cluster.sites_of(name), verb, name, *args, patience=ANSWER + wait, **options)

    # --- events

    def notify_event(  # type: ignore[override]
        self,
        event_name: str,
        specific_flow_routines: Targets | None = None,
        *,
        wait: float | None = None,
        **params: Any,
    ) -> dict[str, EventResult] | None:
        cluster = self._built(f"event {event_name!r}", over_is_fine=event_name in (STOP_EVENT_NAME, KILL_EVENT_NAME))
        if cluster is None:
            return {} if wait is not None else None
        specs = resolve(self._spec, event_name, specific_flow_routines)
        if wait is not None and not wait >= 0:
            raise ValueError(f"notify_event(wait=...) is a time in seconds, 0 or more, not {wait!r}")
        names = tuple(dict.fromkeys(spec.name for spec in specs))
        whole = not specific_flow_routines and event_name in (START_EVENT_NAME, STOP_EVENT_NAME, KILL_EVENT_NAME)
        self._note(event_name, names)
        dumps_plain(params)  # what cannot travel is said here
        if event_name == STOP_EVENT_NAME and whole and self.blueprint.lossless:
            return self._stop_empty(cluster, wait)
        wanted: dict[str, tuple[str, ...] | None] = {}
        for site in cluster.sites.records:
            here = tuple(name for name in names if site in cluster.sites_with(name))
            if here or whole:
                wanted[site] = None if whole else here
        results: dict[str, EventResult] = {}
        for site, answers in self._event_at(cluster, wanted, event_name, wait, params).items():
            results.update(self._named(cluster, site, answers, event_name, wanted[site] or names))
        return None if wait is None else {name: results[name] for name in sorted(results, key=self._place_of)}

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

    def _note(self, event: str, names: Iterable[str]) -> None:
        """Remember what each routine was asked for, for sites that begin anew."""
        if event == START_EVENT_NAME:
            self._wanted.update(names)
        elif event in (STOP_EVENT_NAME, KILL_EVENT_NAME):
            self._wanted.difference_update(names)

    def _stop_empty(self, cluster: Cluster, wait: float | None) -> dict[str, EventResult] | None:
        """Stop the sources of all sites, and the rest when all that came of what they sent is done, wherever."""
        if wait is None:
            limit = self.settings.drain_timeout
            cluster.sites.later(functools.partial(self._stop_sites, cluster, limit))
            return None
        return self._stop_sites(cluster, wait)

    def _stop_sites(self, cluster: Cluster, wait: float) -> dict[str, EventResult]:
        deadline = monotonic() + wait
        sites, names = cluster.sites, list(self.flow_names)
        results: dict[str, EventResult] = {}
        for site, answers in sites.ask_all(cluster.present, "stop_sources", wait, patience=wait + ANSWER).items():
            results.update(self._named(cluster, site, answers, STOP_EVENT_NAME, names))
        limit = min(deadline, monotonic() + self.settings.drain_timeout)
        while monotonic() < limit and not all(
            quiet is True for quiet in sites.ask_all(cluster.present, "quiet", patience=ANSWER).values()
        ):
            if self._wanted or sites.closed.wait(_QUIET_LOOK):  # started again, or ended
                return results
        left = max(0.5, deadline - monotonic())
        found = sites.ask_all(cluster.present, "event", STOP_EVENT_NAME, None, left, {}, patience=left + ANSWER)
        for site, answers in found.items():
            results.update(self._named(cluster, site, answers, STOP_EVENT_NAME, names))
        return results

    def receivers_of(self, event_name: str, specific_flow_routines: Targets | None = None) -> tuple[str, ...]:
        cluster = self._built(f"event {event_name!r}", over_is_fine=event_name in (STOP_EVENT_NAME, KILL_EVENT_NAME))
        if cluster is None:
            return ()
        return tuple(dict.fromkeys(spec.name for spec in resolve(self._spec, event_name, specific_flow_routines)))

    def _built(self, what: str, *, over_is_fine: bool = False) -> Cluster | None:
        with self._lock:
            if self._last_status is not None and over_is_fine:
                return None
            if self._cluster is None:
                self._must_be_new(what)
                self.build()
            return self._cluster

    # --- calls and dead letters

    def call(self, routine: Routine | str, data: Any, *, timeout: float = 30.0) -> Any:
        name = routine.name if isinstance(routine, Routine) else routine
        self.routine(name)
        if not timeout > 0:
            raise ValueError(f"call(timeout=...) is a time in seconds above 0, not {timeout!r}")
        cluster = self._alive(f"call of {name!r}")
        there = [site for site in cluster.sites_of(name) if cluster.sites.records[site].progress is not None]
        if not there:
            raise CallError(name, f"its host is not there ({', '.join(cluster.sites_of(name))})")
        self._turn += 1
        return cluster.sites.ask(
            there[self._turn % len(there)], "call", name, data, patience=timeout + ANSWER, timeout=timeout
        )

    def dead_letters(
        self, routine_name: str | None = None, *, after: int = 0, limit: int | None = None
    ) -> tuple[DeadLetterStatus, ...]:
        cluster = self._cluster
        if cluster is None:
            return super().dead_letters(routine_name, after=after, limit=limit)
        return site_letters(cluster, routine_name, after, limit)

    def requeue_dead_letter(self, number: int, *, wait: float = 30.0) -> None:
        site, own = self._letter(number, "requeue_dead_letter")
        self._all([site], "requeue_dead_letter", own, wait=wait, patience=wait + ANSWER)

    def requeue_dead_letters(self, routine_name: str | None = None, *, wait: float = 30.0) -> RequeueResult:
        cluster = self._alive("requeue_dead_letters")
        sites = list(cluster.sites.records) if routine_name is None else cluster.sites_of(routine_name)
        found = self._all(sites, "requeue_dead_letters", routine_name, wait=wait, patience=wait + ANSWER)
        done: list[int] = []
        failed: dict[int, str] = {}
        left: list[int] = []
        for site, result in zip(sites, found, strict=True):
            done += [cluster.letter_number(site, number) for number in result.done]
            failed.update({cluster.letter_number(site, number): why for number, why in result.failed.items()})
            left += [cluster.letter_number(site, number) for number in result.left]
        return RequeueResult(tuple(done), failed, tuple(left))

    def drop_dead_letter(self, number: int) -> None:
        site, own = self._letter(number, "drop_dead_letter")
        self._all([site], "drop_dead_letter", own)

    def drop_dead_letters(self, routine_name: str | None = None) -> tuple[int, ...]:
        cluster = self._alive("drop_dead_letters")
        sites = list(cluster.sites.records) if routine_name is None else cluster.sites_of(routine_name)
        found = self._all(sites, "drop_dead_letters", routine_name)
        return tuple(
            cluster.letter_number(site, number)
            for site, numbers in zip(sites, found, strict=True)
            for number in numbers
        )

    def _letter(self, number: int, what: str) -> tuple[str, int]:
        """The site of a dead letter, and its number there."""
        cluster = self._alive(what)
        known = {letter.number for letter in self.dead_letters()}
        if number not in known:
            raise UnknownDeadLetterError(str(number), [str(one) for one in sorted(known)], f"pipe {self.name!r}")
        return cluster.site_of_letter(number)

    # --- routines

    def parameters(self, routine_name: str) -> tuple[ParameterStatus, ...]:
        if self._cluster is None:
            return super().parameters(routine_name)
        found: tuple[ParameterStatus, ...] = self._of_routine(routine_name, "parameters")[0]
        return found

    @property
    def shared_parameters(self) -> dict[str, Any]:
        return dict(self._shared)

    def set_parameters(
        self,
        routine_name: str | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        wait: float = 5.0,
        **shared: Any,
    ) -> None:
        if self._cluster is None or routine_name is None or shared or values is None:
            super().set_parameters(routine_name, values, wait=wait, **shared)
            return
        self._of_routine(routine_name, "set_parameters", dict(values), wait=wait)
        key = ("parameters", routine_name, *sorted(values))
        self._given[key] = ("set_parameters", (routine_name, values), {})

    def _share(self, values: Mapping[str, Any]) -> None:
        cluster = self._cluster
        if cluster is None:
            super()._share(values)
            return
        dumps_plain(dict(values))
        self._shared.update(values)
        self._all(cluster.sites.records, "set_parameters", None, dict(values))

    def _parameter_set(self, routine: Routine, name: str, value: Any) -> bool:
        if self._cluster is None:
            return True
        self.set_parameters(routine.name, {name: value})
        return False

    def configuration(self, routine_name: str) -> Any:
        if self._cluster is None:
            return super().configuration(routine_name)
        return self._of_routine(routine_name, "configuration")[0]

    def set_log_level(self, routine_name: str, level: int | str) -> None:
        self.routine(routine_name)
        self._alive("set_log_level")
        logger = self._logger_of(routine_name)
        logger.setLevel(level)
        self._levels_set.add(logger)
        self._of_routine(routine_name, "set_log_level", level)
        self._given[("level", routine_name)] = ("set_log_level", (routine_name, level), {})

    def preview(
        self, routine_name: str, side: Side = "output", *, on: bool = True, rate: float = 5.0, size: int = 480
    ) -> None:
        options = {"on": on, "rate": rate, "size": size}
        self._of_routine(routine_name, "preview", side, **options)
        self._given[("preview", routine_name, side)] = ("preview", (routine_name, side), options)

    def preview_frame(self, routine_name: str, side: Side = "output") -> PreviewFrame | None:
        self.routine(routine_name)
        if self._cluster is None:
            return None
        found = self._of_routine(routine_name, "preview_frame", side)
        return next((frame for frame in found if frame is not None), None)

    def results(self, routine_name: str, after: int = 0, *, wait: float = 2.0) -> Sketches:
        found = self._of_routine(routine_name, "results", after, wait=wait)
        values = {
            value.name: value
            for sketches in found
            for value in sketches.values
            if not value.name.startswith("link/")  # what stands in for replicas elsewhere shows its own
        }
        return Sketches(
            tuple(values.values()), max(one.last for one in found), any(sketches.more for sketches in found)
        )

    # --- flows

    def set_replicas(self, flow_name: str, replicas: int) -> None:
        self._of_flow(flow_name, "set_replicas", replicas)

    def restart_flow(self, flow_name: str) -> int:
        return sum(self._of_flow(flow_name, "restart_flow"))

    def _of_flow(self, flow: str, verb: str, *args: Any) -> list[Any]:
        self.blueprint.check_flow(flow)
        cluster = self._alive(verb)
        sites = list(dict.fromkeys(cluster.placement[flow]))
        if len(sites) > 1 and verb == "set_replicas":
            raise PipeStateError(
                f"flow {flow!r} has replicas on several hosts ({', '.join(sites)}), where their number stays as it "
                "was built"
            )
        return self._all(sites, verb, flow, *args)

    # --- how it is

    def status(self) -> PipeStatus:
        cluster = self._cluster
        if cluster is None:
            if self._last_status is not None:
                return self._last_status
            return PipeStatus(self.name, PipeState.NEW, None, 0.0, 0, (), (), ())
        found = cluster.sites.ask_all(
            [site for site, record in cluster.sites.records.items() if record.progress is not None],
            "report",
            patience=2.0,
        )
        state, reason = self._cluster_state(cluster)
        return replace(merged_status(cluster, self, found), state=state, reason=reason, time=time.time())

    def _cluster_state(self, cluster: Cluster) -> tuple[PipeState, str | None]:
        settled = cluster.settled
        if settled == "finished":
            return PipeState.FINISHED, None
        if cluster.ended:
            return PipeState.ENDED, None
        if settled is not None and settled != "killed":
            return PipeState.FAILED, settled
        missing = cluster.missing
        running = any(one.progress is not None and one.progress.active for one in cluster.sites.records.values())
        return (PipeState.RUNNING if running or (missing and self._wanted) else PipeState.BUILT), missing

    def histograms(self) -> dict[str, tuple[Histogram, Histogram]]:
        cluster = self._cluster
        if cluster is None:
            return self._last_histograms
        found = cluster.sites.ask_all(cluster.sites.records, "histograms", patience=2.0)
        return merged_histograms([one for one in found.values() if not isinstance(one, BaseException)], self.flow_names)

    # --- what sites tell

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
            outcome = CallOutcome(Packed(dumps_plain(self._do_for(request))))
        except PipertError as error:
            outcome = CallOutcome(None, error)
        except Exception as error:
            outcome = CallOutcome(None, PipertError(f"{type(error).__name__}: {error}"))
        cluster = self._cluster
        if number and cluster is not None:
            cluster.sites.ask_all([site], "answer", number, outcome, patience=ANSWER)
        elif outcome.error is not None:
            self.logger.error("a routine at site %r: %s", site, outcome.error)

    def _do_for(self, request: OutwardRequest) -> Any:
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
        if self.store is None:
            raise PipeStateError(f"pipe {self.name!r} has no store")
        return answer(self.store, *arguments)

    def _begun_anew(self, site: str) -> None:
        """A site knows nothing any more: tell it what was asked of it."""
        cluster = self._cluster
        if cluster is None:
            return
        self.logger.warning("site %r was begun anew on %s", site, cluster.sites.records[site].host)
        if self._shared:
            cluster.sites.ask_all([site], "set_parameters", None, dict(self._shared))
        for verb, args, options in tuple(self._given.values()):
            if site in cluster.sites_of(args[0]):
                cluster.sites.ask_all([site], verb, *args, **options)
        names = tuple(name for name in self._wanted if site in cluster.sites_with(name))
        if cluster.note_done(site):
            wired = {routine.name for wire in self.blueprint.wires for routine in (wire.source, *wire.destinations)}
            names = tuple(name for name in names if name not in wired)
        if names:
            cluster.sites.ask_all([site], "event", START_EVENT_NAME, names, None, {})
            over = cluster.ended_links(site)
            if over:
                cluster.sites.ask_all([site], "end_streams", over)

    # --- running and ending

    def run(self, timeout: float | None = None) -> RunSummary:
        cluster = self._built("run")
        assert cluster is not None
        began = monotonic()
        reason: str | None = None
        with signals_noted(cluster.sites.nudge) as signals:
            self.notify_event(START_EVENT_NAME)
            if not cluster.sites.wait(lambda: cluster.settled or signals, timeout):
                reason = "timeout"
                self._drain_sites(cluster, signals)
            settled = cluster.settled
            if signals and settled is None:
                reason = f"interrupted by {signal.Signals(signals[0]).name}"
                self._drain_sites(cluster, signals)
            reason = reason or settled or "stopped"
            failed = settled if settled not in (None, "finished", "killed") else None
            given_up = cluster.given_up
            self._end_cluster(cluster)
        final = self.status()
        return RunSummary(
            ok=failed is None and reason in ("finished", "timeout") and not given_up,
            dead_letters=given_up,
            reason=failed or reason,
            elapsed=monotonic() - began,
            errors=sum(routine.errors for routine in final.routines),
            routines=final.routines,
            wires=final.wires,
            flows=final.flows,
        )

    def _drain_sites(self, cluster: Cluster, signals: list[int]) -> None:
        cluster.sites.ask_all(cluster.sites.records, "drain", patience=ANSWER)
        limit = max(1.0, 2 * self.settings.kill_timeout)
        cluster.sites.wait(lambda: cluster.settled or cluster.resting or len(signals) > 1, limit)

    def join(self, to_kill: bool = False, timeout: float | None = None) -> bool:
        cluster = self._cluster
        if cluster is None:
            return True
        with signals_noted(cluster.sites.nudge) as signals:
            if not to_kill and not cluster.sites.wait(
                lambda: cluster.ended or signals or cluster.settled in ("finished", "killed"), timeout
            ):
                return False
            if signals:
                self.logger.info("%s: stopping pipe %r", signal.Signals(signals[0]).name, self.name)
            self._end_cluster(cluster)
        return True

    def _end_cluster(self, cluster: Cluster) -> None:
        """End all sites, keep the last status, and leave nothing behind."""
        with self._lock:
            if self._cluster is not cluster or self._ended:
                return
            self._ended = True
        try:
            letters = site_letters(cluster, None, 0, 100)
            histograms = self.histograms()
            limit = self.settings.kill_timeout + ANSWER
            found = cluster.sites.ask_all(cluster.present, "end", patience=limit)
            last = merged_status(cluster, self, found)
            sites = tuple(replace(site, state="ended", pid=None) for site in last.sites)
            last = replace(last, state=PipeState.ENDED, time=time.time(), sites=sites)
            self._last_dead_letters, self._last_histograms, self._last_status = letters, histograms, last
        finally:
            cluster.close()
            with self._lock:
                self._cluster = None
        for logger in self._levels_set:
            logger.setLevel(logging.NOTSET)


def move(pipe: Pipe, engine: str | RayEngine) -> None:
    """Let a pipe that is not built yet run on an engine.

    Raises:
        ConfigError: it is none. PipertError: what it needs is not installed. PipeStateError: the pipe is built.
    """
    found = engine_of(engine)
    pipe._must_be_new("engine=")
    kind = type(pipe)
    if not isinstance(pipe, ClusterPipe):
        pipe.__class__ = ClusterPipe if kind is Pipe else type(kind.__name__, (ClusterPipe, kind), {})
    assert isinstance(pipe, ClusterPipe)
    pipe._engine = found
    pipe._cluster = None
    pipe._wanted = set()
    pipe._given = {}
    pipe._ended = False
    pipe._turn = 0
