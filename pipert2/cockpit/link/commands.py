"""What a cockpit asks a pipe to do, and which pictures it wants from it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pipert2.control.http.errors import error_body
from pipert2.control.problems import control_error
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import Scope, plain
from pipert2.errors import ControlError, nearest

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 16


class LinkCommands:
    """Carries out commands, some at once, each in the thread that brings it.

    Args:
        service: knows the verbs.
        wake: called when something was done, so that it is told soon.

    Attributes:
        structure_due: set when a command may have changed what the pipe is made of.
    """

    def __init__(self, service: ControlService, wake: Callable[[], None]) -> None:
        self._service = service
        self._wake = wake
        self._room = threading.Semaphore(_MOST_AT_ONCE)
        self._lock = threading.Lock()
        self._busy = 0
        self._shown: dict[tuple[str, str], int] = {}
        self.structure_due = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether a command is being carried out."""
        return self._busy > 0

    def carry_out(self, data: Any = None) -> dict[str, Any]:
        """Do what the cockpit wants; the answer."""
        if not self._room.acquire(blocking=False):
            return error_body(ControlError("no_room", f"{_MOST_AT_ONCE} commands are being carried out already"))
        with self._lock:
            self._busy += 1
        try:
            return {"reply": self._do(data)}
        except Exception as error:
            return error_body(control_error(error))
        finally:
            self._room.release()
            with self._lock:
                self._busy -= 1
            self._wake()

    def _do(self, data: Any) -> Any:
        name = data.get("verb") if isinstance(data, dict) else None
        arguments = data.get("arguments") if isinstance(data, dict) else None
        verb = VERBS.get(name) if isinstance(name, str) else None
        if verb is None or not isinstance(arguments, dict):
            near = nearest(str(name), list(VERBS))
            raise ControlError("unknown_name", f"there is no verb {name!r:.100} with such arguments", "verb", near)
        reply = plain(verb.call(self._service, arguments))
        if verb.scope is Scope.CONTROL:
            if name == "preview":
                self._preview_changed(arguments)
            self.structure_due.set()
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

    @property
    def shows(self) -> bool:
        """Whether any picture is wanted."""
        return bool(self._shown)

    def wanted_pictures(self) -> list[tuple[tuple[str, str], int]]:
        """Routine and side of each, whose turn it is first, with the number of the last picture that was sent."""
        with self._lock:
            return list(self._shown.items())

    def picture_sent(self, key: tuple[str, str], number: int) -> None:
        """Note a picture: it is the turn of the others now."""
        with self._lock:
            if key in self._shown:  # to the end
                del self._shown[key]
                self._shown[key] = number

    def end_previews(self) -> None:
        """Nobody looks any more; a cockpit that comes back asks again."""
        with self._lock:
            shown, self._shown = self._shown, {}
        for routine, side in shown:
            try:
                VERBS["preview"].call(self._service, {"routine": routine, "side": side, "on": False})
            except ControlError as error:
                logger.debug("the preview of %s was not ended: %s", routine, error)
