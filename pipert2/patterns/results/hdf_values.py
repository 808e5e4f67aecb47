"""Values as HDF5 knows them: arrays, their types and shapes, and parts of them, as the HDF REST interface says them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_STRING = {
    "class": "H5T_STRING",
    "charSet": "H5T_CSET_UTF8",
    "strPad": "H5T_STR_NULLTERM",
    "length": "H5T_VARIABLE",
}


class SelectionError(Exception):
    """What is selected is no part of a dataset."""


def array_of(value: Any) -> npt.NDArray[Any] | None:
    """A value as an array that HDF5 knows; None if it is none. Texts are an array of objects."""
    if isinstance(value, str):
        return np.array(value, object)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    if array.dtype.kind in "US":
        return array.astype("U").astype(object)
    if array.dtype.kind == "O":
        return array if array.size and all(isinstance(one, str) for one in array.flat) else None
    return array if _is_known(array.dtype) else None


def _is_known(dtype: np.dtype[Any]) -> bool:
    if dtype.names is not None:
        return all(_is_known(dtype[name]) for name in dtype.names)
    if dtype.subdtype is not None:
        return False
    return dtype.kind in "biuc" or (dtype.kind == "f" and dtype.itemsize <= 8)


def type_of(dtype: np.dtype[Any]) -> dict[str, Any]:
    """The type of an array's elements, as the interface describes it."""
    if dtype.names is not None:
        return {
            "class": "H5T_COMPOUND",
            "fields": [{"name": name, "type": type_of(dtype[name])} for name in dtype.names],
        }
    if dtype.kind == "O":
        return dict(_STRING)
    if dtype.kind == "b":
        base = {"class": "H5T_INTEGER", "base": "H5T_STD_I8LE"}
        members = [{"name": "FALSE", "value": 0}, {"name": "TRUE", "value": 1}]
        return {"class": "H5T_ENUM", "base": base, "mapping": {"FALSE": 0, "TRUE": 1}, "members": members}
    if dtype.kind == "c":
        part = type_of(np.dtype(f"<f{dtype.itemsize // 2}"))
        return {"class": "H5T_COMPOUND", "fields": [{"name": name, "type": part} for name in "ri"]}
    if dtype.kind == "f":
        return {"class": "H5T_FLOAT", "base": f"H5T_IEEE_F{8 * dtype.itemsize}LE"}
    return {"class": "H5T_INTEGER", "base": f"H5T_STD_{dtype.kind.upper()}{8 * dtype.itemsize}LE"}


def shape_of(array: npt.NDArray[Any]) -> dict[str, Any]:
    """The shape of an array, as the interface describes it."""
    if array.ndim == 0:
        return {"class": "H5S_SCALAR"}
    return {"class": "H5S_SIMPLE", "dims": list(array.shape)}


def plain(array: npt.NDArray[Any]) -> Any:
    """Values as JSON has them: truth values as numbers, complex numbers as pairs, NaN as Python's JSON writes it."""
    if array.dtype.kind == "b":
        array = array.astype(np.int8)
    elif array.dtype.kind == "c":
        array = np.stack([array.real, array.imag], axis=-1)
    return array.tolist()


def slices_of(select: str | None, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """``[0:4,2,::3]`` as slices; a single number is a slice of one, so that no dimension goes."""
    if not select:
        return ()
    parts = select.strip().removeprefix("[").removesuffix("]").split(",")
    if len(parts) != len(shape):
        raise SelectionError(f"select={select!r} has {len(parts)} dimensions, the dataset {len(shape)}")
    found = []
    for part, size in zip(parts, shape, strict=True):
        try:
            numbers = [int(one) if one.strip() else None for one in part.split(":")]
        except ValueError:
            raise SelectionError(f"select={select!r}: {part!r} is not start:stop:step") from None
        if len(numbers) > 3 or any(one is not None and one < 0 for one in numbers) or numbers[2:] == [0]:
            raise SelectionError(f"select={select!r}: {part!r} is not start:stop:step")
        if len(numbers) == 1:
            first = numbers[0]
            if first is None or first >= size:
                raise IndexError
            found.append(slice(first, first + 1))
        else:
            start, stop, step = (*numbers, None)[:3]
            found.append(slice(start, stop, step))
    return tuple(found)
