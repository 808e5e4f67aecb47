"""The HTTP face: a Flask app made from the table of routes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from pipert2.control.http.arguments import NotJson, arguments_of, body_of, query_of
from pipert2.control.http.errors import error_body, http_status
from pipert2.control.http.openapi import openapi_document
from pipert2.control.http.routes import (
    API,
    JOIN_SECONDS,
    ROUTES,
    SIDE,
    Kind,
    Route,
    match,
    methods_of,
    name_in_place,
    nearest_path,
)
from pipert2.control.problems import control_error
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import Scope, plain
from pipert2.errors import ControlError
from pipert2.observe.prometheus import Metrics
from pipert2.observe.snapshot import PipeState
from pipert2.runtime.routine.preview import PreviewFrame

LARGEST_BODY = 1024 * 1024
MOST_WAITING = 64
"""Requests that wait for a handler or for the pipe's end, at most: each holds a thread of the server."""


def create_app(service: ControlService, *, on_kill: Callable[[], None] | None = None) -> flask.Flask:
    """The Flask app that drives one pipe.

    Args:
        service: the pipe's control service.
        on_kill: called after the answer to the document's ``/kill`` was made; shuts the server down.
    """
    app = flask.Flask("pipert2.control.http.face", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["side"] = _Side
    face = _Face(service, on_kill)
    for route in ROUTES:
        app.add_url_rule(
            route.path.replace("{side}", "{side:side}").replace("{", "<").replace("}", ">"),
            endpoint=_endpoint(route),
            view_func=face.view(route),
            methods=[route.method],
            provide_automatic_options=False,
        )
    app.before_request(_check_route)
    app.register_error_handler(Exception, _error_answer)
    return app


class _Side(BaseConverter):
    regex = SIDE
    part_isolating = True  # it holds no slash; else Flask would not take one behind it


class _Face:
    """Turns requests into calls of verbs, and replies into answers."""

    def __init__(self, service: ControlService, on_kill: Callable[[], None] | None) -> None:
        self._service = service
        self._on_kill = on_kill
        self._waiting = threading.Semaphore(MOST_WAITING)
        self._metrics = Metrics(service.pipe)

    def view(self, route: Route) -> Callable[..., flask.Response]:
        """The function that answers requests of a route."""
        if route.kind is Kind.PAGE:
            return {
                "pipe_structure": self._pipe_structure,
                "openapi": self._openapi,
                "healthz": self._healthz,
                "readyz": self._readyz,
                "metrics": self._metrics_page,
            }[route.verb]

        def answer(**places: str) -> flask.Response:
            if flask.request.method == "HEAD" and (route.scope is Scope.CONTROL or route.kind is Kind.STREAM):
                raise MethodNotAllowed
            if route.kind is Kind.STREAM:
                raise ControlError("failed", "streams are served beside this app, by ControlServer")
            return self._verb(route, {name: name_in_place(text) for name, text in places.items()})

        return answer

    def _verb(self, route: Route, places: dict[str, str]) -> flask.Response:
        arguments = arguments_of(route, places, _body(), query_of(flask.request.args.items(multi=True)))
        if route.verb == "join" and arguments.get("timeout") is None:
            arguments["timeout"] = JOIN_SECONDS
        with self._room_to_wait(route.verb, arguments):
            reply = VERBS[route.verb].call(self._service, arguments)
        if isinstance(reply, PreviewFrame) and (route.kind is Kind.PICTURE or _wants_picture()):
            return flask.Response(reply.jpeg, mimetype="image/jpeg")
        sent_only = route.unwaited is not None and arguments.get("wait") is None
        response = _json(plain(reply), route.unwaited if sent_only and route.unwaited else route.status)
        if route.verb == "kill" and route.kind is Kind.DOCUMENT and self._on_kill is not None:
            response.call_on_close(self._on_kill)
        return response

    @contextmanager
    def _room_to_wait(self, verb: str, arguments: dict[str, Any]) -> Iterator[None]:
        """Bound the threads that do nothing but wait."""
        if not (verb == "call" or arguments.get("wait") or arguments.get("timeout")):
            yield
            return
        if not self._waiting.acquire(blocking=False):
            text = f"{MOST_WAITING} requests wait here already: ask again later, or without waiting"
            raise ControlError("bad_state", text)
        try:
            yield
        finally:
            self._waiting.release()

    def _pipe_structure(self) -> flask.Response:
        return _json(plain(self._service.pipe.get_pipe_structure()))

    def _openapi(self) -> flask.Response:
        return _json(openapi_document())

    def _healthz(self) -> flask.Response:
        return _json({"ok": True})

    def _readyz(self) -> flask.Response:
        reasons = self._not_ready()
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    def _not_ready(self) -> list[str]:
        """Why the pipe is not ready. Anybody may read this, so it names flows and states, and no error's text."""
        status = self._service.pipe.status()
        if status.state is PipeState.NEW:
            return ["the pipe is not built"]
        if status.state is PipeState.ENDED:
            return ["the pipe has ended"]
        return [f"flow {flow.name!r} is {flow.state}" for flow in status.flows if flow.state != "running"]

    def _metrics_page(self) -> flask.Response:
        page, content_type = self._metrics.page(flask.request.headers.get("Accept", ""))
        return flask.Response(page, content_type=content_type)


def _check_route() -> None:
    """Serve only what :func:`match` finds, which the guard asks for the right that is needed.

    Flask takes ``//start`` for ``/start``; the guard sees a path that it does not know, which may be looked at.
    """
    request = flask.request
    path = request.environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    known = match(request.method, path)
    if request.endpoint is not None and (known is None or request.endpoint != _endpoint(known)):
        raise MethodNotAllowed if known is None and methods_of(path) else NotFound


def _endpoint(route: Route) -> str:
    return f"{route.method} {route.path}"


def _body() -> dict[str, Any]:
    request = flask.request
    if "asgi.scope" in request.environ:  # its body ends by itself, also where no Content-Length says how long it is
        request.environ["wsgi.input_terminated"] = True
    return body_of(request.get_data(cache=False), request.content_type or "")


def _wants_picture() -> bool:
    return flask.request.accept_mimetypes.best_match(["application/json", "image/jpeg"]) == "image/jpeg"


def _json(value: Any, status: int = 200) -> flask.Response:
    return flask.Response(json.dumps(value), status, mimetype="application/json")


def _error_answer(error: Exception) -> flask.Response:
    """Any error, also one of Flask's own, as the one error body."""
    if isinstance(error, NotJson):
        return _json(error_body(error), 415)
    if not isinstance(error, HTTPException):
        known = control_error(error)
        return _json(error_body(known), http_status(known))
    status = error.code or 500
    path = flask.request.path
    shown = f"{path:.200}"
    if isinstance(error, NotFound):
        near = nearest_path(path)
        hint = f": did you mean {near!r}?" if near else f"; {API}/openapi.json lists all"
        return _json(error_body(ControlError("unknown_name", f"there is no path {shown!r}{hint}", None, near)), 404)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(methods_of(path))
        text = f"{flask.request.method} is not for {shown!r}, which knows {allowed}"
        response = _json(error_body(ControlError("bad_argument", text)), 405)
        response.headers["Allow"] = allowed
        return response
    if status == 413:
        return _json(error_body(ControlError("too_large", f"the body has more than {LARGEST_BODY} bytes")), 413)
    code = "bad_argument" if 400 <= status < 500 else "internal"
    return _json(error_body(ControlError(code, error.description or error.name)), status)
