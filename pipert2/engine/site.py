"""A site: the part of a pipe that runs on one host, and what can be asked of it from the driver's."""

from __future__ import annotations

import contextlib
import itertools
import logging
import secrets
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from pipert2.engine.fragment import LinkPlan, WirePlan
from pipert2.engine.link import LinkSettings
from pipert2.engine.link.egress import CREDIT_EVENT, Egress
from pipert2.engine.site_links import LinkWatch
from pipert2.engine.site_pipe import LINK_FLOW, SitePipe, SitePlan
from pipert2.engine.site_words import Feed, SiteProgress, SiteReport
from pipert2.errors import PipertError, PipeStateError, StoreError
from pipert2.events.bus import EventResult
from pipert2.graph.handlers import START_EVENT_NAME, STOP_EVENT_NAME
from pipert2.graph.spec import PipeSpec, RoutineSpec
from pipert2.runtime import commands
from pipert2.runtime.flow.logs import FORWARDED_ATTRIBUTE, ForwardingHandler
from pipert2.runtime.messages import CallOutcome, OutwardRequest, Packed
from pipert2.runtime.supervision.dead_letter_shelves import Letter
from pipert2.runtime.supervision.supervisor import Supervisor
from pipert2.store import Store
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import dumps_plain

_VERBS = frozenset(
    (
        *("call", "parameters", "set_parameters", "configuration", "set_log_level", "preview", "preview_frame"),
        *("results", "dead_letters", "requeue_dead_letter", "requeue_dead_letters", "drop_dead_letter"),
        *("drop_dead_letters", "set_replicas", "restart_flow", "histograms", "status"),
    )
)
_OWN_VERBS = frozenset(
    (
        *("event", "drain", "end_streams", "quiet", "answer", "end", "progress", "report", "stop_sources"),
        "stop_rest",
        *(
            "waits_for",
            "redo_letter",
            "link_wire",
            "unlink_wire",
            "delivered",
            "set_credit",
            "link_end",
            "begin_stream",
            "have_finished",
        ),
    )
)
FINISHED, RESTING = "finished", "resting"
"""Ends of links that say nothing: because their stream has ended, or because they do not run."""
ANSWER_SOON = 5.0
"""Seconds in which an end of a link opens its session."""
LETTER_PATIENCE = 4.0
"""Seconds that the driver may take to keep a dead letter; after that it lies in memory here."""


