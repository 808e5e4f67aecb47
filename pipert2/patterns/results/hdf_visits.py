"""Who looks at a tree of results that grows: each sees datasets as large as it was told that they are.

>>> visits = Visits()
>>> visit = visits.begin()
>>> visits.of(visit.id_of("/curve", is_group=False)) is visit
True
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence

_SPACE = uuid.UUID("5d1a4f53-6d3a-4b8e-9a38-0e4d7c1f5b11")
_REMEMBERED = 256


class Visit:
    """One opening of the tree, as of a file. The ids of its objects begin with its number; their rest is made of their
    paths.

    A client that has been told a shape asks for the whole value without saying of what shape, and cannot do with more:
    h5pyd 1.x keeps a dataset's shape until ``refresh()``, as HDF5 does.
    """

    def __init__(self, number: int = 0) -> None:
        self._number = number
        self._told: dict[str, tuple[int, ...]] = {}

    def id_of(self, where: str, *, is_group: bool) -> str:
        """The id of the object at this path."""
        return f"{'g' if is_group else 'd'}-{self._number:08x}{_made_of(where)}"

    def tell(self, where: str, shape: Sequence[int]) -> None:
        """The visitor has been told of a dataset's shape."""
        self._told[where] = tuple(shape)

    def told(self, where: str, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape in which the visitor takes the dataset, which has *shape* now."""
        return self._told.get(where, tuple(shape))


class Visits:
    """The newest visits; of older ones it is no longer known what they were told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._visits: dict[int, Visit] = {}

    def begin(self) -> Visit:
        """The tree is opened."""
        with self._lock:
            self._count = self._count % 0xFFFFFFFF + 1
            if len(self._visits) >= _REMEMBERED:
                del self._visits[next(iter(self._visits))]
            visit = self._visits[self._count] = Visit(self._count)
        return visit

    def of(self, object_id: str) -> Visit:
        """The visit in which an object has this id."""
        try:
            number = int(object_id[2:10], 16)
        except ValueError:
            number = 0
        with self._lock:
            return self._visits.get(number) or Visit(max(number, 0))


def is_id_of(object_id: str, where: str) -> bool:
    """Whether it is the id of what is at this path, in any visit."""
    return object_id[10:] == _made_of(where)


def _made_of(where: str) -> str:
    return str(uuid.uuid5(_SPACE, where))[8:]
