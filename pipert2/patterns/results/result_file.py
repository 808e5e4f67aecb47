"""Results as HDF5, readable in other processes while they grow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pipert2.errors import PipertError

Row = npt.DTypeLike | tuple[npt.DTypeLike, tuple[int, ...]]


class ResultFile:
    """A row for each event, in an HDF5 file that others can read meanwhile (SWMR), or in memory only.

    All datasets are made at the beginning, as SWMR asks for. Rows may come in any order; those that have not come are
    ``fill``. A writer that is killed leaves a file with all that was flushed; still marked as being written, it
    opens with ``h5py.File(path, swmr=True)``, or after ``h5clear -s``.

    Args:
        filename: of the raw data. Empty: nothing is saved, results are kept in memory.
        rows: by name, the type of a row: a numpy type, or type and shape of an array.
        constants: by name, values that hold for all events, such as parameters.
        suffix: what is added to the name, before its ending: results do not overwrite raw data.
        fill: in rows that have not come; NaN for floating point numbers and 0 for others if left out.
        flush: seconds after which rows become visible to readers.

    Raises:
        PipertError: the file cannot be made, or h5py is not installed.

    >>> with ResultFile("", {"intensity": "f4"}) as results:
    ...     results.put("intensity", 2, 5.0)
    ...     results.values("intensity")
    array([nan, nan,  5.], dtype=float32)
    """

    def __init__(
        self,
        filename: str | Path,
        rows: Mapping[str, Row],
        constants: Mapping[str, Any] | None = None,
        *,
        suffix: str = "_processed",
        fill: float | None = None,
        flush: float = 0.5,
    ) -> None:
        types = {name: _row(one) for name, one in rows.items()}
        self._fill = {
            name: fill if fill is not None else (np.nan if dtype.kind in "fc" else 0)
            for name, (dtype, _) in types.items()
        }
        self._flush_every, self._flushed = flush, monotonic()
        self.path = _path(filename, suffix)
        self._file: Any = None
        self._memory: dict[str, npt.NDArray[Any]] = {}
        self._length = dict.fromkeys(types, 0)
        if self.path is None:
            self._memory = {
                name: np.full((0, *shape), self._fill[name], dtype) for name, (dtype, shape) in types.items()
            }
            return
        self._file = _create(self.path)
        try:
            for name, value in (constants or {}).items():
                self._file.create_dataset(name, data=value)
            for name, (dtype, shape) in types.items():
                self._file.create_dataset(
                    name,
                    (0, *shape),
                    maxshape=(None, *shape),
                    chunks=(max(1, 8192 // max(1, int(np.prod(shape)))), *shape),
                    dtype=dtype,
                    fillvalue=self._fill[name],
                )
            self._file.swmr_mode = True
        except BaseException:
            self._file.close()
            raise

    def put(self, name: str, number: int, value: Any) -> None:
        """Set a row.

        Raises:
            PipertError: there is no such dataset, or the value does not fit into its rows.
        """
        if name not in self._length:
            raise PipertError(f"there are no results {name!r}: name them in ResultFile(rows=...)")
        try:
            if self._file is not None:
                dataset = self._file[name]
                if number >= self._length[name]:
                    dataset.resize(number + 1, axis=0)
                dataset[number] = value
            else:
                self._grow(name, number + 1)
                self._memory[name][number] = value
        except (TypeError, ValueError) as error:
            raise PipertError(f"row {number} of {name!r} cannot hold {value!r:.80}: {error}") from None
        self._length[name] = max(self._length[name], number + 1)
        if self._file is not None and monotonic() - self._flushed >= self._flush_every:
            self.flush()

    def values(self, name: str) -> npt.NDArray[Any]:
        """All rows so far."""
        if self._file is not None:
            found: npt.NDArray[Any] = self._file[name][()]
            return found
        if self.path is not None:
            raise PipertError(f"{self.path} is closed: open it with h5py to read it")
        rows: npt.NDArray[Any] = np.array(self._memory[name][: self._length[name]])
        return rows

    def flush(self) -> None:
        """Let readers see all rows."""
        if self._file is not None:
            self._file.flush()
        self._flushed = monotonic()

    def close(self) -> None:
        """Close the file; closes twice without complaint."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _grow(self, name: str, length: int) -> None:
        rows = self._memory[name]
        if length > len(rows):
            larger = np.full((max(length, 2 * len(rows), 64), *rows.shape[1:]), self._fill[name], rows.dtype)
            larger[: len(rows)] = rows
            self._memory[name] = larger


def _row(row: Row) -> tuple[np.dtype[Any], tuple[int, ...]]:
    dtype, shape = row if isinstance(row, tuple) and len(row) == 2 and isinstance(row[1], tuple) else (row, ())
    return np.dtype(dtype), tuple(shape)


def _path(filename: str | Path, suffix: str) -> Path | None:
    if not os.fspath(filename):
        return None
    path = Path(filename)
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


def _create(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise PipertError('results are written with h5py: pip install "pipert2[hdf5]"') from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return h5py.File(path, "w", libver="latest")
    except OSError as error:
        raise PipertError(f"{path} cannot be made: {error.strerror or error}") from None
