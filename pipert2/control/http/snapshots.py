"""The status, made once for all who ask for it at the same time: in single answers and in streams."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Executor

from pipert2.control.http.answers import Answer, error_answer, json_answer, server_sent_event
from pipert2.control.http.errors import error_body, http_status
from pipert2.control.http.fresh import Fresh
from pipert2.control.problems import control_error
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import plain
from pipert2.errors import ControlError

STATUS_PATH = "/api/v1/status"
STATUS_AGE = 0.09
"""Seconds that a status may be old: less than the shortest time between two of a stream."""


class Snapshots:
    """Hands out the status as JSON. For one event loop.

    Flask is not asked: it would cost more than the status itself, and who asks a thousand times a second would have
    the frames of the pipe wait for that.

    Args:
        service: whose status.
        readers: take it, since that may have to wait for the pipe.
    """

    def __init__(self, service: ControlService, readers: Executor) -> None:
        self._service = service
        self._readers = readers
        self._status = Fresh(self._make, STATUS_AGE)

    async def answer(self) -> Answer:
        """To ``GET /api/v1/status``."""
        try:
            made = await self._status.get()
        except ControlError as error:
            return error_answer(http_status(error), error)
        return json_answer(200, made)

    async def event(self) -> bytes:
        """A server-sent event: ``status``, or ``error`` where there is none."""
        try:
            made = await self._status.get()
        except ControlError as error:
            return server_sent_event("error", json.dumps(error_body(error)).encode())
        return server_sent_event("status", made)

    def forget(self) -> None:
        """Something was changed: whoever asks from now on sees it."""
        self._status.forget()

    async def _make(self) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._take)

    def _take(self) -> bytes:
        try:
            return json.dumps(plain(VERBS["status"].call(self._service, {}))).encode()
        except Exception as error:
            raise control_error(error) from None
