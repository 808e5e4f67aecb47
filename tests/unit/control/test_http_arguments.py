"""Arguments from the path, the body and the query of a request."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2.control.http.arguments import DEEPEST, NotJson, arguments_of, body_of, query_of
from pipert2.control.http.routes import Route, match
from pipert2.errors import ControlError


def _route(method: str, path: str) -> Route:
    found = match(method, path)
    assert found is not None
    return found


EVENT = _route("POST", "/api/v1/events/ZOOM")
PREVIEW = _route("PUT", "/api/v1/routines/cam/preview/input")
DOCUMENT = _route("GET", "/routines/cam/events/ZOOM/execute")
START = _route("GET", "/start")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/merge-patch+json"]
)
def test_a_json_object_is_read(kind: str) -> None:
    assert body_of(b'{"wait": 2}', kind) == {"wait": 2}


def test_no_body_is_no_arguments_whatever_type_it_says() -> None:
    assert body_of(b"", "text/plain") == {}
    assert body_of(b" \n", "") == {}


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"])
def test_a_body_that_does_not_say_it_is_json_is_refused(kind: str) -> None:
    with pytest.raises(NotJson, match="Content-Type: application/json"):
        body_of(b"{}", kind)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": -Infinity}', "-Infinity is no JSON"),
        (b'{"a": 1e999}', "too large a number"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"[" * DEEPEST + b"]" * DEEPEST + b"}", "nested too deep"),
        (b"[]", "a JSON object, as {}, not a list"),
        (b"null", "not null"),
        (b"3", "not a number"),
        (b'"start"', "not a text"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_bad_argument_that_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ControlError, match=reason) as caught:
        body_of(data, "application/json")
    assert caught.value.code == "bad_argument"


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(body_of(b'{"a": [' + b"[]," * 1000 + b"[]]}", "application/json")["a"]) == 1001


def test_a_query_parameter_given_twice_is_refused() -> None:
    with pytest.raises(ControlError, match="twice") as caught:
        query_of([("wait", "1"), ("wait", "2")])
    assert caught.value.field == "wait"


def test_arguments_come_from_all_three_places() -> None:
    found = arguments_of(EVENT, {"name": "ZOOM"}, {"routine": "cam"}, {"wait": "2", "params": '{"factor": 2}'})
    assert found == {"name": "ZOOM", "routine": "cam", "wait": "2", "params": {"factor": 2}}


def test_the_same_said_twice_is_no_contradiction() -> None:
    assert arguments_of(EVENT, {"name": "ZOOM"}, {"name": "ZOOM"}, {"name": "ZOOM"}) == {"name": "ZOOM"}


@pytest.mark.parametrize(
    ("body", "query", "field"),
    [
        ({"name": "PAN"}, {}, "name"),
        ({}, {"name": "PAN"}, "name"),
        ({"wait": 1}, {"wait": "2"}, "wait"),
    ],
)
def test_places_that_contradict_each_other_are_a_bad_argument(
    body: dict[str, Any], query: dict[str, str], field: str
) -> None:
    with pytest.raises(ControlError) as caught:
        arguments_of(EVENT, {"name": "ZOOM"}, body, query)
    assert (caught.value.code, caught.value.field) == ("bad_argument", field)


def test_what_the_route_itself_says_cannot_be_contradicted() -> None:
    places = {"routine": "cam", "side": "input"}
    assert arguments_of(PREVIEW, places, {"on": True}, {}) == {**places, "on": True}
    with pytest.raises(ControlError) as caught:
        arguments_of(PREVIEW, places, {"on": False}, {})
    assert caught.value.field == "on"


@pytest.mark.parametrize("text", ["2", "[]", "{", "NaN", "factor"])
def test_an_object_in_a_query_must_be_one(text: str) -> None:
    with pytest.raises(ControlError) as caught:
        arguments_of(EVENT, {"name": "ZOOM"}, {}, {"params": text})
    assert (caught.value.code, caught.value.field) == ("bad_argument", "params")


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"extra_args": {"factor": 2, "mode": "fast"}}, {}),
        ({}, {"extra_args": '{"factor": 2, "mode": "fast"}'}),
        ({}, {"factor": "2", "mode": "fast"}),
        ({"extra_args": {"factor": 2}}, {"mode": "fast"}),
        ({"extra_args": {"factor": 2}}, {"extra_args": '{"mode": "fast"}', "factor": "2"}),
    ],
)
def test_extra_args_are_the_handlers_arguments_wherever_they_stand(body: dict[str, Any], query: dict[str, str]) -> None:
    found = arguments_of(DOCUMENT, {"routine": "cam", "name": "ZOOM"}, body, query)
    assert found == {"routine": "cam", "name": "ZOOM", "params": {"factor": 2, "mode": "fast"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("-2.5", -2.5), ("true", True), ("[1]", [1]), ("NaN", "NaN"), ("1e999", "1e999"), ("", "")],
)
def test_a_handlers_argument_in_the_query_is_read_as_json_where_it_is_json(text: str, value: object) -> None:
    found = arguments_of(DOCUMENT, {"routine": "cam", "name": "ZOOM"}, {}, {"value": text})
    assert found["params"] == {"value": value}


@pytest.mark.parametrize("body", [{}, {"extra_args": None}, {"extra_args": {}}])
def test_extra_args_may_be_left_out(body: dict[str, Any]) -> None:
    assert arguments_of(DOCUMENT, {"routine": "cam", "name": "ZOOM"}, body, {})["params"] == {}
    assert arguments_of(START, {}, body, {}) == {}


@pytest.mark.parametrize("value", [3, "x", [1], True])
def test_extra_args_that_are_no_object_are_refused(value: object) -> None:
    with pytest.raises(ControlError) as caught:
        arguments_of(DOCUMENT, {"routine": "cam", "name": "ZOOM"}, {"extra_args": value}, {})
    assert (caught.value.code, caught.value.field) == ("bad_argument", "extra_args")


def test_a_misspelt_extra_args_gets_the_right_name() -> None:
    with pytest.raises(ControlError) as caught:
        arguments_of(DOCUMENT, {"routine": "cam", "name": "ZOOM"}, {"extra_arg": {"factor": 2}}, {})
    assert (caught.value.field, caught.value.nearest) == ("extra_arg", "extra_args")


def test_arguments_for_start_are_not_silently_dropped() -> None:
    with pytest.raises(ControlError) as caught:
        arguments_of(START, {}, {}, {"flow": "in"})
    assert (caught.value.code, caught.value.field) == ("bad_argument", "flow")
