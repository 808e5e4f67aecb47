"""A dict of results as an HDF5 file over HTTP: the reading half of the HDF REST interface, as h5pyd and silx speak it.

See https://github.com/HDFGroup/hdf-rest-api. A dict is a group, all else becomes a dataset by way of numpy; the key
``NAME_attrs`` beside ``NAME`` has its attributes, ``_attrs`` those of the group that it stands in.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
import numpy.typing as npt

from pipert2.errors import PipertError

_ATTRIBUTES = "_attrs"
_SPACE = uuid.UUID(
    "5d1a4f53-6d3a-4b8e-9a38-0e4d7c1f5b11"
)  # ids are made of paths: the same for as long as there is one
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
_STRING = {
    "class": "H5T_STRING",
    "charSet": "H5T_CSET_UTF8",
    "strPad": "H5T_STR_NULLTERM",
    "length": "H5T_VARIABLE",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: str
    kind: str
    body: bytes


class _NotFound(Exception):
    pass


class _BadRequest(Exception):
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
        except _BadRequest as error:
            return _error("400 Bad Request", str(error))

    def _answer(self, parts: list[str], asked: Mapping[str, str], binary: bool, method: str, body: bytes) -> Answer:
        root = self._tree()
        if not parts:
            return _json({"root": _id("", True), "class": "domain", **_times(), "owner": "pipert2", "hrefs": []})
        if parts == ["about"]:
            return _json(
                {"name": "pipert2", "about": "results", "hsds_version": "0.9.0", "state": "READY", "start_time": 0}
            )
        collection, rest = parts[0], parts[1:]
        if collection not in ("groups", "datasets") or not rest:
            raise _NotFound
        where, value, attributes = _found(root, rest[0], collection == "groups")
        rest = rest[1:]
        if rest[:1] == ["attributes"]:
            return _attributes(attributes, rest[1:])
        if collection == "groups" and rest[:1] == ["links"]:
            links = _links(where, value)
            if len(rest) == 1:
                return _json({"links": list(links.values()), "hrefs": []})
            if rest[1] not in links:
                raise _NotFound
            return _json({"link": links[rest[1]], **_times(), "hrefs": []})
        if not rest:
            return _json(_described(where, value, attributes, asked))
        array = _array(value)
        if collection == "datasets" and array is not None and len(rest) == 1:
            if rest[0] == "type":
                return _json({"type": _type(array.dtype), "hrefs": []})
            if rest[0] == "shape":
                return _json({"shape": _shape(array), **_times(), "hrefs": []})
            if rest[0] == "value":
                return _value(array, asked, binary, method, body)
        raise _NotFound


def _found(root: Mapping[str, Any], wanted: str, is_group: bool) -> tuple[str, Any, Mapping[str, Any]]:
    """Path, value and attributes of the object with this id."""
    for where, value, attributes in _walk("", root, root.get(_ATTRIBUTES, {})):
        if isinstance(value, Mapping) == is_group and _id(where, is_group) == wanted:
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
        and (isinstance(child, Mapping) or _array(child) is not None)
    ]


def _id(where: str, is_group: bool) -> str:
    return f"{'g' if is_group else 'd'}-{uuid.uuid5(_SPACE, where)}"


def _times() -> dict[str, float]:
    return {"created": 0.0, "lastModified": 0.0}


def _described(where: str, value: Any, attributes: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    is_group = isinstance(value, Mapping)
    found: dict[str, Any] = {
        "id": _id(where, is_group),
        "root": _id("", True),
        "domain": "/",
        "attributeCount": len(attributes),
        **_times(),
        "hrefs": [],
    }
    if asked.get("include_attrs") == "1":
        found["attributes"] = {
            name: _attribute(name, array) for name, one in attributes.items() if (array := _array(one)) is not None
        }
    if is_group:
        links = _links(where, value)
        found["linkCount"] = len(links)
        if asked.get("include_links") == "1":
            found["links"] = links
    else:
        array = _array(value)
        assert array is not None
        found |= {
            "type": _type(array.dtype),
            "shape": _shape(array),
            "layout": {"class": "H5D_CONTIGUOUS"},
            "creationProperties": {},
        }
    return found


def _links(where: str, group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "class": "H5L_TYPE_HARD",
            "title": name,
            "collection": "groups" if isinstance(child, Mapping) else "datasets",
            "id": _id(f"{where}/{name}", isinstance(child, Mapping)),
            "created": 0.0,
        }
        for name, child in _members(group)
    }


def _attributes(attributes: Mapping[str, Any], rest: list[str]) -> Answer:
    known = {name: array for name, one in attributes.items() if (array := _array(one)) is not None}
    if not rest:
        return _json({"attributes": [_attribute(name, array) for name, array in known.items()], "hrefs": []})
    if rest[0] not in known:
        raise _NotFound
    return _json({**_attribute(rest[0], known[rest[0]]), "hrefs": []})


def _attribute(name: str, array: npt.NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "type": _type(array.dtype), "shape": _shape(array), "value": _plain(array), "created": 0.0}


def _array(value: Any) -> npt.NDArray[Any] | None:
    """A value as an array that HDF5 knows; None if it is none. Texts are an array of objects."""
    if isinstance(value, str):
        return np.array(value, object)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    if array.dtype.kind in "US":
        return array.astype("U").astype(object)
    if array.dtype.kind == "O":
        return array if array.size and all(isinstance(one, str) for one in array.flat) else None
    return array if _is_known(array.dtype) else None


def _is_known(dtype: np.dtype[Any]) -> bool:
    if dtype.names is not None:
        return all(_is_known(dtype[name]) for name in dtype.names)
    if dtype.subdtype is not None:
        return False
    return dtype.kind in "biuc" or (dtype.kind == "f" and dtype.itemsize <= 8)


def _type(dtype: np.dtype[Any]) -> dict[str, Any]:
    if dtype.names is not None:
        return {
            "class": "H5T_COMPOUND",
            "fields": [{"name": name, "type": _type(dtype[name])} for name in dtype.names],
        }
    if dtype.kind == "O":
        return dict(_STRING)
    if dtype.kind == "b":
        base = {"class": "H5T_INTEGER", "base": "H5T_STD_I8LE"}
        members = [{"name": "FALSE", "value": 0}, {"name": "TRUE", "value": 1}]
        return {"class": "H5T_ENUM", "base": base, "mapping": {"FALSE": 0, "TRUE": 1}, "members": members}
    if dtype.kind == "c":
        part = _type(np.dtype(f"<f{dtype.itemsize // 2}"))
        return {"class": "H5T_COMPOUND", "fields": [{"name": name, "type": part} for name in "ri"]}
    if dtype.kind == "f":
        return {"class": "H5T_FLOAT", "base": f"H5T_IEEE_F{8 * dtype.itemsize}LE"}
    return {"class": "H5T_INTEGER", "base": f"H5T_STD_{dtype.kind.upper()}{8 * dtype.itemsize}LE"}


def _shape(array: npt.NDArray[Any]) -> dict[str, Any]:
    if array.ndim == 0:
        return {"class": "H5S_SCALAR"}
    return {"class": "H5S_SIMPLE", "dims": list(array.shape)}


def _plain(array: npt.NDArray[Any]) -> Any:
    """Values as JSON has them: truth values as numbers, complex numbers as pairs, NaN as Python's JSON writes it."""
    if array.dtype.kind == "b":
        array = array.astype(np.int8)
    elif array.dtype.kind == "c":
        array = np.stack([array.real, array.imag], axis=-1)
    return array.tolist()


