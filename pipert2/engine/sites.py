"""The sites of a running pipe as its driver holds them: asks them, listens to them, and begins lost ones anew."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from pipert2.engine.site import Site
from pipert2.engine.site_words import Feed, SiteProgress
from pipert2.errors import PipeStateError

ANSWER = 10.0
"""Seconds that a site may take for a question that it need not think about."""
LAYS = 60.0
"""Seconds that a site may take to make an end of a link, which is a process."""
FEED_WAIT = 5.0
_RETRY = 0.2  # seconds between two looks whether a lost site is back
LONGEST = 3600.0
MOST_LATER = 256
"""What routines want of other sites, done at the same time; each may wait for what another one wants."""


class SiteLost(PipeStateError):
    """A site is not there: its process or its host died, or the network is cut. *for_good*: it does not come back."""

    def __init__(self, site: str, reason: str, *, for_good: bool = False) -> None:
        self.site = site
        self.reason = reason
        self.for_good = for_good

    def __str__(self) -> str:
        return f"site {self.site!r} is not there: {self.reason}"

    def __reduce__(self) -> tuple[Any, ...]:
        return SiteLost, (self.site, self.reason)


class SiteHandle(Protocol):
    """A site, wherever it is."""

    name: str

    def ask(self, verb: str, args: tuple[Any, ...], options: Mapping[str, Any], timeout: float) -> Any: ...

    def feed(self, known: SiteProgress | None, wait: float) -> Feed: ...

    def where(self, timeout: float) -> tuple[int, str]: ...

    def place_anew(self) -> None: ...

    def waits_for(self, seconds: float) -> str | None: ...

    def close(self) -> None: ...


class SiteHere:
    """A site in the driver's own process."""

    def __init__(self, name: str, site: Site, address: str) -> None:
        self.name = name
        self._site = site
        self._where = os.getpid(), address

    def ask(self, verb: str, args: tuple[Any, ...], options: Mapping[str, Any], timeout: float) -> Any:
        """Let the site do something."""
        return self._site.do(verb, args, dict(options))

    def feed(self, known: SiteProgress | None, wait: float) -> Feed:
        """What is new."""
        return self._site.feed(known, min(wait, 0.5))  # it is asked no more when the pipe has ended

    def where(self, timeout: float) -> tuple[int, str]:
        """The driver's process and host."""
        return self._where

    def place_anew(self) -> None:
        """It lives as long as the driver."""

    def waits_for(self, seconds: float) -> str | None:
        """It is there."""
        return None

    def close(self) -> None:
        """End everything at once."""
        self._site.close()


@dataclass(slots=True)
class SiteRecord:
    """What is known of a site.

    Attributes:
        handle: the way to it.
        host: where it is. pid: its process.
        incarnation, progress: as it told last; no progress: it is not there.
        restarts: how often it was begun anew.
        reason: why it is not there. since: when that was heard of first.
        waits_for: what it cannot begin anew without, where no host has that.
        lost: it does not come back. killed: nor is it to, it was given up when the pipe was killed.
        finished: the routines whose streams had ended before it was lost.
    """

    handle: SiteHandle
    host: str | None = None
    pid: int | None = None
    incarnation: str = ""
    progress: SiteProgress | None = None
    restarts: int = 0
    reason: str | None = None
    since: float = 0.0
    waits_for: str | None = None
    lost: bool = False
    killed: bool = False
    finished: frozenset[str] = frozenset()

    @property
    def why(self) -> str | None:
        """Why it is not there, and what it waits for; None: it is there, or nobody wants it to be."""
        if self.reason is None or self.killed:
            return None
        return self.reason + (f"; it waits for {self.waits_for}" if self.waits_for is not None else "")


