"""Running a pipe to its end, wherever its flows are."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import TypeVar

from pipert2.graph.handlers import START_EVENT_NAME
from pipert2.observe.snapshot import RunSummary
from pipert2.pipe.messages import MessageVerbs
from pipert2.pipe.runner import Runner
from pipert2.runtime.supervision.ending import signals_noted

_Self = TypeVar("_Self", bound="RunVerbs")


class RunVerbs(MessageVerbs):
    """Run, join, and the end of both."""

    _levels_set: set[logging.Logger]

    def run(self, timeout: float | None = None) -> RunSummary:
        """Build if need be, start, wait for the end of all streams, join.

        Args:
            timeout: seconds after which sources are told to end; what they have sent is still worked on.

        Returns:
            How it went. SIGINT and SIGTERM end the run cleanly as well, the second one by force.
        """
        runner = self._built("run")
        assert runner is not None
        began = monotonic()
        reason: str | None = None
        with signals_noted(runner.nudge) as signals:
            self.notify_event(START_EVENT_NAME)
            if not runner.wait(lambda: runner.progress.settled or signals, timeout):
                waiting = {flow: reasons for flow in self.blueprint.flows if (reasons := runner.waits_for(flow))}
                reason = "timeout" if not waiting else f"timeout, {_never_started(waiting)}"
                self._drain(runner, signals)
            settled = runner.progress.settled
            if signals and settled is None:
                reason = f"interrupted by {signal.Signals(signals[0]).name}"
                self._drain(runner, signals)
            reason = reason or settled or "stopped"
            failed = settled if settled not in (None, "finished", "killed") else None
            if failed and not signals:  # what the others have sent is still worked on
                self._drain(runner, signals)
            status = self.status()
            self._end(runner, signals, by_force_after=2)
        final = self._last_status or status
        given_up = runner.progress.given_up
        return RunSummary(
            ok=failed is None and reason in ("finished", "timeout") and not given_up,
            dead_letters=given_up,
            dead_letters_dropped=final.dead_letters_dropped,
            reason=failed or reason,
            elapsed=monotonic() - began,
            errors=sum(routine.errors for routine in final.routines),
            routines=final.routines,
            wires=final.wires,
            flows=final.flows,
        )

    def _drain(self, runner: Runner, signals: list[int]) -> None:
        """End the sources' streams and let what is on its way arrive, for as long as routines have to clean up."""
        self._end_streams()
        limit, progress = max(1.0, 2 * self.settings.kill_timeout), runner.progress
        runner.wait(lambda: progress.drained or progress.resting or len(signals) > 1, limit)

    def join(self, to_kill: bool = False, timeout: float | None = None) -> bool:
        """Wait until the pipe has been killed, or all its streams have ended and everything has arrived; then tidy up.

        SIGINT (Ctrl-C) or SIGTERM while it waits stops the pipe cleanly; the second one ends it by force.

        Args:
            to_kill: kill it first.
            timeout: seconds to wait; the pipe goes on when they are over.

        Returns:
            Whether the pipe has ended.
        """
        runner = self._runner
        if runner is None:
            return True
        with signals_noted(runner.nudge) as signals:
            if not to_kill:
                done = runner.wait(lambda: runner.ended or signals or runner.progress.drained, timeout)
                if not done:
                    return False
            if signals:
                self.logger.info("%s: stopping pipe %r", signal.Signals(signals[0]).name, self.name)
            self._end(runner, signals, by_force_after=1 if to_kill else 2)
        return True

    def _end(self, runner: Runner, signals: list[int], by_force_after: int) -> None:
        """End the flows, keep the last status, and leave nothing behind."""
        self._end_flows(runner, signals, by_force_after)
        for logger in self._levels_set:  # a later pipe of this name begins as the first one did
            logger.setLevel(logging.NOTSET)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.join(to_kill=True)

    # --- what is different where flows run elsewhere

    def _end_streams(self) -> None:
        """Let the streams of all sources end."""
        raise NotImplementedError

    def _end_flows(self, runner: Runner, signals: list[int], by_force_after: int) -> None:
        """End the flows for good, by force after so many signals, and keep how they were at last."""
        raise NotImplementedError


def _never_started(waiting: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"flow {flow!r} still waits for {' and '.join(reasons)}" for flow, reasons in waiting.items())
