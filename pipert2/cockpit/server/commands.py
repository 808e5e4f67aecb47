"""Commands from browsers to pipes: who may, what came of it, and a note of it in the audit trail."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import socketio

from pipert2.cockpit.server.hub import Hub
from pipert2.cockpit.server.live_pipe import LivePipe
from pipert2.cockpit.server.messages import read_command
from pipert2.cockpit.server.old_pipes import OLD
from pipert2.cockpit.server.viewer import Viewer
from pipert2.cockpit.store.accounts import Role
from pipert2.cockpit.store.audit import Entry
from pipert2.cockpit.store.store import Store
from pipert2.control.http.errors import error_body
from pipert2.control.service import LONGEST_WAIT, VERBS
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError, nearest

ANSWER_SECONDS = 20.0
CALL_SECONDS = 30.0
"""A call that names no time-out may take so long."""
_MOST_AT_ONCE = 16
_LARGEST = 256 * 1024


class Commands:
    """Carries out commands of browsers.

    Args:
        server: the socket.io server.
        hub: knows the pipes. store: keeps the audit trail.
    """

    def __init__(self, server: socketio.AsyncServer, hub: Hub, store: Store) -> None:
        self._server = server
        self._hub = hub
        self._store = store

    async def carry_out(self, viewer: Viewer, data: object) -> dict[str, Any]:
        """Do it; the answer is ``{"reply": ...}`` or ``{"error": {...}}``."""
        pipe: LivePipe | None = None
        verb = ""
        arguments: dict[str, Any] = {}
        try:
            if viewer.commands >= _MOST_AT_ONCE:
                raise ControlError("no_room", f"{viewer.commands} commands of yours wait already")
            identity, verb, arguments = read_command(data)
            pipe = self._hub.find(identity)
            self._check(viewer, verb, arguments)
            viewer.commands += 1
            try:
                answer = await self._ask(pipe, verb, arguments)
            finally:
                viewer.commands -= 1
        except ControlError as error:
            answer = error_body(error)
        known = VERBS.get(verb)
        if known is None or known.scope is Scope.CONTROL:
            self._audit(viewer, pipe, verb, arguments, answer)
        return answer

    @staticmethod
    def _check(viewer: Viewer, verb: str, arguments: dict[str, Any]) -> None:
        known = VERBS.get(verb)
        if known is None:
            near = nearest(verb, list(VERBS))
            hint = f", did you mean {near!r}?" if near else ""
            raise ControlError("unknown_name", f"there is no verb {verb!r:.100}{hint}", "verb", near)
        if known.scope is Scope.CONTROL and viewer.person.role is not Role.OPERATOR:
            raise ControlError("forbidden", f"{verb} is for operators, and you are a viewer", "verb")
        try:
            size = len(json.dumps(arguments))
        except (TypeError, ValueError):
            raise ControlError("bad_argument", "the arguments are not JSON", "arguments") from None
        if size > _LARGEST:
            raise ControlError("too_large", f"the arguments have more than {_LARGEST} bytes", "arguments")

    async def _ask(self, pipe: LivePipe, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if pipe.sid is None:
            raise ControlError("unreachable", f"pipe {pipe.run.name!r} is not connected to the cockpit")
        if pipe.run.pipert2 == OLD:
            raise ControlError(
                "unreachable", f"pipe {pipe.run.name!r} is one of PipeRT's own, which only send their log"
            )
        seconds = ANSWER_SECONDS + max(_seconds(arguments.get("wait")), _seconds(arguments.get("timeout")))
        if verb == "call" and arguments.get("timeout") is None:
            seconds += CALL_SECONDS
        if verb == "join" and arguments.get("timeout") is None:
            seconds += LONGEST_WAIT
        message = {"verb": verb, "arguments": arguments}
        call = asyncio.ensure_future(
            self._server.call("command", message, to=pipe.sid, namespace="/pipe", timeout=seconds)
        )
        lost = asyncio.ensure_future(pipe.lost.wait())
        try:
            await asyncio.wait((call, lost), return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                text = f"pipe {pipe.run.name!r} was lost before it answered; it may have done it"
                raise ControlError("unreachable", text)
            answer = call.result()
        except socketio.exceptions.TimeoutError:
            text = f"pipe {pipe.run.name!r} did not answer within {seconds:g} s; it may still do it"
            raise ControlError("unreachable", text) from None
        finally:
            call.cancel()
            lost.cancel()
        if not isinstance(answer, dict) or not answer.keys() & {"reply", "error"}:
            raise ControlError("failed", f"pipe {pipe.run.name!r} answered nonsense")
        return answer

    def _audit(
        self, viewer: Viewer, pipe: LivePipe | None, verb: str, arguments: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        error = answer.get("error") or {}
        outcome, message = str(error.get("code", "ok")), str(error.get("message", ""))
        run = pipe.run if pipe is not None else None
        entry = Entry(
            time.time(),
            viewer.person.user,
            viewer.address,
            run.id if run is not None else None,
            run.name if run is not None else None,
            verb,
            arguments,
            outcome,
            message,
        )
        try:
            self._store.audit(entry)
        except ControlError:  # it is shutting down; what was done is done
            return


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return min(float(value), LONGEST_WAIT)
    return 0.0
