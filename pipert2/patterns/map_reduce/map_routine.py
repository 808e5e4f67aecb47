"""Map: the routine around a user's worker. Its flow has as many replicas as there shall be workers."""

from __future__ import annotations

import contextlib
import pickle
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from pipert2.errors import PipertError
from pipert2.graph.handlers import events
from pipert2.graph.routine import MiddleRoutine
from pipert2.patterns.capture.cbor import CborError
from pipert2.patterns.events.batch import (
    CALL,
    CLOSED,
    PACE,
    Batch,
    Item,
    Kind,
    Made,
    Results,
    Share,
    events_of,
    fitting,
    make,
    unpack_event,
)
from pipert2.patterns.map_reduce.parameters import ParameterSet
from pipert2.patterns.map_reduce.users_code import UserCode, WorkerState, check_user_code, show_logs_of
from pipert2.patterns.streams.stream_data import EventData

_NEW_WEIGHT = 0.3  # of the newest batch, in what an event is thought to cost


class Map(MiddleRoutine):
    """Gives events to a user's worker and sends on what it returns; ``None`` means that there is nothing to send.

    For each scan a new worker is made; what it keeps in its ``context`` stays. An event that makes it raise is a failed
    event, with its traceback; the next one goes on.

    Args:
        target: a class with ``process_event(event, ...)``, or a function of the event.
        name: the routine's name.
    """

    def __init__(self, target: Any, name: str | None = None) -> None:
        check_user_code(target, "process_event")
        super().__init__(name)
        self.target = target
        self._scans: dict[str, UserCode | tuple[str, str]] = {}
        self._over: deque[str] = deque(maxlen=100)
        self._newest: UserCode | None = None
        self._kept: dict[str, Any] = {}
        self._parameters: tuple[bytes, ParameterSet] = (b"", ParameterSet([]))
        self._seconds, self._told = 0.0, 0

    @property
    def _label(self) -> str:
        spec = getattr(self._context, "spec", None)
        return str(getattr(spec, "label", self.name))

    def setup(self) -> None:
        show_logs_of(self.target, self.logger.getEffectiveLevel())

    def main_logic(self, batches: tuple[Batch, ...]) -> tuple[Results, ...]:
        return tuple(map(self._work, batches))

    def _work(self, batch: Batch) -> Results:
        parameters = self._unpacked(batch.parameters)
        items: list[Item] = []
        if batch.shares or batch.block is not None:
            code = self._opened(batch.scan_id, batch.opening, parameters)
            began = monotonic()
            self._process_all(code, batch, parameters, items)
            self._tell_pace((monotonic() - began) / len(items))
        made = make(self._label, parameters.hash, items)
        opening = batch.opening if batch.closing is not None else None
        return Results(
            replace(batch, shares=(), block=None, opening=opening), made
        )  # the events themselves have arrived

    def _tell_pace(self, seconds: float) -> None:
        """Say how many events a batch is to have, when that has changed a good deal."""
        self._seconds += (seconds - self._seconds) * (_NEW_WEIGHT if self._told else 1.0)
        most = fitting(self._seconds)
        if not self._told or not self._told / 2 < most < 2 * self._told:
            self._told = most
            with contextlib.suppress(PipertError):  # nobody is there who makes batches, or the pipe ends
                self.notify_event(PACE, most=most)

    @events(CALL)
    def on_call(
        self, scan_id: str, share: Share | None, opening: Share | None, parameters: bytes, last: bool
    ) -> tuple[Made, float | None]:
        """An event that everyone gets; returns what was made of it, and the time between ticks that is wished for."""
        values = self._unpacked(parameters)
        if scan_id in self._over:
            return make(self._label, values.hash, []), None
        code = self._opened(scan_id, opening, values)
        items = []
        if share is not None:
            items.append(_processed(code, share.number, share.copies, share.tick, unpack_event(share), values))
        interval = None
        if isinstance(code, UserCode):
            try:
                interval = code.call("get_tick_interval")
                if last:
                    code.call("finish")
            except Exception as error:
                self.logger.exception("the worker in %s failed", self._label)
                items = [Item(share.number if share is not None else -1, 1, Kind.FAILURE, _described(error))]
        if last:
            self._scans.pop(scan_id, None)
            self._over.append(scan_id)
        return make(self._label, values.hash, items), interval

    @events(CLOSED)
    def on_closed(self, report: dict[str, Any]) -> None:
        """A scan is over; if it did not end as it should, its worker is still there."""
        self._end(report["scan_id"])

    def cleanup(self) -> None:
        for scan_id in list(self._scans):
            self._end(scan_id)
        newest = self._newest
        if newest is not None:
            self._newest = None
            self._quietly(lambda: newest.call("close"), "close")

    def _end(self, scan_id: str) -> None:
        code = self._scans.pop(scan_id, None)
        self._over.append(scan_id)
        if isinstance(code, UserCode):
            self._quietly(lambda: code.call("finish"), "finish")

    def _quietly(self, call: Callable[[], Any], what: str) -> None:
        try:
            call()
        except Exception:
            self.logger.exception("%s of the worker in %s failed", what, self._label)

    def _unpacked(self, parameters: bytes) -> ParameterSet:
        if self._parameters[0] != parameters:
            self._parameters = (parameters, pickle.loads(parameters))
        return self._parameters[1]

    def _opened(self, scan_id: str, opening: Share | None, parameters: ParameterSet) -> UserCode | tuple[str, str]:
        """The worker of a scan, made if need be: then it first gets the scan's first event, as all others did."""
        code = self._scans.get(scan_id)
        if code is not None:
            return code
        try:
            state = WorkerState(self._label, scan_id)
            made = UserCode(self.target, "process_event", parameters, self._kept, state)
            if opening is not None:
                made.process(unpack_event(opening), parameters)
            code = self._newest = made
        except Exception as error:
            code = _described(error)
            self.logger.error("the worker in %s cannot be made: %s", self._label, code[0], exc_info=error)
        self._scans[scan_id] = code
        self._told = 0  # whoever makes batches may be new, and so may the cost of an event
        return code

    def _process_all(
        self, code: UserCode | tuple[str, str], batch: Batch, parameters: ParameterSet, items: list[Item]
    ) -> None:
        """Add what is made of the events of a batch to *items*, of each event one."""
        try:
            for number, copies, tick, event in events_of(batch):
                items.append(_processed(code, number, copies, tick, event, parameters))
        except CborError as error:  # only a block can have that, which was told apart but not read until now
            assert batch.block is not None
            rest = range(batch.block.first + len(items) - len(batch.shares), batch.block.first + len(batch.block.ends))
            items += [Item(number, 1, Kind.FAILURE, _described(error)) for number in rest]


def _processed(
    code: UserCode | tuple[str, str], number: int, copies: int, tick: bool, event: EventData, parameters: ParameterSet
) -> Item:
    if not isinstance(code, UserCode):
        return Item(number, copies, Kind.FAILURE, code)
    try:
        result = code.process(event, parameters, tick)
    except Exception as error:
        return Item(number, copies, Kind.FAILURE, _described(error))
    return Item(number, copies, Kind.NOTHING if result is None else Kind.RESULT, result)


def _described(error: Exception) -> tuple[str, str]:
    return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
