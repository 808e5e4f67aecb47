"""The OpenAPI document: valid, and about the routes that there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipert2.control.http.errors import HTTP_STATUS
from pipert2.control.http.openapi import openapi_document
from pipert2.control.http.routes import ROUTES, Kind, Route
from pipert2.control.service import VERBS


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As a client gets it."""
    found: dict[str, Any] = json.loads(json.dumps(openapi_document(), allow_nan=False))
    return found


def _operations(document: dict[str, Any]) -> Iterator[tuple[Route, dict[str, Any]]]:
    for route in ROUTES:
        yield route, document["paths"][route.path][route.method.lower()]


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_has_every_route_and_no_other(document: dict[str, Any]) -> None:
    found = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert found == {(route.method, route.path) for route in ROUTES}


def test_each_operation_has_a_name_of_its_own_and_verbs_have_theirs(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in _operations(document)]
    assert len(names) == len(set(names))
    assert set(VERBS) <= set(names)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in set(references(document)):
        at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
        assert at, reference


def test_every_component_is_used(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name


def test_every_argument_of_a_verb_is_documented_where_it_belongs(document: dict[str, Any]) -> None:
    for route, operation in _operations(document):
        if route.kind is not Kind.VERB:
            continue
        places = {one["name"]: one["in"] for one in operation.get("parameters", [])}
        body = operation.get("requestBody", {"content": {"application/json": {"schema": {"properties": {}}}}})
        in_body = set(body["content"]["application/json"]["schema"]["properties"])
        assert {name for name, place in places.items() if place == "path"} == set(route.places)
        in_query = {name for name, place in places.items() if place == "query"}
        if route.method in ("GET", "DELETE"):
            assert (in_query, in_body) == (set(route.rest), set())
        else:
            assert (in_query, in_body) == (set(), set(route.rest))


def test_every_error_status_of_a_verb_is_documented(document: dict[str, Any]) -> None:
    for route, operation in _operations(document):
        if route.kind is not Kind.PAGE:
            assert {str(status) for status in HTTP_STATUS.values()} <= set(operation["responses"]), route


def test_what_is_sent_only_and_what_is_waited_for_have_statuses_of_their_own(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/v1/events/{name}"]["post"]["responses"]
    assert {"200", "202"} <= set(responses)
    assert "202" not in document["paths"]["/start"]["get"]["responses"]


def test_streams_are_documented_as_event_streams(document: dict[str, Any]) -> None:
    for path, record in (("status", "PipeStatus"), ("logs", "LogRecord")):
        operation = document["paths"][f"/api/v1/{path}/stream"]["get"]
        media = operation["responses"]["200"]["content"]["text/event-stream"]
        assert media["x-event"] == {"$ref": f"#/components/schemas/{record}"}
    names = {one["name"] for one in document["paths"]["/api/v1/status/stream"]["get"]["parameters"]}
    assert names == {"interval"}


def test_the_probes_need_no_token_and_all_else_may(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    open_paths = {route.path for route, operation in _operations(document) if operation.get("security") == []}
    assert open_paths == {"/healthz", "/readyz"}
    assert {"token": []} in document["security"]


def test_limits_and_choices_of_arguments_are_told(document: dict[str, Any]) -> None:
    logs = {one["name"]: one["schema"] for one in document["paths"]["/api/v1/logs"]["get"]["parameters"]}
    assert (logs["limit"]["minimum"], logs["limit"]["maximum"]) == (1, 10_000)
    assert "WARNING" in logs["level"]["enum"]
    side = document["paths"]["/api/v1/routines/{routine}/preview/{side}"]["get"]["parameters"][1]
    assert side["schema"]["enum"] == ["input", "output"]
