"""The store as a routine with a trigger has it: it knows what is new to this routine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipert2.store.records import Record
from pipert2.store.store import Store


class RoutineStore(Store):
    """A pipe's store, in which :meth:`added` has the position of one routine.

    Args:
        store: the pipe's.
        name: the routine's; its position is kept under it, and outlives the process.
    """

    def __init__(self, store: Store, name: str) -> None:
        vars(self).update(vars(store))
        self._reader = self.reader(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_others_have_it, (self.__getstate__(),)  # elsewhere nobody knows when a run has ended

    def added(self, kind: str) -> Iterator[Record]:
        return self._reader.added(kind)

    def run_ended(self, *, completed: bool) -> None:
        """What :meth:`added` handed out in this run does not come again; unless it was not *completed*."""
        if completed:
            self._reader.commit()
        else:
            self._reader.rollback()


def _as_others_have_it(state: dict[str, Any]) -> Store:
    store = Store.__new__(Store)
    store.__setstate__(state)
    return store
