"""Which messages a routine has done already, by the keys that it gives them."""

from __future__ import annotations

from typing import Any

from pipert2.graph.routine import Routine
from pipert2.store import Store


class Keys:
    """The keys of the messages that a routine has done, in the store.

    Args:
        routine: whose they are.
        store: where they are kept.
    """

    def __init__(self, routine: Routine, store: Store) -> None:
        self._routine = routine
        self._done = store.acknowledged

    def knows(self, data: Any) -> bool:
        """Whether a message was done before."""
        key = self._routine.idempotency_key(data)
        return key is not None and self._done.has(self._routine.name, key)

    def note(self, data: Any) -> None:
        """A message is done."""
        key = self._routine.idempotency_key(data)
        if key is not None:
            self._done.add(self._routine.name, [key])
