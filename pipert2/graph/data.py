"""The conventions for what travels on wires. Any picklable object does; these are the usual shapes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Data:
    """Base class for one's own dataclasses; ``additional_data`` is room for what a routine adds on the way.

    >>> @dataclass
    ... class Reading(Data):
    ...     celsius: float
    >>> Reading(21.5)
    Reading(additional_data={}, celsius=21.5)
    """

    additional_data: dict[str, Any] = field(default_factory=dict, init=False)


class FrameData(Data):
    """Data with a frame in it. Whoever shows frames (previews, recorders) asks for it by :meth:`get_frame`."""

    @abstractmethod
    def get_frame(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The frame: height x width (grey) or height x width x 3 (RGB) or 4 (RGBA), as a rule ``uint8``."""
