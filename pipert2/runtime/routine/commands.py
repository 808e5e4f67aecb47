"""What a routine does for the pipe itself between two messages, whatever handlers its user wrote."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from pipert2.errors import ConfigError, PipertError
from pipert2.graph.handlers import CONFIGURE_EVENT_NAME, UNLINK_EVENT_NAME
from pipert2.graph.parameter import parameters_of
from pipert2.runtime import commands
from pipert2.runtime.configuration.routines import trigger_of
from pipert2.transport import board as b
from pipert2.transport.local import LocalEdge
from pipert2.transport.work_ends import KEPT

if TYPE_CHECKING:
    from pipert2.runtime.routine.loop import RoutineLoop


class RoutineCommands:
    """The commands that one routine obeys; each is given its parameters and returns its answer."""

    def __init__(self, loop: RoutineLoop) -> None:
        self._loop = loop
        self._parameters = parameters_of(type(loop.routine))
        self.table: dict[str, Callable[[dict[str, Any]], Any]] = {
            UNLINK_EVENT_NAME: self._unlink,
            CONFIGURE_EVENT_NAME: self._configure,
            commands.PARAMETERS: self._set_parameters,
            commands.LOG_LEVEL: self._set_log_level,
            commands.PREVIEW: self._preview,
            commands.LEARN: self._learn,
            commands.GIVEN_UP: self._given_up,
            commands.RESULT: self._take_result,
            commands.OPEN: self._open,
            commands.SHUT: self._shut,
            commands.PING: lambda params: None,
        }

    def _unlink(self, params: dict[str, Any]) -> bool:
        loop, name = self._loop, params.get("unlink_routine_name")
        destination = loop.pipe.routine(str(name))
        if destination is None or loop.outlet is None or not loop.outlet.unlink(destination.index):
            raise PipertError(f"{loop.spec.name!r} is not linked to {name!r} (unlink_routine_name)")
        return True

    def _configure(self, params: dict[str, Any]) -> None:
        """Change settings: all of them, or none if one is wrong."""
        loop = self._loop
        try:
            found = loop.configuration.changed(params)
            trigger = trigger_of(loop.routine, found, has_store=loop.host.store is not None)
        except ConfigError as error:
            loop.failures.note("configure", error)  # the sender may not have waited for it
            raise
        loop.configuration = found
        loop.trigger = trigger
        if "log_level" in params:
            loop.logger.setLevel(found.log_level)
        for key, value in found.parameters.items():
            if key in params:
                setattr(loop.routine, key, value)
        loop.host.configured(loop.spec.index, params)

    def _set_parameters(self, params: dict[str, Any]) -> None:
        name = self._loop.spec.name
        values = {key: self._parameters[key].check(name, value) for key, value in params["values"].items()}
        for key, value in values.items():
            setattr(self._loop.routine, key, value)
        if "done" in params:
            params["done"].set()

    def _set_log_level(self, params: dict[str, Any]) -> None:
        self._loop.logger.setLevel(params["level"])

    def _preview(self, params: dict[str, Any]) -> None:
        loop, side = self._loop, params["side"]
        if params["on"]:
            loop.taps[side] = loop.host.tap(loop.spec.name, side, params["rate"], params["size"])
        else:
            loop.taps.pop(side, None)

    def _learn(self, params: dict[str, Any]) -> None:
        loop = self._loop
        loop.pipe = pipe = params["spec"]
        loop.returns_results = any(one.returned_to for one in pipe.routines)
        loop.host.learn(pipe)
        assert loop.outlet is not None
        loop.outlet.watch(pipe.carriers(loop.spec.index))
        known = {receiver.spec.index for receiver in loop.inputs}
        fresh = [edge for edge in pipe.inputs(loop.spec.index) if edge.index not in known]
        loop.inputs.add([loop.host.receiver(edge, loop.spec.index) for edge in fresh])

    def _given_up(self, params: dict[str, Any]) -> None:
        """Send what the routine wants to be sent in place of a result, for a message that no process survives."""
        loop, letter = self._loop, params["letter"]
        if letter.data is None:
            return
        instead = loop.routine.given_up(letter.data.open(), letter.reason, letter.traceback)
        send = loop.send()
        if instead is not None and send is not None:
            send(instead, letter.origin, monotonic_ns(), letter.attempts, KEPT)

    def _take_result(self, params: dict[str, Any]) -> None:
        producer = self._loop.producer
        if producer is not None:
            producer.take_result(params["origin"], params["value"])

    def _shut(self, params: dict[str, Any]) -> None:
        assert self._loop.outlet is not None
        self._loop.outlet.shut(params["edges"])

    def _open(self, params: dict[str, Any]) -> None:
        loop = self._loop
        assert loop.outlet is not None
        loop.words[loop.board.edge(params["edge"]) + b.CLOSED] = 0
        sender = loop.host.sender(loop.pipe.edges[params["edge"]], loop)
        if isinstance(sender, LocalEdge):
            sender.open()
        if loop.words[loop.row + b.FINISHED]:
            sender.end()
        else:
            sender.reopen()
        loop.outlet.link(sender)
