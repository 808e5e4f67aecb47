"""What the hub remembers of a run of a pipe."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from pipert2.cockpit.store.metrics_row import Counters
from pipert2.cockpit.store.pipe_store import KnownPipe, PipeRun

RING = 20_000
_MOST_PROBLEMS = 20


class LivePipe:
    """A run of a pipe, connected or not.

    Attributes:
        number, run: which, see :class:`KnownPipe`.
        sid: its connection, None without one. lost: set when that ends.
        since: when it was connected, or lost (seconds since the epoch).
        structure, status: the last that it sent; *status* with *health*, *dropped_records* and *at*.
        last: the number of its newest record that is stored.
        frames: the newest picture of each routine and side.
        shown: the previews that it was asked to make.
    """

    def __init__(self, known: KnownPipe) -> None:
        self.number = known.number
        self.run: PipeRun = known.run
        # One that was connected when the cockpit was killed was so until it was heard of last.
        self.since = max(known.since, (known.status or {}).get("at", 0.0))
        self.structure = known.structure
        self.status = known.status
        self.sid: str | None = None
        self.lost = asyncio.Event()
        self.last = 0
        self.counters = Counters()
        self.frames: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.shown: set[tuple[str, str]] = set()
        self.batches = 0
        self.stored_at = 0.0
        self._ring: deque[Mapping[str, Any]] = deque(maxlen=RING)
        self._appended = 0
        self._dropped = 0

    # --- coming and going

    def connect(self, sid: str) -> None:
        """It is there."""
        self.sid, self.since, self.lost = sid, time.time(), asyncio.Event()
        self.shown.clear()
        self.batches = 0

    def disconnect(self) -> None:
        """It is gone; what only matters to those who watch it live is let go."""
        self.sid, self.since = None, time.time()
        self.lost.set()
        self.frames.clear()
        self.shown.clear()

    @property
    def ended(self) -> bool:
        """Whether the pipe was joined: it will not come back."""
        return self.state == "ended"

    @property
    def state(self) -> str | None:
        """The pipe's state, as far as is known."""
        state = ((self.status or {}).get("status") or {}).get("state")
        return state if isinstance(state, str) else None

    def summary(self) -> dict[str, Any]:
        """What lists of pipes show."""
        health = (self.status or {}).get("health") or {}
        problems = health.get("problems")
        texts = [str(one)[:500] for one in problems[:_MOST_PROBLEMS]] if isinstance(problems, list) else []
        return {
            "id": self.run.id,
            "name": self.run.name,
            "host": self.run.host,
            "pid": self.run.pid,
            "started": self.run.started,
            "connected": self.sid is not None,
            "since": self.since,
            "state": self.state,
            "ok": bool(health.get("ok", True)),
            "problems": texts,
        }

    # --- records

    def append(self, records: Sequence[Mapping[str, Any]], dropped: int) -> None:
        """Show new records to those who watch."""
        self._ring.extend(records)
        self._appended += len(records)
        self._dropped += dropped

    @property
    def place(self) -> tuple[int, int]:
        """Behind the newest record: how many there were, and how many the pipe dropped."""
        return self._appended, self._dropped

    def behind(self, place: tuple[int, int]) -> tuple[list[Mapping[str, Any]], int]:
        """The records behind a place, oldest first; and how many are missing among them."""
        new = self._appended - place[0]
        there = min(new, len(self._ring))
        found = list(islice(reversed(self._ring), there))[::-1]
        return found, new - there + self._dropped - place[1]

    def forget_records(self) -> None:
        """Let the ring go; those who watch see what is missing as skipped."""
        self._ring.clear()