class Sites:
    """All sites of one pipe. Safe to use from any thread. Closes twice without complaint.

    Attributes:
        closed: set when they are ended.

    Args:
        handles: the sites.
        told: called with each feed of a site, in its thread.
        begun_anew: called when a site has begun anew and knows nothing.
        lost: called when a site is not there, with the reason.
        stranded: called when one that is lost cannot begin anew, with what it waits for.
        restarts: how often a site may be placed anew after Ray gave it up.
    """

    def __init__(
        self,
        handles: Sequence[SiteHandle],
        told: Callable[[str, Feed], None],
        begun_anew: Callable[[str], None],
        lost: Callable[[str, str], None],
        stranded: Callable[[str, str], None],
        restarts: int,
    ) -> None:
        self.records = {handle.name: SiteRecord(handle) for handle in handles}
        self.changed = threading.Condition()
        self._told = told
        self._begun_anew = begun_anew
        self._lost = lost
        self._stranded = stranded
        self._restarts = restarts
        self.closed = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(max(4, 4 * len(handles)), "pipert2-sites")
        self._later = concurrent.futures.ThreadPoolExecutor(MOST_LATER, "pipert2-later")
        for record in self.records.values():
            record.pid, record.host = record.handle.where(60.0)
            record.progress = record.handle.ask("progress", (), {}, 60.0)
        self._threads = [
            threading.Thread(target=self._listen, args=(record,), name=f"pipert2-site-{name}", daemon=True)
            for name, record in self.records.items()
        ]
        for thread in self._threads:
            thread.start()

    # --- asking

    def ask(self, site: str, verb: str, *args: Any, patience: float = 30.0, **options: Any) -> Any:
        """Let one site do something, within *patience* seconds; one that is known not to be there is not waited for.

        Raises:
            SiteLost: it is not there. Otherwise what the verb raises.
        """
        record = self.records[site]
        if record.reason is not None:
            raise SiteLost(site, record.why or "it has ended", for_good=record.killed)
        return record.handle.ask(verb, args, options, patience)

    def ask_all(
        self, sites: Iterable[str], verb: str, *args: Any, patience: float = 30.0, **options: Any
    ) -> dict[str, Any]:
        """Let several do the same at once; by site what came of it, an exception where it failed."""
        found: dict[str, Any] = {}
        running = {}
        for site in sites:
            try:
                running[site] = self._pool.submit(self.ask, site, verb, *args, patience=patience, **options)
            except RuntimeError:  # they are ended meanwhile
                found[site] = SiteLost(site, "it has ended", for_good=True)
        for site, future in running.items():
            try:
                found[site] = future.result(patience + 5.0)
            except concurrent.futures.CancelledError:
                found[site] = SiteLost(site, "it has ended", for_good=True)
            except Exception as error:
                found[site] = error
        return found

    def look_again(self, sites: Iterable[str]) -> None:
        """Ask how far sites are that have just been asked for something, before they tell of it themselves."""
        for site, progress in self.ask_all(sites, "progress", patience=ANSWER).items():
            record = self.records[site]
            with self.changed:
                known = record.progress
                if isinstance(progress, SiteProgress) and known is not None and progress.number > known.number:
                    record.progress = progress

    def later(self, function: Callable[[], object]) -> None:
        """Do something that may take long, in another thread; it may ask sites."""
        if not self.closed.is_set():
            with contextlib.suppress(RuntimeError):  # they are ended meanwhile
                self._later.submit(function)

    def wait(self, done: Callable[[], Any], timeout: float | None) -> bool:
        """Wait until *done*, looked at after each change; False when *timeout* seconds were not enough."""
        deadline = None if timeout is None else monotonic() + timeout
        with self.changed:
            while not done():
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    return False
                self.changed.wait(min(0.5, left) if left is not None else 0.5)
        return True

    def notify(self) -> None:
        """Let all waits look again."""
        with self.changed:
            self.changed.notify_all()

    # --- listening

    def _listen(self, record: SiteRecord) -> None:
        while not self.closed.is_set():
            try:
                feed = record.handle.feed(record.progress, FEED_WAIT)
                self._take(record, feed)
            except SiteLost as error:
                self._miss(record, error)
            except Exception as error:
                self._miss(record, SiteLost(record.handle.name, f"{type(error).__name__}: {error}"))
            if record.lost or record.killed:
                return

    def _take(self, record: SiteRecord, feed: Feed) -> None:
        name = record.handle.name
        anew = bool(record.incarnation) and record.incarnation != feed.incarnation
        if anew or record.reason is not None:
            record.restarts += anew
            record.pid, record.host = record.handle.where(10.0)
        with self.changed:
            known = record.progress
            if anew or known is None or feed.progress.number >= known.number:
                record.progress = feed.progress
            record.incarnation, record.reason, record.waits_for = feed.incarnation, None, None
        if not anew:
            record.finished = feed.progress.finished
        elif not self.closed.is_set():
            self._begun_anew(name)
            record.progress = None  # it is another one after that: ask at once
        self._told(name, feed)
        self.notify()

    def _miss(self, record: SiteRecord, error: SiteLost) -> None:
        if self.closed.is_set() or record.killed:
            return
        name = record.handle.name
        if record.reason is None:
            record.since = monotonic()
            self._lost(name, error.reason)
        record.reason, record.progress, record.pid = error.reason, None, None
        if error.for_good:
            if record.restarts >= self._restarts:
                record.lost = True
            else:
                record.restarts += 1
                record.incarnation = record.incarnation or "-"
                record.handle.place_anew()
        waits_for = None if record.lost else record.handle.waits_for(monotonic() - record.since)
        if waits_for is not None and record.waits_for is None:
            self._stranded(name, waits_for)
        record.waits_for = waits_for
        self.notify()
        self.closed.wait(_RETRY)

    def give_up_missing(self) -> None:
        """Let the sites that are not there be as if they had ended: they do not come back."""
        for record in self.records.values():
            if record.reason is not None and not record.killed:
                record.killed = True
                self.later(record.handle.close)
        self.notify()

    def close(self) -> None:
        """End all sites at once."""
        first = not self.closed.is_set()
        self.closed.set()
        if first:
            closing = []
            for record in self.records.values():
                try:
                    closing.append(self._pool.submit(record.handle.close))
                except RuntimeError:  # the program is at its exit, where no pool takes anything any more
                    record.handle.close()
            concurrent.futures.wait(closing, 30.0)
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._later.shutdown(wait=False, cancel_futures=True)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(10.0)
        self.notify()
