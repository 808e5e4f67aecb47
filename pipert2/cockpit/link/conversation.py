"""What a pipe tells a cockpit over one connection: structure, status, log records, pictures."""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import replace
from time import monotonic
from typing import Any

from pipert2.cockpit.link.client import LinkClient
from pipert2.cockpit.link.commands import LinkCommands
from pipert2.cockpit.link.records import Batch, RecordFeed
from pipert2.control.service import ControlService
from pipert2.control.verbs import plain
from pipert2.errors import ControlError
from pipert2.observe.snapshot import PipeState
from pipert2.pipe import Pipe

logger = logging.getLogger(__name__)

STATUS_SECONDS = 1.0
STRUCTURE_SECONDS = 5.0
_TICK = 0.1
_PICTURE_TICK = 0.03
_ANSWER_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_FLUSH_SECONDS = 0.5
_LAST_WORDS_SECONDS = 3.0
"""After its pipe has ended, a link sends what waits for so long, if nobody closes it."""


class Conversation:
    """What is said over one connection: at most one message of each kind that has not been answered.

    Args:
        client: the connection.
        pipe, service: the pipe that is shown, and its control service.
        feed: its log records.
        commands: what the cockpit asks for.
        wake: set when there may be something to say. closing: set when it is to end.
    """

    def __init__(
        self,
        client: LinkClient,
        pipe: Pipe,
        service: ControlService,
        feed: RecordFeed,
        commands: LinkCommands,
        wake: threading.Event,
        closing: threading.Event,
    ) -> None:
        self._client = client
        self._pipe = pipe
        self._service = service
        self._feed = feed
        self._commands = commands
        self._wake = wake
        self._closing = closing
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()
        self._structure: Any = None
        self._structure_version = -1
        self._structure_due = 0.0
        self._status_due = 0.0
        self._records_due = 0.0
        self._last_said = False

    def hold(self) -> None:
        """Until the connection is lost, the link is closed, or the pipe has ended and all is said."""
        deadline = math.inf
        while not self._client.lost.is_set():
            self._wake.wait(_PICTURE_TICK if self._commands.shows else _TICK)
            self._wake.clear()
            try:
                self._say()
            except ControlError:
                return
            now = monotonic()
            if any(now - since > _ANSWER_SECONDS for since in list(self._asked.values())):
                logger.info("the cockpit does not answer any more")
                return
            if self._closing.is_set():
                deadline = min(deadline, now + _FLUSH_SECONDS)
            elif self._last_said:
                deadline = min(deadline, now + _LAST_WORDS_SECONDS)
            if now > deadline or (deadline < math.inf and self._all_said()):
                return

    def _all_said(self) -> bool:
        return not (self._asked or self._feed.waiting or self._commands.busy) and self._client.idle

    def _say(self) -> None:
        now = monotonic()
        if "structure" not in self._asked and (
            self._commands.structure_due.is_set()
            or now >= self._structure_due
            or self._structure_version != self._pipe.structure_version
        ):
            self._say_structure(now)
        if "logs" not in self._asked and now >= self._records_due and (batch := self._feed.next()) is not None:
            message = {"records": batch.records, "dropped": batch.dropped}
            self._emit("logs", message, lambda *answer: self._records_answered(batch, *answer))
        if "status" not in self._asked and now >= self._status_due:
            self._say_status(now)
        if self._commands.shows and "frame" not in self._asked:
            self._say_frame()

    def _say_structure(self, now: float) -> None:
        self._commands.structure_due.clear()
        self._structure_due = now + STRUCTURE_SECONDS
        self._structure_version = self._pipe.structure_version
        structure = plain(self._service.structure())
        if structure != self._structure:
            self._structure = structure
            self._emit("structure", structure)

    def _say_status(self, now: float) -> None:
        self._status_due = max(self._status_due + STATUS_SECONDS, now + STATUS_SECONDS / 2)
        status, health = self._service.status(), self._service.health()
        message = {
            "status": plain(status),
            "health": plain(health),
            "dropped_records": self._feed.dropped,
        }
        self._emit("status", message)
        if status.state is PipeState.ENDED and health.state == PipeState.ENDED.value:
            self._last_said = True

    def _say_frame(self) -> None:
        """The newest picture of the preview whose turn it is."""
        for key, seen in self._commands.wanted_pictures():
            frame = self._pipe.preview_frame(key[0], key[1])  # type: ignore[arg-type]
            if frame is None or frame.number == seen:
                continue
            self._commands.picture_sent(key, frame.number)
            self._emit("frame", {**plain(replace(frame, jpeg=b"")), "jpeg": frame.jpeg})
            return

    def _emit(self, event: str, message: Any, done: Any = None) -> None:
        with self._lock:
            self._asked[event] = monotonic()

        def answered(*answer: Any) -> None:
            if done is not None:
                done(*answer)
            with self._lock:
                self._asked.pop(event, None)
            self._wake.set()

        self._client.emit(event, message, answered)

    def _records_answered(self, batch: Batch, *answer: Any) -> None:
        found = answer[0] if answer and isinstance(answer[0], dict) else {}
        error = found.get("error")
        if not isinstance(error, dict):
            self._feed.sent(batch)
        elif error.get("code") in ("bad_argument", "too_large"):
            logger.warning("the cockpit does not take %d records: %s", len(batch.records), error.get("message"))
            self._feed.refused(batch)
        else:
            self._records_due = monotonic() + _RETRY_SECONDS
