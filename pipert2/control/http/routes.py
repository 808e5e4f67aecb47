"""The HTTP routes as data: which verb each one calls, where its arguments come from, who may call it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, lru_cache

from pipert2.control.service import VERBS
from pipert2.control.verbs import Scope
from pipert2.errors import nearest

API = "/api/v1"
SIDE = "[^/.]+"
"""What stands in a path for a side: no dot, so that ``output.jpg`` is none."""
LETTER = "(?!requeue$)[^/]+"
"""What stands in a path for a dead letter's number: not the word of the path that requeues all of them."""
OPEN_PATHS = frozenset({"/healthz", "/readyz"})

JOIN_SECONDS = 60.0
"""A join that names no timeout is answered after so long; a client asks again."""

_PLACE = re.compile(r"\{(\w+)\}")
_LONGEST_COMPARED = 200


class Kind(Enum):
    """How a route takes its arguments and answers."""

    VERB = "calls the verb, answers with its reply as JSON"
    DOCUMENT = "as PipeRT2 documented it: a handler's arguments are in extra_args, or in the query"
    PICTURE = "answers with the JPEG of the verb's reply"
    STREAM = "server-sent events, for as long as somebody listens; served beside Flask"
    PAGE = "no verb: what the server says of itself"


@dataclass(frozen=True)
class Route:
    """A method on a path.

    Attributes:
        method, path: such as ``"POST"``, ``"/api/v1/flows/{flow}/start"``; what is in braces is the argument that comes
            from there. The other arguments come from the JSON body or the query string.
        verb: which verb it calls; for a page, its name.
        kind: how.
        status: of an answer that went well; *unwaited* if it went well but was only sent, and None if that cannot be.
        fixed: arguments that the route itself gives.
        hidden: arguments that make no sense here.
    """

    method: str
    path: str
    verb: str
    kind: Kind = Kind.VERB
    status: int = 200
    unwaited: int | None = None
    fixed: Mapping[str, object] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The arguments that come from the path."""
        return tuple(_PLACE.findall(self.path))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a path that is meant looks like."""
        parts = _PLACE.split(self.path)
        patterns = {"side": SIDE, "number": LETTER}
        return re.compile(
            "".join(
                re.escape(part) if at % 2 == 0 else f"({patterns.get(part, '[^/]+')})" for at, part in enumerate(parts)
            )
        )

    @property
    def scope(self) -> Scope:
        """What its caller must be allowed to do: a matter of the verb, not of the route."""
        return Scope.READ if self.kind is Kind.PAGE else VERBS[self.verb].scope

    @property
    def rest(self) -> tuple[str, ...]:
        """The verb's arguments that come from the body or the query."""
        if self.kind is Kind.PAGE:
            return ()
        taken = {*self.places, *self.fixed, *self.hidden}
        return tuple(name for name in VERBS[self.verb].request.model_fields if name not in taken)


def _life(verb: str) -> Iterator[Route]:
    yield Route("POST", f"{API}/{verb}", verb, unwaited=202)
    yield Route("POST", f"{API}/flows/{{flow}}/{verb}", verb, unwaited=202)
    yield Route("POST", f"{API}/routines/{{routine}}/{verb}", verb, unwaited=202)


def _document() -> Iterator[Route]:
    for method in ("GET", "POST"):
        yield Route(method, "/start", "start", Kind.DOCUMENT)
        yield Route(method, "/pause", "stop", Kind.DOCUMENT)
        yield Route(method, "/kill", "kill", Kind.DOCUMENT)
        yield Route(method, "/routines/{routine}/events/{name}/execute", "event", Kind.DOCUMENT)
        yield Route(method, "/routines/events/{name}/execute", "event", Kind.DOCUMENT)
        yield Route(method, "/pipe/structure", "pipe_structure", Kind.PAGE)


_PREVIEW = f"{API}/routines/{{routine}}/preview/{{side}}"
_LETTERS = f"{API}/dead-letters"

