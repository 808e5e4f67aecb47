"""A pipe of this process, watched while it runs: a live picture in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType

from rich.live import Live

from pipert2.cli.printing import messages, say
from pipert2.cli.tables import status_view
from pipert2.observe.snapshot import PipeStatus
from pipert2.pipe import Pipe

REFRESH = 0.5
"""Seconds between two pictures."""

LINE_EVERY = 5.0
"""Seconds between two lines."""


class LiveView:
    """Watches a pipe on standard error. A context manager; closes twice without complaint."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._done = threading.Event()
        console = messages()
        # Started by whoever enters: what is printed and logged from then on goes above the picture.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._thread = threading.Thread(target=self._watch, name="pipert2-view", daemon=True)

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, and leave the terminal as it was."""
        self._done.set()
        self._thread.join(5.0)
        if self._live is not None:
            self._live.stop()

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._done.wait(REFRESH if self._live is not None else LINE_EVERY):
            status = self._pipe.status()
            with contextlib.suppress(OSError):  # the terminal has gone
                if self._live is not None:
                    self._live.update(status_view(status), refresh=True)
                else:
                    say(line_of(status, time.monotonic() - began))


def line_of(status: PipeStatus, elapsed: float) -> str:
    """A status in one line."""
    rates = ", ".join(f"{one.name} {one.rate:.1f}/s" for one in status.routines)
    return f"{elapsed:5.0f} s  {status.state.value}" + (f": {rates}" if rates else "")
