"""Streams between sites that begin or end again: sees to it that both ends of a link are in the same one.

Within a site an end of a stream, and its coming back when a wire comes back, are words that everybody sees. A link's
ends are at two sites. An egress may begin anew when its ingress has finished and listens no more: behind a wire that
was taken away and comes back, at a site that was lost, or when the last confirmation of an end was lost in a cut.

What decides is what the ends themselves say, not when it was heard of: an egress that runs and hears nobody has
something to say to an ingress that has finished; an ingress that hears nobody waits in vain for an egress that has.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from pipert2.engine.fragment import Fragment, LinkPlan
from pipert2.engine.link.counting import CUT, WAITING
from pipert2.engine.site import FINISHED
from pipert2.engine.sites import ANSWER, Sites
from pipert2.errors import PipertError

logger = logging.getLogger(__name__)

_SOON, _SELDOM = 0.1, 2.0
"""Seconds between two looks at a link whose ends are not in the same stream, and to which that grows."""
_PATIENCE = 3.0
_VAIN = 3.0
"""Seconds that an ingress may go on after its egress has finished: it says so to its own pipe first."""


@dataclass(slots=True)
class _Odd:
    """A link one of whose ends has finished: since when, when to look next, and how long after that."""

    since: float
    due: float
    wait: float = _SOON


class StreamKeeper:
    """Looks at the links of one pipe when something has changed. Closes twice without complaint.

    Args:
        sites: where the ends are.
        fragments: what is where, now.
    """

    def __init__(self, sites: Sites, fragments: Callable[[], Mapping[str, Fragment]]) -> None:
        self._sites = sites
        self._fragments = fragments
        self._odd: dict[str, _Odd] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._keep, name="pipert2-streams", daemon=True)
        if len(fragments()) > 1:
            self._thread.start()

    def _keep(self) -> None:
        while not self._closed:
            odd = self._found()
            now = monotonic()
            self._odd = {key: self._odd.get(key) or _Odd(now, now) for key in odd}
            for key, one in self._odd.items():
                if now >= one.due and not self._closed:
                    self._look(odd[key], now - one.since)
                    one.due, one.wait = monotonic() + one.wait, min(_SELDOM, 2 * one.wait)
            due = min((one.due for one in self._odd.values()), default=None)
            with self._sites.changed:
                if not self._closed and self._found().keys() == self._odd.keys():
                    self._sites.changed.wait(None if due is None else max(0.01, due - monotonic()))

    def _found(self) -> dict[str, LinkPlan]:
        """The links whose ends differ, by key."""
        return {link.key: link for link in self._links() if self._differ(link)}

    def _links(self) -> list[LinkPlan]:
        fragments = tuple(self._fragments().values())
        return [
            link
            for fragment in fragments
            for link in (*fragment.egresses, *(handed_out for handed_out, *_ in fragment.handed_out))
        ]

    def _differ(self, link: LinkPlan) -> bool:
        """Whether one end has finished and the other one has not, as far as is known."""
        sending, receiving = (self._sites.records[site].progress for site in (link.origin, link.target))
        if sending is None or receiving is None:
            return False
        if link.ingress not in receiving.finished and not self._is_fed(link):
            return True  # of a site that was begun anew it may be all that is left
        return (link.egress in sending.finished) != (link.ingress in receiving.finished)

    def _is_fed(self, link: LinkPlan) -> bool:
        return link.credit is not None or any(
            wire.destination == link.egress for wire in self._fragments()[link.origin].wires
        )

    def _look(self, link: LinkPlan, seconds: float) -> None:
        """Ask both ends, first the one that has finished: what it says still holds when the other one answers."""
        try:
            if self._ask(link.target, link.ingress) == FINISHED:
                if self._hears_nobody(link.origin, link.egress):
                    self._sites.ask(link.target, "begin_stream", link.ingress, patience=ANSWER)
            elif (
                seconds > _VAIN
                and self._ask(link.origin, link.egress) == FINISHED
                and self._hears_nobody(link.target, link.ingress)
            ):
                self._sites.ask(link.target, "end_streams", (link.ingress,), patience=ANSWER)
        except (PipertError, ValueError) as error:  # a site is lost just now, or the pipe ends and its memory is gone
            logger.debug("link %s: %s", link.key, error)

    def _hears_nobody(self, site: str, end: str) -> bool:
        return self._ask(site, end) in (WAITING, CUT)

    def _ask(self, site: str, end: str) -> str:
        return str(self._sites.ask(site, "link_end", end, patience=_PATIENCE))

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._sites.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * ANSWER)
