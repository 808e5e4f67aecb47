"""Configuration files: found by the name of a class or routine, and read, whatever of JSON, TOML and YAML they are."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipert2.errors import ConfigError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ACCEPTED = {
    ".json": 'a JSON object, such as {"interval": "10 s"}',
    ".toml": 'TOML, such as interval = "10 s"',
    ".yaml": "a YAML mapping, such as interval: 10 s",
}
_ACCEPTED[".yml"] = _ACCEPTED[".yaml"]


def find_file(folder: Path, name: str) -> Path | None:
    """The file of *name* in *folder*; only if there is none of exactly this name, one that is written otherwise.

    Raises:
        ConfigError: there are several.
    """
    there = [file for file in _files(folder) if file.stem.lower() == name.lower()]
    exact = [file for file in there if file.stem == name]
    found = exact or there
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise ConfigError(str(folder), None, f"there are several files for {name!r}: {names}", "one of them")
    return found[0] if found else None


def unused_files(folder: Path, used: Sequence[Path], names: Sequence[str]) -> list[str]:
    """A sentence for each file of *folder* that is nobody's.

    Args:
        used: the files that were read.
        names: the classes' and routines' names.
    """
    read = {file.resolve() for file in used}
    found = []
    for file in _files(folder):
        if file.resolve() not in read:
            meant = nearest(file.stem, names)
            hint = f"did you mean {meant + file.suffix!r}?" if meant else "no class and no routine is called so"
            found.append(f"{file} is used by no routine: {hint}")
    return found


def read_file(file: Path) -> dict[str, Any]:
    """What stands in *file*.

    Raises:
        ConfigError: it cannot be read, or is not what its name says.
    """
    accepted = _ACCEPTED[file.suffix.lower()]
    try:
        found = _READ[file.suffix.lower()](file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(str(file), None, f"cannot be read: {error.strerror}", "a file that may be read") from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), None, f"is no text in UTF-8: byte {error.start}", accepted) from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(str(file), None, f"cannot be read: {_one_line(error)}", accepted) from None
    if found is None and file.suffix.lower() in (".yaml", ".yml"):
        return {}
    if not isinstance(found, dict):
        raise ConfigError(str(file), None, f"holds {_kind_of(found)}", accepted)
    for path, key in _keys(found, ()):
        if not isinstance(key, str):
            where = ".".join(map(str, (*path, key)))
            raise ConfigError(str(file), where, key, "keys that are texts: write it in quotes")
    return found


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix.lower() in _ACCEPTED)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(str(folder), None, f"cannot be read: {error.strerror}", "a folder that may be read") from None


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refused)


def _refused(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} stands there twice")
        found[key] = value
    return found


class _Loader(yaml.SafeLoader):
    """As YAML 1.1 is read, but ``on``, ``off``, ``yes`` and ``no`` are texts, and no key may stand there twice."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen = set()
    for key_node, _ in node.value:
        if isinstance(key_node, yaml.ScalarNode):
            if key_node.value in seen:
                raise ValueError(f"{key_node.value!r} stands there twice, line {key_node.start_mark.line + 1}")
            seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)


_READ: dict[str, Callable[[str], Any]] = {
    ".json": _read_json,
    ".toml": tomllib.loads,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}


def _keys(found: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield path, key
            yield from _keys(value, (*path, key))
    elif isinstance(found, list):
        for number, value in enumerate(found):
            yield from _keys(value, (*path, number))


def _one_line(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno}, column {error.colno}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem}, line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _kind_of(found: object) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(found), "nothing" if found is None else f"a {type(found).__name__}")
