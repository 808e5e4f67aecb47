"""Pickles of plain values and numpy arrays, read without running anything that is in them.

Some devices send pickles, and :func:`pickle.loads` would run whatever somebody sends in their name. Here the
instructions of a pickle only build values: numbers, texts, bytes, lists, dicts, arrays. An object of any other class is
left as :class:`Unknown`, which says its name.

>>> import os, pickle
>>> loads(pickle.dumps({"x": np.arange(3), "when": [1, 2.5]}))
{'x': array([0, 1, 2]), 'when': [1, 2.5]}
>>> loads(b"cos\\nsystem\\n(S'echo'\\ntR.")
Unknown('os.system')
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipert2.patterns.streams.stream_data import Buffer


class PlainPickleError(ValueError):
    """The bytes are no pickle."""


@dataclass(slots=True)
class Unknown:
    """In place of an object, or class, of which only the name is known."""

    name: str
    given: Any = field(default=(), repr=False)
    state: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Unknown({self.name!r})"


_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_PLAIN: dict[str, Callable[[], Any]] = {
    "collections.OrderedDict": dict,
    "__builtin__.bytes": bytes,
    "__builtin__.set": list,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NUMBERS_OR_TEXTS = re.compile(r"[<>=|]?[biufcSU]\d{1,5}")
_NUMPY = ("numpy.core.multiarray.", "numpy._core.multiarray.", "numpy.core.numeric.", "numpy._core.numeric.")


def loads(data: Buffer) -> Any:
    """The value that a pickle stands for.

    Raises:
        PlainPickleError: it is none.
    """
    try:
        return _Reader().read(bytes(data))
    except PlainPickleError:
        raise
    except Exception as error:  # an instruction without what it works on, of which there are many ways
        raise PlainPickleError(f"it is no pickle ({type(error).__name__}: {error})") from None


class _Reader:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name == "STOP" and len(self.stack) == 1 and self.stack[0] is not _MARK:
                return _finished(self.stack.pop(), {})
            self._do(name, argument)
        raise PlainPickleError("it has no end")

    def _do(self, name: str, argument: Any) -> None:
        stack, memo = self.stack, self.memo
        if name in _TEXTS or name in _NUMBERS or name in _BYTES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in _TUPLES:
            self._push_tuple(_TUPLES[name])
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in ("LIST", "FROZENSET"):
            stack.append(self._marked())
        elif name in ("APPENDS", "ADDITEMS"):
            items = self._marked()
            stack[-1].extend(items)
        elif name == "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        elif name in ("SETITEMS", "DICT"):
            items = self._marked()
            if name == "DICT":
                stack.append({})
            self._set(items)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._set([key, value])
        elif name == "GLOBAL":
            stack.append(Unknown(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            last, first = stack.pop(), stack.pop()
            stack.append(Unknown(f"{first}.{last}"))
        elif name in ("REDUCE", "NEWOBJ"):
            given, function = stack.pop(), stack.pop()
            stack.append(_made(function, given))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Unknown):
                stack[-1].state = state
        elif name == "POP":
            stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise PlainPickleError(f"instruction {name} does not fit there")

    def _marked(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PlainPickleError("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _push_tuple(self, size: int) -> None:
        items = self.stack[-size:]
        if len(items) < size:
            raise PlainPickleError("a tuple's items are missing")
        self.stack[-size:] = [tuple(items)]

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Unknown):
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key] = value


def _made(function: Any, given: Any) -> Any:
    if not isinstance(function, Unknown):
        raise PlainPickleError(f"{function!r:.50} cannot be called")
    if function.name in _PLAIN and not given:
        return _PLAIN[function.name]()
    if function.name == "_codecs.encode" and given[1:] == ("latin1",):
        return given[0].encode("latin1")  # how bytes were written before there was an instruction for them
    return Unknown(function.name, given)


def _finished(value: Any, known: dict[int, Any], depth: int = 0) -> Any:
    """The value with arrays in place of what they are made of; *known* are those that were looked at already."""
    if depth > 100:
        raise PlainPickleError("nested too deep")
    kind = type(value)
    if kind not in (list, dict, tuple, Unknown):
        return value
    if id(value) in known:
        return known[id(value)]
    if kind is list or kind is dict:
        known[id(value)] = value
        for key in list(value) if kind is dict else range(len(value)):
            value[key] = _finished(value[key], known, depth + 1)
        return value
    found = tuple([_finished(one, known, depth + 1) for one in value]) if kind is tuple else _numpy(value)
    known[id(value)] = found
    return found


def _numpy(value: Unknown) -> Any:
    module, _, name = value.name.rpartition(".")
    if f"{module}." not in _NUMPY:
        return value
    if name == "_reconstruct" and value.given[0].name == "numpy.ndarray":
        _, shape, dtype, fortran, raw = value.state
        return _array(raw, dtype, shape, "F" if fortran else "C")
    if name == "_frombuffer":
        raw, dtype, shape, order = value.given
        return _array(raw, dtype, shape, order)
    if name == "scalar":
        found = _array(value.given[1], value.given[0], (), "C")
        return found if isinstance(found, Unknown) else found[()]
    return value


def _array(raw: Any, made: Any, shape: Any, order: str) -> Any:
    """An array of bytes, if it is one of numbers or texts."""
    if not isinstance(made, Unknown) or made.name != "numpy.dtype" or not isinstance(raw, bytes | bytearray):
        return Unknown("numpy.ndarray")
    if not _NUMBERS_OR_TEXTS.fullmatch(str(made.given[0])):
        return Unknown(f"numpy.ndarray of {made.given[0]!r:.50}")
    dtype = np.dtype(made.given[0])
    if made.state and made.state[1] in (">", "<"):
        dtype = dtype.newbyteorder(made.state[1])
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise PlainPickleError("an array's bytes do not fit its shape")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C").copy()
