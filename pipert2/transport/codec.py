"""Data to bytes and back: pickle protocol 5 with arrays' memory out of band."""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import cloudpickle
import numpy as np

from pipert2.errors import UnsendableDataError

PROTOCOL = 5

_Array = np.ndarray[Any, np.dtype[Any]]


def _reduce_array(array: np.ndarray[Any, Any]) -> Any:
    """Like NumPy's own way, but quicker, and with the memory out of band whatever the layout or dtype.

    NumPy does that for contiguous arrays of some dtypes only, and copies the others three times.
    """
    dtype = array.dtype
    if dtype.hasobject:
        return array.__reduce_ex__(PROTOCOL)
    if not array.nbytes:
        return np.empty, (array.shape, dtype)
    if not array.flags.forc:
        array = np.ascontiguousarray(array)
    order = "C" if array.flags.c_contiguous else "F"
    shape = array.shape
    if dtype.kind in _PLAIN_KINDS and dtype.isnative:
        return array_from, (pickle.PickleBuffer(cast(Any, array)), dtype.char, shape, order)
    flat = (array if order == "C" else array.T).reshape(-1).view(np.uint8)
    return array_from, (pickle.PickleBuffer(cast(Any, flat)), dtype, shape, order)


_PLAIN_KINDS = "biufc"


def array_from(
    buffer: Any, dtype: str | np.dtype[Any], shape: tuple[int, ...], order: Any
) -> np.ndarray[Any, np.dtype[Any]]:
    """The array that :func:`_reduce_array` took apart; writable if its memory is the receiver's own."""
    if type(buffer) is memoryview and type(buffer.obj) is bytearray:
        buffer = buffer.obj  # pickle protects what was read-only at the sender
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, buffers: list[pickle.PickleBuffer]) -> None:
        # A plain dict, which the pickler in C looks things up in directly; made before it looks for it.
        self.dispatch_table = {**copyreg.dispatch_table, np.ndarray: _reduce_array}
        super().__init__(file, PROTOCOL, buffer_callback=buffers.append)


class Encoded(NamedTuple):
    """Data without arrays as an encoder has left it, for those who pass it on and have no use for what it says.

    Attributes:
        flat, stream: what :class:`Encoder` returns.
    """

    flat: bool
    stream: bytes | memoryview

    def open(self) -> Any:
        """The data; raises whatever unpickling it raises."""
        return unflatten(self.stream, ()) if self.flat else loads(self.stream)


def opened(data: Any) -> Any:
    """Data itself, whether or not it is :class:`Encoded`."""
    return data.open() if type(data) is Encoded else data


class Encoder:
    """Turns data into a pickle stream and the arrays that go beside it. One for each sending routine.

    Data that is an array, or a dict or dataclass with arrays directly in it, is taken apart here (:func:`flatten`):
    that runs a third of the code that pickle does for arrays, which counts where the caches are cold because a frame
    has just been filled. What plain pickle cannot send by reference (classes and functions of ``__main__``, lambdas,
    local classes) is sent by value, which is slower.
    """

    __slots__ = ("_buffers", "_file", "_flat_failures", "_pickler", "by_value")

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._buffers: list[pickle.PickleBuffer] = []
        self._pickler = _Pickler(self._file, self._buffers)
        self._flat_failures = 0
        self.by_value = 0

    def __call__(self, data: Any) -> tuple[bool, bytes, list[_Array]]:
        """Whether it was flattened, the stream, and the arrays beside it, whose memory goes along as it lies.

        Raises:
            UnsendableDataError: it cannot be pickled, not even by value.
        """
        kind = type(data)
        if kind is dict and _ATOMS.issuperset(map(type, data.values())):
            try:
                return False, pickle.dumps(data, PROTOCOL), []
            except Exception:  # a key is no atom, and has to go by value
                pass
        elif kind is Encoded:
            return data.flat, bytes(data.stream), []
        elif (kind is not dict or np.ndarray in map(type, data.values())) and self._flat_failures < _FLAT_TRIES:
            flat = flatten(data)
            if flat is not None:
                nested: list[pickle.PickleBuffer] = []
                try:
                    stream = pickle.dumps(flat[0], PROTOCOL, buffer_callback=nested.append)
                except Exception:
                    nested.append(pickle.PickleBuffer(b""))
                if not nested:
                    return True, stream, flat[1]
                self._flat_failures += 1
        file = self._file
        pickler = self._pickler
        try:
            pickler.dump(data)
            stream = file.getvalue()
        except Exception:
            self._file = io.BytesIO()  # a dump that failed leaves the pickler in the middle of a frame
            self._buffers = []
            self._pickler = _Pickler(self._file, self._buffers)
            self.by_value += 1
            stream, buffers = dumps_by_value(data)
            return False, stream, [_array_of(buffer) for buffer in buffers]
        file.seek(0)
        file.truncate()
        pickler.clear_memo()
        if not self._buffers:
            return False, stream, []
        arrays = [_array_of(buffer) for buffer in self._buffers]
        self._buffers.clear()
        return False, stream, arrays


