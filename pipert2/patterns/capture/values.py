"""A message's data as CBOR and back, without pickle wherever there is a way.

Plain values are what CBOR has for them. Arrays are typed arrays (RFC 8746, tags 64 to 87, 40 and 1040) where there is
such a type. Python's other types are items under tags of our own, :class:`Tag`. Dataclasses and enumerations are a name
and their fields; to be read they have to be known by that name. Only what is none of these is pickled, by itself, and
unpickled only where the reader says that it trusts the file.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import pickle
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from pipert2.patterns.capture.arrays import (
    COLUMNS,
    DTYPES,
    ROWS,
    TYPED,
    array_from,
    bytes_of,
    dtype_name,
    dtype_of,
    is_plain,
    shape_of,
)
from pipert2.patterns.capture.cbor import CborEndError, CborError, Tagged, put, take
from pipert2.patterns.capture.class_names import class_name
from pipert2.transport.codec import dumps_plain

_Array = np.ndarray[Any, np.dtype[Any]]

_TIME = 0


class Tag(IntEnum):
    """Tags of our own, and what is behind them."""

    TUPLE = 0x70720000  # an array
    SET = 0x70720001  # an array
    FROZENSET = 0x70720002  # an array
    BYTEARRAY = 0x70720003  # bytes
    COMPLEX = 0x70720004  # [real, imaginary]
    LOCAL_TIME = 0x70720005  # a text: a time without a zone
    ARRAY = 0x70720006  # [dtype, shape, order, bytes]: an array of another type
    SCALAR = 0x70720007  # [dtype, bytes]: a number of NumPy's
    RECORD = 0x70720008  # [class, {field: value}]: a dataclass, or a named tuple
    MEMBER = 0x70720009  # [class, name]: of an enumeration
    PICTURE = 0x7072000A  # [dtype, shape]: an array that lies in the channel of pictures
    PICKLE = 0x7072000B  # [class, bytes]


class UnknownTypeError(Exception):
    """Data is of a class that is not known here; *name* is ``module:class``."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class PickledError(Exception):
    """Data of the class *name* is pickled, and the file is not to be trusted."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class ValueEncoder:
    """Turns data into bytes.

    Args:
        met: is called with the name of each class of data when it is first met, and with whether it is pickled.
    """

    def __init__(self, met: Callable[[str, bool], None]) -> None:
        self._met = met
        self._known: set[str] = set()
        self._picture: _Array | None = None
        self._found = False

    def __call__(self, data: Any, picture: _Array | None = None) -> tuple[list[Any], bool]:
        """The data's bytes, in parts, and whether *picture* was met in it, which they then lack."""
        self._picture, self._found = picture, False
        try:
            parts: list[Any] = []
            put(data, parts, self._other)
        except (RecursionError, UnicodeEncodeError):
            # Nested too deep, or in a circle, or a text with half a character in it.
            self._found = False
            parts = []
            put(self._pickled(data), parts, self._other)
        finally:
            self._picture = None
        return parts, self._found

    def _other(self, value: Any) -> Any:
        if value is self._picture and value is not None:
            self._found = True
            return Tagged(Tag.PICTURE, [value.dtype.str, list(value.shape)])
        kind = type(value)
        if kind is np.ndarray:
            return _array(value) if is_plain(value.dtype) else self._pickled(value)
        maker = _MAKERS.get(kind)
        if maker is not None:
            return maker(value)
        if kind is datetime:
            return self._time(value)
        if isinstance(value, np.generic) and kind.__module__ == "numpy" and is_plain(value.dtype):
            return Tagged(Tag.SCALAR, [dtype_name(value.dtype), value.tobytes()])
        if isinstance(value, Enum) and type(value).__members__.get(value.name) is value:
            return Tagged(Tag.MEMBER, [self._class(kind), value.name])
        if _is_record(cast(Any, kind)):
            return Tagged(Tag.RECORD, [self._class(kind), _fields(value)])
        if _is_named_tuple(kind):
            return Tagged(Tag.RECORD, [self._class(kind), value._asdict()])
        return self._pickled(value)

    def _class(self, kind: type) -> str:
        name = class_name(kind)
        if name not in self._known:
            self._known.add(name)
            self._met(name, False)
        return name

    def _pickled(self, value: Any) -> Tagged:
        name = class_name(type(value))
        if f"pickled {name}" not in self._known:
            self._known.add(f"pickled {name}")
            self._met(name, True)
        return Tagged(Tag.PICKLE, [name, dumps_plain(value)])

    def _time(self, value: datetime) -> Any:
        if value.tzinfo is None and not value.fold:
            return Tagged(Tag.LOCAL_TIME, value.isoformat())
        if type(value.tzinfo) is timezone and not value.fold:
            return Tagged(_TIME, value.isoformat())
        return self._pickled(value)


