"""The arguments in a request: from its path, its JSON body, its query string."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pipert2.control.http.routes import Kind, Route
from pipert2.control.service import VERBS
from pipert2.errors import ControlError, nearest

DEEPEST = 64
"""Lists and objects may stand in one another so deep; what the arguments pass through later recurses."""


class NotJson(ControlError):
    """The body is of a type that is not read here."""


def body_of(data: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object in a request's body; empty if there is no body.

    Raises:
        NotJson: there is one, and it does not say that it is JSON.
        ControlError: it is no JSON object.
    """
    if not data.strip():
        return {}
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        said = f"{kind:.80}" if kind else "of no type"
        raise NotJson("bad_argument", f"the body is {said}; send JSON, with Content-Type: application/json")
    try:
        body = _read(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ControlError("bad_argument", f"the body is not valid JSON: {why}") from None
    if not isinstance(body, dict):
        raise ControlError("bad_argument", f"the body is a JSON object, as {{}}, not {_kind_of(body)}")
    return body


def query_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The query string's parameters.

    Raises:
        ControlError: one is given twice.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise ControlError("bad_argument", f"{name}: it is given twice in the query", name)
        found[name] = value
    return found


def arguments_of(
    route: Route, path: Mapping[str, str], body: Mapping[str, Any], query: Mapping[str, str]
) -> dict[str, Any]:
    """The arguments of the route's verb, from wherever they stand; unchecked but for contradictions.

    Raises:
        ControlError: one is given in two places, differently.
    """
    if route.kind is Kind.DOCUMENT:
        return _document_arguments(route, path, body, query)
    objects = _object_fields(route.verb)
    texts: dict[str, Any] = {name: _object(name, value) if name in objects else value for name, value in query.items()}
    for name in _free_fields(route.verb) & texts.keys():
        texts[name] = _json_or_text(texts[name])
    arguments = _merged(("path", path), ("body", body), ("query", texts))
    for name, value in route.fixed.items():
        if arguments.setdefault(name, value) != value:
            raise ControlError("bad_argument", f"{name}: this route says {value!r} itself", name)
    return arguments


def _document_arguments(
    route: Route, path: Mapping[str, str], body: Mapping[str, Any], query: Mapping[str, str]
) -> dict[str, Any]:
    """Handlers' arguments: in ``extra_args``, in the body or as JSON in the query, or each a query parameter."""
    for name in body:
        if name != "extra_args":
            near = nearest(name, ["extra_args"])
            raise ControlError("bad_argument", f"{name}: the body holds nothing but extra_args here", name, near)
    others = {name: _json_or_text(value) for name, value in query.items() if name != "extra_args"}
    in_query = _object("extra_args", query["extra_args"]) if "extra_args" in query else {}
    in_body = body.get("extra_args")
    if not isinstance(in_body, dict | None):
        raise ControlError("bad_argument", f"extra_args: it is a JSON object, not {_kind_of(in_body)}", "extra_args")
    params = _merged(("body", in_body or {}), ("query's extra_args", in_query), ("query", others))
    if route.verb == "event":
        return {**path, "params": params}
    if params:
        first = next(iter(params))
        raise ControlError("bad_argument", f"{first}: {route.path} takes no arguments", first)
    return dict(path)


def _merged(*places: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the places hold together; in each name that more than one has, they must agree."""
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for place, values in places:
        for name, value in values.items():
            if name in found and found[name] != value:
                message = f"{name}: the {origin[name]} says {found[name]!r:.80}, the {place} {value!r:.80}"
                raise ControlError("bad_argument", message, name)
            found.setdefault(name, value)
            origin.setdefault(name, place)
    return found


@cache
def _object_fields(verb: str) -> frozenset[str]:
    """The arguments of a verb that are JSON objects, which a query can only hold as text."""
    properties = VERBS[verb].request.model_json_schema().get("properties", {})
    return frozenset(
        name
        for name, schema in properties.items()
        if any(one.get("type") == "object" for one in (schema, *schema.get("anyOf", ())))
    )


@cache
def _free_fields(verb: str) -> frozenset[str]:
    """The arguments of a verb that may be anything, which in a query is JSON or else text."""
    properties = VERBS[verb].request.model_json_schema().get("properties", {})
    return frozenset(
        name for name, schema in properties.items() if not {"type", "anyOf", "enum", "const"} & schema.keys()
    )


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = _read(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ControlError("bad_argument", f'{name}: in a query it is a JSON object as text, such as {{"a": 1}}', name)
    return value


def _json_or_text(text: str) -> Any:
    """A number, a list, true, ... if it reads as JSON, else the text: a query says ``?zoom=2&mode=fast``."""
    try:
        return _read(text)
    except (ValueError, RecursionError):
        return text


def _read(text: str) -> Any:
    """JSON as the standard has it: neither NaN nor infinities, nor halves of characters."""
    value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        raise RecursionError
    return value


def _depth(value: object) -> int:
    """How many lists and objects stand in one another."""
    deep, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        deep += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return deep


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text:.40} is too large a number")
    return value


def _kind_of(value: object) -> str:
    names = {str: "a text", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
