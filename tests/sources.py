"""Sources that several tests need."""

from __future__ import annotations

from typing import Any

from pipert2.testing import ListSource


class OpenList(ListSource):
    """A list whose stream does not end, so that what was sent can be worked on again."""

    def main_logic(self) -> Any:
        if self._next == len(self._items):
            self.wait(60.0)
            return None
        return super().main_logic()
