"""The pipe's side of the cockpit: shows one pipe there, and lets it be driven from there."""

from __future__ import annotations

import atexit
import logging
import math
import os
import random
import socket
import threading
import uuid
import weakref
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Any

import pipert2
from pipert2.cockpit.link_client import LinkClient, cockpit_url
from pipert2.cockpit.link_records import Batch, RecordFeed
from pipert2.control.http_errors import error_body
from pipert2.control.problems import control_error
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import Scope, plain
from pipert2.errors import ControlError, nearest
from pipert2.observe.snapshot import PipeState
from pipert2.pipe import Pipe

logger = logging.getLogger(__name__)

STATUS_SECONDS = 1.0
STRUCTURE_SECONDS = 5.0
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Between two attempts to reach the cockpit, each a quarter longer or shorter by chance."""
_REFUSED_PAUSE = 15.0
_TICK = 0.1
_PICTURE_TICK = 0.03
_ANSWER_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_FLUSH_SECONDS = 0.5
_LAST_WORDS_SECONDS = 3.0
"""After its pipe has ended, a link sends what waits for so long, if nobody closes it."""
_CLOSE_SECONDS = 1.0
_MOST_COMMANDS = 16

_open: weakref.WeakSet[CockpitLink] = weakref.WeakSet()


class CockpitLink:
    """Shows a pipe in a cockpit, for as long as there is one; otherwise it tries again and again.

    It never holds the pipe up: what the cockpit does not take in time is dropped and counted. It ends by itself when
    the pipe has ended. A context manager; closes within about a second, and twice without complaint.

    Args:
        pipe: the pipe, built or not.
        url: where the cockpit is, such as ``"http://127.0.0.1:8321"``.
        token: what the cockpit wants from pipes, if anything.
        level: log records of this level and above are sent; those of routines whose level was set by itself (as from
            the cockpit) as their own level says.
        name: shown in place of the pipe's.
        service: the pipe's control service, if it has one already.

    Raises:
        ControlError: the url is none.
    """

    def __init__(
        self,
        pipe: Pipe,
        url: str,
        token: str | None = None,
        level: int = logging.INFO,
        *,
        name: str | None = None,
        service: ControlService | None = None,
    ) -> None:
        self.url = cockpit_url(url)
        self._token = token
        self._pipe = pipe
        self._own_service = service is None
        self.service = service if service is not None else ControlService(pipe)
        self._feed = RecordFeed(self.service.recent_logs, level, pipe.logger.name)
        self._run_of_pipe = {
            "id": uuid.uuid4().hex,
            "name": (name or pipe.name)[:200],
            "host": socket.gethostname()[:200],
            "pid": os.getpid(),
            "started": self.service.started,
            "pipert2": pipert2.__version__,
        }
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._commands = threading.Semaphore(_MOST_COMMANDS)
        self._shown: dict[tuple[str, str], int] = {}
        self._told: str | None = None
        self._busy = 0
        self._dirty = True
        self.connected = threading.Event()

    @property
    def id(self) -> str:
        """Names this run of the pipe in the cockpit."""
        return str(self._run_of_pipe["id"])

    @property
    def running(self) -> bool:
        """Whether it shows the pipe, or tries to."""
        return self._thread is None or self._thread.is_alive()

    def start(self) -> CockpitLink:
        """Begin to dial, in a thread of its own."""
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="pipert2-cockpit-link", daemon=True)
                self._thread.start()
                _open.add(self)
        return self

    def close(self) -> None:
        """Send what waits if that takes less than a second, then end."""
        self._closing.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_SECONDS)
        self._let_go()

    def __enter__(self) -> CockpitLink:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _let_go(self) -> None:
        if self._own_service:
            self.service.close()

    # --- dialling

    def _run(self) -> None:
        failed = 0
        try:
            while not self._closing.is_set():
                client = LinkClient(self._command, self._wake.set)
                try:
                    client.dial(self.url, {"token": self._token, "pipe": self._run_of_pipe})
                except ControlError as error:
                    self._tell(error)
                    if self._ended():  # and nobody is there to be told
                        return
                    pause = _REFUSED_PAUSE if error.code == "unauthorized" else PAUSES[min(failed, len(PAUSES) - 1)]
                    failed += 1
                    self._pause(pause * random.uniform(0.75, 1.25))
                    continue
                failed = 0
                self._tell(None)
                self.connected.set()
                pause = PAUSES[0] * random.uniform(0.5, 1.0)
                try:
                    _Conversation(self, client).hold()
                except Exception:
                    logger.exception("the link to the cockpit failed in a way nobody foresaw; it begins anew")
                    pause = _REFUSED_PAUSE
                finally:
                    self.connected.clear()
                    client.close()
                    self._end_previews()
                if self._ended():
                    return
                self._pause(pause)
        finally:
            self._let_go()

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; a pipe that ends meanwhile has nothing to wait for."""
        deadline = monotonic() + seconds
        while (left := deadline - monotonic()) > 0 and not self._closing.wait(min(left, 0.5)):
            if self._ended():
                return

    def _ended(self) -> bool:
        return self._pipe.status().state is PipeState.ENDED

    def _tell(self, error: ControlError | None) -> None:
        """Say in the log when something has changed, not at each attempt."""
        said = None if error is None else error.code
        if said == self._told and error is not None:
            return
        if error is not None and error.code == "unauthorized":
            logger.warning("the cockpit at %s refuses this pipe: %s", self.url, error)
        elif error is not None:
            logger.info("there is no cockpit at %s; trying again now and then", self.url)
        elif self._told is not None:
            logger.info("connected to the cockpit at %s", self.url)
        self._told = said

    # --- commands

    def _command(self, data: Any = None) -> dict[str, Any]:
        """Carry out what the cockpit wants; the answer. In a thread of its own."""
        if not self._commands.acquire(blocking=False):
            return error_body(ControlError("no_room", f"{_MOST_COMMANDS} commands are being carried out already"))
        with self._lock:
            self._busy += 1
        try:
            return {"reply": self._carry_out(data)}
        except Exception as error:
            return error_body(control_error(error))
        finally:
            self._commands.release()
            with self._lock:
                self._busy -= 1
            self._wake.set()

    def _carry_out(self, data: Any) -> Any:
        name = data.get("verb") if isinstance(data, dict) else None
        arguments = data.get("arguments") if isinstance(data, dict) else None
        verb = VERBS.get(name) if isinstance(name, str) else None
        if verb is None or not isinstance(arguments, dict):
            near = nearest(str(name), list(VERBS))
            raise ControlError("unknown_name", f"there is no verb {name!r:.100} with such arguments", "verb", near)
        reply = plain(verb.call(self.service, arguments))
        if verb.scope is Scope.CONTROL:
            if name == "preview":
                self._preview_changed(arguments)
            self._dirty = True
            self._wake.set()
        return reply

    # --- previews

    def _preview_changed(self, arguments: dict[str, Any]) -> None:
        checked = VERBS["preview"].check(arguments)
        key = (checked["routine"], checked["side"])
        with self._lock:
            if checked["on"]:
                self._shown.setdefault(key, 0)
            else:
                self._shown.pop(key, None)

    def _end_previews(self) -> None:
        """Nobody looks any more; a cockpit that comes back asks again."""
        with self._lock:
            shown, self._shown = self._shown, {}
        for routine, side in shown:
            try:
                VERBS["preview"].call(self.service, {"routine": routine, "side": side, "on": False})
            except ControlError as error:
                logger.debug("the preview of %s was not ended: %s", routine, error)


