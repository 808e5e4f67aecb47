"""The receiving end of a link: a source in its own pipe."""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from pipert2.engine.link.counting import Counting
from pipert2.engine.link.frames import CLOCKS_BYTES, BadFrameError, Clocks, Kind, unpack_clocks, unpack_there
from pipert2.engine.link.inbound import Inbound, Tag
from pipert2.engine.link.offset import OffsetEstimate
from pipert2.engine.link.payload import parcels_of
from pipert2.engine.link.settings import LinkSettings, close_session, import_zenoh
from pipert2.errors import ConfigError
from pipert2.graph.routine import SourceRoutine
from pipert2.runtime.messages import Packed
from pipert2.runtime.routine.feed import BringsFeed, Fed, UnreadableFeed

MOST_IN_FLIGHT = 256
_PINGS_AT_FIRST = 8
_PING_SOON, _PING_EVERY = 50_000_000, 2_000_000_000
"""Nanoseconds between two looks at the other host's clock."""
_WHILE_ENDING = 0.1
_BETWEEN_REPORTS = 2_000_000
"""Nanoseconds between two reports of a lossless link that is busy: nobody waits for a single one."""


class Ingress(BringsFeed, SourceRoutine):
    """Sends what the egress of the same key carries here; in a flow of its own. Its stream ends when the egress's has.

    What it does is shown (:meth:`pipert2.Pipe.results`): messages ``link/received``, ``link/duplicates`` (thrown away),
    ``link/gap`` (never arrived) and ``link/foreign`` (not of a link), ``link/offset ms`` of the other host's clock and
    ``link/uncertainty ms``, and ``link/state``.

    Args:
        name: unique within its pipe.
        key: names the link, as that of the egress.
        link: how the other side is reached.
        lossless: tell the egress that a message is done when all that came of it in this pipe is acknowledged; its pipe
            is lossless then. Else as soon as it was sent on.
        streams: how many egresses have this key; the stream ends when all of theirs have.
        returns: of a lossless link: tell the egress what destinations here return for its messages, so that a generator
            source behind it gets that back from ``yield``.

    Raises:
        ConfigError: one of them cannot be.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        key: str,
        link: LinkSettings,
        lossless: bool = False,
        streams: int = 1,
        returns: bool = False,
    ) -> None:
        super().__init__(name)
        if isinstance(streams, bool) or not isinstance(streams, int) or streams < 1:
            raise ConfigError("an ingress", "streams", streams, "a number of egresses, 1 or more")
        if not isinstance(link, LinkSettings):
            raise ConfigError("an ingress", "link", link, "LinkSettings(...)")
        link.keys(key)
        self.key = key
        self.link = link
        self.lossless = bool(lossless)
        self.streams = streams
        self._returned_to = bool(returns and lossless)
        if lossless:
            self.max_in_flight = MOST_IN_FLIGHT
        self._session: Any = None
        self._inbound: Inbound | None = None

    def setup(self) -> None:
        """Open the session."""
        self._session = self.link.open_session()

    def open_feed(self, ring: Callable[[], None]) -> LinkFeed:
        """What has come."""
        if self._inbound is None or self._inbound.ended(monotonic_ns()):
            self._inbound = Inbound(secrets.randbits(63) | 1, self.streams)
        return LinkFeed(self, self._session, self._inbound, ring)

    def main_logic(self) -> None:
        """What is to be sent comes from the feed."""

    def cleanup(self) -> None:
        """Close the session."""
        session, self._session = self._session, None
        if session is not None:
            close_session(session)


class LinkFeed:
    """What has come over a link, from start to stop."""

    def __init__(self, ingress: Ingress, session: Any, inbound: Inbound, ring: Callable[[], None]) -> None:
        zenoh = import_zenoh()
        self._name = ingress.name
        self._in = inbound
        self._ring = ring
        self._frames: deque[Any] = deque()
        self._parcels = inbound.parcels  # what was not handed on before a stop goes on after it
        self._counting = Counting(ingress)
        self._offsets: dict[int, OffsetEstimate] = {}
        self._lossless = ingress.lossless
        self._report_at = 0
        self._ping_at = 0
        self._pings = 0
        there, back = ingress.link.keys(ingress.key)
        block, drop = zenoh.CongestionControl.BLOCK, zenoh.CongestionControl.DROP
        priority = zenoh.Priority
        self._back = session.declare_publisher(
            back, congestion_control=block, express=True, priority=priority.INTERACTIVE_HIGH
        )
        self._clocks = session.declare_publisher(
            back, congestion_control=drop, express=True, priority=priority.REAL_TIME
        )
        self._there = session.declare_subscriber(there, self._heard)

    def _heard(self, sample: Any) -> None:
        """In a thread of Zenoh's."""
        arrived = monotonic_ns()
        payload = sample.payload
        if len(payload) == CLOCKS_BYTES:
            with contextlib.suppress(BadFrameError):
                clocks = unpack_clocks(payload.to_bytes())
                self._counting.hear(arrived)
                estimate = self._offsets.setdefault(clocks.run, OffsetEstimate())
                estimate.add(asked=clocks.asked, answered=clocks.answered, arrived=arrived)
                return
        self._frames.append(payload)  # made bytes of as late as may be, so that the same memory serves for the next one
        self._ring()

    def _read(self) -> None:
        while self._frames:
            frame = self._frames.popleft().to_bytes()
            try:
                head = unpack_there(frame)
                parcels = parcels_of(head, frame) if head.kind is Kind.BATCH else []
            except BadFrameError as error:
                self._counting.foreign(error)
                continue
            now = monotonic_ns()
            self._counting.hear(now)
            if head.run not in self._offsets:
                self._ping(now)
            stream = self._in.hear(head)
            if stream is not None and parcels:
                self._parcels.extend(stream.arrived(head, parcels))

    @property
    def ready(self) -> bool:
        return bool(self._parcels or self._frames)

    @property
    def ended(self) -> bool:
        return not self.ready and self._in.ended(monotonic_ns())

    def take(self) -> Fed | None:
        if not self._parcels:
            self._read()
            if not self._parcels:
                return None
        tag, parcel = self._parcels.popleft()
        try:
            data = parcel.passed_on()
        except Exception as error:
            raise UnreadableFeed(self._name, f"{type(error).__name__}: {error}", tag, parcel.sequence) from error
        return Fed(data, tag, parcel.sequence, self._born(tag, parcel.born))

    def _born(self, tag: Tag, born: int) -> int:
        """When a message was made, on this host's clock."""
        now = monotonic_ns()
        estimate = self._offsets.get(tag.stream.run)
        best = estimate.best if estimate is not None else None
        return min(now, born + best.nanoseconds) if best is not None and born else now

    def over(self, tag: Tag) -> None:
        tag.stream.over(tag)

    def returned(self, tag: Tag, value: Packed) -> None:
        tag.stream.returned(tag, value.data)

    def tend(self) -> float | None:
        self._read()
        now = monotonic_ns()
        streams = self._in.streams.values()
        wait: float | None = None
        if not self._lossless or now >= self._report_at:
            for report in self._in.reports(now):
                self._back.put(report.pack())
                self._report_at = now + _BETWEEN_REPORTS
        elif self._in.has_news:
            wait = (self._report_at - now) / 1e9
        if streams:
            if now >= self._ping_at:
                self._ping(now)
            ping = (self._ping_at - now) / 1e9
            wait = ping if wait is None else min(wait, ping)
        if self._in.ending:
            wait = _WHILE_ENDING if wait is None else min(wait, _WHILE_ENDING)
        counts: dict[str, float] = {
            "received": sum(stream.received for stream in streams),
            "duplicates": sum(stream.duplicates for stream in streams),
            "gap": sum(stream.gap for stream in streams),
        }
        found = [best for estimate in tuple(self._offsets.values()) if (best := estimate.best) is not None]
        if found:
            worst = max(found, key=lambda one: one.uncertainty)
            counts["offset ms"] = round(worst.nanoseconds / 1e6, 3)
            counts["uncertainty ms"] = round(worst.uncertainty / 1e6, 3)
        return self._counting.show(counts, wait)

    def _ping(self, now: int) -> None:
        self._pings += 1
        self._ping_at = now + (_PING_SOON if self._pings < _PINGS_AT_FIRST else _PING_EVERY)
        self._clocks.put(Clocks(Kind.PING, 0, monotonic_ns(), 0).pack())

    def close(self) -> None:
        """Say what is left to be said, and listen no more."""
        self._read()
        for report in self._in.reports(monotonic_ns()):
            self._back.put(report.pack())
        self._counting.show_now()
        for end in (self._there, self._clocks, self._back):
            end.undeclare()
