"""The OpenAPI 3.1 document, generated from the table of routes and the verbs' types."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

import pipert2
from pipert2.control.http.errors import ErrorReply
from pipert2.control.http.routes import API, JOIN_SECONDS, ROUTES, Kind, Route, is_open
from pipert2.control.http.streams import StatusStreamRequest
from pipert2.control.service import VERBS
from pipert2.observe.recent_logs import LogRecord
from pipert2.observe.snapshot import PipeStatus

_REFERENCE = "#/components/schemas/{model}"
_ABOUT = """\
Drives one running pipe. What a request needs is in its path; the other arguments are in its JSON body. They may stand
in the query string instead (objects as JSON), but not in both and say different things. Whatever goes wrong is
answered with the same body, `{"error": {"code", "message", "field", "nearest"}}`. Names in a path have `/` written
as `~1` and `~` as `~0`. The routes tagged *document* are those of PipeRT2.
"""
_ERRORS = {
    400: "The request is not HTTP as it should be.",
    401: "A token is needed, or this one is not known.",
    403: "The token does not allow this, or a foreign web page asks.",
    404: "There is no such name; the nearest that there is comes along.",
    405: "The path does not know this method.",
    408: "The body did not arrive in time.",
    409: "The pipe's state does not allow it.",
    413: "The body is too large.",
    414: "The path or the query is too long.",
    415: "The body is not JSON.",
    421: "The Host is not one that this server answers to.",
    422: "An argument is wrong; the field is named.",
    500: "It failed.",
    502: "The code of a routine failed on it.",
    503: "The server shuts down, or has no room for one more stream.",
    504: "A routine that was called did not answer in time.",
    507: "There is not enough shared memory.",
}
_NOT_OF_PAGES = (404, 409, 502, 504, 507)
_GOOD = {200: "Done.", 202: "Sent; what comes of it is not waited for."}
_PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "pipe_structure": ("The pipe's structure as PipeRT2 shows it.", {"type": "object"}),
    "openapi": ("This document.", {"type": "object"}),
    "healthz": ("The process answers.", {"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"]}),
    "readyz": (
        "The pipe is built and its flows are up.",
        {
            "type": "object",
            "properties": {"ready": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}},
            "required": ["ready", "reasons"],
        },
    ),
    "metrics": ("Metrics for Prometheus.", {"type": "string"}),
}
_STREAMS = {
    "status": (
        "The status, again and again.",
        "Events named `status`, each a snapshot as JSON.",
        StatusStreamRequest.model_json_schema()["properties"],
    ),
    "logs": (
        "Log records as they come.",
        "Events named `log`, each a record as JSON; its id is the record's number, behind which `Last-Event-ID` "
        "continues. An event named `missed` tells how many were gone before they could be sent.",
        {},
    ),
}
"""What a stream is, what it sends, and the arguments that are its own."""


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    """The document. It is the same for every pipe: names of routines and events are data, not part of the API."""
    schemas, definitions = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    named: set[str] = set()
    for route in ROUTES:
        operation = _operation(route, schemas)
        name = route.verb if route.verb not in named and route.kind is Kind.VERB else _slug(route)
        named.add(name)
        paths.setdefault(route.path, {})[route.method.lower()] = {"operationId": name, **operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "pipert2", "version": pipert2.__version__, "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "tags": [
            {"name": "control", "description": "The versioned API."},
            {"name": "document", "description": "The routes that PipeRT2 documents."},
            {"name": "watching", "description": "Probes, metrics, and this document."},
        ],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {str(status): _error(text) for status, text in _ERRORS.items()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed if the server was given tokens. `read` looks, `control` also changes.",
                }
            },
        },
    }


_LICENSE = {"name": "MIT", "identifier": "MIT"}


def _schemas() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """A schema of what each verb replies, of what streams send, and what these refer to."""
    wanted: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (name, "serialization", TypeAdapter(kind))
        for name, kind in (("error", ErrorReply), ("status event", PipeStatus), ("logs event", LogRecord))
    ]
    wanted += [(verb.name, "serialization", TypeAdapter(verb.reply)) for verb in VERBS.values()]
    found, shared = TypeAdapter.json_schemas(wanted, ref_template=_REFERENCE)
    definitions: dict[str, Any] = shared["$defs"]
    picture = {"contentEncoding": "base64", "contentMediaType": "image/jpeg"}
    definitions["PreviewFrame"]["properties"]["jpeg"] = {"type": "string", "title": "Jpeg", **picture}
    picture["contentMediaType"] = "image/png"
    definitions["ShownValue"]["properties"]["png"] = {"type": "string", "title": "Png", **picture}
    return {key: schema for (key, _), schema in found.items()}, dict(sorted(definitions.items()))


def _operation(route: Route, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if route.kind is Kind.PAGE:
        return _page(route)
    verb = VERBS[route.verb]
    fields = _fields(route.verb)
    parameters = [_parameter(name, "path", fields[name]) for name in route.places]
    operation: dict[str, Any] = {
        "summary": _STREAMS[route.verb][0] if route.kind is Kind.STREAM else verb.help,
        "description": f"Needs the right to `{verb.scope.value}`.",
        "tags": ["document" if route.kind is Kind.DOCUMENT else "control"],
    }
    if route.verb == "join":
        operation["description"] += f" Without a timeout it is answered after {JOIN_SECONDS:g} s, then ask again."
    if route.kind is Kind.DOCUMENT:
        if route.verb == "event":
            parameters.append(_extra_arguments())
            operation["requestBody"] = _body({"extra_args": {"type": ["object", "null"]}}, [])
    elif route.kind is Kind.STREAM:
        own = _STREAMS[route.verb][2]
        shared = {name: fields[name] for name in route.rest if name != "limit"}
        parameters += [_parameter(name, "query", schema) for name, schema in {**shared, **own}.items()]
    elif route.method in ("GET", "DELETE"):
        parameters += [_parameter(name, "query", fields[name]) for name in route.rest]
    elif route.rest:
        needed = [name for name in route.rest if verb.request.model_fields[name].is_required()]
        operation["requestBody"] = _body({name: fields[name] for name in route.rest}, needed)
    if parameters:
        operation["parameters"] = parameters
    operation["responses"] = {**_good(route, schemas), **_errors(tuple(_ERRORS))}
    return operation


def _fields(verb: str) -> dict[str, dict[str, Any]]:
    """The schemas of a verb's arguments, without the titles that only repeat their names."""
    properties = VERBS[verb].request.model_json_schema(ref_template=_REFERENCE).get("properties", {})
    return {name: {key: value for key, value in one.items() if key != "title"} for name, one in properties.items()}


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter of the path or the query. These are texts: what may be null is left out instead."""
    schema = dict(schema)
    choices = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    if len(choices) == 1:
        schema = {**choices[0], **schema}
        if schema.get("default", ...) is None:
            del schema["default"]
    text = schema.pop("description", None)
    found: dict[str, Any] = {"name": name, "in": place, "required": place == "path", "schema": schema}
    if text:
        found["description"] = text
    return found


def _extra_arguments() -> dict[str, Any]:
    return {
        "name": "extra_args",
        "in": "query",
        "required": False,
        "description": "The handler's arguments as a JSON object. Any other parameter of the query is an argument too.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }


def _body(properties: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if needed:
        schema["required"] = needed
    return {"required": bool(needed), "content": {"application/json": {"schema": schema}}}


def _good(route: Route, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The answers when all went well."""
    if route.kind is Kind.STREAM:
        content = {"text/event-stream": {"schema": {"type": "string"}, "x-event": schemas[f"{route.verb} event"]}}
        return {"200": {"description": _STREAMS[route.verb][1], "content": content}}
    picture = {"image/jpeg": {"schema": {"type": "string", "contentMediaType": "image/jpeg"}}}
    if route.kind is Kind.PICTURE:
        return {"200": {"description": "The picture.", "content": picture}}
    content = {"application/json": {"schema": schemas[route.verb]}}
    if route.verb == "frame":
        content |= picture
    statuses = [status for status in (route.status, route.unwaited) if status is not None]
    return {str(status): {"description": _GOOD[status], "content": content} for status in statuses}


def _errors(statuses: tuple[int, ...]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _page(route: Route) -> dict[str, Any]:
    text, schema = _PAGES[route.verb]
    content = {"text/plain" if route.verb == "metrics" else "application/json": {"schema": schema}}
    found: dict[str, Any] = {
        "summary": text,
        "tags": ["document" if route.verb == "pipe_structure" else "watching"],
        "responses": {
            "200": {"description": _GOOD[200], "content": content},
            **_errors(tuple(status for status in _ERRORS if status not in _NOT_OF_PAGES)),
        },
    }
    if route.verb == "readyz":
        found["responses"]["503"] = {"description": "It is not ready, and why.", "content": content}
    if is_open(route.path):
        found["security"] = []
    return found


def _error(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="ErrorReply")}}},
    }


def _slug(route: Route) -> str:
    return re.sub(r"\W+", "_", f"{route.method.lower()} {route.path.removeprefix(API)}").strip("_")
