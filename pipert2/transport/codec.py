"""Data to bytes and back: pickle protocol 5 with arrays' memory out of band."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import numpy as np

from pipert2.errors import UnsendableDataError

PROTOCOL = 5


def _reduce_array(array: np.ndarray[Any, Any]) -> Any:
    """NumPy sends contiguous arrays out of band only; make the others so first, else they are copied three times."""
    if not (array.flags.c_contiguous or array.flags.f_contiguous or array.dtype.hasobject):
        array = np.ascontiguousarray(array)
    return array.__reduce_ex__(PROTOCOL)


class _Pickler(pickle.Pickler):
    dispatch_table = {np.ndarray: _reduce_array}


class Encoder:
    """Turns data into a pickle stream and the buffers that go beside it. One for each sending routine.

    What plain pickle cannot send by reference (classes and functions of ``__main__``, lambdas, local classes) is sent
    by value, which is slower.
    """

    __slots__ = ("_buffers", "_file", "_pickler", "by_value")

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._buffers: list[pickle.PickleBuffer] = []
        self._pickler = _Pickler(self._file, PROTOCOL, buffer_callback=self._buffers.append)
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
            self._pickler = _Pickler(self._file, PROTOCOL, buffer_callback=self._buffers.append)
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
        raise UnsendableDataError(type(data).__name__, f"{type(error).__name__}: {error}") from error


loads: Callable[..., Any] = pickle.loads


def dumps_plain(data: Any) -> bytes:
    """One self-contained stream, for control messages; by value where it must be."""
    try:
        return pickle.dumps(data, PROTOCOL)
    except Exception:
        try:
            return bytes(cloudpickle.dumps(data, PROTOCOL))
        except Exception as error:
            raise UnsendableDataError(type(data).__name__, f"{type(error).__name__}: {error}") from error


def raw_views(buffers: Sequence[pickle.PickleBuffer]) -> list[memoryview]:
    """The flat bytes of each buffer."""
    return [buffer.raw() for buffer in buffers]
