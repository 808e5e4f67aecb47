"""The sending end of a link: a destination in its own pipe."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic_ns, sleep
from typing import Any

from pipert2.engine.link.counting import Counting
from pipert2.engine.link.frames import BadFrameError, Clocks, Kind, kind_of, unpack_clocks, unpack_report
from pipert2.engine.link.outbound import BATCH_MESSAGES, Outbound
from pipert2.engine.link.payload import NOBODY, Packer
from pipert2.engine.link.settings import LinkSettings, close_session, import_zenoh
from pipert2.errors import ConfigError
from pipert2.graph.handlers import events
from pipert2.graph.routine import DestinationRoutine
from pipert2.runtime.messages import Packed
from pipert2.runtime.routine.crew import BringsCrew, Outcome
from pipert2.transport.envelope import Message, source_and_sequence
from pipert2.transport.ring import Interrupted
from pipert2.transport.work_ends import Delivery

_GATHER, _FEW = 500_000, 32
"""Nanoseconds in which a lossless egress that is busy gathers messages, unless it has so many already."""
_AT_ONCE = 64 * 1024
"""Bytes that are not kept back for a batch."""
CREDIT_EVENT = "pipert2 link credit"
"""Sent to an egress to change its ``credit``."""
LAST_WORD = 5_000_000_000
"""Nanoseconds that a real-time egress whose input has ended waits for its ingress to say that it knows."""


class Egress(BringsCrew, DestinationRoutine):
    """Carries what it gets to the ingress of the same key, in another pipe; in a flow of its own.

    What it does is shown (:meth:`pipert2.Pipe.results`): messages ``link/sent``, ``link/resent``, ``link/lost`` and
    ``link/under way``, ``link/round trip ms``, and ``link/state``.

    Args:
        name: unique within its pipe.
        key: names the link; letters, digits, ``-``, ``_``, ``.``, and ``/`` between them. One egress and one ingress
            have it (several egresses where the ingress says so).
        link: how the other side is reached.
        lossless: keep each message until all that came of it in the ingress's pipe is acknowledged there; else the
            newest wins while the link is slow or cut.
        credit: the most messages that may be under way and not done at the ingress's pipe; None: as many as the link
            bears. With replicas behind the ingress, their number times their concurrency. A lossless egress with credit
            competes with others: when its ingress is out of reach it gives its messages back to the queue.

    Raises:
        ConfigError: one of them cannot be.
    """

    takes_encoded = True
    retries = 20  # deaths of its process that a message in its hand survives

    def __init__(
        self,
        name: str | None = None,
        *,
        key: str,
        link: LinkSettings,
        lossless: bool = False,
        credit: int | None = None,
    ) -> None:
        super().__init__(name)
        if credit is not None and (isinstance(credit, bool) or not isinstance(credit, int) or credit < 1):
            raise ConfigError("an egress", "credit", credit, "a number of messages, 1 or more, or None")
        if not isinstance(link, LinkSettings):
            raise ConfigError("an egress", "link", link, "LinkSettings(...)")
        link.keys(key)
        self.key = key
        self.link = link
        self.lossless = bool(lossless)
        self.credit = credit
        self._made = secrets.token_hex(8)
        self._session: Any = None
        self._crew: LinkCrew | None = None

    def setup(self) -> None:
        """Open the session."""
        self._session = self.link.open_session()

    def make_crew(self, outcomes: deque[Outcome], ring: Callable[[], None], run: str) -> LinkCrew:
        """What sends, and waits for confirmations."""
        mark = hashlib.blake2b(f"{run} {self._made} {self.name}".encode(), digest_size=8)
        self._crew = LinkCrew(self, self._session, outcomes, ring, int.from_bytes(mark.digest(), "little"))
        return self._crew

    @events(CREDIT_EVENT)
    def set_credit(self, credit: int | None) -> None:
        """Another number of messages may be under way."""
        self.credit = credit
        if self._crew is not None:
            self._crew.set_credit(credit)

    def main_logic(self, data: Any) -> None:
        """What is to be done with data does the crew."""

    def cleanup(self) -> None:
        """Close the session."""
        session, self._session, self._crew = self._session, None, None
        if session is not None:
            close_session(session)


class LinkCrew:
    """Stands in for those who work on an egress's messages, who are in another pipe."""

    def __init__(
        self, egress: Egress, session: Any, outcomes: deque[Outcome], ring: Callable[[], None], run: int
    ) -> None:
        zenoh = import_zenoh()
        self.outcomes = outcomes
        self.logic: Callable[[Any], Any] = egress.main_logic
        self._ring = ring
        self._run = run
        self._lossless = egress.lossless
        self._competes = egress.lossless and egress.credit is not None
        self._out: Outbound[Message] = Outbound(run, monotonic_ns(), lossless=egress.lossless, credit=egress.credit)
        self._packer = Packer()
        self._reports: deque[tuple[bytes, int]] = deque()
        self._counting = Counting(egress)
        self._answering = threading.Lock()
        self._closed = False
        self._ended_at = 0
        self._flushed_at = 0
        there, back = egress.link.keys(egress.key)
        block, drop = zenoh.CongestionControl.BLOCK, zenoh.CongestionControl.DROP
        self._there = session.declare_publisher(there, congestion_control=block, express=True)
        self._clocks = session.declare_publisher(
            there, congestion_control=drop, express=True, priority=zenoh.Priority.REAL_TIME
        )
        self._back = session.declare_subscriber(back, self._heard)

    # --- what others call

    def _heard(self, sample: Any) -> None:
        """In a thread of Zenoh's."""
        arrived = monotonic_ns()
        frame = sample.payload.to_bytes()
        with contextlib.suppress(BadFrameError):
            if kind_of(frame) is Kind.PING:
                self._counting.hear(arrived)
                asked = unpack_clocks(frame).asked
                with self._answering:
                    if not self._closed:
                        self._clocks.put(Clocks(Kind.PONG, self._run, asked, arrived).pack())
                return
        self._reports.append((frame, arrived))
        # While there is room nobody waits for it, and it is read with the next message: waking costs most of all.
        if self._lossless or self._out.ends or not self._out.room:
            self._ring()

    def set_credit(self, credit: int | None) -> None:
        self._out.set_credit(credit)

    @property
    def busy(self) -> int:
        return self._out.held

    @property
    def room(self) -> int:
        if self._reports:
            self._read()
        return self._out.room

    @property
    def since(self) -> int:
        return 0  # a message that is not confirmed for long does not mean that this routine hangs

    def submit(self, message: Message) -> None:
        now = monotonic_ns()
        data, origin, born, _, _, delivery = message
        identity = (delivery.queue.number + 1, delivery.claim.number) if isinstance(delivery, Delivery) else NOBODY
        try:
            self.logic(data)
            parcel = self._packer.parcel(data, source_and_sequence(origin)[1], born, identity)
        except Exception as error:
            self.outcomes.append(Outcome(message, None, error, now, now))
            return
        self._out.add(message, parcel)
        if self._out.unsent >= BATCH_MESSAGES or parcel.size >= _AT_ONCE:
            self._flush()
        if not self._lossless:
            self.outcomes.append(Outcome(message, None, None, now, now))

    def _flush(self) -> None:
        while (batch := self._out.next_batch(monotonic_ns())) is not None:
            self._there.put(self._packer.batch(*batch))
            self._flushed_at = monotonic_ns()

    def _read(self) -> None:
        while self._reports:
            frame, now = self._reports.popleft()
            try:
                report = unpack_report(frame)
            except BadFrameError as error:
                self._counting.foreign(error)
                continue
            if report.run == self._run:
                self._counting.hear(now)
            answers = {id(message): answer for message, answer in self._out.answered(report)}
            for message in self._out.take(report, now):
                self.outcomes.append(Outcome(message, self._opened(answers.get(id(message))), None, now, now))

    def _opened(self, answer: bytes | None) -> Any:
        """What a destination behind the ingress returned."""
        try:
            return None if answer is None else Packed(answer).open()
        except Exception as error:
            self._counting.warn(f"what was returned for a message cannot be read: {type(error).__name__}: {error}")
            return None

    def tend(self) -> float | None:
        self._read()
        now = monotonic_ns()
        if self._competes and self._out.held and self._counting.is_cut(now):
            # Replicas elsewhere can do it. If the cable is out only, it may be done twice, as after any loss.
            given_up = self._out.give_up()
            self.outcomes.extend(Outcome(message, None, Interrupted(), now, now) for message in given_up)
        if self._lossless and 0 < self._out.unsent < _FEW and now - self._flushed_at < _GATHER:
            sleep(_GATHER / 1e9)  # not by the bell, which each message rings
            self._flushed_at = 0
            return 0.0
        self._flush()
        out = self._out
        wait = out.seconds_to_probe(now)
        if wait == 0:
            self._there.put(out.probe(now).pack())
            wait = out.seconds_to_probe(now)
        counts = {
            "sent": out.sent,
            "resent": out.resent,
            "lost": out.lost,
            "under way": out.under_way,
            "round trip ms": round(out.window.round_trip / 1e6, 3),
        }
        return self._counting.show(counts, wait)

    def finish(self) -> bool:
        now = monotonic_ns()
        out = self._out
        if not out.ends:
            out.end()
            self._ended_at = now
            self._flush()
        if out.ended:
            self._there.put(out.close_head(now).pack())
            return True
        if not self._lossless and now - self._ended_at > LAST_WORD:
            self._counting.warn("the end of its stream was not confirmed: the ingress may wait for more")
            return True
        return False

    def release(self) -> None:
        now = monotonic_ns()
        left = self._out.release()
        if self._lossless:
            self.outcomes.extend(Outcome(message, None, Interrupted(), now, now) for message in left)

    def cancel(self) -> None:
        """Nothing is left to cancel."""

    def close(self) -> None:
        """Say no more, and listen no more."""
        self._counting.show_now()
        with self._answering:  # a publisher must not be taken away while somebody puts
            self._closed = True
        for end in (self._back, self._clocks, self._there):
            end.undeclare()
