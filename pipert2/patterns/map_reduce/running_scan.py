"""A scan that runs, at the reducer: what workers made of its events, put into order."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

from pipert2.patterns.events.batch import Item, Kind, Made, Results, Share
from pipert2.patterns.events.order import InOrder
from pipert2.patterns.events.scan import EventFailure, Scan
from pipert2.patterns.events.settled import Outcome
from pipert2.patterns.map_reduce.users_code import ResultData, UserCode


class RunningScan:
    """Takes what workers made of batches; gives the results whose turn has come. The accounts are in *scan*.

    Args:
        scan_id: the scan's.
        serial: counts the scans of this reducer.
        ordered: results are given in the order of their events; those that an earlier one is missing for wait.
        hold: results that may wait.
        now: the time.
        logger: where failures are told.

    Attributes:
        code: the user's reducer.
        last, opening, parameters: the scan's last and first event, and what held for the newest batch.
        heard: when the newest batch came.
        timer_due: when the user's timer is to be called.
    """

    def __init__(
        self, scan_id: str, serial: int, *, ordered: bool, hold: int, now: float, logger: logging.Logger
    ) -> None:
        self.scan = Scan(scan_id)
        self.serial = serial
        self.code: UserCode | None = None
        self.last: Share | None = None
        self.opening: Share | None = None
        self.parameters = b""
        self.heard = now
        self.timer_due: float | None = None
        self._ordered = ordered
        self._order: InOrder[list[ResultData]] = InOrder(limit=hold)
        self._parts: dict[int, list[ResultData]] = {}
        self._logger = logger

    def take(self, results: Results, now: float) -> list[ResultData]:
        """What workers made of a batch; a batch that has come before is refused.

        Returns:
            The results whose turn has come.
        """
        batch, scan = results.batch, self.scan
        if not scan.batch(batch.number):
            return []
        self.heard = now
        self.parameters = batch.parameters
        found: list[ResultData] = []
        for number, made in batch.broadcast:
            found += self.take_broadcast(number, made, now)
        for item in self._items(results.made):
            self._take_item(item, results.made, now, found)
        if batch.notes:
            scan.lost(batch.notes)
            for number, outcome in batch.notes:
                if outcome is not Outcome.LATE:
                    found += _joined(self._order.skip(number, now))
        if batch.closing is not None:
            scan.close(batch.closing)
            self.last, self.opening = batch.last, batch.opening
        return found

    def take_broadcast(self, number: int, made: Sequence[Made], now: float) -> list[ResultData]:
        """What all workers made of one event: that counts as one. Returns what :meth:`take` does."""
        own: list[ResultData] = []
        failures, copies = [], 1
        for each in made:
            for item in self._items(each):
                copies = item.copies
                if item.kind is Kind.FAILURE:
                    failures.append(self._failure(number, each.worker, item.payload))
                elif item.kind is Kind.RESULT:
                    own.append(ResultData(number, each.worker, each.parameters_hash, item.payload))
        for failure in failures[1:]:
            self.scan.keep(failure)
        complete = self.scan.failed(failures[0], copies) if failures else self.scan.done(number, copies)
        found: list[ResultData] = []
        self._arrived(number, own, complete, now, found)
        return found

    def expire(self, before: float) -> list[ResultData]:
        """Wait no longer for what was missing before this time."""
        return _joined(self._order.expire(before))

    def flush(self) -> list[ResultData]:
        """Wait for nothing."""
        return _joined(self._order.flush())

    def _items(self, made: Made) -> list[Item]:
        try:
            return made.items()
        except Exception as error:  # a class that is not known here; what it was of cannot be told apart
            self._logger.exception("results of %s cannot be read", made.worker)
            self.scan.keep(EventFailure(-1, made.worker, f"{type(error).__name__}: {error}", traceback.format_exc()))
            return []

    def _take_item(self, item: Item, made: Made, now: float, found: list[ResultData]) -> None:
        number, scan = item.number, self.scan
        if item.kind is Kind.FAILURE:
            complete = scan.failed(self._failure(number, made.worker, item.payload), item.copies)
        else:
            complete = scan.done(number, item.copies)
        own = [ResultData(number, made.worker, made.parameters_hash, item.payload)] if item.kind is Kind.RESULT else []
        self._arrived(number, own, complete, now, found)

    def _failure(self, number: int, worker: str, payload: Any) -> EventFailure:
        reason, trace = payload
        self._logger.error("event %d failed in %s: %s\n%s", number, worker, reason, trace)
        return EventFailure(number, worker, reason, trace)

    def _arrived(self, number: int, own: list[ResultData], complete: bool, now: float, found: list[ResultData]) -> None:
        """Add to *found* what can be given now that an event's own results are there."""
        if not self._ordered:
            found += own
            return
        if not complete:
            self._parts.setdefault(number, []).extend(own)
            return
        if self._parts:
            own = self._parts.pop(number, []) + own
        order = self._order
        late = order.late
        for each in order.put(number, own, now):
            found += each
        if own and order.late > late:
            self.scan.overdue()


def _joined(several: Iterable[list[ResultData]]) -> list[ResultData]:
    return [one for each in several for one in each]
