"""A dict of results as an HDF5 file over HTTP: the reading half of the HDF REST interface, as h5pyd and silx speak it.

See https://github.com/HDFGroup/hdf-rest-api. A dict is a group, all else becomes a dataset by way of numpy; the key
``NAME_attrs`` beside ``NAME`` has its attributes, ``_attrs`` those of the group that it stands in.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
import numpy.typing as npt

from pipert2.patterns.results.hdf_values import SelectionError, array_of, plain, shape_of, slices_of, type_of
from pipert2.patterns.results.hdf_visits import Visit, Visits, is_id_of

_ATTRIBUTES = "_attrs"
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: str
    kind: str
    body: bytes


class _NotFound(Exception):
    pass


class HdfRest:
    """Answers requests about a tree of results; a WSGI application.

    Args:
        tree: gives the tree as it is now.
        lock: held while the tree is looked at.
    """

    def __init__(
        self, tree: Callable[[], Mapping[str, Any]], lock: contextlib.AbstractContextManager[Any] | None = None
    ) -> None:
        self._tree = tree
        self._lock = lock if lock is not None else threading.RLock()
        self._visits = Visits()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _LOOPBACK.fullmatch(environ.get("HTTP_HOST", "")):
            answer = _error("403 Forbidden", "results are shown to this machine only")
        else:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            body = environ["wsgi.input"].read(min(length, 1 << 20)) if length else b""
            answer = self.answer(
                environ["REQUEST_METHOD"],
                environ.get("PATH_INFO", "/"),
                environ.get("QUERY_STRING", ""),
                environ.get("HTTP_ACCEPT", ""),
                body,
            )
        start_response(answer.status, [("Content-Type", answer.kind), ("Content-Length", str(len(answer.body)))])
        return [answer.body]

    def answer(self, method: str, path: str, query: str = "", accept: str = "", body: bytes = b"") -> Answer:
        """The answer to a request."""
        if method not in ("GET", "POST"):
            return _error("405 Method Not Allowed", "results are read only")
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        parts = [unquote(part) for part in path.strip("/").split("/") if part]
        try:
            with self._lock:
                return self._answer(parts, asked, "octet-stream" in accept, method, body)
        except _NotFound:
            return _error("404 Not Found", f"there is no {path}")
        except SelectionError as error:
            return _error("400 Bad Request", str(error))

    def _answer(self, parts: list[str], asked: Mapping[str, str], binary: bool, method: str, body: bytes) -> Answer:
        root = self._tree()
        if not parts:
            root_id = self._visits.begin().id_of("", is_group=True)
            return _json({"root": root_id, "class": "domain", **_times(), "owner": "pipert2", "hrefs": []})
        if parts == ["about"]:
            return _json(
                {"name": "pipert2", "about": "results", "hsds_version": "0.9.0", "state": "READY", "start_time": 0}
            )
        collection, rest = parts[0], parts[1:]
        if collection not in ("groups", "datasets") or not rest:
            raise _NotFound
        where, value, attributes = _found(root, rest[0], collection == "groups")
        visit, rest = self._visits.of(rest[0]), rest[1:]
        if rest[:1] == ["attributes"]:
            return _attributes(attributes, rest[1:])
        if collection == "groups" and rest[:1] == ["links"]:
            links = _links(visit, where, value)
            if len(rest) == 1:
                return _json({"links": list(links.values()), "hrefs": []})
            if rest[1] not in links:
                raise _NotFound
            return _json({"link": links[rest[1]], **_times(), "hrefs": []})
        if not rest:
            return _json(_described(visit, where, value, attributes, asked))
        array = array_of(value)
        if collection == "datasets" and array is not None and len(rest) == 1:
            if rest[0] == "type":
                return _json({"type": type_of(array.dtype), "hrefs": []})
            if rest[0] == "shape":
                visit.tell(where, array.shape)
                return _json({"shape": shape_of(array), **_times(), "hrefs": []})
            if rest[0] == "value":
                return _value(array, visit.told(where, array.shape), asked, binary, method, body)
        raise _NotFound


def _found(root: Mapping[str, Any], wanted: str, is_group: bool) -> tuple[str, Any, Mapping[str, Any]]:
    """Path, value and attributes of the object with this id."""
    for where, value, attributes in _walk("", root, root.get(_ATTRIBUTES, {})):
        if isinstance(value, Mapping) == is_group and wanted[:1] == "dg"[is_group] and is_id_of(wanted, where):
            return where, value, attributes if isinstance(attributes, Mapping) else {}
    raise _NotFound


def _walk(where: str, value: Any, attributes: Any) -> Iterator[tuple[str, Any, Any]]:
    yield where, value, attributes
    if isinstance(value, Mapping):
        for name, child in _members(value):
            own = child.get(_ATTRIBUTES, {}) if isinstance(child, Mapping) else {}
            yield from _walk(f"{where}/{name}", child, {**own, **_mapping(value.get(f"{name}{_ATTRIBUTES}"))})


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _members(group: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """What is shown of a group: not what has no name, or is nothing that HDF5 knows."""
    return [
        (name, child)
        for name, child in group.items()
        if isinstance(name, str)
        and name
        and "/" not in name
        and not name.endswith(_ATTRIBUTES)
        and (isinstance(child, Mapping) or array_of(child) is not None)
    ]


def _times() -> dict[str, float]:
    return {"created": 0.0, "lastModified": 0.0}


def _described(
    visit: Visit, where: str, value: Any, attributes: Mapping[str, Any], asked: Mapping[str, str]
) -> dict[str, Any]:
    is_group = isinstance(value, Mapping)
    found: dict[str, Any] = {
        "id": visit.id_of(where, is_group=is_group),
        "root": visit.id_of("", is_group=True),
        "domain": "/",
        "attributeCount": len(attributes),
        **_times(),
        "hrefs": [],
    }
    if asked.get("include_attrs") == "1":
        found["attributes"] = {
            name: _attribute(name, array) for name, one in attributes.items() if (array := array_of(one)) is not None
        }
    if is_group:
        links = _links(visit, where, value)
        found["linkCount"] = len(links)
        if asked.get("include_links") == "1":
            found["links"] = links
    else:
        array = array_of(value)
        assert array is not None
        visit.tell(where, array.shape)
        found |= {
            "type": type_of(array.dtype),
            "shape": shape_of(array),
            "layout": {"class": "H5D_CONTIGUOUS"},
            "creationProperties": {},
        }
    return found


def _links(visit: Visit, where: str, group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "class": "H5L_TYPE_HARD",
            "title": name,
            "collection": "groups" if isinstance(child, Mapping) else "datasets",
            "id": visit.id_of(f"{where}/{name}", is_group=isinstance(child, Mapping)),
            "created": 0.0,
        }
        for name, child in _members(group)
    }


def _attributes(attributes: Mapping[str, Any], rest: list[str]) -> Answer:
    known = {name: array for name, one in attributes.items() if (array := array_of(one)) is not None}
    if not rest:
        return _json({"attributes": [_attribute(name, array) for name, array in known.items()], "hrefs": []})
    if rest[0] not in known:
        raise _NotFound
    return _json({**_attribute(rest[0], known[rest[0]]), "hrefs": []})


def _attribute(name: str, array: npt.NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "type": type_of(array.dtype), "shape": shape_of(array), "value": plain(array), "created": 0.0}


def _value(
    array: npt.NDArray[Any],
    told: tuple[int, ...],
    asked: Mapping[str, str],
    binary: bool,
    method: str,
    body: bytes,
) -> Answer:
    select = asked.get("select")
    points: npt.NDArray[Any] | None = None
    if method == "POST" and body[:1] == b"{":
        try:
            select = str(json.loads(body).get("select", select))
        except (ValueError, AttributeError):
            raise SelectionError("the request is not JSON") from None
    elif method == "POST" and body:
        size = 8 * max(1, array.ndim)
        if len(body) % size:
            raise SelectionError(f"points of {array.ndim} dimensions have {size} bytes each")
        points = np.frombuffer(body, "<u8").reshape(-1, max(1, array.ndim))
    if select is None and points is None and told != array.shape:
        if len(told) != array.ndim or any(size > now for size, now in zip(told, array.shape, strict=True)):
            raise SelectionError(f"the dataset had the shape {told} and now has {array.shape}: refresh it")
        array = array[tuple(slice(size) for size in told)]
    try:
        where: Any = tuple(points.T.astype(np.int64)) if points is not None else slices_of(select, array.shape)
        found = np.asarray(array[where], array.dtype)
    except IndexError:
        raise SelectionError(f"the selection is outside of the dataset's shape {array.shape}") from None
    if binary and found.dtype.kind != "O":
        little = found.astype(found.dtype.newbyteorder("<"), order="C")
        return Answer("200 OK", "application/octet-stream", little.tobytes())
    return _json({"value": plain(found), "hrefs": []})


def _json(value: Any) -> Answer:
    return Answer("200 OK", "application/json", json.dumps(value).encode())


def _error(status: str, message: str) -> Answer:
    return Answer(status, "application/json", json.dumps({"error": message}).encode())