def _time_with_zone(text: str) -> datetime:
    """The moment that a text says; Python takes a zone that is less than a second off UTC for UTC."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    sign, seconds = text[-16:-15], text[-15:]  # of an offset such as +00:00:00.000001
    if sign not in ("+", "-") or not seconds.startswith("00:00:00."):
        return moment
    offset = timedelta(microseconds=int(sign + seconds[9:]))
    return moment.replace(tzinfo=timezone(offset))


def _array(value: _Array) -> Tagged:
    dtype = value.dtype
    columns = value.flags.f_contiguous and not value.flags.c_contiguous
    raw = bytes_of(value.T if columns else value)
    tag = TYPED.get(dtype.str) if dtype.names is None else None
    if tag is None or value.ndim == 0:
        return Tagged(Tag.ARRAY, [dtype_name(dtype), list(value.shape), "F" if columns else "C", raw])
    if value.ndim == 1:
        return Tagged(tag, raw)
    return Tagged(COLUMNS if columns else ROWS, [list(value.shape), Tagged(tag, raw)])


_MAKERS: dict[type, Callable[[Any], Any]] = {
    tuple: lambda value: Tagged(Tag.TUPLE, list(value)),
    set: lambda value: Tagged(Tag.SET, list(value)),
    frozenset: lambda value: Tagged(Tag.FROZENSET, list(value)),
    bytearray: lambda value: Tagged(Tag.BYTEARRAY, memoryview(value)),
    complex: lambda value: Tagged(Tag.COMPLEX, [value.real, value.imag]),
}


@functools.lru_cache(maxsize=256)
def _is_record(kind: Any) -> bool:
    """Whether a class is a dataclass whose instances are just their fields and other attributes."""
    state = getattr(kind, "__getstate__", None)
    return (
        dataclasses.is_dataclass(kind)
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and (
            state is getattr(object, "__getstate__", None)
            or getattr(state, "__name__", "") == "_dataclass_getstate"
            or getattr(state, "__module__", "") == "dataclasses"
        )
        and not any(hasattr(kind, name) for name in ("__getnewargs__", "__getnewargs_ex__"))
        and kind.__new__ is object.__new__
        and copyreg.dispatch_table.get(kind) is None
        and not issubclass(kind, BaseException | dict | list | tuple | set | frozenset | str | bytes | int | float)
    )


def _is_named_tuple(kind: Any) -> bool:
    """Whether a class is a named tuple and nothing more."""
    return kind.__bases__ == (tuple,) and hasattr(kind, "_fields") and kind.__dictoffset__ == 0


def _fields(value: Any) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(value):
        try:
            found[field.name] = getattr(value, field.name)
        except AttributeError:  # it was deleted, or never set
            continue
    found.update(getattr(value, "__dict__", {}))
    return found


class ValueDecoder:
    """Turns bytes back into data.

    Args:
        types: by their names in the file, the classes that data may be of.
        allow_pickle: unpickle what is pickled, which runs whatever code its writer wanted.
    """

    def __init__(self, types: Mapping[str, type], *, allow_pickle: bool) -> None:
        self._types = types
        self._allow_pickle = allow_pickle
        self._picture: memoryview | None = None
        self._whole: dict[int, Any] = {}

    def __call__(self, message: memoryview, picture: memoryview | None = None) -> Any:
        """The data of a message.

        Args:
            message: its bytes; if they are writable, so are large arrays in it, which are views of them.
            picture: the bytes of the picture that belongs to it.

        Raises:
            CborError: these are no such bytes.
            UnknownTypeError: it is of a class that is not known.
            PickledError: it is pickled, and that is not allowed.
        """
        self._picture = picture
        try:
            value, end = take(message, 0, self._tagged)
            if end != len(message):
                raise CborError(end, "there is more behind the data")
            return _owned(value, self._whole)
        finally:
            self._picture = None
            self._whole.clear()

    def _tagged(self, tag: int, value: Any, at: int) -> Any:
        try:
            return self._made(tag, value, at)
        except (CborError, UnknownTypeError, PickledError):
            raise
        except Exception as error:
            raise CborError(at, f"tag {tag}: {type(error).__name__}: {error}") from None

    def _made(self, tag: int, value: Any, at: int) -> Any:
        if tag in DTYPES:
            return array_from(DTYPES[tag], (-1,), "C", value)
        if tag in (ROWS, COLUMNS):
            shape, flat = value
            return flat.reshape(shape_of(shape), order="C" if tag == ROWS else "F")
        if tag == Tag.PICTURE:
            name, shape = value
            if self._picture is None:
                raise CborError(at, "the picture that belongs to it is not there")
            return array_from(dtype_of(name), shape_of(shape), "C", self._picture)
        if tag == Tag.ARRAY:
            name, shape, order, raw = value
            return array_from(dtype_of(name), shape_of(shape), "F" if order == "F" else "C", raw)
        if tag == Tag.SCALAR:
            name, raw = value
            return np.frombuffer(raw, dtype_of(name), 1)[0]
        if tag == Tag.RECORD:
            name, fields = value
            return self._record(name, fields)
        if tag == Tag.MEMBER:
            name, member = value
            return self._known(name, Enum)[member]
        if tag == Tag.PICKLE:
            name, raw = value
            if not self._allow_pickle:
                raise PickledError(str(name))
            value = pickle.loads(raw)
            self._whole[id(value)] = value
            return value
        reader = _READERS.get(tag)
        if reader is None:
            raise CborError(at, f"tag {tag} is not known here")
        return reader(_owned(value, self._whole))

    def _known(self, name: str, base: type) -> Any:
        kind = self._types.get(name)
        if kind is None:
            raise UnknownTypeError(str(name))
        if base is Enum and not issubclass(kind, Enum):
            raise TypeError(f"{name} is no enumeration here")
        return kind

    def _record(self, name: str, fields: Mapping[str, Any]) -> Any:
        kind = self._known(name, object)
        if _is_named_tuple(kind):
            return kind(**{field: _owned(item, self._whole) for field, item in fields.items()})
        if not _is_record(kind):
            raise TypeError(f"{name} is no dataclass here, or one with a state of its own")
        made = object.__new__(kind)
        for field, item in fields.items():
            if field.startswith("__"):
                raise ValueError(f"a field is called {field}")
            object.__setattr__(made, field, _owned(item, self._whole))
        return made


def _owned(value: Any, whole: Mapping[int, Any] = MappingProxyType({})) -> Any:
    """*value* with the bytes that it still only views as bytes of its own; what is *whole*, by its id, has none."""
    kind = type(value)
    if kind is memoryview:
        return bytes(value)
    if kind is list and id(value) not in whole:
        for place, item in enumerate(value):
            if type(item) in _MAY_VIEW:
                value[place] = _owned(item, whole)
    elif kind is dict and id(value) not in whole:
        for key, item in value.items():
            if type(item) in _MAY_VIEW:
                value[key] = _owned(item, whole)
    return value


_MAY_VIEW = (memoryview, list, dict)


_READERS: dict[int, Callable[[Any], Any]] = {
    Tag.TUPLE: tuple,
    Tag.SET: set,
    Tag.FROZENSET: frozenset,
    Tag.BYTEARRAY: bytearray,
    Tag.COMPLEX: lambda value: complex(*value),
    Tag.LOCAL_TIME: datetime.fromisoformat,
    _TIME: _time_with_zone,
}


__all__ = ["CborEndError", "CborError", "PickledError", "UnknownTypeError", "ValueDecoder", "ValueEncoder"]
