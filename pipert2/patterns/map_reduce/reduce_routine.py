"""Reduce: the routine around a user's reducer, which also keeps the accounts of scans."""

from __future__ import annotations

import contextlib
import json
import pickle
import threading
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from pipert2.errors import PipertError
from pipert2.graph.handlers import events
from pipert2.graph.routine import DestinationRoutine
from pipert2.patterns.events.batch import (
    ABORT,
    BEGUN,
    CLOSED,
    SCANS,
    TICK,
    Batch,
    Lane,
    Results,
)
from pipert2.patterns.events.call_workers import call_workers
from pipert2.patterns.events.order import InOrder
from pipert2.patterns.events.scan import Closing, EventFailure, ScanState
from pipert2.patterns.events.scan_report import irregular, report_of, sentence_of
from pipert2.patterns.map_reduce.parameters import ParameterSet
from pipert2.patterns.map_reduce.published import Published
from pipert2.patterns.map_reduce.reduce_clock import ReduceClock
from pipert2.patterns.map_reduce.running_scan import RunningScan
from pipert2.patterns.map_reduce.users_code import ResultData, UserCode, WorkerState, check_user_code, show_logs_of

_BEGUN_TIMEOUT = 60.0
_SCANS_KEPT = 100
_ABANDONED = "its streams went on with another scan before they had ended"
_LOST = "the process of the reducer died in the middle of it, and what it had reduced is gone"
_SETTLED_SECONDS = 1.0
"""When nothing has come for so long, what was published last is shown."""


