"""Data to bytes and back: pickle protocol 5 with arrays' memory out of band."""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Callable
from typing import Any, cast

import cloudpickle
import numpy as np

from pipert2.errors import UnsendableDataError

PROTOCOL = 5


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


class Encoder:
    """Turns data into a pickle stream and the buffers that go beside it. One for each sending routine.

    What plain pickle cannot send by reference (classes and functions of ``__main__``, lambdas, local classes) is sent
    by value, which is slower.
    """

    __slots__ = ("_buffers", "_file", "_pickler", "by_value")

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._buffers: list[pickle.PickleBuffer] = []
        self._pickler = _Pickler(self._file, self._buffers)
        self.by_value = 0

    def __call__(self, data: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
        """The stream and the buffers of *data*.

        Raises:
            UnsendableDataError: it cannot be pickled, not even by value.
        """
        file = self._file
        pickler = self._pickler
        try:
            pickler.dump(data)
            stream = file.getvalue()
            buffers = self._buffers[:]
        except Exception:
            self._file = io.BytesIO()  # a dump that failed leaves the pickler in the middle of a frame
            self._buffers = []
            self._pickler = _Pickler(self._file, self._buffers)
            self.by_value += 1
            return dumps_by_value(data)
        file.seek(0)
        file.truncate()
        self._buffers.clear()
        pickler.clear_memo()
        return stream, buffers


def dumps_by_value(data: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Like an :class:`Encoder`, but definitions that the receiver cannot import travel along."""
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
