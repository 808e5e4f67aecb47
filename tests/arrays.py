"""What tests of arrays in shared memory ask of them."""

from __future__ import annotations

import numpy as np


def address_of(array: np.ndarray) -> int:
    """Where an array's memory begins."""
    return int(array.__array_interface__["data"][0])
