"""Numbered items in order, of those that come in any order: decisions only."""

from __future__ import annotations

from typing import Generic, TypeVar

_T = TypeVar("_T")


class InOrder(Generic[_T]):
    """Holds items back until those before them are there.

    Args:
        first: the number of the first item.
        limit: items that may be held back; when they become more, those missing before the oldest are given up.

    >>> order = InOrder(1)
    >>> order.put(2, "b"), order.put(1, "a"), order.put(3, "c")
    ([], ['a', 'b'], ['c'])
    """

    def __init__(self, first: int = 0, *, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"InOrder(limit=...) is a number of items, 1 or more, not {limit!r}")
        self.next = first
        self.late = 0
        self.given_up = 0
        self._limit = limit
        self._held: dict[int, tuple[float, _T | None, bool]] = {}

    @property
    def held(self) -> int:
        """How many items wait for others."""
        return sum(real for _, _, real in self._held.values())

    def put(self, number: int, item: _T, now: float = 0.0) -> list[_T]:
        """An item has come.

        Returns:
            What can be delivered now, in order. An item whose turn is over, or whose number has come already, is never
            delivered; it is counted as late.
        """
        if number == self.next and not self._held:
            self.next += 1
            return [item]
        return self._enter(number, (now, item, True))

    def skip(self, number: int, now: float = 0.0) -> list[_T]:
        """There is no item of this number.

        Returns:
            What can be delivered now.
        """
        if number < self.next or number in self._held:
            return []
        return self._enter(number, (now, None, False))

    def expire(self, before: float) -> list[_T]:
        """Give up what is missing ahead of items that have been held back since before this time."""
        overdue = max((number for number, (since, _, _) in self._held.items() if since <= before), default=None)
        return self._release(overdue) if overdue is not None else []

    def flush(self) -> list[_T]:
        """Give up all that is missing."""
        return self._release(max(self._held)) if self._held else []

    def oldest(self) -> float | None:
        """Since when an item has been held back; None if there is none."""
        return min((since for since, _, real in self._held.values() if real), default=None)

    def _enter(self, number: int, entry: tuple[float, _T | None, bool]) -> list[_T]:
        if number < self.next or number in self._held:
            self.late += 1
            return []
        self._held[number] = entry
        found = self._run()
        while len(self._held) > self._limit:
            found += self._release(min(self._held))
        return found

    def _release(self, until: int) -> list[_T]:
        """Deliver all up to this number, and what follows without a gap."""
        found: list[_T] = []
        for number in sorted(held for held in self._held if held <= until):
            self.given_up += number - self.next
            _, item, real = self._held.pop(number)
            if real:
                found.append(item)  # type: ignore[arg-type]
            self.next = number + 1
        return found + self._run()

    def _run(self) -> list[_T]:
        found: list[_T] = []
        while self.next in self._held:
            _, item, real = self._held.pop(self.next)
            if real:
                found.append(item)  # type: ignore[arg-type]
            self.next += 1
        return found
