"""The handler behind ``get_socket_logger``: a pipe that logs to it appears in the cockpit."""

from __future__ import annotations

import copy
import logging
import os
import re
from collections import deque
from typing import TYPE_CHECKING

from pipert2.errors import PipertError
from pipert2.runtime.flow.logs import FORWARDED_ATTRIBUTE

if TYPE_CHECKING:
    from pipert2.cockpit.link.link import CockpitLink
    from pipert2.pipe import Pipe

logger = logging.getLogger(__name__)

URL_NAME = "SOCKET_LOGGER_URL"
_MOST_EARLY = 10_000
_UNNAMED = re.compile(r"pipe-\d+")


class SocketHandler(logging.Handler):
    """Keeps records until a pipe with this handler is built, then shows that pipe in the cockpit.

    Args:
        url: where the cockpit is.
        token: what it wants from pipes.
        name: how a pipe is called there that has no name of its own.
        ca: the file with the certificate that signed the cockpit's, where that is none that this machine trusts.
    """

    def __init__(self, url: str, token: str | None, name: str, ca: str | None = None) -> None:
        from pipert2.cockpit.link.client import cockpit_url
        from pipert2.cockpit.link.tls import trusting

        super().__init__()
        self.url = cockpit_url(url)
        self._trust = trusting(ca) if ca is not None else None
        self._token = token
        self._shown_name = name
        self._early: deque[logging.LogRecord] = deque(maxlen=_MOST_EARLY)
        self._links: list[CockpitLink] = []
        self._owner = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record that comes before there is a pipe; later the pipe's link has it by itself."""
        if not self._links:
            self._early.append(record)

    def pipert2_watch(self, pipe: Pipe) -> None:
        """Show *pipe* in the cockpit. Called by the pipe when it is built; never fails."""
        if os.getpid() != self._owner:
            return
        try:
            from pipert2.cockpit.link.link import CockpitLink

            name = self._shown_name if _UNNAMED.fullmatch(pipe.name) else None
            link = CockpitLink(pipe, self.url, self._token, name=name, trust=self._trust)
            with self.lock:  # type: ignore[union-attr]
                early = list(self._early)
                self._early.clear()
                self._links = [one for one in self._links if one.running] + [link]
            for record in early:
                link.service.recent_logs.emit(_as_own(record))
            link.start()
        except PipertError as error:
            logger.warning("pipe %s is not shown in the cockpit: %s", pipe.name, error)

    def close(self) -> None:
        """Let go of the cockpit."""
        for link in self._links:
            link.close()
        super().close()


def _as_own(record: logging.LogRecord) -> logging.LogRecord:
    """A record of a flow as if it were of this process: no listener has told of it."""
    if not hasattr(record, FORWARDED_ATTRIBUTE):
        return record
    own = copy.copy(record)
    delattr(own, FORWARDED_ATTRIBUTE)
    return own
