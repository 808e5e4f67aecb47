"""Does a document have the keys and types that it should have? What can be used in spite of mistakes is kept."""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipert2.document.findings import Findings, Place
from pipert2.document.model import (
    FlowDocument,
    NetworkDocument,
    PipeDocument,
    RestartDocument,
    RoutineDocument,
    TransmitterDocument,
    WireDocument,
)
from pipert2.errors import nearest

Path = tuple[str | int, ...]

_HARMLESS = {
    "options",
    "parameters",
    "data_transmitter",
    "capacity",
    "restart",
    "hang_timeout",
    "kill_timeout",
    "auto_pacing",
    "times",
    "window",
    "backoff",
    "timeout",
    "get_block",
    "max_queue_sizes",
    "drain_timeout",
    "store",
    "config",
    "requires",
    "replicas",
    "depends_on",
    "resources",
    "host",
    "concurrency",
    "retries",
    "max_in_flight",
    "trigger",
    "where",
}
"""Keys that do not change which routines and wires there are."""

_KINDS = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
}


_TITLES: dict[type[BaseModel], str] = {
    PipeDocument: "the document",
    FlowDocument: "a flow",
    RoutineDocument: "a routine",
    WireDocument: "a wire",
    TransmitterDocument: "a data transmitter",
    NetworkDocument: "network",
    RestartDocument: "restart",
}


@dataclass(frozen=True, slots=True)
class Structure:
    """A document as far as it can be used.

    Attributes:
        whole: whether all routines and wires are in it, so that one can judge how they fit together.
    """

    document: PipeDocument
    place: Place
    whole: bool


def structured(data: Any, place: Place, findings: Findings) -> Structure | None:
    """*data* as a document; what is wrong is added to *findings* and left out. None if nothing is left."""
    data, place = copy.deepcopy(data), copy.deepcopy(place)
    whole, first = _correct_keys(data, place, (), findings), True
    while True:
        try:
            return Structure(PipeDocument.model_validate(data), place, whole)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=True)
        if first:
            for detail in found:
                _report(detail, place, findings)
        first = False
        # The last items of lists first, so that the others keep their numbers.
        targets = {_target(data, detail) for detail in found}
        if () in targets:
            return None
        for path in sorted(targets, key=lambda path: [(isinstance(step, int), step) for step in path], reverse=True):
            whole = whole and _is_harmless(path)
            _take_out(data, path)
            place.without(*path)


def _correct_keys(data: Any, place: Place, path: Path, findings: Findings) -> bool:
    """Report keys that there are not, and take them for those that were most likely meant.

    Returns:
        Whether what is left out does not change which routines and wires there are.
    """
    whole = True
    known = keys_at(path)
    if isinstance(data, dict) and known:
        for key in [key for key in data if key not in known]:
            close = nearest(key, known)
            hint = f"did you mean {close!r}?" if close else "known are " + ", ".join(known)
            findings.add(place.key(key), f"{_what(path)} has no key {key!r}: {hint}")
            if close is not None and close not in data and _is_typing_error(key, close):
                data[close] = data.pop(key)
                place.rename(key, close)
            else:
                del data[key]
                place.without(key)
                whole = whole and (close is None or close in _HARMLESS)
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, value in items:
        whole = _correct_keys(value, place.at(step), (*path, step), findings) and whole
    return whole


def _is_typing_error(key: str, meant: str) -> bool:
    return difflib.SequenceMatcher(None, key.lower(), meant).ratio() > 0.75


def part_at(path: Path) -> type[BaseModel] | None:
    """The kind of part that is at *path* in a document, None if there are plain values."""
    match path:
        case ():
            return PipeDocument
        case ("restart",):
            return RestartDocument
        case ("network",):
            return NetworkDocument
        case ("data_transmitter",) | ("flows" | "wires", _, "data_transmitter"):
            return TransmitterDocument
        case ("flows", _):
            return FlowDocument
        case ("flows", _, "routines", _):
            return RoutineDocument
        case ("wires", _):
            return WireDocument
    return None


def keys_at(path: Path) -> list[str]:
    """The keys that the part at *path* may have."""
    part = part_at(path)
    return [field.alias or name for name, field in part.model_fields.items()] if part is not None else []


def _report(detail: ErrorDetails, place: Place, findings: Findings) -> None:
    path, kind, context = tuple(detail["loc"]), detail["type"], detail.get("ctx", {})
    value = detail["input"]
    if kind == "missing":
        findings.add(place.at(*path), f"{_what(path[:-1])} needs the key {path[-1]!r}")
    elif path and path[-1] == "[key]":
        findings.add(place.key(*path[:-1]), f"a flow's name is a text of 1 to 200 characters, not {_brief(value)}")
    else:
        where = place.at(*path)
        findings.add(where, f"{_subject(path)} {_demand(kind, context, detail['msg'])}, not {_brief(value)}")


def _what(path: Path) -> str:
    """What the part at *path* is called."""
    part = part_at(path)
    return _TITLES[part] if part is not None else "this"


def _subject(path: Path) -> str:
    keys = [step for step in path if isinstance(step, str)]
    if not path or not keys:
        return "the document"
    if isinstance(path[-1], int):
        return f"an entry of {keys[-1]}"
    if part_at(path) is FlowDocument:
        return f"flow {path[-1]!r}"
    if part_at(path[:-1]) in (RestartDocument, TransmitterDocument) and path[-1] in ("times", "class"):
        return str(keys[-2])  # most likely written short
    return str(keys[-1])


def _demand(kind: str, context: dict[str, Any], message: str) -> str:
    if kind in _KINDS:
        return f"takes {_KINDS[kind]}"
    if kind == "greater_than":
        return f"is above {context['gt']:g}"
    if kind == "greater_than_equal":
        return f"is at least {context['ge']:g}"
    if kind == "less_than_equal":
        return f"is at most {context['le']:g}"
    if kind == "string_too_short":
        return "is a text that is not empty"
    if kind == "string_too_long":
        return f"is a text of {context['max_length']} characters at most"
    if kind == "too_short":
        return "has at least one entry"
    return f"is wrong ({message})"


def _target(data: Any, detail: ErrorDetails) -> Path:
    """What to take out of the document because of an error: the value, or what cannot do without it."""
    path = tuple(step for step in detail["loc"] if step != "[key]")
    if detail["type"] == "missing":
        path = path[:-1]
    while path and not _has(data, path):  # the long form of what was written short
        path = path[:-1]
    return path


def _has(data: Any, path: Path) -> bool:
    for step in path:
        if isinstance(data, list):
            inside = isinstance(step, int) and step < len(data)
        else:
            inside = isinstance(data, dict) and step in data
        if not inside:
            return False
        data = data[step]
    return True


def _take_out(data: Any, path: Path) -> None:
    if _has(data, path):
        for step in path[:-1]:
            data = data[step]
        del data[path[-1]]


def _is_harmless(path: Path) -> bool:
    key = path[-1]
    if isinstance(key, int):
        return False
    return key in _HARMLESS or path == ("name",)


def _brief(value: Any) -> str:
    text = {True: "true", False: "false", None: "nothing"}.get(value) if isinstance(value, bool | None) else repr(value)
    assert text is not None
    return text if len(text) <= 60 else text[:57] + "..."
