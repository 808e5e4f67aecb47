"""What an analysis can be told from outside: described, typed, checked values.

>>> values = ParameterSet([IntParameter("till_x", 2)], {"till_x": b"3"})
>>> values["till_x"].value, values.plain()
(3, {'till_x': 3})
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipert2.errors import ParameterError, PipertError, nearest
from pipert2.patterns.capture.cbor import CborError, take

Plain = str | int | float | bool | bytes


@dataclass(frozen=True, slots=True)
class _Described:
    name: str
    default: Any = None
    description: str = ""

    kind: ClassVar[type]
    what: ClassVar[str]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a parameter's name is a non-empty text, not {self.name!r}")
        default = self.kind() if self.default is None else self.default
        object.__setattr__(self, "default", self.check(default))

    @property
    def dtype(self) -> str:
        """The name of its type."""
        return self.kind.__name__

    def check(self, value: Any) -> Any:
        """*value*, if it is one that this parameter takes.

        Raises:
            ParameterError: it is not.
        """
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind or (isinstance(value, float) and not math.isfinite(value)):
            raise self._refusal(value)
        return value

    def read(self, data: bytes) -> Any:
        """The value that these bytes stand for; raises as :meth:`check`."""
        if self.kind is bytes:
            return data
        try:
            text = data.decode()
            if self.kind is bool:
                return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
            return self.check(self.kind(text))
        except (ValueError, KeyError, OverflowError):
            raise self._refusal(data.decode(errors="replace")) from None

    def write(self, value: Any) -> bytes:
        """A value as bytes, as :meth:`read` takes them."""
        return value if isinstance(value, bytes) else str(value).encode()

    def _refusal(self, value: Any) -> ParameterError:
        return ParameterError("the analysis", self.name, value, f"takes {self.what} ({self.dtype})")


class StrParameter(_Described):
    """A text."""

    kind, what = str, "a text"


class IntParameter(_Described):
    """A whole number."""

    kind, what = int, "a whole number"


class FloatParameter(_Described):
    """A number."""

    kind, what = float, "a number"


class BoolParameter(_Described):
    """True or false."""

    kind, what = bool, "true or false"


class BinaryParameter(_Described):
    """Bytes: the content of a file."""

    kind, what = bytes, "bytes"


Description = StrParameter | IntParameter | FloatParameter | BoolParameter | BinaryParameter
_BY_TYPE: dict[type, Callable[..., Any]] = {
    str: StrParameter,
    int: IntParameter,
    float: FloatParameter,
    bool: BoolParameter,
    bytes: BinaryParameter,
}


@dataclass(frozen=True, slots=True)
class WorkParameter:
    """A parameter as an analysis gets it: ``parameters["till_x"].value``; *data* is the same as bytes."""

    name: str
    data: bytes
    value: Any


class ParameterSet(Mapping[str, WorkParameter]):
    """The values that hold for an event; *hash* tells sets apart by what is in them.

    Args:
        descriptions: what there is; of two of one name the first holds.
        given: values as bytes, by name; defaults hold for the others.

    Raises:
        ParameterError: a value does not fit its description.
    """

    def __init__(self, descriptions: Iterable[Any], given: Mapping[str, bytes] | None = None) -> None:
        self.descriptions: dict[str, Any] = {}
        for one in descriptions:
            self.descriptions.setdefault(one.name, one)
        self._values: dict[str, WorkParameter] = {}
        for name, one in self.descriptions.items():
            value = one.default if given is None or name not in given else one.read(given[name])
            self._values[name] = WorkParameter(name, one.write(value), value)
        self.hash = self._hash()

    def changed(self, values: Mapping[str, Plain]) -> ParameterSet:
        """The set with some other values; raises :class:`ParameterError`."""
        given = {name: one.data for name, one in self._values.items()}
        given.update(
            {name: self.descriptions[name].write(self.descriptions[name].check(values[name])) for name in values}
        )
        return ParameterSet(self.descriptions.values(), given)

    def plain(self) -> dict[str, Plain]:
        """The values by name."""
        return {name: one.value for name, one in self._values.items()}

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for name in sorted(self._values):
            for part in (name.encode(), self._values[name].data):
                digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()

    def __getitem__(self, name: str) -> WorkParameter:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"ParameterSet({self.plain()!r})"


def described(target: Any) -> list[Any]:
    """The parameters that an analysis has: what its ``describe_parameters`` returns; of a plain function the arguments
    with a default that is a text, number, truth value or bytes.

    Raises:
        PipertError: it describes something else.
    """
    describe = getattr(target, "describe_parameters", None)
    if describe is not None:
        found = list(describe())
        for one in found:
            if not isinstance(one, _Described):
                raise PipertError(
                    f"{target.__name__}.describe_parameters() returns a list of parameters such as "
                    f'IntParameter("till_x", 2), not {one!r:.80}'
                )
        return found
    if inspect.isclass(target):
        return []
    return [
        _BY_TYPE[type(one.default)](one.name, one.default)
        for one in inspect.signature(target).parameters.values()
        if type(one.default) in _BY_TYPE
    ]


def read_parameters(path: str | Path) -> dict[str, bytes]:
    """The values in a file as bytes, by name: a list of ``{"name": ..., "data": ...}`` as JSON, or with bytes as CBOR;
    or a JSON object of values by name.

    Raises:
        PipertError: it cannot be read, or holds something else.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise PipertError(f"the parameters in {path} cannot be read: {error.strerror}") from None
    content = _content(path, raw)
    if isinstance(content, dict):
        content = [{"name": name, "data": data} for name, data in content.items()]
    if not isinstance(content, list):
        raise PipertError(f'{path} holds a list of {{"name": ..., "data": ...}}, not {content!r:.80}')
    found = {}
    for at, one in enumerate(content):
        name, data = (one.get("name"), one.get("data")) if isinstance(one, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(data, str | int | float | memoryview):
            raise PipertError(f'{path}, entry {at}: {{"name": a text, "data": a text or number}}, not {one!r:.80}')
        found[name] = bytes(data) if isinstance(data, memoryview) else str(data).encode()
    return found


def _content(path: str | Path, raw: bytes) -> Any:
    """What is in a file: CBOR begins with a byte that no JSON text begins with."""
    if raw[:1] >= b"\x80":
        try:
            return take(memoryview(raw), 0, lambda number, value, at: value)[0]
        except CborError as error:
            raise PipertError(f"the parameters in {path} are damaged at byte {error.offset}: {error.reason}") from None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise PipertError(f"the parameters in {path} are not JSON ({error})") from None


def unknown_names(given: Iterable[str], descriptions: Iterable[Any]) -> list[str]:
    """For each name that no description has a sentence about it."""
    known = [one.name for one in descriptions]
    found = []
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(map(repr, known)) or 'none'}"
            found.append(f"the analysis has no parameter {name!r}: {hint}")
    return found
