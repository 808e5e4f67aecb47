"""The ends of links at a site: what they count, and mending those that are cut."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

from pipert2.engine.fragment import Fragment
from pipert2.engine.link.counting import WAITING
from pipert2.engine.site_pipe import LINK_FLOW, SitePipe
from pipert2.errors import PipertError
from pipert2.transport.board import RoutineState

LINKS_LOOK = 2.0
"""Seconds between two looks at what the ends of links count."""
LONGEST_MEND = 30.0
"""Seconds, at most, between two attempts to bring back a link that is cut."""
LATE_AFTER = 10.0
"""Seconds after which an end of a link that has not found the other one is said to be late."""
LATE = "late"
"""Is counted for an end of a link that is."""


class LinkWatch:
    """Looks at the ends of a site's links now and then. Closes twice without complaint.

    Args:
        pipe: the site's.
        fragment: what runs there.
    """

    def __init__(self, pipe: SitePipe, fragment: Fragment) -> None:
        self._pipe = pipe
        self._counts: dict[str, dict[str, Any]] = {}
        self._waiting_since: dict[str, float] = {}
        self._ended = threading.Event()
        self._names = [link.egress for link in fragment.egresses] + [link.ingress for link in fragment.ingresses]
        self._mendable = {link.egress for link in fragment.egresses}  # a message in its hand is sent again by the next
        self._mendable |= {link.ingress for link in fragment.ingresses if link.credit is not None}
        self._thread = threading.Thread(target=self._look, name="pipert2-site-links", daemon=True)
        if self._names or fragment.handed_out:
            self._thread.start()

    def add(self, name: str, *, mendable: bool) -> None:
        """Look at another end."""
        if mendable:
            self._mendable.add(name)
        if name not in self._names:
            self._names = [*self._names, name]
        if not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    @property
    def counts(self) -> Mapping[str, Mapping[str, Any]]:
        """What each end counts, by its name."""
        return {name: dict(counts) for name, counts in self._counts.items()}

    def _look(self) -> None:
        mending: dict[str, tuple[float, float]] = {}  # when to open a session anew, and how long to wait after that
        while not self._ended.wait(LINKS_LOOK):
            for name in self._names:
                with contextlib.suppress(PipertError):  # it is being restarted, or the pipe has ended
                    values = self._pipe.results(name, wait=0.5).values
                    found = {one.name.removeprefix("link/"): _number_or_text(one.text) for one in values}
                    if self._is_late(name, found.get("state") == WAITING):
                        found[LATE] = 1.0
                    self._counts[name] = found
                    if name in self._mendable and found.get("state") == "cut":
                        self._mend(LINK_FLOW + name, name, mending)
                    elif found.get("state") == "connected":
                        mending.pop(name, None)
            with contextlib.suppress(PipertError):
                for process in self._pipe.failed_ends():
                    self._mend(process, process, mending)

    def _is_late(self, name: str, waiting: bool) -> bool:
        """Whether an end waits for the other one for long; that is a warning when it is found out."""
        if not waiting or not self._runs(name):
            self._waiting_since.pop(name, None)
            return False
        since = self._waiting_since.setdefault(name, monotonic())
        late = monotonic() - since >= LATE_AFTER
        if late and not self._counts.get(name, {}).get(LATE):
            self._pipe.logger.warning(
                "link %s: its other end was not found within %g s, so nothing gets through: can the hosts reach each "
                "other, and are their certificates of one authority?",
                name,
                LATE_AFTER,
            )
        return late

    def _runs(self, name: str) -> bool:
        supervisor = self._pipe._running("links")
        spec = supervisor.spec.routine(name)
        return spec is not None and supervisor.state(spec.index) is RoutineState.RUNNING

    def _mend(self, process: str, name: str, mending: dict[str, tuple[float, float]]) -> None:
        """Open a session anew: others have found it through the driver's, and would not find it again by themselves, or
        it did not close in time, as happens where the machine has far too much to do."""
        now = monotonic()
        due, wait = mending.setdefault(name, (now, LINKS_LOOK))
        if now >= due:
            mending[name] = now + wait, min(2 * wait, LONGEST_MEND)
            self._pipe.replace_process(process)

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5.0)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