class _Conversation:
    """What is said over one connection: at most one message of each kind that has not been answered."""

    def __init__(self, link: CockpitLink, client: LinkClient) -> None:
        self._link = link
        self._client = client
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
        link = self._link
        deadline = math.inf
        while not self._client.lost.is_set():
            link._wake.wait(_PICTURE_TICK if link._shown else _TICK)
            link._wake.clear()
            try:
                self._say()
            except ControlError:
                return
            now = monotonic()
            if any(now - since > _ANSWER_SECONDS for since in list(self._asked.values())):
                logger.info("the cockpit at %s does not answer any more", link.url)
                return
            if link._closing.is_set():
                deadline = min(deadline, now + _FLUSH_SECONDS)
            elif self._last_said:
                deadline = min(deadline, now + _LAST_WORDS_SECONDS)
            if now > deadline or (deadline < math.inf and self._all_said()):
                return

    def _all_said(self) -> bool:
        return not (self._asked or self._link._feed.waiting or self._link._busy) and self._client.idle

    def _say(self) -> None:
        now = monotonic()
        link = self._link
        if "structure" not in self._asked and (
            link._dirty or now >= self._structure_due or self._structure_version != link._pipe.structure_version
        ):
            self._say_structure(now)
        if "logs" not in self._asked and now >= self._records_due and (batch := link._feed.next()) is not None:
            message = {"records": batch.records, "dropped": batch.dropped}
            self._emit("logs", message, lambda *answer: self._records_answered(batch, *answer))
        if "status" not in self._asked and now >= self._status_due:
            self._say_status(now)
        if link._shown and "frame" not in self._asked:
            self._say_frame()

    def _say_structure(self, now: float) -> None:
        link = self._link
        link._dirty = False
        self._structure_due = now + STRUCTURE_SECONDS
        self._structure_version = link._pipe.structure_version
        structure = plain(link.service.structure())
        if structure != self._structure:
            self._structure = structure
            self._emit("structure", structure)

    def _say_status(self, now: float) -> None:
        link = self._link
        self._status_due = max(self._status_due + STATUS_SECONDS, now + STATUS_SECONDS / 2)
        status, health = link.service.status(), link.service.health()
        message = {
            "status": plain(status),
            "health": plain(health),
            "dropped_records": link._feed.dropped,
        }
        self._emit("status", message)
        if status.state is PipeState.ENDED and health.state == PipeState.ENDED.value:
            self._last_said = True

    def _say_frame(self) -> None:
        """The newest picture of the preview whose turn it is."""
        link = self._link
        with link._lock:
            shown = list(link._shown.items())
        for key, seen in shown:
            frame = link._pipe.preview_frame(key[0], key[1])  # type: ignore[arg-type]
            if frame is None or frame.number == seen:
                continue
            with link._lock:
                if key in link._shown:  # to the end, so that each has its turn
                    del link._shown[key]
                    link._shown[key] = frame.number
            message = {**plain(replace(frame, jpeg=b"")), "jpeg": frame.jpeg}
            self._emit("frame", message)
            return

    def _emit(self, event: str, message: Any, done: Any = None) -> None:
        with self._lock:
            self._asked[event] = monotonic()

        def answered(*answer: Any) -> None:
            if done is not None:
                done(*answer)
            with self._lock:
                self._asked.pop(event, None)
            self._link._wake.set()

        self._client.emit(event, message, answered)

    def _records_answered(self, batch: Batch, *answer: Any) -> None:
        found = answer[0] if answer and isinstance(answer[0], dict) else {}
        error = found.get("error")
        if not isinstance(error, dict):
            self._link._feed.sent(batch)
        elif error.get("code") in ("bad_argument", "too_large"):
            logger.warning("the cockpit does not take %d records: %s", len(batch.records), error.get("message"))
            self._link._feed.refused(batch)
        else:
            self._records_due = monotonic() + _RETRY_SECONDS


@atexit.register
def _close_all() -> None:
    """Give the last words of a program a moment to arrive."""
    try:
        for link in list(_open):
            link.close()
    except (SystemExit, KeyboardInterrupt):  # somebody is in a hurry
        return
