"""What the contract's tests share: the cargo, and routines that send it and look at what arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from pipert2 import (
    BasicTransmitter,
    Data,
    DataTransmitter,
    EndOfStream,
    Pipe,
    RunSummary,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    events,
)
from pipert2.testing import CollectingDestination
from tests.processes import by_value

MIB = 1024 * 1024


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Framed(Data):
    frame: np.ndarray
    name: str = ""
    boxes: list[int] = field(default_factory=list)


for _class in (Pair, Framed):
    _class.__module__ = "__main__"  # as if they stood in the user's script, which flows do not import


class _ByValue:
    """Makes objects of classes that no flow can import."""

    def of_a_local_class(self) -> Any:
        class Local:
            def __init__(self) -> None:
                self.frame = pattern(10_000)
                self.number = 7

        return Local()

    def of_a_module_that_is_nowhere(self) -> Any:
        module: dict[str, Any] = {"__name__": "made_nowhere"}
        exec("class Thing:\n    def __init__(self, frame): self.frame, self.tag = frame, 'made nowhere'", module)
        return module["Thing"](pattern(3000))


def pattern(size: int, seed: int = 1) -> np.ndarray:
    """Bytes that differ from one place to the next and from one seed to another."""
    array = np.full(size, seed % 251, np.uint8)
    array[::97] = (np.arange(len(array[::97])) + seed) % 253
    return array


def _structured() -> np.ndarray:
    array = np.zeros(500, [("id", "<i4"), ("place", ">f8", (2,)), ("name", "U5")])
    array["id"], array["name"] = np.arange(500), "abcde"
    return array


def _read_only() -> np.ndarray:
    return np.frombuffer(pattern(9000).tobytes(), np.uint8)


SIZES = (0, 1, 100, 440, 480, 512, 1000, 1024, 4095, 4096, 4097, 5000, 100_000, MIB, 1080 * 1920 * 3, 64 * MIB, 10, MIB)

CARGO: dict[str, dict[str, Callable[[], Any]]] = {
    "sizes": {f"{size} B, number {at}": lambda size=size, at=at: pattern(size, at) for at, size in enumerate(SIZES)},
    "bytes": {
        f"{kind.__name__} of {size}": lambda size=size, kind=kind: kind(pattern(size).tobytes())
        for size in (0, 1, 460, 5000, MIB)
        for kind in (bytes, bytearray)
    },
    "many arrays": {
        f"{count} of {size} B": lambda count=count, size=size: [pattern(size, seed) for seed in range(count)]
        for count in (2, 20, 300)
        for size in (10, 2000)
    },
    "layouts": {
        "every other one": lambda: pattern(90_000).reshape(300, 300)[::2, ::3],
        "backwards": lambda: pattern(90_000).reshape(300, 300)[::-1, ::-1],
        "Fortran": lambda: np.asfortranarray(pattern(90_000).reshape(300, 300)),
        "axes swapped": lambda: np.moveaxis(pattern(60_000).reshape(20, 30, 100), 2, 0),
        "broadcast": lambda: np.broadcast_to(pattern(100), (50, 100)),
        "empty rows": lambda: np.zeros((0, 3), "f4"),
        "a scalar": lambda: np.array(3.5),
    },
    "kinds": {
        "structured": _structured,
        "datetimes": lambda: np.arange("2020-01-01", "2024-01-01", dtype="M8[D]"),
        "booleans": lambda: pattern(5000) > 7,
        "big-endian": lambda: np.arange(5000, dtype=">i4"),
        "complex": lambda: np.arange(5000) * 1j,
        "texts": lambda: np.array(["a", "bc", "def"] * 1000),
        "objects": lambda: np.array([None, "text", 5, {"a": 1}], object),
        "read-only": _read_only,
    },
    "containers": {
        "a frame in a dict": lambda: {"frame": pattern(50_000), "time": 1.5, "boxes": [(1, 2, 3, 4)]},
        "deep": lambda: {"a": [{"b": (pattern(6000), {"c": [pattern(10), "x" * 3000]})}], "d": {1, 2}},
        "one hundred levels": lambda: _levels(100),
        "nothing in it": dict,
        "texts": lambda: ["", "text", "text with \u00e9 and \U0001f600" * 500],
        "numbers": lambda: [0, -1, 2**200, 1.5, float("inf"), 1 + 2j, True],
        "a named tuple": lambda: Pair(pattern(7000), "right"),
    },
    "classes": {
        "of the script": lambda: Framed(pattern(20_000), "left", [1, 2]),
        "local": _ByValue().of_a_local_class,
        "of a module that is nowhere": _ByValue().of_a_module_that_is_nowhere,
    },
}
NAMES = [(group, name) for group, cargo in CARGO.items() for name in cargo]


def _levels(count: int) -> Any:
    return "bottom" if count == 0 else [_levels(count - 1), count]


def difference(one: Any, other: Any, where: str = "it") -> str:
    """Where and how two things differ; empty if they do not."""
    if type(one).__name__ != type(other).__name__:
        return f"{where} is {type(one).__name__}, not {type(other).__name__}"
    if isinstance(one, np.ndarray):
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            return f"{where} is {one.dtype}{one.shape}, not {other.dtype}{other.shape}"
        equal = one.tolist() == other.tolist() if one.dtype.hasobject else np.array_equal(one, other)
        return "" if equal else f"{where} has other values"
    if isinstance(one, dict):
        if list(one) != list(other):
            return f"{where} has keys {list(one)}, not {list(other)}"
        return "".join(difference(one[key], other[key], f"{where}[{key!r}]") for key in one)
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return f"{where} has {len(one)} items, not {len(other)}"
        return "".join(difference(*pair, f"{where}[{at}]") for at, pair in enumerate(zip(one, other, strict=True)))
    if hasattr(one, "__dict__") and not isinstance(one, type):
        return difference(vars(one), vars(other), where)
    return "" if one == other else f"{where} is {one!r:.100}, not {other!r:.100}"


def arrays_in(data: Any) -> list[np.ndarray]:
    """All arrays without Python objects in them, however deep."""
    if isinstance(data, np.ndarray):
        return [] if data.dtype.hasobject else [data]
    if isinstance(data, dict):
        return [array for value in data.values() for array in arrays_in(value)]
    if isinstance(data, list | tuple):
        return [array for value in data for array in arrays_in(value)]
    return arrays_in(vars(data)) if hasattr(data, "__dict__") and not isinstance(data, type) else []


class Sender(SourceRoutine):
    """Sends all the cargo; with *readers*, each piece when all of them have said that they have the one before."""

    def __init__(self, readers: Sequence[str]) -> None:
        super().__init__("sender")
        self.readers = tuple(readers)

    def setup(self) -> None:
        self.at = 0
        self.missing: set[str] = set()

    @events("ARRIVED")
    def arrived(self, reader: str, at: int) -> None:
        if at == self.at - 1:
            self.missing.discard(reader)

    def main_logic(self) -> Any:
        if self.missing:
            self.wait(5.0)
            return None
        if self.at == len(NAMES):
            raise EndOfStream
        group, name = NAMES[self.at]
        self.at += 1
        self.missing = set(self.readers)
        return CARGO[group][name]()


@dataclass
class Found:
    """What one reader found about one piece of cargo."""

    group: str
    name: str
    difference: str
    writable: tuple[bool, ...]
    while_held: str


class Reader(CollectingDestination):
    """Compares what arrives with what should, holds it for a while, and compares again.

    With *scribbles* it then overwrites all arrays that it may.
    """

    def __init__(self, name: str, *, says_so: bool, scribbles: bool = False, holds: int = 3) -> None:
        super().__init__(name)
        self.says_so = says_so
        self.scribbles = scribbles
        self.holds = holds

    def setup(self) -> None:
        super().setup()
        self.at = 0
        self.held: list[tuple[Any, Found]] = []

    def main_logic(self, data: Any) -> None:
        group, name = NAMES[self.at]
        writable = tuple(array.flags.writeable for array in arrays_in(data) if array.size)
        found = Found(group, name, difference(data, CARGO[group][name]()), writable, "")
        if self.scribbles:
            for array in arrays_in(data):
                if array.flags.writeable:
                    array[...] = np.zeros_like(array)
            super().main_logic(astuple(found))
        else:
            self.held.append((data, found))
            if len(self.held) > self.holds:
                self._let_go()
        if self.says_so:
            self.notify_event("ARRIVED", {"near": ["sender"]}, reader=self.name, at=self.at)
        self.at += 1

    def _let_go(self) -> None:
        data, found = self.held.pop(0)
        found.while_held = difference(data, CARGO[found.group][found.name]())
        super().main_logic(astuple(found))

    def cleanup(self) -> None:
        while self.held:
            self._let_go()
        super().cleanup()


@dataclass
class Journey:
    """All the cargo, sent through one pipe, and what each reader found."""

    transmitter: DataTransmitter
    summary: RunSummary
    found: dict[str, list[Found]]

    def of(self, reader: str, group: str) -> list[Found]:
        return [found for found in self.found[reader] if found.group == group]


TRANSMITTERS = {"basic": BasicTransmitter(), "shared memory": SharedMemoryTransmitter()}


@pytest.fixture
def _by_value() -> Iterator[None]:
    """Routines defined here travel to flows by value, as those of a user's script do."""
    with by_value():
        yield


