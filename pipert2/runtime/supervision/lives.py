"""The lives of flows: their processes come up, are asked to end, die, and are started again."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING

from pipert2.errors import PipeBuildError, PipeStateError
from pipert2.graph.handlers import KILL_EVENT_NAME, STOP_EVENT_NAME
from pipert2.runtime import commands
from pipert2.runtime import messages as m
from pipert2.runtime.flow.handover import fork_server_folder, untransferable
from pipert2.runtime.supervision.dead_letters import dead_letter_of
from pipert2.runtime.supervision.flow_handle import InlineFlow, ProcessFlow
from pipert2.runtime.supervision.flow_record import FlowRecord
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState
from pipert2.transport.work_queue import WorkQueue

if TYPE_CHECKING:
    from pipert2.runtime.supervision.supervisor import Supervisor

LADDER_STEP = 0.5
"""Seconds from a polite request that was not followed to SIGTERM, and from there to SIGKILL."""


class FlowLives:
    """Starts, ends and replaces the processes of a pipe's flows. Its supervisor's lock is held by who calls."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def launch(self, flow: FlowRecord) -> None:
        """Start the flow's process.

        Raises:
            PipeBuildError: a routine cannot be handed to it.
        """
        supervisor = self._supervisor
        launch = m.Launch(
            spec=supervisor.spec,
            flow=flow.name,
            prefix=supervisor.memory.run.prefix if supervisor.memory.run is not None else "",
            routines=tuple(supervisor.routines[index] for index in flow.routines),
            segments=supervisor.memory.segments_of(flow.routines),
            logger=supervisor.logger.name,
            level=supervisor.logger.getEffectiveLevel(),
            main_classes=supervisor.main_classes,
            store=supervisor.settings.store,
            parameters=dict(supervisor.shared),
            configured=supervisor.configurations.of_all(
                supervisor.spec.routines[index].name for index in flow.routines
            ),
            clock=supervisor.settings.clock,
        )
        if supervisor.context is None:
            flow.handle = InlineFlow(
                launch, supervisor.memory.arena, lambda message: supervisor.reception.receive(flow, message)
            )
        else:
            flow.handle = ProcessFlow(launch, supervisor.context)
        try:
            flow.handle.start()
        except Exception as error:
            flow.handle = None
            raise PipeBuildError(untransferable(launch.routines) or [f"flow {flow.name!r}: {error}"]) from error
        if supervisor.memory.run is not None and flow.handle.pid is not None:
            supervisor.memory.run.add_process(flow.handle.pid)
            sockets = None if supervisor.context is None else fork_server_folder(supervisor.context)
            if sockets is not None:
                supervisor.memory.run.add_folder(sockets)

    def replace(self, name: str) -> int:
        """Replace a flow's process by a new one, also one that was given up; how often that was done before.

        Raises:
            PipeStateError: the flow has ended, or has no process of its own.
        """
        supervisor = self._supervisor
        with supervisor.lock:
            flow = supervisor.flows[name]
            before = flow.restarts
            if supervisor.settings.inline:
                raise PipeStateError(
                    f"flow {name!r} runs inline, without a process: stop and start its routines instead"
                )
            if flow.exiting or (flow.ended and not flow.given_up):
                raise PipeStateError(f"flow {name!r} was killed: only a new pipe brings it back")
            if flow.given_up:
                supervisor.must_not_be_killed()
                flow.given_up = flow.ended = False
                supervisor.memory.revive(flow.routines)
                for index in flow.routines:
                    supervisor.set_state(index, RoutineState.IDLE)
                supervisor.go_on(flow.routines)
            if flow.handle is None:
                flow.deaths.clear()
                flow.restart_at = monotonic()
            elif flow.ready and not flow.again:
                flow.again = True
                self._set_ladder(flow)
                flow.handle.send(m.Exit(supervisor.settings.kill_timeout, again=True))
        supervisor.watch.wake()
        return before

    def end(self, flow: FlowRecord) -> None:
        """Ask a flow to end, and set the times at which it will be terminated and killed if it does not."""
        supervisor = self._supervisor
        if flow.exiting or flow.ended:
            return
        flow.exiting = True
        flow.restart_at = None
        if flow.handle is None:
            flow.last_exit = flow.last_exit or "it had no process"
            self._on_ended(flow)
            supervisor.notify()
            return
        self._set_ladder(flow)
        if flow.ready:
            flow.handle.send(m.Exit(supervisor.settings.kill_timeout))

    def _set_ladder(self, flow: FlowRecord) -> None:
        supervisor = self._supervisor
        flow.terminate_at = monotonic() + supervisor.settings.kill_timeout + LADDER_STEP
        flow.kill_at = flow.terminate_at + LADDER_STEP

    def keep_time(self, now: float) -> None:
        """Do what is due: restarts, and the next step with a flow that does not end."""
        supervisor = self._supervisor
        for flow in supervisor.flows.values():
            if flow.restart_at is not None and now >= flow.restart_at:
                self._restart(flow)
            if flow.handle is not None and flow.terminate_at is not None and now >= flow.terminate_at:
                flow.terminate_at = None
                flow.kill_at = now + LADDER_STEP  # it has its step however late this one came
                flow.handle.terminate()
            if flow.handle is not None and flow.kill_at is not None and now >= flow.kill_at:
                flow.kill_at = None
                flow.handle.kill()
                if isinstance(flow.handle, InlineFlow):
                    supervisor.logger.error("flow %r does not end: its routines' threads are left alone", flow.name)
                    self._on_ended(flow)
                    supervisor.notify()
        if supervisor.settings.hang_timeout is not None:
            self._check_hangs(supervisor.settings.hang_timeout)

    def _restart(self, flow: FlowRecord) -> None:
        flow.restart_at = None
        flow.restarts += 1
        try:
            self.launch(flow)
        except Exception as error:
            flow.last_exit = f"not restarted: {error}"
            self._on_death(flow)

    def _check_hangs(self, limit: float) -> None:
        supervisor = self._supervisor
        now = monotonic_ns()
        for flow in supervisor.flows.values():
            if flow.handle is None or not flow.ready or flow.exiting or flow.hang:
                continue
            for index in flow.routines:
                since = supervisor.board.words[supervisor.board.routine(index) + b.BUSY_SINCE]
                if since and now - since > limit * 1e9:
                    flow.hang = f"routine {supervisor.spec.routines[index].name!r} hung for {(now - since) / 1e9:.1f} s"
                    if supervisor.settings.inline:
                        supervisor.logger.error("%s: a thread cannot be ended, so it is left alone", flow.hang)
                    else:
                        supervisor.logger.error("%s: its flow %r is killed", flow.hang, flow.name)
                    flow.handle.kill()
                    break

    # --- deaths

    def on_exit(self, flow: FlowRecord) -> None:
        """The flow's process has ended, or is about to: see to what it leaves, and whether another one follows."""
        supervisor = self._supervisor
        handle = flow.handle
        assert isinstance(handle, ProcessFlow)
        gone = not handle.alive  # before its last words are read: once it is gone there will be no more of them
        while not handle.hung_up and handle.connection.poll():
            supervisor.reception.read(flow)
        if not gone:
            return
        handle.make_sure_it_is_gone()
        flow.last_exit = f"{flow.hang}, {handle.exit_cause}" if flow.hang else handle.exit_cause
        flow.hang = None
        handle.close()
        with supervisor.lock:
            flow.handle = None
            was_ready, flow.ready = flow.ready, False
            flow.terminate_at = flow.kill_at = None
            recovered = supervisor.memory.recover(flow.routines)
            edges = supervisor.spec.edges
            supervisor.memory.shut([number for number in supervisor.shut if edges[number].source in flow.routines])
            flow.waiting[:0] = flow.unheard.take_back(flow.routines, supervisor.board.heard)
            supervisor.delivery.answer_unlinks(flow)
            self._bury(flow, recovered.spent)
            again, flow.again = flow.again and not flow.exiting, False
            if again:
                self._on_left(flow)
            elif flow.exiting or not (was_ready or flow.restarts):
                self._on_ended(flow)
            else:
                self._on_death(flow, recovered.attempts)
        supervisor.notify()

    def _on_ended(self, flow: FlowRecord) -> None:
        supervisor = self._supervisor
        flow.ended = True
        for index in flow.routines:
            supervisor.states[index] = RoutineState.KILLED
        supervisor.memory.end_streams(flow.routines, RoutineState.KILLED)
        for call in flow.waiting:
            if call.name in (KILL_EVENT_NAME, STOP_EVENT_NAME):  # which is what was asked for
                for index in call.routines:
                    supervisor.bus.answer(call.number, index, None, None)
        flow.waiting.clear()
        supervisor.bus.fail(flow.routines, f"its flow {flow.name!r} ended ({flow.last_exit})")
        supervisor.calls.look()

    def _bury(self, flow: FlowRecord, spent: Sequence[tuple[WorkQueue, int]]) -> None:
        """Messages that have killed their process too often become dead letters, and the flow is not to blame."""
        supervisor = self._supervisor
        for queue, cell in spent:
            reason = f"its process ended while it worked on it ({flow.last_exit})"
            letter = dead_letter_of(queue, cell, supervisor.memory, reason)
            supervisor.dead_letters.keep(letter)
            supervisor.bus.send(commands.GIVEN_UP, [supervisor.spec.routines[letter.routine]], {"letter": letter})
            supervisor.memory.queues.bury(queue, cell)
            flow.deaths.clear()

    def _on_left(self, flow: FlowRecord) -> None:
        """The process ended because another one is to take its place, and to go on with what waits for that."""
        supervisor = self._supervisor
        for index in flow.routines:
            supervisor.set_state(index, RoutineState.IDLE)
        supervisor.bus.fail(flow.routines, f"its flow {flow.name!r} was restarted", but=flow.waiting)
        flow.restart_at = monotonic()

    def _on_death(self, flow: FlowRecord, attempts: int = 0) -> None:
        supervisor = self._supervisor
        now = monotonic()
        flow.deaths.append(now)
        del flow.deaths[: -(supervisor.settings.restart.times + 1)]  # enough to decide by
        cause = f"its flow {flow.name!r} died ({flow.last_exit})"
        if flow.boot_failure is not None:
            cause += f", {flow.boot_failure.reason}"
            flow.boot_failure = None
        delay = supervisor.settings.restart.delay(flow.deaths, now, attempts)
        for index in flow.routines:
            running = index in supervisor.wanted
            supervisor.board.write_error(index, cause)
            supervisor.set_state(index, RoutineState.FAILED if running and delay is None else RoutineState.IDLE)
        if delay is None:
            flow.given_up = flow.ended = True
            supervisor.memory.end_streams(flow.routines, RoutineState.FAILED)
            supervisor.logger.error(
                "flow %r died (%s) and stays dead, restart=%d within %g s is used up: mend the cause and run it again",
                flow.name, flow.last_exit, supervisor.settings.restart.times, supervisor.settings.restart.window,
            )  # fmt: skip
        else:
            flow.restart_at = now + delay
            supervisor.logger.error("flow %r died (%s); it is restarted in %.1f s", flow.name, flow.last_exit, delay)
        if delay is None:  # restart_flow may bring it back; whoever waits for an answer is told now
            flow.waiting = [call for call in flow.waiting if not call.number]
        supervisor.bus.fail(flow.routines, cause, but=flow.waiting)
        supervisor.calls.look()
