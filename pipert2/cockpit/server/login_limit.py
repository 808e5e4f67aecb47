"""How often somebody may try to log in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

ATTEMPTS = 5
SECONDS_PER_ATTEMPT = 12.0
_MOST_ADDRESSES = 10_000


class LoginLimit:
    """Lets each address try so many times, then once each so many seconds; a right password clears it.

    Args:
        attempts: at once. seconds: until one of them comes back. clock: tells the time.
    """

    def __init__(
        self,
        attempts: int = ATTEMPTS,
        seconds: float = SECONDS_PER_ATTEMPT,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._attempts = attempts
        self._seconds = seconds
        self._clock = clock
        self._free_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait_of(self, address: str) -> float:
        """Seconds that an address has to wait before it may try; 0.0: it may, and this counts as an attempt."""
        with self._lock:
            now = self._clock()
            free = max(self._free_at.get(address, now), now)
            wait = free + self._seconds - (now + self._attempts * self._seconds)
            if wait > 1e-9:
                return wait
            if address not in self._free_at and len(self._free_at) >= _MOST_ADDRESSES:
                self._forget(now)
            self._free_at[address] = free + self._seconds
            return 0.0

    def clear(self, address: str) -> None:
        """The address knew the password."""
        with self._lock:
            self._free_at.pop(address, None)

    def _forget(self, now: float) -> None:
        """Make room: forget those that may try freely again, and if none may, the one that is nearest to it."""
        self._free_at = {address: free for address, free in self._free_at.items() if free > now}
        if len(self._free_at) >= _MOST_ADDRESSES:
            del self._free_at[min(self._free_at, key=lambda one: self._free_at[one])]