ROUTES: tuple[Route, ...] = (
    *_life("start"),
    *_life("stop"),
    *_life("kill"),
    Route("POST", f"{API}/join", "join"),
    Route("POST", f"{API}/flows/{{flow}}/restart", "restart_flow", status=202),
    Route("PUT", f"{API}/flows/{{flow}}/replicas", "set_replicas"),
    Route("POST", f"{API}/routines/{{routine}}/call", "call"),
    Route("POST", f"{API}/events/{{name}}", "event", unwaited=202),
    Route("POST", f"{API}/flows/{{flow}}/events/{{name}}", "event", unwaited=202),
    Route("POST", f"{API}/routines/{{routine}}/events/{{name}}", "event", unwaited=202),
    Route("GET", f"{API}/status", "status"),
    Route("GET", f"{API}/structure", "structure"),
    Route("GET", f"{API}/events", "events"),
    Route("GET", f"{API}/logs", "logs"),
    Route("GET", f"{API}/version", "version"),
    Route("GET", f"{API}/health", "health"),
    Route("GET", f"{API}/parameters", "parameters"),
    Route("PATCH", f"{API}/parameters", "set_shared_parameters"),
    Route("GET", f"{API}/parameters/shared", "shared_parameters"),
    Route("GET", f"{API}/routines/{{routine}}/parameters", "parameters"),
    Route("PATCH", f"{API}/routines/{{routine}}/parameters", "set_parameters"),
    Route("PUT", f"{API}/routines/{{routine}}/log_level", "log_level"),
    Route("PUT", _PREVIEW, "preview", fixed={"on": True}),
    Route("DELETE", _PREVIEW, "preview", fixed={"on": False}, hidden=("rate", "size")),
    Route("GET", _PREVIEW + ".jpg", "frame", Kind.PICTURE),
    Route("GET", _PREVIEW, "frame"),
    Route("GET", f"{API}/routines/{{routine}}/results", "results"),
    Route("GET", f"{API}/notices", "notices"),
    Route("GET", _LETTERS, "dead_letters"),
    Route("DELETE", _LETTERS, "drop_dead_letters"),
    Route("POST", f"{_LETTERS}/requeue", "requeue_dead_letters"),
    Route("GET", f"{_LETTERS}/{{number}}", "dead_letter"),
    Route("DELETE", f"{_LETTERS}/{{number}}", "drop_dead_letter"),
    Route("POST", f"{_LETTERS}/{{number}}/requeue", "requeue_dead_letter"),
    Route("POST", f"{API}/wires", "link"),
    Route("DELETE", f"{API}/wires/{{source}}/{{destination}}", "unlink"),
    Route("GET", f"{API}/status/stream", "status", Kind.STREAM),
    Route("GET", f"{API}/logs/stream", "logs", Kind.STREAM),
    Route("GET", f"{API}/openapi.json", "openapi", Kind.PAGE),
    Route("GET", "/healthz", "healthz", Kind.PAGE),
    Route("GET", "/readyz", "readyz", Kind.PAGE),
    Route("GET", "/metrics", "metrics", Kind.PAGE),
    *_document(),
)
"""All routes. Where two fit a path, the first one is meant."""


@lru_cache(maxsize=1)
def _by_method() -> dict[str, tuple[Route, ...]]:
    return {method: tuple(r for r in ROUTES if r.method == method) for method in {route.method for route in ROUTES}}


def match(method: str, path: str) -> Route | None:
    """The route for a request, None if there is none. A slash at the end does not matter; HEAD looks as GET does."""
    path = path.removesuffix("/")
    for route in _by_method().get("GET" if method == "HEAD" else method, ()):
        if route.pattern.fullmatch(path):
            return route
    return None


def methods_of(path: str) -> tuple[str, ...]:
    """The methods that a path knows."""
    return tuple(sorted(method for method in _by_method() if match(method, path)))


def scope_of_request(method: str, path: str) -> Scope:
    """What the caller of a request must be allowed to do, also if there is no such route."""
    route = match(method, path)
    if route is not None:
        return route.scope
    return Scope.READ if method in ("GET", "HEAD") else Scope.CONTROL


def is_open(path: str) -> bool:
    """Whether anybody may look at this path: the probes, which say nothing but whether the pipe is well."""
    return path.removesuffix("/") in OPEN_PATHS


def nearest_path(path: str) -> str | None:
    """The known path that looks most like an unknown one, with the names that stand in it."""
    near = nearest(path[:_LONGEST_COMPARED], [_filled(route.path, path) for route in ROUTES])
    return None if near is None or near.startswith(f"{path.rstrip('/')}/") else near  # the folder of many is like none


def _filled(template: str, path: str) -> str:
    """A template with what stands in the same places of *path*, which is compared with it."""
    given = path.split("/")
    parts = template.split("/")
    return "/".join(
        given[at][:_LONGEST_COMPARED] if part.startswith("{") and at < len(given) and given[at] else part
        for at, part in enumerate(parts)
    )


def place_name(name: str) -> str:
    """A name as it stands in a path: a slash in it as ``~1`` and a tilde as ``~0``, as in JSON pointers (RFC 6901).

    Servers undo percent-encoding before they look for the path's parts, so it cannot hide a slash.
    """
    return name.replace("~", "~0").replace("/", "~1")


def name_in_place(text: str) -> str:
    """The name that :func:`place_name` made *text* of."""
    return text.replace("~1", "/").replace("~0", "~")
