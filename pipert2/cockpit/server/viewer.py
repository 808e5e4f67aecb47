"""One browser: what it watches, and what is sent to it, at most one of a kind before it acknowledged the last."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from pipert2.cockpit.server.live_pipe import LivePipe
from pipert2.cockpit.store.accounts import Person
from pipert2.cockpit.store.log_filter import LogFilter

MOST_AT_ONCE = 500
"""Records in one batch; of more than these the newest are sent."""

_STALL_SECONDS = 3.0

Emit = Callable[[str, str, Any, Callable[..., None] | None], None]
"""Sends: to which connection, the event, its data, and what is called when it is acknowledged."""


class Viewer:
    """A browser.

    Args:
        sid: its connection.
        person: who sits there. secret: of the session, to see whether that goes on. address: from where.
        emit: sends.
    """

    def __init__(self, sid: str, person: Person, secret: str | None, address: str, emit: Emit) -> None:
        self.sid = sid
        self.person = person
        self.secret = secret
        self.address = address
        self.pipe: LivePipe | None = None
        self.frames: frozenset[tuple[str, str]] = frozenset()
        self.commands = 0
        self.pipes_due = False
        self._last_acknowledged = monotonic()
        self._emit = emit
        self._logs: LogFilter | None = None
        self._place = (0, 0)
        self._unacknowledged: set[tuple[str, ...]] = set()
        self._waiting: dict[tuple[str, ...], Any] = {}

    def watch(self, pipe: LivePipe | None, logs: LogFilter | None, frames: frozenset[tuple[str, str]]) -> None:
        """Change what is watched."""
        if pipe is not self.pipe:
            self._waiting.clear()
        self.pipe, self._logs = pipe, logs
        self.frames = frames if pipe is not None else frozenset()
        self._place = pipe.place if pipe is not None else (0, 0)

    def offer(self, event: str, data: Any, *which: str) -> None:
        """Send the newest of its kind (or one of *which*) as soon as the last one was acknowledged."""
        kind = (event, *which)
        if kind in self._unacknowledged:
            self._waiting[kind] = data
            return
        self._unacknowledged.add(kind)
        self._emit(self.sid, event, data, lambda *_: self._acknowledged(kind))

    def _acknowledged(self, kind: tuple[str, ...]) -> None:
        self._last_acknowledged = monotonic()
        self._unacknowledged.discard(kind)
        if kind in self._waiting:
            self.offer(kind[0], self._waiting.pop(kind), *kind[1:])

    def offer_frame(self, frame: dict[str, Any]) -> None:
        """Send a picture if it is watched."""
        key = (frame["routine"], frame["side"])
        if key in self.frames:
            self.offer("frame", frame, *key)

    def send_records(self) -> None:
        """Send what is new and fits, if the last batch was acknowledged."""
        pipe, wanted = self.pipe, self._logs
        if pipe is None or wanted is None or pipe.place == self._place or ("logs",) in self._unacknowledged:
            return
        found, skipped = pipe.behind(self._place)
        self._place = pipe.place
        if not wanted.everything:
            found = [record for record in found if wanted.fits(record)]
        if len(found) > MOST_AT_ONCE:
            skipped += len(found) - MOST_AT_ONCE
            found = found[-MOST_AT_ONCE:]
        if found or skipped:
            self.offer("logs", {"pipe": pipe.run.id, "records": found, "skipped": skipped})

    @property
    def stalled(self) -> bool:
        """Whether it has stopped to acknowledge what is sent to it."""
        return bool(self._unacknowledged) and monotonic() - self._last_acknowledged > _STALL_SECONDS
