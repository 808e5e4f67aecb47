"""CBOR items (RFC 8949) to bytes and back: definite lengths and shortest heads, as captures have them.

Byte strings are not copied on the way in: :func:`put` collects the parts of an item, and what :func:`take` returns of a
byte string is a view of what is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
DEEPEST = 100
"""How deep items may be nested."""

_BIG, _BIG_NEGATIVE = 2, 3
_DOUBLE = struct.Struct(">d")
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: _DOUBLE}
_CONSTANTS = {20: False, 21: True, 22: None, 23: None}


class CborError(Exception):
    """The bytes at *offset* are no CBOR item."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(offset, reason)
        self.offset = offset
        self.reason = reason


class CborEndError(CborError):
    """The bytes end within the item that begins, or goes on, at *offset*."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset, "the file ends in the middle of a record")


@dataclass(frozen=True, slots=True)
class Tagged:
    """An item with a tag, which says what it means."""

    number: int
    value: Any


def head(major: int, number: int) -> bytes:
    """The head of an item: its major type, and its value, length or tag.

    >>> head(TEXT, 3).hex(), head(BYTES, 200).hex(), head(TAG, 42877).hex()
    ('63', '58c8', 'd9a77d')
    """
    kind = major << 5
    if number < 24:
        return bytes((kind | number,))
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes((kind | info,)) + number.to_bytes(size, "big")
    raise OverflowError(f"{number} has more than 64 bits")


def put(value: Any, parts: list[Any], other: Callable[[Any], Any], depth: int = 0) -> None:
    """Add the parts of an item's bytes to *parts*.

    Args:
        value: None, bool, int, float, str, bytes, memoryview, list, dict or :class:`Tagged`; exactly these types.
        parts: gets bytes-like objects, whose concatenation is the item.
        other: is asked what to put in place of a value of another type.

    Raises:
        RecursionError: it is nested too deep.
    """
    if depth > DEEPEST:
        raise RecursionError("nested too deep")
    kind = type(value)
    if kind is str:
        text = value.encode()
        parts.append(head(TEXT, len(text)) + text)
    elif kind is int:
        parts.append(_whole(value))
    elif kind is float:
        parts.append(b"\xfb" + _DOUBLE.pack(value))
    elif value is None:
        parts.append(b"\xf6")
    elif kind is bool:
        parts.append(b"\xf5" if value else b"\xf4")
    elif kind is bytes or kind is memoryview:
        parts.append(head(BYTES, value.nbytes if kind is memoryview else len(value)))
        parts.append(value)
    elif kind is list:
        parts.append(head(ARRAY, len(value)))
        for item in value:
            put(item, parts, other, depth + 1)
    elif kind is dict:
        parts.append(head(MAP, len(value)))
        for key, item in value.items():
            put(key, parts, other, depth + 1)
            put(item, parts, other, depth + 1)
    elif kind is Tagged:
        parts.append(head(TAG, value.number))
        put(value.value, parts, other, depth + 1)
    else:
        put(other(value), parts, other, depth + 1)


def _whole(value: int) -> bytes:
    major, number = (UNSIGNED, value) if value >= 0 else (NEGATIVE, -1 - value)
    if number < 1 << 64:
        return head(major, number)
    size = (number.bit_length() + 7) // 8
    tag = _BIG if major == UNSIGNED else _BIG_NEGATIVE
    return head(TAG, tag) + head(BYTES, size) + number.to_bytes(size, "big")


def take_head(buffer: memoryview, at: int) -> tuple[int, int, int]:
    """The head at *at*: major type, number (of a float: the size's code), and where what follows begins.

    Raises:
        CborError: there is none; :class:`CborEndError` if the bytes end within it.
    """
    try:
        first = buffer[at]
    except IndexError:
        raise CborEndError(at) from None
    major, info = first >> 5, first & 31
    if info < 24:
        return major, info, at + 1
    if info > 27:
        raise CborError(at, f"byte {first:#04x} begins no item of a definite length")
    end = at + 1 + (1 << info - 24)
    if end > len(buffer):
        raise CborEndError(at)
    if major == SIMPLE:
        return major, info, at + 1
    return major, int.from_bytes(buffer[at + 1 : end], "big"), end


def take(buffer: memoryview, at: int, tagged: Callable[[int, Any, int], Any], depth: int = 0) -> tuple[Any, int]:
    """The item at *at*, and where the next one begins.

    Args:
        buffer: of bytes.
        at: where in it.
        tagged: makes a value of a tag's number, the item behind it, and where the tag is.

    Raises:
        CborError: there is none; :class:`CborEndError` if the bytes end within it.
    """
    if depth > DEEPEST:
        raise CborError(at, "items are nested too deep")
    major, number, after = take_head(buffer, at)
    if major == UNSIGNED:
        return number, after
    if major == NEGATIVE:
        return -1 - number, after
    if major == BYTES:
        view = _span(buffer, at, after, number)
        return view, after + number
    if major == TEXT:
        return text_of(_span(buffer, at, after, number), at), after + number
    if major == ARRAY:
        if number > len(buffer) - after:  # each item has a byte at least
            raise CborEndError(at)
        items = []
        for _ in range(number):
            item, after = take(buffer, after, tagged, depth + 1)
            items.append(item)
        return items, after
    if major == MAP:
        return _map(buffer, at, after, number, tagged, depth)
    if major == TAG:
        item, end = take(buffer, after, tagged, depth + 1)
        if number in (_BIG, _BIG_NEGATIVE) and isinstance(item, memoryview):
            big = int.from_bytes(item, "big")
            return (big if number == _BIG else -1 - big), end
        return tagged(number, item, at), end
    return _simple(buffer, at, after, number)


def _map(
    buffer: memoryview, at: int, after: int, number: int, tagged: Callable[[int, Any, int], Any], depth: int
) -> tuple[Any, int]:
    if 2 * number > len(buffer) - after:
        raise CborEndError(at)
    found = {}
    for _ in range(number):
        start = after
        key, after = take(buffer, after, tagged, depth + 1)
        value, after = take(buffer, after, tagged, depth + 1)
        if isinstance(key, memoryview):
            key = bytes(key)
        try:
            found[key] = value
        except TypeError:
            raise CborError(start, f"a map's key is of type {type(key).__name__}") from None
    return found, after


def _simple(buffer: memoryview, at: int, after: int, number: int) -> tuple[Any, int]:
    if number in _FLOATS and buffer[at] & 31 == number:
        layout = _FLOATS[number]
        return layout.unpack_from(buffer, after)[0], after + layout.size
    if number in _CONSTANTS:
        return _CONSTANTS[number], after
    raise CborError(at, f"byte {buffer[at]:#04x} begins no item that is known here")


def _span(buffer: memoryview, at: int, start: int, length: int) -> memoryview:
    if length > len(buffer) - start:
        raise CborEndError(at)
    return buffer[start : start + length]


def text_of(view: memoryview, at: int) -> str:
    """The text whose bytes these are."""
    try:
        return str(view, "utf-8")
    except UnicodeDecodeError:
        raise CborError(at, "a text is not UTF-8") from None