def _array_of(buffer: pickle.PickleBuffer) -> _Array:
    raw = buffer.raw()
    owner = raw.obj
    if isinstance(owner, np.ndarray) and owner.nbytes == raw.nbytes:
        return owner
    return np.frombuffer(raw, np.uint8)


def order_of(array: _Array) -> Any:
    """The order of an array's memory: ``"F"`` for Fortran's, else ``"C"`` (which others are brought into)."""
    return "C" if array.flags.c_contiguous or not array.flags.f_contiguous else "F"


_ATOMS = frozenset({int, float, bool, str, bytes, type(None)})
"""Types that every pickler knows: a third of the time is enough for a small dict of these."""
_DICT, _ARRAY = 0, 1
_FLAT_TRIES = 3  # an outlet whose data has arrays deeper inside stops trying


def flatten(data: Any) -> tuple[Any, list[_Array]] | None:
    """Data without its arrays, with what :func:`unflatten` needs to put them back, and the arrays.

    None if there are none directly in it, or it is of a kind that only pickle knows how to take apart.
    """
    kind = type(data)
    maker: Any = _DICT
    fields: Any = data
    if kind is np.ndarray:
        maker, fields = _ARRAY, {0: data}
    elif kind is not dict:
        if not _is_plain(kind):  # type: ignore[arg-type]
            return None
        maker, fields = kind, data.__dict__
    if np.ndarray not in map(type, fields.values()):
        return None
    arrays: list[_Array] = []
    layouts = []
    for name, value in fields.items():
        if type(value) is np.ndarray:
            dtype = value.dtype
            if dtype.kind not in _PLAIN_KINDS or not dtype.isnative or not value.nbytes:
                return None
            if arrays and any(value is other for other in arrays):
                return None  # pickle sends it once, and it is one again on arrival
            arrays.append(value)
            layouts.append((name, dtype.char, value.shape, order_of(value)))
    rest = dict(fields)
    for layout in layouts:
        rest[layout[0]] = None
    return (maker, rest, layouts), arrays


def unflatten(stream: Any, buffers: Sequence[Any]) -> Any:
    """The data that :func:`flatten` took apart."""
    maker, fields, layouts = pickle.loads(stream)
    for (name, dtype, shape, order), buffer in zip(layouts, buffers, strict=True):
        fields[name] = np.ndarray(shape, dtype, buffer, 0, None, order)
    if maker == _DICT:
        return fields
    if maker == _ARRAY:
        return fields[0]
    made = maker.__new__(maker)
    made.__dict__.update(fields)
    return made


@functools.lru_cache(maxsize=256)
def _is_plain(kind: Any) -> bool:
    """Whether a class is a dataclass whose instances pickle would take apart into just class and ``__dict__``."""
    return (
        dataclasses.is_dataclass(kind)
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and getattr(kind, "__getstate__", None) is getattr(object, "__getstate__", None)
        and not any(hasattr(kind, name) for name in ("__setstate__", "__getnewargs__", "__getnewargs_ex__"))
        and not any("__slots__" in vars(base) for base in kind.__mro__)
        and kind.__new__ is object.__new__
        and copyreg.dispatch_table.get(kind) is None
    )


def dumps_by_value(data: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """A pickle in which definitions that the receiver cannot import travel along, and the buffers beside it."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        return cloudpickle.dumps(data, PROTOCOL, buffer_callback=buffers.append), buffers
    except Exception as error:
        raise UnsendableDataError(f"data of type {type(data).__name__}", f"{type(error).__name__}: {error}") from error


loads: Callable[..., Any] = pickle.loads


def dumps_plain(data: Any) -> bytes:
    """One self-contained stream, for control messages; by value where it must be."""
    try:
        return pickle.dumps(data, PROTOCOL)
    except Exception:
        try:
            return bytes(cloudpickle.dumps(data, PROTOCOL))
        except Exception as error:
            raise UnsendableDataError(
                f"data of type {type(data).__name__}", f"{type(error).__name__}: {error}"
            ) from error
