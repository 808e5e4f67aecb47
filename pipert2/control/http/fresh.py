"""A value that many ask for at the same time, made once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Fresh(Generic[_T]):
    """Hands out a value that is at most so old, and makes a new one when it is older. For one event loop.

    Args:
        make: makes it. What it raises, everybody gets who waits for it, and it is made again for the next one.
        seconds: how old it may be, counted from when its making began.
        clock: tells the time.
    """

    def __init__(
        self, make: Callable[[], Awaitable[_T]], seconds: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._make = make
        self._seconds = seconds
        self._clock = clock
        self._made: asyncio.Future[_T] | None = None
        self._began = 0.0

    async def get(self) -> _T:
        """The value."""
        made = self._made
        if made is None or (made.done() and (_failed(made) or self._clock() - self._began >= self._seconds)):
            made = self._made = asyncio.ensure_future(self._make())
            made.add_done_callback(_failed)
            self._began = self._clock()
        if made.done():
            return made.result()
        return await asyncio.shield(made)  # one who goes away does not stop it for the others

    def forget(self) -> None:
        """Make it anew for whoever asks from now on."""
        self._made = None


def _failed(made: asyncio.Future[_T]) -> bool:
    """Whether there is no value. To ask is to take note of the error, so that asyncio does not complain later."""
    return made.cancelled() or made.exception() is not None