class Reduce(DestinationRoutine):
    """Gives results to a user's reducer, and calls its ``finish`` once, after everything else of its scan.

    For each scan a new reducer is made; what it keeps in its ``context`` stays. Results of a scan that is over, and
    those that come twice, are refused.

    Args:
        target: a class with ``process_result(result, ...)``, or a function of the result.
        lanes: where the workers are.
        ordered: give it the results in the order of their events; those that an earlier one is missing for wait.
        hold: results that may wait for an earlier one.
        timeout: seconds after which an event that nothing was heard of is waited for no longer.
        report: a file for how each scan went, a JSON object a line.
        publish: a port of this machine where the reducer's ``publish``, a dict, can be read as an HDF5 file, see
            :class:`~pipert2.patterns.results.hdf_rest.HdfRest`; 0 for any free one.
        name: the routine's name.
    """

    def __init__(
        self,
        target: Any,
        *,
        lanes: Sequence[Lane] = (),
        ordered: bool = True,
        hold: int = 10_000,
        timeout: float = 60.0,
        report: str | Path | None = None,
        publish: int | None = None,
        name: str | None = None,
    ) -> None:
        check_user_code(target, "process_result")
        super().__init__(name)
        if not timeout > 0:
            raise ValueError(f"Reduce(timeout=...) is a time in seconds above 0, not {timeout!r}")
        InOrder[Any](limit=hold)
        self.target = target
        self._lanes = tuple(lanes)
        self._ordered, self._hold, self._timeout = ordered, hold, timeout
        if publish is not None and not 0 <= publish <= 65535:
            raise ValueError(f"Reduce(publish=...) is a port, not {publish!r}")
        self._publish = publish
        self._lock: Any = contextlib.nullcontext()
        self._report = str(report) if report is not None else None
        self._running: dict[str, RunningScan] = {}
        self._over: deque[dict[str, Any]] = deque(maxlen=_SCANS_KEPT)
        self._kept: dict[str, Any] = {}
        self._newest: UserCode | None = None
        self._parameters: tuple[bytes, ParameterSet] = (b"", ParameterSet([]))
        self._published: Published | None = None
        self._clock: ReduceClock | None = None
        self._begun = 0
        self.stale = 0

    def setup(self) -> None:
        show_logs_of(self.target, self.logger.getEffectiveLevel())
        self._lock = threading.RLock()
        self._identity = uuid.uuid4().hex
        self._published = Published(self._tree, self.show, self._publish, self._lock, self.logger)
        self._clock = ReduceClock(f"pipert2-{self.name}-clock", self._pause, self._ring)

    def main_logic(self, results: tuple[Results, ...]) -> None:
        for one in results:
            self._take(one)

    @events(TICK)
    def on_tick(self) -> None:
        """Time has passed: call timers, and wait no longer for what does not come."""
        if self._clock is not None:
            self._clock.answered()
        now = monotonic()
        if self._published is not None and self._published.behind:
            self._published.show_now()
        for one in list(self._running.values()):
            if one.code is not None and one.timer_due is not None and now >= one.timer_due:
                self._set_timer(one)
            self._deliver(one, one.expire(now - self._timeout))
            if now - one.heard <= self._timeout:
                continue
            if one.scan.state is ScanState.FINISHING:
                self._finish(one, None, f"nothing was heard of some events for {self._timeout:g} s")
            elif one.serial < self._begun:
                self._finish(one, ScanState.FAILED, _ABANDONED)
        self._hurry()

    @events(ABORT)
    def on_abort(self) -> None:
        """End the scans that run, now."""
        for one in list(self._running.values()):
            self._finish(one, ScanState.ABORTED, "it was aborted")

    @events(SCANS)
    def on_scans(self) -> list[dict[str, Any]]:
        """How the scans are, the newest last."""
        return [*self._over, *(report_of(one.scan) for one in self._running.values())]

    def cleanup(self) -> None:
        if self._clock is not None:
            self._clock.close()
            self._clock = None
        for one in list(self._running.values()):
            if one.serial < self._begun and one.scan.state is not ScanState.FINISHING:
                self._finish(one, ScanState.FAILED, _ABANDONED)
            else:
                self._finish(one, None, "its streams ended before it was over")
        if self._published is not None:
            self._published.close()
            self._published = None
        if self._newest is not None:
            newest, self._newest = self._newest, None
            self._guard(lambda: newest.call("close"), "close")

    # --- results

    def _take(self, results: Results) -> None:
        batch = results.batch
        one = self._running.get(batch.scan_id)
        if one is None:
            if any(report["scan_id"] == batch.scan_id for report in self._over):
                self.stale += 1
                return
            one = self._begin(batch)
            if one is None:
                return
        self._deliver(one, one.take(results, monotonic()))
        if one.scan.complete:
            self._finish(one)

    def _deliver(self, one: RunningScan, found: Sequence[ResultData]) -> None:
        for result in found:
            if one.code is None:
                return
            try:
                with self._lock:
                    one.code.process(result, self._unpacked(one.parameters))
                if self._published is not None and self._published.changed():
                    self._hurry()
            except Exception as error:
                self.logger.exception("the result of event %d could not be reduced", result.event_number)
                reason = f"{type(error).__name__}: {error}"
                one.scan.spoiled(EventFailure(result.event_number, self.name, reason, traceback.format_exc()))

    # --- scans

    def _begin(self, batch: Batch) -> RunningScan | None:
        self._begun += 1
        one = RunningScan(
            batch.scan_id,
            self._begun,
            ordered=self._ordered,
            hold=self._hold,
            now=monotonic(),
            logger=self.logger,
        )
        one.parameters = batch.parameters
        self._running[batch.scan_id] = one
        before = self._had_another_begun(batch.scan_id)
        if before is not None:
            one.scan.close(Closing(before, 0))
            self._finish(one, ScanState.FAILED, _LOST)
            return None
        try:
            one.code = self._newest = UserCode(
                self.target,
                "process_result",
                self._unpacked(batch.parameters),
                self._kept,
                WorkerState(self.name, batch.scan_id),
            )
        except Exception as error:
            self.logger.exception("the reducer cannot be made")
            self._finish(one, ScanState.FAILED, f"the reducer cannot be made: {type(error).__name__}: {error}")
            return None
        if one.code.has("timer"):
            self._set_timer(one)
        return one

    def _had_another_begun(self, scan_id: str) -> int | None:
        """Whether a process before this one had begun with a scan: then how many events it had."""
        try:
            answers = self.notify_event(BEGUN, wait=_BEGUN_TIMEOUT, scan_id=scan_id, who=self._identity)
        except PipertError:  # nobody is there who makes batches
            return None
        return next((one.value for one in answers.values() if one.error is None and one.value is not None), None)

    def _finish(self, one: RunningScan, state: ScanState | None = None, reason: str = "") -> None:
        """The scan is over: what still waits, the last event, then ``finish``, once."""
        scan = one.scan
        if self._running.pop(scan.scan_id, None) is None:
            return
        self._deliver(one, one.flush())
        if scan.complete and state is None:
            self._take_last(one)
        if one.code is not None:
            failure = self._guard(lambda: one.code is not None and one.code.call("finish"), "finish")
            if self._published is not None:
                self._published.show_now()
            if failure:
                state, reason = state or ScanState.FAILED, reason or failure
        scan.finish(state, reason)
        report = report_of(scan)
        self._over.append(report)
        level = "info" if scan.state is ScanState.DONE and not irregular(report) else "warning"
        getattr(self.logger, level)("scan %s", sentence_of(report))
        if self._report is not None:
            with Path(self._report).open("a") as file:
                file.write(json.dumps(report) + "\n")
        with contextlib.suppress(PipertError, RuntimeError):  # nobody is there any more
            self.notify_event(CLOSED, report=report)

    def _take_last(self, one: RunningScan) -> None:
        """The scan's last event, which all workers get when nothing else is left; then they finish."""
        called = call_workers(
            self,
            self._lanes,
            scan_id=one.scan.scan_id,
            share=one.last,
            opening=one.opening,
            parameters=one.parameters,
            last=True,
        )
        made = [made for made, _ in called]
        if one.last is not None:
            self._deliver(one, one.take_broadcast(one.last.number, made, monotonic()))
            self._deliver(one, one.flush())

    def _guard(self, call: Callable[[], Any], what: str) -> str:
        """Call the user's code; what went wrong, if anything."""
        try:
            with self._lock:
                call()
        except Exception as error:
            self.logger.exception("%s of the reducer failed", what)
            return f"{what} failed: {type(error).__name__}: {error}"
        return ""

    def _tree(self) -> Mapping[str, Any]:
        """What the newest reducer publishes."""
        tree = getattr(self._newest.instance if self._newest is not None else None, "publish", None)
        return tree if isinstance(tree, Mapping) else {}

    def _unpacked(self, parameters: bytes) -> ParameterSet:
        if self._parameters[0] != parameters:
            self._parameters = (parameters, pickle.loads(parameters))
        return self._parameters[1]

    # --- time

    def _set_timer(self, one: RunningScan) -> None:
        """Call the reducer's ``timer``, which says in how many seconds it wants to be called again."""
        assert one.code is not None
        code = one.code
        wanted: list[Any] = []
        self._guard(lambda: wanted.append(code.call("timer")), "timer")
        one.timer_due = monotonic() + max(0.001, float(wanted[0])) if wanted and wanted[0] is not None else None
        self._hurry()

    def _hurry(self) -> None:
        """Let the clock look again at what is due."""
        if self._clock is not None:
            self._clock.look_again()

    def _ring(self) -> None:
        self.notify_event(TICK, {str(self.flow_name): [self.name]})

    def _pause(self, rung: bool) -> float:
        """Seconds until the clock is to ring; those timers that it has *rung* for already do not count."""
        pause = self._timeout / 4
        if self._published is not None and self._published.behind:
            pause = min(pause, _SETTLED_SECONDS)
        if rung:
            return pause
        now = monotonic()
        due = [one.timer_due - now for one in list(self._running.values()) if one.timer_due is not None]
        return max(0.0, min([pause, *due]))
