"""The table of routes: what each path means, and who may ask for it."""

from __future__ import annotations

import flask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from pipert2 import Pipe
from pipert2.control.http.face import create_app
from pipert2.control.http.routes import (
    API,
    ROUTES,
    Kind,
    is_open,
    match,
    methods_of,
    name_in_place,
    nearest_path,
    place_name,
    scope_of_request,
)
from pipert2.control.http.streams import LOGS_STREAM_PATH, STATUS_STREAM_PATH
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import Scope

_WORDS = ["cam", "a b", ".", "..", "input", "input.jpg", "events", "start", "%2F", "ä", "\n", ""]


@st.composite
def _paths(draw: st.DrawFn) -> str:
    """The path of a route with something in its places, or nearly that."""
    word = st.sampled_from(_WORDS)
    route = draw(st.sampled_from(ROUTES))
    parts = [draw(word) if "{" in part else part for part in route.path.split("/")[1:]]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(parts)))
        parts[at : at + draw(st.integers(0, 1))] = draw(st.lists(word, max_size=1))
    return "/" + "/".join(parts) + draw(st.sampled_from(["", "", "/"]))


def test_every_verb_has_a_route_with_a_reply_in_json() -> None:
    assert {route.verb for route in ROUTES if route.kind is Kind.VERB} == set(VERBS)


def test_every_argument_that_a_route_names_is_one_of_its_verb() -> None:
    for route in ROUTES:
        if route.kind is not Kind.PAGE:
            known = set(VERBS[route.verb].request.model_fields)
            assert {*route.places, *route.fixed, *route.hidden, *route.rest} <= known, route


def test_every_argument_that_a_verb_needs_can_be_given_on_each_of_its_routes() -> None:
    for route in ROUTES:
        if route.kind in (Kind.VERB, Kind.DOCUMENT, Kind.PICTURE):
            fields = VERBS[route.verb].request.model_fields
            needed = {name for name, field in fields.items() if field.is_required()}
            assert needed <= {*route.places, *route.fixed, *route.rest}, route


def test_no_two_routes_are_for_the_same_method_and_path() -> None:
    pairs = [(route.method, route.path) for route in ROUTES]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/api/v1/status", "status"),
        ("GET", "/api/v1/status/", "status"),
        ("HEAD", "/api/v1/status", "status"),
        ("POST", "/api/v1/flows/in/start", "start"),
        ("PATCH", "/api/v1/routines/cam/parameters", "set_parameters"),
        ("DELETE", "/api/v1/wires/cam/view", "unlink"),
        ("GET", "/api/v1/routines/cam/preview/output.jpg", "frame"),
        ("GET", "/pause", "stop"),
        ("POST", "/routines/cam/events/ZOOM/execute/", "event"),
    ],
)
def test_a_request_finds_its_verb(method: str, path: str, verb: str) -> None:
    found = match(method, path)
    assert found is not None
    assert found.verb == verb


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/status"),
        ("GET", "/api/v1/status//"),
        ("GET", "//api/v1/status"),
        ("GET", "/api/v1/routines//parameters"),
        ("GET", "/api/v1/Status"),
        ("BREW", "/start"),
    ],
)
def test_what_only_looks_like_a_route_is_none(method: str, path: str) -> None:
    assert match(method, path) is None


def test_a_picture_is_not_a_side_with_an_odd_name() -> None:
    picture = match("GET", f"{API}/routines/cam/preview/output.jpg")
    assert picture is not None
    assert picture.kind is Kind.PICTURE
    assert methods_of(f"{API}/routines/cam/preview/output.jpg") == ("GET",)


@pytest.mark.parametrize("path", ["/start", "/pause", "/kill", "/routines/cam/events/start/execute", "/start/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_documented_routes_that_change_something_need_the_right_to_control(method: str, path: str) -> None:
    assert scope_of_request(method, path) is Scope.CONTROL


def test_the_right_that_a_route_needs_is_its_verbs() -> None:
    for route in ROUTES:
        path = route.path.replace("{", "").replace("}", "")
        expected = Scope.READ if route.kind is Kind.PAGE else VERBS[route.verb].scope
        assert scope_of_request(route.method, path) is expected, route


@pytest.mark.parametrize("path", ["/nowhere", "/api/v2/status", "/startle"])
def test_unknown_paths_may_be_read_with_the_right_to_read_and_nothing_more(path: str) -> None:
    assert scope_of_request("GET", path) is Scope.READ
    assert scope_of_request("POST", path) is Scope.CONTROL
    assert scope_of_request("DELETE", path) is Scope.CONTROL


def test_only_the_probes_are_open() -> None:
    assert {route.path for route in ROUTES if is_open(route.path)} == {"/healthz", "/readyz"}
    assert is_open("/healthz/")
    assert not is_open("/healthz/../start")
    assert not is_open("/metrics")


def test_streams_are_where_they_are_served() -> None:
    assert {route.path for route in ROUTES if route.kind is Kind.STREAM} == {STATUS_STREAM_PATH, LOGS_STREAM_PATH}


def test_a_path_tells_its_methods() -> None:
    assert methods_of("/start") == ("GET", "POST")
    assert methods_of("/api/v1/routines/cam/preview/input") == ("DELETE", "GET", "PUT")
    assert methods_of("/nowhere") == ()


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/api/v1/statuss", "/api/v1/status"),
        ("/api/v1/routine/cam/start", "/api/v1/routines/cam/start"),
        ("/routines/cam/event/ZOOM/execute", "/routines/cam/events/ZOOM/execute"),
        ("/Start", "/start"),
        ("/qqqqqqqqqqqqqq", None),
        ("/api/v1", None),
        ("/api/v1/", None),
        ("/" + "a" * 100_000, None),
    ],
)
def test_an_unknown_path_gets_the_nearest_known_one(path: str, near: str | None) -> None:
    assert nearest_path(path) == near


@settings(deadline=None)
@given(st.text())
def test_any_name_can_stand_in_a_path(name: str) -> None:
    assert "/" not in place_name(name)
    assert name_in_place(place_name(name)) == name


@pytest.fixture(scope="module")
def app() -> flask.Flask:
    with ControlService(Pipe("any")) as service:
        return create_app(service)


@settings(deadline=None, max_examples=300)
@given(method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]), path=_paths())
def test_flask_serves_a_path_exactly_where_the_guard_knows_it(app: flask.Flask, method: str, path: str) -> None:
    environ = {**EnvironBuilder(method=method).get_environ(), "PATH_INFO": path.encode().decode("latin-1")}
    with app.request_context(environ):
        try:
            app.preprocess_request()
            endpoint, places = flask.request.endpoint, flask.request.view_args or {}
        except HTTPException:
            endpoint, places = None, {}
    route = match(method, path)
    if route is None:
        assert endpoint is None
    else:
        assert endpoint == f"{route.method} {route.path}"
        assert tuple(places) == route.places


@pytest.mark.parametrize("path", ["//start", "///kill", "//routines/cam/events/start/execute"])
def test_a_slash_too_many_does_not_slip_past_the_guard(app: flask.Flask, path: str) -> None:
    assert scope_of_request("GET", path) is Scope.READ
    assert app.test_client().get("/", environ_overrides={"PATH_INFO": path}).status_code == 404