@pytest.fixture(params=["inline", "processes"])
def inline(request: pytest.FixtureRequest, _by_value: None) -> bool:
    """Whether the pipe runs in this process."""
    return bool(request.param == "inline")


@pytest.fixture(
    scope="session",
    params=[
        (place, rule, transmitter)
        for place in ("inline", "processes")
        for rule in ("real-time", "lossless")
        for transmitter in TRANSMITTERS
    ],
    ids="-".join,
)
def journey(request: pytest.FixtureRequest) -> Journey:
    """The cargo's way to three readers: one beside the sender, two in another flow, of which one scribbles."""
    place, rule, transmitter = request.param
    real_time = rule == "real-time"
    readers = [
        Reader("beside", says_so=real_time),
        Reader("scribbling", says_so=real_time, scribbles=True),
        Reader("holding", says_so=real_time),
    ]
    sender = Sender([reader.name for reader in readers] if real_time else [])
    pipe = Pipe(inline=place == "inline", lossless=not real_time, data_transmitter=TRANSMITTERS[transmitter])
    pipe.create_flow("near", False, sender, readers[0])
    pipe.create_flow("far", False, *readers[1:])
    pipe.link(Wire(sender, readers, capacity=None if real_time else 8))
    with by_value():
        summary = pipe.run(timeout=60.0)
    found = {reader.name: [Found(*item) for item in reader.items()] for reader in readers}
    return Journey(TRANSMITTERS[transmitter], summary, found)
