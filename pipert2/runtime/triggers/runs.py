"""What is kept of a triggered routine's runs, where the pipe has a store: so that none is lost, and none repeated."""

from __future__ import annotations

from typing import Any

from pipert2.store import Store
from pipert2.store.ledger import Run, RunOutcome


class TriggerRuns:
    """The runs of one routine, and the state of its trigger.

    Args:
        store: where; None: nothing is kept.
        name: the routine's.
    """

    def __init__(self, store: Store | None, name: str) -> None:
        self._store = store
        self._name = name

    def resume(self) -> tuple[dict[str, Any] | None, int]:
        """The state of the trigger as it was left, and how many runs were interrupted."""
        if self._store is None:
            return None, 0
        return self._store.trigger_state(self._name), self._store.runs.interrupt(self._name)

    def last(self) -> int:
        """The number of the newest run that is kept; 0 if there is none."""
        runs = [] if self._store is None else self._store.runs.list(self._name, 1)
        return runs[0].number if runs else 0

    def save(self, state: dict[str, Any]) -> None:
        """Keep the state of the trigger."""
        if self._store is not None:
            self._store.save_trigger_state(self._name, state)

    def begin(self, due: float, state: dict[str, Any]) -> Run | None:
        """A run begins."""
        return None if self._store is None else self._store.runs.begin(self._name, due, state)

    def end(self, run: Run | None, outcome: RunOutcome, text: str, state: dict[str, Any]) -> None:
        """A run has ended."""
        if self._store is not None and run is not None:
            self._store.runs.end(run, outcome, text, state)
