"""The cockpit's HTTP routes: login, search, history, and the app's files."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

import pipert2
from pipert2.cockpit.server.bundle import Bundle
from pipert2.cockpit.server.hub import Hub
from pipert2.cockpit.server.login_limit import LoginLimit
from pipert2.cockpit.server.queries import (
    AuditQuery,
    HistogramQuery,
    LoginBody,
    LogsQuery,
    MetricsQuery,
    read_query,
    span,
)
from pipert2.cockpit.server.sockets import COOKIE
from pipert2.cockpit.store.accounts import Person, Role
from pipert2.cockpit.store.audit import Entry, read_entries
from pipert2.cockpit.store.store import Store
from pipert2.control.http.errors import error_body, http_status
from pipert2.control.problems import control_error
from pipert2.errors import ControlError

_HOUR = 3600.0
_VIEWS = Callable[..., flask.Response]


def create_app(store: Store, hub: Hub, *, secure: bool, bundle: Bundle | None = None) -> flask.Flask:
    """The Flask app of a cockpit.

    Args:
        store, hub: what it shows.
        secure: it is served over TLS, so the session's cookie goes nowhere else.
        bundle: the browser's app.
    """
    app = flask.Flask("pipert2.cockpit.server.web", static_folder=None)
    app.url_map.merge_slashes = False
    routes = _Routes(store, hub, secure, bundle or Bundle())
    for rule, methods, view in (
        ("/", ["GET"], routes.page),
        ("/login", ["POST"], routes.log_in),
        ("/logout", ["POST"], routes.log_out),
        ("/healthz", ["GET"], routes.healthz),
        ("/api/me", ["GET"], routes.me),
        ("/api/pipes", ["GET"], routes.pipes),
        ("/api/pipes/<identity>", ["DELETE"], routes.remove),
        ("/api/pipes/<identity>/structure", ["GET"], routes.structure),
        ("/api/pipes/<identity>/logs", ["GET"], routes.logs),
        ("/api/pipes/<identity>/logs/histogram", ["GET"], routes.histogram),
        ("/api/pipes/<identity>/metrics", ["GET"], routes.metrics),
        ("/api/audit", ["GET"], routes.audit),
        ("/<path:path>", ["GET"], routes.file),
    ):
        app.add_url_rule(rule, endpoint=rule, view_func=view, methods=methods, provide_automatic_options=False)
    app.register_error_handler(Exception, _error_answer)
    return app


def _for(role: Role) -> Callable[[_VIEWS], _VIEWS]:
    """A view for those who have this role."""

    def decorate(view: _VIEWS) -> _VIEWS:
        @wraps(view)
        def guarded(self: _Routes, **places: str) -> flask.Response:
            person = self.person()
            if person is None:
                raise ControlError("unauthorized", "log in first")
            if role is Role.OPERATOR and person.role is not Role.OPERATOR:
                raise ControlError("forbidden", "this is for operators, and you are a viewer")
            return view(self, **places)

        return guarded

    return decorate


class _Routes:
    """The views."""

    def __init__(self, store: Store, hub: Hub, secure: bool, bundle: Bundle) -> None:
        self._store = store
        self._hub = hub
        self._secure = secure
        self._bundle = bundle
        self._limit = LoginLimit()

    # --- the app

    def page(self) -> flask.Response:
        return self._bundle.page()

    def file(self, path: str) -> flask.Response:
        found = self._bundle.file(path)
        if found is None:
            raise ControlError("unknown_name", f"there is no path {flask.request.path[:200]!r}")
        return found

    def healthz(self) -> flask.Response:
        return _json({"ok": True})

    # --- who

    def person(self) -> Person | None:
        """Who asks."""
        return self._store.accounts.person(flask.request.cookies.get(COOKIE))

    def _me(self, person: Person) -> dict[str, Any]:
        return {
            "user": person.user,
            "role": person.role.value,
            "login": bool(self._store.accounts),
            "version": pipert2.__version__,
        }

    @_for(Role.VIEWER)
    def me(self) -> flask.Response:
        person = self.person()
        assert person is not None
        return _json(self._me(person))

    def log_in(self) -> flask.Response:
        if flask.request.mimetype != "application/json":
            raise ControlError("bad_argument", "login: send JSON")
        body = read_query(LoginBody, flask.request.get_json(silent=True), "login")
        address = flask.request.remote_addr or ""
        wait = self._limit.wait_of(address)
        if wait:
            error = ControlError("forbidden", f"too many attempts: try again in {math.ceil(wait)} s")
            response = _json(error_body(error), 429)
            response.headers["Retry-After"] = str(math.ceil(wait))
            return response
        found = self._store.accounts.log_in(body.user, body.password)
        self._note("login", body.user, "ok" if found else "unauthorized", {})
        if found is None:
            raise ControlError("unauthorized", "the name or the password is wrong")
        self._limit.clear(address)
        secret, person = found
        response = _json(self._me(person))
        self._set_cookie(response, secret, 30 * 86_400)
        return response

    def log_out(self) -> flask.Response:
        secret = flask.request.cookies.get(COOKIE)
        if secret is not None:
            person = self.person()
            self._store.accounts.log_out(secret)
            if person is not None and person.user is not None:
                self._note("logout", person.user, "ok", {})
        response = flask.Response(status=204)
        self._set_cookie(response, "", 0)
        return response

    def _set_cookie(self, response: flask.Response, secret: str, seconds: int) -> None:
        response.set_cookie(
            COOKIE, secret, max_age=seconds, httponly=True, samesite="Strict", secure=self._secure, path="/"
        )

    def _note(self, verb: str, user: str | None, outcome: str, arguments: dict[str, Any], pipe: Any = None) -> None:
        run = pipe.run if pipe is not None else None
        entry = Entry(
            time.time(),
            user[:200] if user is not None else None,
            flask.request.remote_addr,
            run.id if run else None,
            run.name if run else None,
            verb,
            arguments,
            outcome,
        )
        self._store.audit(entry)

    # --- pipes

    @_for(Role.VIEWER)
    def pipes(self) -> flask.Response:
        return _json({"pipes": self._hub.summaries()})

    @_for(Role.VIEWER)
    def structure(self, identity: str) -> flask.Response:
        found = self._hub.find(identity).structure
        if found is None:
            raise ControlError("bad_state", "the pipe has not said yet what it is made of")
        return _json(found)

    @_for(Role.OPERATOR)
    def remove(self, identity: str) -> flask.Response:
        pipe = self._hub.find(identity)
        if pipe.sid is not None:
            raise ControlError("bad_state", f"pipe {pipe.run.name!r} is connected: its history stays")
        person = self.person()
        self._note("remove history", person.user if person else None, "ok", {}, pipe)
        self._store.writer.submit(lambda connection: self._store.upkeep.remove(pipe.number)).result(10.0)
        return flask.Response(status=204)

    @_for(Role.VIEWER)
    def logs(self, identity: str) -> flask.Response:
        pipe, query = self._hub.find(identity), _query(LogsQuery, "logs")
        page = self._store.records.page(
            pipe.number,
            query.filter(),
            before=query.before,
            after=query.after,
            start=query.start,
            end=query.end,
            limit=query.limit,
        )
        return _json(asdict(page))

    @_for(Role.VIEWER)
    def histogram(self, identity: str) -> flask.Response:
        pipe, query = self._hub.find(identity), _query(HistogramQuery, "histogram")
        start, end = span(query.start, query.end, time.time(), _HOUR)
        found = self._store.records.histogram(pipe.number, query.filter(), start, end, query.buckets)
        return _json({"from": start, "to": end, "seconds": found.seconds, "levels": found.levels})

    @_for(Role.VIEWER)
    def metrics(self, identity: str) -> flask.Response:
        pipe, query = self._hub.find(identity), _query(MetricsQuery, "metrics")
        now = time.time()
        start, end = span(query.start, query.end, now, 600.0)
        chart = self._store.metrics.chart(pipe.number, query.thing(), start, end, query.points, now)
        return _json({"from": start, "to": end, "seconds": chart.seconds, "times": chart.times, "series": chart.series})

    @_for(Role.VIEWER)
    def audit(self) -> flask.Response:
        query = _query(AuditQuery, "audit")
        entries, more = read_entries(self._store.database, query.limit, query.before)
        return _json({"entries": entries, "more": more})


def _query(model: Any, what: str) -> Any:
    return read_query(model, flask.request.args.to_dict(), what)


def _json(value: Any, status: int = 200) -> flask.Response:
    return flask.Response(json.dumps(value), status, mimetype="application/json")


def _error_answer(error: Exception) -> flask.Response:
    if not isinstance(error, HTTPException):
        known = control_error(error)
        return _json(error_body(known), http_status(known))
    status = error.code or 500
    code = {404: "unknown_name", 413: "too_large"}.get(status, "bad_argument" if status < 500 else "internal")
    response = _json(error_body(ControlError(code, error.description or error.name)), status)
    if allowed := getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(allowed)
    return response
