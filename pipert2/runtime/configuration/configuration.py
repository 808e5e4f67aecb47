"""Configuration: a routine's settings, from its declaration, files, the environment and events, in layers."""

from __future__ import annotations

import copy
import difflib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipert2.errors import nearest
from pipert2.graph.parameter import Parameter, plain_value
from pipert2.runtime.configuration.check import KNOWN, Declared, level_name
from pipert2.runtime.triggers.phrases import trigger
from pipert2.runtime.triggers.triggers import Trigger

PREFIX = "PIPERT_"
_VARIABLE = re.compile(r"(PIPERT2?_)(.+?)__(.+)")
_OWN, _DECLARED = "the routine's trigger", "declared"
_SECRET = re.compile("password|passwd|secret|token|api_?key|credential", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings that stand in one place, *origin*: a file, a variable, ``declared`` or an event."""

    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a setting comes from.

    Attributes:
        key: with dots where it lies deeper: ``limits.cpu``.
        value: what holds; ``"***"`` if the key says that it is a secret.
        origin: the file, the variable or the event that says so; ``declared`` if it is the routine's default.
        hides: origins and values that it takes the place of, the weakest first.
    """

    key: str
    value: Any
    origin: str
    hides: tuple[tuple[str, Any], ...] = ()


class Configuration(Mapping[str, Any]):
    """A routine's settings: a mapping that cannot be changed, but changed copies of which can be made.

    Args:
        layers: from the weakest to the strongest; mappings are merged, all else is replaced.
        declared: what the routine says of its settings.

    Raises:
        ConfigError: a value cannot be used.
    """

    def __init__(self, layers: Sequence[Layer], declared: Declared, files: Sequence[Path] = ()) -> None:
        self._layers = tuple(layers)
        self._declared = declared
        self.files = tuple(files)
        warnings: list[str] = []
        values: dict[str, Any] = {}
        for layer in self._layers:
            if layer.origin == _DECLARED:
                declared.check({key: layer.values[key] for key in KNOWN if key in layer.values}, layer.origin)
            else:
                warnings += declared.check(layer.values, layer.origin)
            _merge(values, layer.values)
        if "log_level" in values:
            values["log_level"] = level_name(values["log_level"])
        self._values = values
        self.warnings = tuple(warnings)

    @classmethod
    def load(
        cls,
        folder: str | Path | None,
        classes: Sequence[type | str],
        name: str,
        *,
        environment: Mapping[str, str] | None = None,
        defaults: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Parameter[Any]] | None = None,
        interval: Trigger | None = None,
    ) -> Configuration:
        """The settings of one routine.

        Args:
            folder: where the files are, ``CLASS.json`` and ``NAME.toml`` or ``.yaml``; neither it nor they must be
                there. None: no files.
            classes: the routine's class and its base classes, in the order of its ``__mro__``.
            name: the routine's name.
            environment: variables; those like ``PIPERT_CLASS__KEY`` or ``PIPERT_NAME__LIMITS__CPU`` count.
            defaults: the keys that the routine declares, with defaults: then there may be no others.
            parameters: the routine's parameters.
            interval: the routine's own trigger, if it has one.

        Raises:
            ConfigError: a file cannot be read, or a value cannot be used; names file, key, value and what is accepted.
        """
        declared = Declared(defaults, parameters or {})
        layers = [Layer(_DECLARED, {"log_level": "INFO", **(defaults or {})})]
        if interval is not None:
            layers.insert(0, Layer(_OWN, {"interval": str(interval)}))
        files = []
        names = list(dict.fromkeys([*_class_names(classes), name]))
        if folder is not None:
            # Here, because a flow's process, which reads no files, has no use for YAML and TOML.
            from pipert2.runtime.configuration.files import find_file, read_file

            for found in names:
                file = find_file(Path(folder), found)
                if file is not None and file not in files:
                    files.append(file)
                    layers.append(Layer(str(file), read_file(file)))
        merged: dict[str, Any] = {key: plain_value(one.default) for key, one in declared.parameters.items()}
        for layer in layers:
            _merge(merged, layer.values)
        layers += _environment_layers(names, environment or {}, merged, declared.keys)
        return cls(layers, declared, files)

    def changed(self, values: Mapping[str, Any], origin: str = "configure") -> Configuration:
        """A copy in which *values* hold as well, before all others.

        Raises:
            ConfigError: one of them cannot be used; this configuration stays as it is.
        """
        below, own = self._layers, copy.deepcopy(dict(values))
        if below and below[-1].origin == origin:  # one layer for all that was changed since
            merged: dict[str, Any] = {}
            _merge(merged, below[-1].values)
            _merge(merged, own)
            below, own = below[:-1], merged
        return Configuration((*below, Layer(origin, own)), self._declared, self.files)

    @property
    def log_level(self) -> int:
        """The level as ``logging`` has it."""
        return int(logging.getLevelName(self._values["log_level"])) if "log_level" in self._values else logging.INFO

    @property
    def says_log_level(self) -> bool:
        """Whether :attr:`log_level` was set, or declared by the routine, and is not just what holds anyway."""
        said = any("log_level" in layer.values for layer in self._layers if layer.origin != _DECLARED)
        return said or "log_level" in (self._declared.defaults or {})

    @property
    def interval(self) -> Trigger | None:
        """The interval that takes the place of the routine's own; None if none was set."""
        if not any("interval" in layer.values for layer in self._layers if layer.origin != _OWN):
            return None
        return trigger(self._values["interval"], where="configuration", key="interval")

    @property
    def parameters(self) -> dict[str, Any]:
        """First values of parameters that were set here, as the parameters keep them."""
        found = self._declared.parameters
        return {key: found[key].check("", value) for key, value in self._values.items() if key in found}

    def explain(self) -> list[Setting]:
        """Each setting with its origin, and what it takes the place of."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for layer in self._layers:
            for key, value in _leaves(layer.values, ""):
                for other in [other for other in found if _covers(key, other) or _covers(other, key)]:
                    if other != key and not (isinstance(value, Mapping) and not value):
                        del found[other]
                found.setdefault(key, []).append((layer.origin, "***" if _SECRET.search(key) else value))
        return [Setting(key, values[-1][1], values[-1][0], tuple(values[:-1])) for key, values in sorted(found.items())]

    def __getitem__(self, key: str) -> Any:
        if key in self._values:
            return self._values[key]
        if key == "worker":  # as in machina, where settings lie below the kind of what they are for
            return self
        meant = nearest(key, list(self._values))
        raise KeyError(f"no setting {key!r}" + (f": did you mean {meant!r}?" if meant else ""))

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Configuration {', '.join(f'{one.key}={one.value!r}' for one in self.explain())}>"


def _class_names(classes: Sequence[type | str]) -> list[str]:
    """Names of classes whose files count, base classes first."""
    found = []
    for one in reversed(classes):
        if isinstance(one, str):
            found.append(one)
        elif one.__module__ not in ("builtins", "abc", "typing"):
            found.append(one.__name__)
    return found


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        there = into.get(key)
        if isinstance(there, dict) and isinstance(value, Mapping):
            _merge(there, value)
        elif isinstance(value, Mapping):
            into[key] = {}
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _covers(key: str, other: str) -> bool:
    return other.startswith(f"{key}.")


def _environment_layers(
    names: Sequence[str], environment: Mapping[str, str], below: dict[str, Any], known: Sequence[str]
) -> list[Layer]:
    """One layer for each variable that is about one of *names*, in their order."""
    layers = []
    for known_as in dict.fromkeys(map(_as_variable, names)):  # class and routine may differ in capitals only
        start = f"{PREFIX}{known_as}__"
        for variable in sorted(environment):
            if variable.upper().startswith(start) and len(variable) > len(start):
                path = variable[len(start) :].split("__")
                values = _value_at(path, environment[variable], below, known)
                layers.append(Layer(f"environment {variable}", values))
                _merge(below, values)
    return layers


def misspelt_variables(environment: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """A sentence for each variable that is for none of *names*, but looks as if it were meant for one of them.

    One that looks like none may be for another pipe of the same environment.
    """
    owners = list(dict.fromkeys(map(_as_variable, names)))
    meant = {variable: _meant(variable.upper(), owners) for variable in sorted(environment)}
    return [
        f"environment {variable} is used by no routine: did you mean {other}?"
        for variable, other in meant.items()
        if other is not None
    ]


def _meant(variable: str, owners: Sequence[str]) -> str | None:
    parts = _VARIABLE.fullmatch(variable)
    if parts is not None:
        prefix, owner, key = parts.groups()
        near = difflib.get_close_matches(owner, owners, n=1, cutoff=0.8)
        return f"{PREFIX}{near[0]}__{key}" if near and (prefix, owner) != (PREFIX, near[0]) else None
    for owner in owners:
        if variable.startswith(start := f"{PREFIX}{owner}_"):
            return f"{start}_{variable.removeprefix(start)}"
    return None


def _as_variable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _value_at(path: Sequence[str], text: str, below: Any, known: Sequence[str]) -> dict[str, Any]:
    there = list(below) if isinstance(below, Mapping) else []
    key = next((key for key in [*there, *known] if _as_variable(key) == path[0].upper()), path[0].lower())
    inner = below.get(key) if isinstance(below, Mapping) else None
    if len(path) > 1:
        return {key: _value_at(path[1:], text, inner, ())}
    return {key: text if isinstance(inner, str) and key != "interval" else _read_value(text)}


def _read_value(text: str) -> Any:
    """What a variable says: JSON if it is, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
