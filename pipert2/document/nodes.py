"""YAML text to plain values, each with its place; nothing but text, numbers, booleans, nulls, lists and mappings.

The scalars are those of YAML 1.2's core schema, as editors read them: ``yes``, ``no`` and ``on`` are texts, ``1e3`` is
a number, and a date is a text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from pipert2.document.findings import Findings, Place

MAX_BYTES = 512 * 1024
MAX_VALUES = 50_000
"""Values in a document once its aliases are written out."""
MAX_DEPTH = 40

_PREFIX = "tag:yaml.org,2002:"
_MERGE = _PREFIX + "merge"
SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[Any, Any] = {}
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._depth >= MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_DEPTH} levels inside one another", mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


for _tag, _pattern, _first in SCALARS:
    _Loader.add_implicit_resolver(_PREFIX + _tag, re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_implicit_resolver(_MERGE, re.compile("^<<$"), ["<"])


def read_yaml(data: bytes, findings: Findings) -> tuple[Any, Place]:
    """The document's value and its places. What is wrong is added to *findings*; the value may then be incomplete."""
    if len(data) > MAX_BYTES:
        findings.add(Place(), f"the document is larger than {MAX_BYTES // 1024} KiB")
        return None, Place()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.add(_position(data[: error.start].decode("utf-8-sig")), "this is not UTF-8 text")
        return None, Place()
    node = _compose(text, findings)
    if node is None:
        if not findings:
            findings.add(Place(1, 1), "the document is empty")
        return None, Place(1, 1)
    reader = _Reader(findings)
    try:
        return reader.value(node)
    except _TooLargeError:
        findings.add(_at(node), f"the document has more than {MAX_VALUES} values once its aliases are written out")
        return None, _at(node)


def _compose(text: str, findings: Findings) -> Any:
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)
        around = f" ({error.context})" if error.context else ""
        findings.add(place, f"this is not YAML: {error.problem or error}{around}")
    except yaml.reader.ReaderError as error:
        number = error.character if isinstance(error.character, int) else ord(error.character)
        findings.add(
            _position(text[: error.position]), f"this is not YAML: the character U+{number:04X} is not allowed"
        )
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF"
        mark = loader.get_mark() if loader is not None else None
        findings.add(Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1), f"this is not YAML: {error}")
    finally:
        if loader is not None:
            loader.dispose()
    return None


def _position(before: str) -> Place:
    """The place behind the text *before*."""
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", before)
    return Place(len(lines), len(lines[-1]) + 1)


def _at(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


class _TooLargeError(Exception):
    pass


class _Reader:
    """Turns nodes into values. Aliases are written out, which *MAX_VALUES* bounds."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._left = MAX_VALUES
        self._around: set[int] = set()

    def value(self, node: yaml.Node) -> tuple[Any, Place]:
        """A node's value and its places."""
        self._spend()
        place = _at(node)
        if not node.tag.startswith(_PREFIX) or node.tag[len(_PREFIX) :] not in _KNOWN:
            self._findings.add(place, f"tags such as {_shown(node.tag)} are not allowed here")
            return None, place
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place), place
        if id(node) in self._around:
            self._findings.add(place, "this contains itself by an alias")
            return None, place
        self._around.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                inner = [self.value(item) for item in node.value]
                place.parts = [where for _, where in inner]
                return [value for value, _ in inner], place
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node, place), place
        finally:
            self._around.discard(id(node))

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooLargeError

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        parts: dict[str, Place] = {}
        merged: list[tuple[Any, Place]] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                several = isinstance(value_node, yaml.SequenceNode)
                merged += [self._merged(item) for item in (value_node.value if several else [value_node])]
                continue
            key, where = self.value(key_node)
            value, value_place = self.value(value_node)
            if not isinstance(key, str):
                self._findings.add(where, f"a key is a text, not {_brief(key)}: write it in quotes")
                continue
            if key in found:
                self._findings.add(where, f"the key {key!r} is here twice, first in line {place.keys[key].line}")
                continue
            found[key], parts[key], place.keys[key] = value, value_place, where
        for value, where in merged:
            assert isinstance(where.parts, dict)
            for key in value:
                if key not in found:
                    found[key], parts[key], place.keys[key] = value[key], where.parts[key], where.keys[key]
        place.parts = parts
        return found

    def _merged(self, node: yaml.Node) -> tuple[dict[str, Any], Place]:
        value, place = self.value(node)
        if isinstance(value, dict):
            return value, place
        if value is not None:  # else it was said already
            self._findings.add(place, "<<: takes a mapping, or a list of mappings")
        return {}, Place()

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text: str = node.value
        kind = node.tag[len(_PREFIX) :]
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text, 0 if text.startswith(("0o", "0x")) else 10)
            if kind == "float":
                return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
            if kind in ("seq", "map"):
                raise ValueError
            text.encode("utf-8")
        except UnicodeEncodeError:
            self._findings.add(place, "this text has half a character (a surrogate) in it")
            return None
        except (ValueError, KeyError):
            self._findings.add(place, f"{_brief(text)} is not of the kind {kind}")
            return None
        return text


_KNOWN = ("null", "bool", "int", "float", "str", "seq", "map", "merge")


def _shown(tag: str) -> str:
    return "!!" + tag[len(_PREFIX) :] if tag.startswith(_PREFIX) else tag


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
