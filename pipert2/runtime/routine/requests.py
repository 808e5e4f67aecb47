"""What a routine is asked to do besides what comes on its wires: calls, and dead letters that are tried again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import monotonic, monotonic_ns
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from pipert2.errors import CallError, PipertError
from pipert2.graph.routine import RoutineKind
from pipert2.runtime import commands
from pipert2.runtime.messages import CallOutcome, Packed
from pipert2.runtime.routine.crew import About
from pipert2.runtime.routine.failures import Failure
from pipert2.transport import board as b
from pipert2.transport.board import RoutineState
from pipert2.transport.codec import dumps_plain
from pipert2.transport.work_ends import KEPT

if TYPE_CHECKING:
    from pipert2.runtime.routine.around import Command
    from pipert2.runtime.routine.loop import RoutineLoop

Done = Callable[[Any, "Failure | None", bool], None]
"""Told what came of it, or why it failed; last: whether that is a list of several results."""


class Requests:
    """The requests that one routine sees to, itself or by its crew.

    Attributes:
        table: by the command's name.
    """

    def __init__(self, loop: RoutineLoop) -> None:
        self._loop = loop
        self.table: dict[str, Callable[[Command], None]] = {commands.CALL: self._call, commands.REDO: self._redo}

    @property
    def _runs(self) -> bool:
        return bool(self._loop.words[self._loop.row + b.STATE] == RoutineState.RUNNING)

    def _work_on(self, data: Any, about: About | None, done: Done) -> None:
        """``main_logic`` on something that came on no wire; what it raises is counted and logged."""
        loop = self._loop
        if loop.consumer is not None and loop.consumer.take_request(data, about, done):
            return
        busy = loop.row + b.BUSY_SINCE
        before, loop.about = loop.about, about
        loop.words[busy] = monotonic_ns()
        failure: Failure | None = None
        value, several = None, False
        try:
            value = loop.await_here(loop.logic()(data))
            several = type(value) is GeneratorType
            if several:
                value = list(value)
        except BaseException as error:
            failure = loop.failures.note("main_logic", error)
        finally:
            loop.words[busy] = 0
            loop.about = before
        done(value, failure, several)

    # --- calls

    def _call(self, command: Command) -> None:
        """Work on something for a caller."""
        if not self._runs:
            self._loop.answer(command, None, ("it does not run", ""))  # so that another replica gets it
            return
        if command.params["deadline"] <= monotonic():
            self._loop.answer(command, None, ("the caller has given up", ""))
            return
        try:
            data = command.params["data"].open()
        except Exception as error:
            failure = f"what it was called with cannot be read there: {type(error).__name__}: {error}", ""
            self._answer_call(command, None, failure, several=False)
            return
        self._work_on(data, None, functools.partial(self._answer_call, command))

    def _answer_call(self, command: Command, value: Any, failure: Failure | None, several: bool) -> None:
        outcome = CallOutcome(None)
        if failure is None:
            try:
                outcome = CallOutcome(Packed(dumps_plain(value)))
            except PipertError as error:
                failure = str(error), ""
        if failure is not None:
            outcome = CallOutcome(None, CallError(self._loop.spec.name, *failure))
        self._loop.answer(command, outcome)

    # --- dead letters

    def _redo(self, command: Command) -> None:
        """Work on a message that was a dead letter; that of a source had its result already and is only sent."""
        loop, params = self._loop, command.params
        if not self._runs or params["data"] is None:
            reason = "does not run" if not self._runs else "cannot be given a message that cannot be read"
            loop.answer(command, None, (f"{loop.spec.name!r} {reason}", ""))
            return
        about = params["origin"], monotonic_ns(), 1
        try:
            data = params["data"].open()
        except Exception as error:
            loop.answer(command, None, (f"it cannot be read there: {type(error).__name__}: {error}", ""))
            return
        sent = functools.partial(self._send_again, command, about)
        if loop.spec.kind is RoutineKind.SOURCE:
            sent(data, None, several=False)
        else:
            self._work_on(data, about, sent)

    def _send_again(self, command: Command, about: About, value: Any, failure: Failure | None, several: bool) -> None:
        loop = self._loop
        send = loop.send()
        if failure is None and send is not None:
            try:
                for one in value if several else (value,):
                    if one is not None:
                        send(one, *about, KEPT)
            except BaseException as error:
                failure = loop.failures.note("sending", error)
        loop.answer(command, None, failure)
