"""A site: the part of a pipe that runs on one host, and what can be asked of it from the driver's."""

from __future__ import annotations

import contextlib
import itertools
import logging
import secrets
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any

from pipert2.engine.link import LinkSettings
from pipert2.engine.site_pipe import LINK_FLOW, SitePipe, SitePlan
from pipert2.errors import PipertError, PipeStateError
from pipert2.events.bus import EventResult
from pipert2.graph.handlers import START_EVENT_NAME, STOP_EVENT_NAME
from pipert2.graph.spec import RoutineSpec
from pipert2.observe.snapshot import PipeStatus
from pipert2.runtime import commands
from pipert2.runtime.flow.logs import FORWARDED_ATTRIBUTE, ForwardingHandler
from pipert2.runtime.messages import CallOutcome, OutwardRequest
from pipert2.runtime.supervision.supervisor import Supervisor
from pipert2.store import Store

_VERBS = frozenset(
    (
        *("call", "parameters", "set_parameters", "configuration", "set_log_level", "preview", "preview_frame"),
        *("results", "dead_letters", "requeue_dead_letter", "requeue_dead_letters", "drop_dead_letter"),
        *("drop_dead_letters", "set_replicas", "restart_flow", "histograms", "status", "unlink"),
    )
)
_OWN_VERBS = frozenset(
    ("event", "drain", "end_streams", "quiet", "answer", "end", "progress", "report", "stop_sources", "waits_for")
)
LINKS_LOOK = 2.0
"""Seconds between two looks at what the ends of links count."""
LONGEST_MEND = 30.0
"""Seconds, at most, between two attempts to bring back a link that is cut."""


@dataclass(frozen=True, slots=True)
class SiteProgress:
    """How far a site is.

    Attributes:
        settled: why nothing more will happen there, as :class:`PipeProgress` says it; None while something may.
        drained: whether all its streams have ended. resting: whether nothing runs, nor was asked to.
        wired: whether it has wires at all; what has none has no streams to end.
        ended: whether all its flows have ended for good.
        active: whether a routine of it runs.
        finished: its routines whose streams have ended.
        given_up: messages that were given up there, in this run.
    """

    settled: str | None
    drained: bool
    resting: bool
    wired: bool
    ended: bool
    active: bool
    finished: frozenset[str]
    given_up: int


@dataclass(frozen=True, slots=True)
class SiteReport:
    """How a site is: its pipe's status, and what each end of a link counts, by its name."""

    status: PipeStatus
    links: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Feed:
    """What a site tells without being asked.

    Attributes:
        incarnation: another one after it was begun anew.
        progress: how far it is.
        records: of its log, and how many were dropped before them.
        requests: what its routines want of other sites, with the numbers to answer to.
    """

    incarnation: str
    progress: SiteProgress
    records: tuple[logging.LogRecord, ...] = ()
    dropped: int = 0
    requests: tuple[tuple[int, OutwardRequest], ...] = ()


