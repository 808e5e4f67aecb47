"""A client of the control API: the service's verbs, with the same names, arguments and replies, from anywhere."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from collections.abc import Iterator
from functools import cache
from time import monotonic
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

import pipert2
from pipert2.control.client.connection import ClientConnection
from pipert2.control.http.errors import error_in
from pipert2.control.http.routes import API, ROUTES, Kind, Route, place_name
from pipert2.control.records import (
    CallReply,
    DeadLetterReply,
    DeadLettersReply,
    DropReply,
    EventReply,
    EventStructure,
    FlowReply,
    Health,
    JoinReply,
    LevelReply,
    ParametersReply,
    PreviewReply,
    ReplicasReply,
    RequeueReply,
    SharedParametersReply,
    Structure,
    Version,
    WireReply,
)
from pipert2.control.service import VERBS
from pipert2.errors import ControlError
from pipert2.events.notices import NoticePage
from pipert2.observe.recent_logs import LogPage, LogRecord
from pipert2.observe.snapshot import PipeStatus
from pipert2.runtime.routine.preview import PreviewFrame
from pipert2.runtime.routine.shown import Sketches

logger = logging.getLogger(__name__)

LONGEST_REQUEST = 30.0
"""A join that may take longer asks again after so many seconds, so that nothing in between takes it for dead."""
SILENCE = 20.0
"""A stream shows a sign of life more often than every so many seconds, or its server is given up."""

_Reply = TypeVar("_Reply")


class PipeClient:
    """Drives a running pipe from another program. Safe to use from any thread. Closes twice without complaint.

    Its methods are those of :class:`~pipert2.control.service.ControlService`, which says what they do.

    Args:
        url: where the pipe's control API is, such as ``"http://127.0.0.1:8320"``.
        token: shown with each request, if the API wants one.
        timeout: seconds that an answer may take, besides what is waited for anyway.
        verify: of an API with TLS: True, or the path of the certificate that signed its own; False trusts anybody.

    Raises:
        ControlError: ``bad_argument``. Every method raises it for whatever goes wrong, ``unreachable`` if there is no
            connection.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 10.0, verify: bool | str = True) -> None:
        self._connection = ClientConnection(url, token, timeout, verify)

    @property
    def url(self) -> str:
        """Where the control API is."""
        return self._connection.url

    def close(self) -> None:
        """Close its connections."""
        self._connection.close()

    def __enter__(self) -> PipeClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- life

    def start(self, flow: str | None = None, routine: str | None = None, wait: float | None = None) -> EventReply:
        """Start the pipe, a flow or a routine."""
        return self._call("start", EventReply, wait, flow=flow, routine=routine, wait=wait)

    def stop(self, flow: str | None = None, routine: str | None = None, wait: float | None = None) -> EventReply:
        """Stop (pause) the pipe, a flow or a routine."""
        return self._call("stop", EventReply, wait, flow=flow, routine=routine, wait=wait)

    def kill(self, flow: str | None = None, routine: str | None = None, wait: float | None = None) -> EventReply:
        """End the pipe, a flow or a routine for good."""
        return self._call("kill", EventReply, wait, flow=flow, routine=routine, wait=wait)

    def join(self, to_kill: bool = False, timeout: float | None = None) -> JoinReply:
        """Wait until the pipe has ended; without *timeout* as long as it takes."""
        VERBS["join"].check({"to_kill": to_kill, "timeout": timeout})
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            left = LONGEST_REQUEST if deadline is None else min(LONGEST_REQUEST, max(0.0, deadline - monotonic()))
            reply = self._call("join", JoinReply, left, to_kill=to_kill, timeout=left)
            if reply.ended or (deadline is not None and monotonic() >= deadline):
                return reply
            to_kill = False

    def restart_flow(self, flow: str) -> FlowReply:
        """End a flow's process and start it anew."""
        return self._call("restart_flow", FlowReply, flow=flow)

    def set_replicas(self, flow: str, replicas: int) -> ReplicasReply:
        """Change how many processes of a flow compete for its input."""
        return self._call("set_replicas", ReplicasReply, flow=flow, replicas=replicas)

    def event(
        self,
        name: str,
        flow: str | None = None,
        routine: str | None = None,
        params: dict[str, Any] | None = None,
        wait: float | None = None,
    ) -> EventReply:
        """Send an event; *params*, of JSON's types, are the handlers' arguments."""
        return self._call("event", EventReply, wait, name=name, flow=flow, routine=routine, params=params, wait=wait)

    def call(self, routine: str, data: Any = None, timeout: float = 30.0) -> CallReply:
        """Let a routine work on *data*, of JSON's types; ``value`` of the reply is what it returned."""
        return self._call("call", CallReply, timeout, routine=routine, data=data, timeout=timeout)

    # --- looking

    def status(self) -> PipeStatus:
        """A snapshot of routines, wires and flows."""
        return self._call("status", PipeStatus)

    def structure(self) -> Structure:
        """What the pipe is made of."""
        return self._call("structure", Structure)

    def events(self, routine: str | None = None) -> dict[str, tuple[EventStructure, ...]]:
        """The events that each routine handles."""
        return self._call("events", dict[str, tuple[EventStructure, ...]], routine=routine)

    def logs(
        self,
        after: int = 0,
        limit: int = 200,
        level: str | None = None,
        flow: str | None = None,
        routine: str | None = None,
        text: str | None = None,
    ) -> LogPage:
        """Recent log records that fit."""
        return self._call("logs", LogPage, after=after, limit=limit, level=level, flow=flow, routine=routine, text=text)

    def version(self) -> Version:
        """Which pipe this is, and which program it runs in."""
        return self._call("version", Version)

    def health(self) -> Health:
        """Whether all is well."""
        return self._call("health", Health)

    def follow_status(self, interval: float = 1.0) -> Iterator[PipeStatus]:
        """The status every *interval* seconds; ends when the server ends, raises if the connection is lost."""
        silence = max(SILENCE, 2 * interval)
        for event in self._follow("status", {"interval": interval}, silence):
            yield self._read("status", PipeStatus, event)

    def follow_logs(
        self,
        after: int | None = None,
        level: str | None = None,
        flow: str | None = None,
        routine: str | None = None,
        text: str | None = None,
    ) -> Iterator[LogRecord]:
        """Log records as they come; ends when the server ends, raises if the connection is lost.

        Args:
            after: begin behind this record's number, 0: with all that are kept; None: with what comes from now on.
                    To go on after a lost connection, pass the number of the last record that came.
        """
        query = {"after": after, "level": level, "flow": flow, "routine": routine, "text": text}
        wanted = {name: value for name, value in query.items() if value is not None}
        VERBS["logs"].check(wanted)
        for event in self._follow("logs", wanted, SILENCE):
            yield self._read("logs", LogRecord, event)

    # --- what has happened

    def notices(self, after: int = 0, limit: int = 1000, wait: float = 0.0) -> NoticePage:
        """What has happened behind an earlier answer's *last*; *wait*s so many seconds, 30 at most, for something."""
        return self._call("notices", NoticePage, wait, after=after, limit=limit, wait=wait)

    # --- dead letters

    def dead_letters(self, routine: str | None = None, after: int = 0, limit: int = 100) -> DeadLettersReply:
        """Messages that were given up, of a routine or of all, oldest first; go on behind the last one's number."""
        return self._call("dead_letters", DeadLettersReply, routine=routine, after=after, limit=limit)

    def dead_letter(self, number: int) -> DeadLetterReply:
        """One message that was given up."""
        return self._call("dead_letter", DeadLetterReply, number=number)

    def requeue_dead_letter(self, number: int, wait: float = 30.0) -> RequeueReply:
        """Give a message that was given up to its routine again."""
        return self._call("requeue_dead_letter", RequeueReply, wait, number=number, wait=wait)

    def requeue_dead_letters(self, routine: str | None = None, wait: float = 30.0) -> RequeueReply:
        """Give all messages that were given up, or those of a routine, to their routines again."""
        return self._call("requeue_dead_letters", RequeueReply, wait, routine=routine, wait=wait)

    def drop_dead_letter(self, number: int) -> DropReply:
        """Forget a message that was given up."""
        return self._call("drop_dead_letter", DropReply, number=number)

    def drop_dead_letters(self, routine: str | None = None) -> DropReply:
        """Forget all messages that were given up, or those of a routine."""
        return self._call("drop_dead_letters", DropReply, routine=routine)

    # --- parameters, wires, and looking closer

    def parameters(self, routine: str | None = None) -> ParametersReply:
        """The parameters of one or all routines."""
        return self._call("parameters", ParametersReply, routine=routine)

    def set_parameters(self, routine: str, values: dict[str, Any], wait: float = 5.0) -> ParametersReply:
        """Set parameters of a routine, all or none."""
        return self._call("set_parameters", ParametersReply, wait, routine=routine, values=values, wait=wait)

    def shared_parameters(self) -> SharedParametersReply:
        """The parameters of the pipe as a whole."""
        return self._call("shared_parameters", SharedParametersReply)

    def set_shared_parameters(self, values: dict[str, Any]) -> SharedParametersReply:
        """Set parameters of the pipe as a whole."""
        return self._call("set_shared_parameters", SharedParametersReply, values=values)

    def link(
        self,
        source: str,
        destination: str,
        lossless: bool | None = None,
        capacity: int | None = None,
        transmitter: Literal["basic", "shared_memory"] | None = None,
    ) -> WireReply:
        """Add a wire."""
        return self._call(
            "link",
            WireReply,
            source=source,
            destination=destination,
            lossless=lossless,
            capacity=capacity,
            transmitter=transmitter,
        )

    def unlink(self, source: str, destination: str) -> WireReply:
        """Take a wire away."""
        return self._call("unlink", WireReply, source=source, destination=destination)

    def log_level(self, routine: str, level: str) -> LevelReply:
        """Set from which level on a routine's log records are kept."""
        return self._call("log_level", LevelReply, routine=routine, level=level)

    def preview(
        self,
        routine: str,
        side: Literal["input", "output"] = "output",
        on: bool = True,
        rate: float = 5.0,
        size: int = 480,
    ) -> PreviewReply:
        """Begin or end to keep small pictures of a routine's frames."""
        return self._call("preview", PreviewReply, routine=routine, side=side, on=on, rate=rate, size=size)

    def frame(self, routine: str, side: Literal["input", "output"] = "output") -> PreviewFrame:
        """The newest picture of a routine's frames."""
        found = self._call("frame", PreviewFrame, routine=routine, side=side)
        return dataclasses.replace(found, jpeg=base64.urlsafe_b64decode(found.jpeg))

    def results(self, routine: str, after: int = 0) -> Sketches:
        """What a routine shows of its results, or what of it is newer than an earlier answer's *last*."""
        found = self._call("results", Sketches, routine=routine, after=after)
        values = [dataclasses.replace(one, png=base64.urlsafe_b64decode(one.png)) for one in found.values]
        return dataclasses.replace(found, values=tuple(values))

    # --- how it is done

    def _call(self, verb: str, reply: type[_Reply], wait: float | None = None, /, **arguments: Any) -> _Reply:
        """Call a verb and read its reply. Arguments are checked here as they are there, which saves the way."""
        VERBS[verb].check(arguments)
        route = _route(verb, arguments)
        rest = {name: arguments[name] for name in route.rest if arguments.get(name) is not None}
        in_query = route.method in ("GET", "DELETE")
        data = self._connection.request(
            route.method,
            _path(route, arguments),
            query=rest if in_query else None,
            body=None if in_query else _encoded(rest),
            wait=wait or 0.0,
        )
        return self._read(verb, reply, data)

    def _follow(self, verb: str, query: dict[str, Any], silence: float) -> Iterator[str]:
        """The data of a stream's events."""
        for event in self._connection.events(f"{API}/{verb}/stream", query=query, silence=silence):
            if event.name == "error":
                raise _error(event.data) or ControlError("failed", f"{self.url}: the stream failed")
            if event.name == _EVENT_NAMES[verb]:
                yield event.data
            elif event.name == "missed":
                logger.warning("%s: log records were gone before they could be sent: %.100s", self.url, event.data)

    def _read(self, what: str, reply: type[_Reply], data: bytes | str) -> _Reply:
        kind: Any = reply  # mypy takes no class of a type variable for hashable
        try:
            found: _Reply = _adapter(kind).validate_json(data)
            return found
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            text = (
                f"{self.url} answers {what} in a way that pipert2 {pipert2.__version__} does not know"
                f"{f', at {where}' if where else ''}: is the pipe's version another one?"
            )
            raise ControlError("failed", text) from None


_EVENT_NAMES = {"status": "status", "logs": "log"}


def _route(verb: str, arguments: dict[str, Any]) -> Route:
    """The first route of a verb that agrees with the arguments."""
    return next(
        route
        for route in ROUTES
        if route.verb == verb
        and route.kind is Kind.VERB
        and all(arguments[name] == value for name, value in route.fixed.items())
    )


def _path(route: Route, arguments: dict[str, Any]) -> str:
    path = route.path
    for name in route.places:
        text = quote(place_name(str(arguments[name])), safe="")
        if not text.strip("."):
            text = text.replace(".", "%2E")  # else "." and ".." are taken for steps within the path
        path = path.replace(f"{{{name}}}", text)
    return path


def _encoded(arguments: dict[str, Any]) -> bytes:
    try:
        return json.dumps(arguments, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        field = next(name for name in ("values", "params", "data") if name in arguments)
        raise ControlError("bad_argument", f"{field}: it cannot be sent as JSON: {error}", field) from None


def _error(data: str) -> ControlError | None:
    try:
        return error_in(json.loads(data))
    except ValueError:
        return None


@cache
def _adapter(reply: Any) -> TypeAdapter[Any]:
    return TypeAdapter(reply)