def _value(array: npt.NDArray[Any], asked: Mapping[str, str], binary: bool, method: str, body: bytes) -> Answer:
    select = asked.get("select")
    points: npt.NDArray[Any] | None = None
    if method == "POST" and body[:1] == b"{":
        try:
            select = str(json.loads(body).get("select", select))
        except (ValueError, AttributeError):
            raise _BadRequest("the request is not JSON") from None
    elif method == "POST" and body:
        size = 8 * max(1, array.ndim)
        if len(body) % size:
            raise _BadRequest(f"points of {array.ndim} dimensions have {size} bytes each")
        points = np.frombuffer(body, "<u8").reshape(-1, max(1, array.ndim))
    try:
        where: Any = tuple(points.T.astype(np.int64)) if points is not None else _slices(select, array.shape)
        found = np.asarray(array[where], array.dtype)
    except IndexError:
        raise _BadRequest(f"the selection is outside of the dataset's shape {array.shape}") from None
    if binary and found.dtype.kind != "O":
        little = found.astype(found.dtype.newbyteorder("<"), order="C")
        return Answer("200 OK", "application/octet-stream", little.tobytes())
    return _json({"value": _plain(found), "hrefs": []})


def _slices(select: str | None, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """``[0:4,2,::3]`` as slices; a single number is a slice of one, so that no dimension goes."""
    if not select:
        return ()
    parts = select.strip().removeprefix("[").removesuffix("]").split(",")
    if len(parts) != len(shape):
        raise _BadRequest(f"select={select!r} has {len(parts)} dimensions, the dataset {len(shape)}")
    found = []
    for part, size in zip(parts, shape, strict=True):
        try:
            numbers = [int(one) if one.strip() else None for one in part.split(":")]
        except ValueError:
            raise _BadRequest(f"select={select!r}: {part!r} is not start:stop:step") from None
        if len(numbers) > 3 or any(one is not None and one < 0 for one in numbers) or numbers[2:] == [0]:
            raise _BadRequest(f"select={select!r}: {part!r} is not start:stop:step")
        if len(numbers) == 1:
            first = numbers[0]
            if first is None or first >= size:
                raise IndexError
            found.append(slice(first, first + 1))
        else:
            start, stop, step = (*numbers, None)[:3]
            found.append(slice(start, stop, step))
    return tuple(found)


def _json(value: Any) -> Answer:
    return Answer("200 OK", "application/json", json.dumps(value).encode())


def _error(status: str, message: str) -> Answer:
    return Answer(status, "application/json", json.dumps({"error": message}).encode())


class HdfServer:
    """Serves results on this machine. A context manager, which closes twice without complaint.

    Args:
        app: what answers.
        port: where; 0 for any free one.

    Raises:
        PipertError: the port is taken.
    """

    def __init__(self, app: HdfRest, port: int = 0) -> None:
        from werkzeug.serving import make_server

        try:
            listening = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno is not None else str(error)
            raise PipertError(f"results cannot be served at port {port}: {reason}") from None
        with listening:
            self._server: Any = make_server(
                "127.0.0.1", port, app, threaded=True, request_handler=_quiet_handler(), fd=listening.fileno()
            )
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="pipert2-results", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join(5.0)
            server.server_close()

    def __enter__(self) -> HdfServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _quiet_handler() -> Any:
    from werkzeug.serving import WSGIRequestHandler

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: Any) -> None:
            pass

    return Quiet