class Site:
    """Builds and runs one fragment. Closes twice without complaint. Safe to use from any thread.

    Args:
        plan: what.
        link: how links are reached from here.
        logger: the driver's, where the site is in its process; None: records go with the feed.
        log_listeners: the driver's, likewise.
        store: the pipe's, if it is here.
    """

    def __init__(
        self,
        plan: SitePlan,
        link: LinkSettings,
        *,
        logger: logging.Logger | None = None,
        log_listeners: list[Callable[[logging.LogRecord], None]] | None = None,
        store: Store | None = None,
    ) -> None:
        self.incarnation = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._requests: deque[tuple[int, OutwardRequest]] = deque()
        self._asking: dict[int, Callable[[Any], None]] = {}
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._last: SiteProgress | None = None
        self._logs: ForwardingHandler | None = None
        self._supervisor: Supervisor | None = None
        self._logger = logger
        if logger is None:
            _install(plan)
            self._logs = ForwardingHandler(_Bell(self._nudge))
            self._logger = logging.getLogger(f"pipert2.{plan.pipe}")
            self._logger.handlers[:] = [self._logs]
            self._logger.propagate = False
            self._logger.setLevel(plan.level)
        self.pipe = SitePipe(plan, link, self._outward, logger=self._logger, log_listeners=log_listeners, store=store)
        self.pipe.build()
        self._supervisor = self.pipe._running("site")
        self._links: dict[str, dict[str, Any]] = {}
        fragment = plan.fragment
        self._link_names = [link.egress for link in fragment.egresses] + [link.ingress for link in fragment.ingresses]
        self._mendable = {link.egress for link in fragment.egresses}  # a message in its hand is sent again by the next
        self._mendable |= {link.ingress for link in fragment.ingresses if link.credit is not None}
        self._watch = threading.Thread(target=self._watch_links, name="pipert2-site-links", daemon=True)
        if self._link_names:
            self._watch.start()

    def _watch_links(self) -> None:
        mending: dict[str, tuple[float, float]] = {}  # when to open a session anew, and how long to wait after that
        while not self._ended.wait(LINKS_LOOK):
            for name in self._link_names:
                with contextlib.suppress(PipertError):  # it is being restarted, or the pipe has ended
                    values = self.pipe.results(name, wait=0.5).values
                    found = {one.name.removeprefix("link/"): _number_or_text(one.text) for one in values}
                    self._links[name] = found
                    if name in self._mendable and found.get("state") == "cut":
                        self._mend(name, mending)
                    elif found.get("state") == "connected":
                        mending.pop(name, None)

    def _mend(self, name: str, mending: dict[str, tuple[float, float]]) -> None:
        """Open a session anew that others have found through the driver's, and would not find again by themselves."""
        now = monotonic()
        due, wait = mending.setdefault(name, (now, LINKS_LOOK))
        if now >= due:
            mending[name] = now + wait, min(2 * wait, LONGEST_MEND)
            self.pipe.restart_flow(LINK_FLOW + name)

    def _nudge(self) -> None:
        if self._supervisor is not None:
            self._supervisor.nudge()

    # --- what is asked of it

    def do(self, verb: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """One of the verbs of a pipe, or of those below."""
        if verb in _VERBS:
            return getattr(self.pipe, verb)(*args, **options)
        if verb in _OWN_VERBS:
            return getattr(self, verb)(*args, **options)
        raise PipeStateError(f"a site knows no verb {verb!r}")

    def event(self, name: str, routines: tuple[str, ...] | None, wait: float | None, params: dict[str, Any]) -> Any:
        """Send an event to routines by name, all replicas that are here; None: the whole site, its links as well."""
        supervisor = self._running()
        if routines is None and name == STOP_EVENT_NAME and supervisor.spec.acknowledged:
            return supervisor.stopping.stop(wait)
        specs = [
            spec
            for spec in supervisor.spec.routines
            if routines is None
            or spec.name in routines
            or (name == START_EVENT_NAME and spec.flow.startswith(LINK_FLOW))
        ]
        if wait is None:
            supervisor.bus.send(name, specs, params)
            return None
        return supervisor.bus.call(name, specs, params, wait)

    def _sources(self) -> list[RoutineSpec]:
        """The user's sources; what comes from other sites has its source there."""
        spec = self._running().spec
        return [one for one in spec.routines if not spec.inputs(one.index) and not one.flow.startswith(LINK_FLOW)]

    def drain(self) -> None:
        """End the streams of the sources here."""
        self._running().stopping.drain(self._sources())

    def end_streams(self, names: tuple[str, ...]) -> None:
        """End the streams of these sources."""
        supervisor = self._running()
        supervisor.bus.send(commands.DRAIN, [one for one in supervisor.spec.routines if one.name in names], {})

    def stop_sources(self, wait: float) -> dict[str, EventResult]:
        """Stop the sources here, so that all sites can run empty."""
        return self._running().bus.call(STOP_EVENT_NAME, self._sources(), {}, wait)

    def waits_for(self, flow: str) -> tuple[str, ...]:
        """What keeps a flow that was asked to start from starting, in words."""
        return self._running().waits_for(flow)

    def quiet(self) -> bool:
        """Whether all that was sent on lossless wires is done, also what went to other sites."""
        return self._running().progress.nothing_on_its_way()

    def _running(self) -> Supervisor:
        supervisor = self._supervisor
        if supervisor is None or self._closed.is_set():
            raise PipeStateError(f"the site of pipe {self.pipe.name!r} has ended")
        return supervisor

    # --- what it tells

    def feed(self, known: SiteProgress | None, wait: float) -> Feed:
        """What is new since *known*; waits up to *wait* seconds for something."""
        supervisor = self._running()

        def news() -> bool:
            waiting = self._logs is not None and bool(self._logs._waiting)
            return waiting or bool(self._requests) or self._ended.is_set() or self.progress() != known

        if self._ended.is_set():
            self._closed.wait(wait)
        else:
            supervisor.wait(news, wait)
        requests = []
        while self._requests:
            requests.append(self._requests.popleft())
        records, dropped = self._logs.fetch(1000) if self._logs is not None else ((), 0)
        for record in records:
            setattr(record, FORWARDED_ATTRIBUTE, True)
        return Feed(self.incarnation, self.progress(), records, dropped, tuple(requests))

    def progress(self) -> SiteProgress:
        """How far it is."""
        if not self._ended.is_set():
            with contextlib.suppress(ValueError):  # its memory went meanwhile
                self._last = self._progress()
        if self._last is None:
            raise PipeStateError("the site has ended")
        return self._last

    def _progress(self) -> SiteProgress:
        supervisor = self._running()
        progress, spec = supervisor.progress, supervisor.spec
        finished = {one.name for one in spec.routines if progress.has_finished(one.index)}
        return SiteProgress(
            settled=progress.settled,
            drained=progress.drained,
            resting=progress.resting,
            wired=bool(spec.links),
            ended=supervisor.ended,
            active=any(state.name in _ACTIVE for state in supervisor.states.values()),
            finished=frozenset(finished),
            given_up=progress.given_up,
        )

    # --- what its routines want of other sites

    def _outward(self, request: OutwardRequest, reply: Callable[[Any], None]) -> None:
        number = 0
        if request.request:
            number = next(self._numbers)
            self._asking[number] = reply
        self._requests.append((number, request))
        self._nudge()

    def answer(self, number: int, outcome: CallOutcome) -> None:
        """What came of a request."""
        reply = self._asking.pop(number, None)
        if reply is not None:
            reply(outcome)

    # --- its end

    def end(self) -> SiteReport:
        """Kill all flows, wait until they have ended, leave nothing behind; how it was at last."""
        self._finish()
        return self.report()

    def report(self) -> SiteReport:
        """How it is."""
        return SiteReport(self.pipe.status(), {name: dict(counts) for name, counts in self._links.items()})

    def _finish(self) -> None:
        self._ended.set()
        self._nudge()
        if self._watch.is_alive():
            self._watch.join(5.0)
        self.pipe.join(to_kill=True)

    def close(self) -> None:
        """End everything at once."""
        self._closed.set()
        self._finish()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


_ACTIVE = ("STARTING", "RUNNING", "STOPPING")


class _Bell(threading.Event):
    """An event that tells somebody when it is set."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def set(self) -> None:
        self._ring()


def _install(plan: SitePlan) -> None:
    """Make the classes of the user's script known here by the names that they have there."""
    main = sys.modules["__main__"]
    for name, value in plan.main_classes.items():
        setattr(main, name, value)


def outcome_of(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """What a function returns or raises, so that an error of ours travels as it is."""
    try:
        return function(), None
    except (PipertError, ValueError, TypeError) as error:
        return None, error
    except Exception as error:
        return None, PipertError(f"{type(error).__name__}: {error}")
