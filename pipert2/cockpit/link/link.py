"""The pipe's side of the cockpit: shows one pipe there, and lets it be driven from there."""

from __future__ import annotations

import atexit
import logging
import os
import random
import socket
import ssl
import threading
import uuid
import weakref
from time import monotonic
from types import TracebackType

import pipert2
from pipert2.cockpit.link.client import LinkClient, cockpit_url
from pipert2.cockpit.link.commands import LinkCommands
from pipert2.cockpit.link.conversation import Conversation
from pipert2.cockpit.link.records import RecordFeed
from pipert2.cockpit.link.tls import trusting
from pipert2.control.service import ControlService
from pipert2.errors import ControlError
from pipert2.observe.snapshot import PipeState
from pipert2.pipe import Pipe

logger = logging.getLogger(__name__)

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Between two attempts to reach the cockpit, each a quarter longer or shorter by chance."""
_REFUSED_PAUSE = 15.0
_CLOSE_SECONDS = 1.0

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
        trust: which certificates are trusted, of an ``https`` url; left out: those that this machine trusts.

    Attributes:
        connected: set while there is a connection. feed: which records are acknowledged, and how many were dropped.

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
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.url = cockpit_url(url)
        encrypted = self.url.startswith(("https:", "wss:"))
        self._trust = (trust if trust is not None else trusting()) if encrypted else None
        self._token = token
        self._pipe = pipe
        self._own_service = service is None
        self.service = service if service is not None else ControlService(pipe)
        self.feed = RecordFeed(self.service.recent_logs, level, pipe.logger.name)
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
        self._commands = LinkCommands(self.service, self._wake.set)
        self._told: str | None = None
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
                client = LinkClient(self._commands.carry_out, self._wake.set, self._trust)
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
                    Conversation(
                        client, self._pipe, self.service, self.feed, self._commands, self._wake, self._closing
                    ).hold()
                except Exception:
                    logger.exception("the link to the cockpit failed in a way nobody foresaw; it begins anew")
                    pause = _REFUSED_PAUSE
                finally:
                    self.connected.clear()
                    client.close()
                    self._commands.end_previews()
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
        said = None if error is None else f"{error.code} {error.field}"
        if said == self._told and error is not None:
            return
        if error is not None and error.code == "unauthorized":
            logger.warning("the cockpit at %s refuses this pipe: %s", self.url, error)
        elif error is not None and error.field == "tls":
            logger.warning("no connection to the cockpit: %s", error)
        elif error is not None:
            logger.info("there is no cockpit at %s; trying again now and then", self.url)
        elif self._told is not None:
            logger.info("connected to the cockpit at %s", self.url)
        self._told = said


@atexit.register
def _close_all() -> None:
    """Give the last words of a program a moment to arrive."""
    try:
        for link in list(_open):
            link.close()
    except (SystemExit, KeyboardInterrupt):  # somebody is in a hurry
        return