class Site:
    """Builds and runs one fragment. Closes twice without complaint. Safe to use from any thread.

    Args:
        plan: what.
        link: how links are reached from here.
        logger: the driver's, where the site is in its process; None: records go with the feed.
        log_listeners: the driver's, likewise.
        keep_letter: keeps a dead letter in the pipe's store, where that is here; None: the driver is asked to.
        store: the pipe's, if it is here.
    """

    def __init__(
        self,
        plan: SitePlan,
        link: LinkSettings,
        *,
        logger: logging.Logger | None = None,
        log_listeners: list[Callable[[logging.LogRecord], None]] | None = None,
        keep_letter: Callable[[Letter], int] | None = None,
        store: Store | None = None,
    ) -> None:
        self.incarnation = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._looks = itertools.count(1)
        self._requests: deque[tuple[int, OutwardRequest]] = deque()
        self._asking: dict[int, Callable[[Any], None]] = {}
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._last: SiteProgress | None = None
        self._logs: ForwardingHandler | None = None
        self._supervisor: Supervisor | None = None
        self._handed_out = plan.fragment.handed_out
        self._logger = logger
        if logger is None:
            _install(plan)
            self._logs = ForwardingHandler(_Bell(self._nudge))
            self._logger = logging.getLogger(f"pipert2.{plan.pipe}")
            self._logger.handlers[:] = [self._logs]
            self._logger.propagate = False
            self._logger.setLevel(plan.level)
        self.pipe = SitePipe(
            plan,
            link,
            self._outward,
            logger=self._logger,
            log_listeners=log_listeners,
            keep_letter=keep_letter or self._send_letter,
            store=store,
        )
        self.pipe.build()
        self._supervisor = self.pipe._running("site")
        self._here = plan.fragment.site
        self._links = LinkWatch(self.pipe, plan.fragment)

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

    def stop_rest(self, wait: float) -> dict[str, EventResult]:
        """Stop everything here at once; what is on its way waits for the next start."""
        supervisor = self._running()
        return supervisor.bus.call(STOP_EVENT_NAME, supervisor.spec.routines, {}, wait)

    def waits_for(self, flow: str) -> tuple[str, ...]:
        """What keeps a flow that was asked to start from starting, in words."""
        return self._running().waits_for(flow)

    def redo_letter(self, number: int, letter: Letter, wait: float) -> None:
        """Let a routine here work on a dead letter that the driver keeps."""
        self._running().dead_letters.redo(number, letter, wait)

    def link_wire(self, plan: WirePlan, wait: float, link: LinkPlan | None = None) -> None:
        """Add a wire here, and the end of a link that it needs, which runs if anything was asked to."""
        if self.pipe.has_wire(plan.source, plan.destination):
            return  # it was asked for when the site began anew, and is told all that it should have
        if link is None or self.pipe.has_end(link):
            self.pipe.link_plan(plan, wait)
            return
        end = self.pipe.link_way(plan, link, wait)
        self._links.add(end.name, mendable=link.origin == self._here)
        if self._running().wanted:
            self.begin_stream(end.name)

    def unlink_wire(self, source: str, destination: str, wait: float) -> None:
        """Take a wire here away, if it is there."""
        if self.pipe.has_wire(source, destination):
            self.pipe.unlink(source, destination, wait=wait)

    def set_credit(self, flow: str, key: str, credit: int | None) -> None:
        """Change how many messages an egress that stands in for a flow's replicas may have under way."""
        supervisor = self._running()
        for spec, routine in zip(supervisor.spec.routines, supervisor.routines, strict=True):
            if spec.flow == flow and isinstance(routine, Egress) and routine.key == key:
                routine.credit = credit  # for its next process
                supervisor.bus.send(CREDIT_EVENT, [spec], {"credit": credit})

    def link_end(self, name: str) -> str:
        """How one end of a link is: finished, resting, or what it shows of the other end.

        One that was laid and is out of use is not made again at a site that begins anew: nothing comes from it either.
        """
        supervisor = self._running()
        spec = supervisor.spec.routine(name) or self._standing_in(supervisor.spec).get(name)
        if spec is None or supervisor.progress.has_finished(spec.index):
            return FINISHED
        if supervisor.state(spec.index) not in _IN_A_SESSION:
            return RESTING
        found = supervisor.bus.call(commands.RESULTS, [spec], {"after": 0}, 1.0)[spec.label].value
        shown = {one.name: one.text for one in found.values} if found is not None else {}
        return str(shown.get("link/state", ""))

    def _standing_in(self, spec: PipeSpec) -> dict[str, RoutineSpec]:
        """What stands in for other sites' replicas, by the name of the link's end."""
        ends = {(routine, replica): link.egress for link, routine, replica in self._handed_out}
        return {ends[one.name, one.replica]: one for one in spec.routines if (one.name, one.replica) in ends}

    def begin_stream(self, name: str) -> None:
        """Let an end of a link that has finished begin again, and those behind it go on."""
        supervisor = self._running()
        spec = supervisor.spec.routine(name)
        if spec is None:
            raise PipeStateError(f"the site of pipe {self.pipe.name!r} has no end of a link {name!r}")
        for result in supervisor.bus.call(START_EVENT_NAME, [spec], {}, ANSWER_SOON).values():
            result.unwrap()
        supervisor.go_on([spec.index])

    def have_finished(self, names: tuple[str, ...]) -> None:
        """These routines have done all that they had to do, before the site was lost: as if their streams ended now."""
        supervisor = self._running()
        supervisor.have_finished([one.index for one in supervisor.spec.routines if one.name in names])

    def delivered(self, egress: str) -> bool:
        """Whether nothing is on its way to an egress, or from it to the other site."""
        return self._running().progress.nothing_waits_for(egress)

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
        number = next(self._looks)  # before the look
        supervisor = self._running()
        progress, spec = supervisor.progress, supervisor.spec
        settled = progress.settled
        if settled not in (None, "finished") and self.pipe.failed_ends():
            settled = None  # they are brought back
        living = [one for one in spec.routines if one.index not in supervisor.killed]
        at_work = {one.name for one in living if not progress.has_finished(one.index)}
        finished = {one.name for one in living} - at_work
        finished |= {end for end, one in self._standing_in(spec).items() if progress.has_finished(one.index)}
        return SiteProgress(
            settled=settled,
            drained=progress.drained,
            resting=progress.resting,
            wired=bool(spec.links),
            ended=supervisor.ended,
            active=any(state.name in _ACTIVE for state in supervisor.states.values()),
            finished=frozenset(finished),
            given_up=progress.given_up,
            number=number,
        )

    # --- what its routines want of other sites

    def _outward(self, request: OutwardRequest, reply: Callable[[Any], None]) -> None:
        number = 0
        if request.request:
            number = next(self._numbers)
            self._asking[number] = reply
        self._requests.append((number, request))
        if self._supervisor is not None:
            self._supervisor.notify()

    def _send_letter(self, letter: Letter) -> int:
        """Let the driver keep a dead letter in the pipe's store; its number."""
        answers: SimpleQueue[CallOutcome] = SimpleQueue()
        self._outward(OutwardRequest(1, "letter", Packed(dumps_plain((letter,)))), answers.put)
        try:
            number: int = answers.get(timeout=LETTER_PATIENCE).unwrap()
        except Empty:
            raise StoreError(f"pipe {self.pipe.name!r}", "the driver, whose store it is, does not answer") from None
        except PipertError as error:
            raise StoreError(f"pipe {self.pipe.name!r}", str(error)) from error
        return number

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
        return SiteReport(self.pipe.status(), self._links.counts)

    def _finish(self) -> None:
        self._ended.set()
        self._nudge()
        self._links.close()
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


_IN_A_SESSION = (RoutineState.STARTING, RoutineState.RUNNING)
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
