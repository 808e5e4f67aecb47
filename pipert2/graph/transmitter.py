"""Data transmitters: how the data of a wire is placed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipert2.graph.made_with import MadeWith


class DataTransmitter:
    """How data is handed from one routine to another in another flow.

    The two ready-made ones differ in what arrives. For a way of one's own (a file, a database, a graphics card's
    memory) subclass this and override both methods: what ``transmit()`` returns is applied to the data before it is
    sent, what ``receive()`` returns to what arrives.
    """

    _made_with: MadeWith | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        # Not by an assignment, so that a subclass may be a frozen dataclass.
        object.__setattr__(self, "_made_with", MadeWith(args, kwargs))
        return self

    def transmit(self) -> Callable[[Any], Any] | None:
        """The function that turns data into what travels, or None to leave it as it is."""
        return None

    def receive(self) -> Callable[[Any], Any] | None:
        """The function that turns what travelled back into data, or None to leave it as it is."""
        return None

    @property
    def view_threshold(self) -> int | None:
        """From how many bytes on an array arrives as a view into shared memory; None: never."""
        return None


class BasicTransmitter(DataTransmitter):
    """Each receiver gets a copy of its own, which it may change."""

    def __init__(self) -> None:  # its own, or __new__ would let arguments pass
        pass

    def __repr__(self) -> str:
        return "BasicTransmitter()"


class SharedMemoryTransmitter(DataTransmitter):
    """Arrays arrive as read-only views into the one place in shared memory that the source wrote them to.

    A view stays valid for as long as it is held.

    Args:
        data_size_threshold: arrays of fewer bytes arrive as small private copies (read-only as well, so that a routine
            works alike for small and large frames).
    """

    def __init__(self, data_size_threshold: int = 5000) -> None:
        if isinstance(data_size_threshold, bool) or not isinstance(data_size_threshold, int) or data_size_threshold < 0:
            raise ValueError(f"data_size_threshold is a number of bytes, 0 or more, not {data_size_threshold!r}")
        self.data_size_threshold = data_size_threshold

    @property
    def view_threshold(self) -> int | None:
        return self.data_size_threshold

    def __repr__(self) -> str:
        return f"SharedMemoryTransmitter(data_size_threshold={self.data_size_threshold})"
