"""What zerorpc's clients can call: few methods, each of which asks a verb of the control service."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator
from time import monotonic, time
from typing import Any, Protocol, TypeVar

import msgpack
from zerorpc import rep, stream

from pipert2.control.problems import control_error
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import Scope, Verb, plain
from pipert2.errors import ControlError, UnknownNameError
from pipert2.observe.recent_logs import MOST_RECORDS, LogRecord

_EVENT_VERBS = ("start", "stop", "kill", "event")
_PATIENCE = 0.1

_Result = TypeVar("_Result")


class Runner(Protocol):
    """Carries out what may block, so that it does not hold up the thread that all clients' heartbeats go through."""

    def run(self, job: Callable[[], _Result], *, long: bool) -> _Result:
        """What *job* returns or raises. *long*: it may take as long as its caller likes to wait."""
        ...

    def pause(self, seconds: float) -> bool:
        """Let others go on for so long; False: the server is about to end."""
        ...


class PipeMethods:
    """The methods, and their documentation as clients see it. All replies are of JSON's types.

    Args:
        service: of the pipe.
        runner: carries out the verbs.
    """

    names = ("start", "pause", "kill", "execute", "status", "structure", "events", "log", "call", "call_routine")
    streams = ("log",)
    verbs = (
        "dead_letters",
        "requeue_dead_letter",
        "requeue_dead_letters",
        "drop_dead_letter",
        "drop_dead_letters",
        "shared_parameters",
        "set_shared_parameters",
        "set_replicas",
    )
    """Those of the service that are methods just as they are, with their arguments in order."""

    def __init__(self, service: ControlService, runner: Runner) -> None:
        self._service = service
        self._runner = runner

    def verb(self, verb: Verb, *given: Any) -> Any:
        """Call one of :attr:`verbs`."""
        return self._do(verb.name, dict(zip(verb.request.model_fields, given, strict=False)))

    def start(self, flow: Any = None, routine: Any = None, wait: Any = None) -> Any:
        """Start the pipe, a flow or a routine."""
        return self._do("start", {"flow": flow, "routine": routine, "wait": wait})

    def pause(self, flow: Any = None, routine: Any = None, wait: Any = None) -> Any:
        """Stop the pipe, a flow or a routine after the message in hand; it can be started again."""
        return self._do("stop", {"flow": flow, "routine": routine, "wait": wait})

    def kill(self, flow: Any = None, routine: Any = None, wait: Any = None) -> Any:
        """End the pipe, a flow or a routine for good."""
        return self._do("kill", {"flow": flow, "routine": routine, "wait": wait})

    def execute(self, name: Any, args: Any = None) -> Any:
        """Send an event to all routines that handle it, with arguments as JSON text or as a map.

        As in: execute start; execute SET_SPEED '{"speed": 3}'; execute join '{"to_kill": true}'.
        Besides the pipe's events there are start, stop, pause, kill and join, with the arguments of these verbs.
        """
        given = _arguments("execute", args)
        if name in ("start", "stop", "kill", "join"):
            return self._do(name, given)
        if name == "pause" and not self._runner.run(lambda: self._is_event("pause"), long=False):
            return self._do("stop", given)
        return self._do("event", {"name": name, "params": given})

    def status(self) -> Any:
        """A snapshot: routines, wires and flows with states, rates, latencies, drops and errors."""
        return self._do("status", {})

    def structure(self) -> Any:
        """What the pipe is made of: flows, routines with their events and parameters, wires."""
        return self._do("structure", {})

    def events(self, routine: Any = None) -> Any:
        """The events that a routine handles, or all routines do, with their arguments."""
        return self._do("events", {"routine": routine})

    def log(
        self, after: Any = None, level: Any = None, flow: Any = None, routine: Any = None, text: Any = None
    ) -> Iterator[Any]:
        """A stream of the pipe's log records, from now on or behind number AFTER (0: all that are kept).

        The others choose: this level and above, this flow, this routine, this text in the message; "" is any.
        The first record only says that the stream has begun. What a slow reader misses is counted in a record.
        """
        wanted = {"after": after, "level": level, "flow": flow, "routine": routine, "text": text}
        checked = VERBS["logs"].check({name: value for name, value in wanted.items() if value not in (None, "")})
        try:
            self._service.check_origin(checked["flow"], checked["routine"])
        except UnknownNameError as error:
            raise control_error(error) from None
        recent = self._service.recent_logs
        seen = recent.last if after in (None, "") else checked["after"]
        if seen > recent.last:  # the number is from before this program was started again
            seen = 0
        yield plain(self._notice(seen, f"the log of pipe {self._service.pipe.name!r} follows"))
        checked["limit"] = MOST_RECORDS
        while self._runner.pause(0.0 if recent.last > seen else _PATIENCE):
            page = recent.page(**{**checked, "after": seen})
            if page.missed:
                yield plain(
                    self._notice(seen, f"{page.missed} records are missing here: they came too fast", "WARNING")
                )
            for record in page.records:
                yield plain(record)
            seen = page.last

    def call(self, verb: Any, arguments: Any = None) -> Any:
        """Call any verb of the control service, with its arguments as JSON text or as a map.

        As in: call set_parameters '{"routine": "camera", "values": {"speed": 3}}'.
        """
        if not isinstance(verb, str) or verb not in VERBS:
            raise control_error(_UnknownVerbError(str(verb)[:200], tuple(VERBS), "the control service"))
        return self._do(verb, _arguments(f"call {verb}", arguments))

    def call_routine(self, routine: Any, data: Any = None, timeout: Any = 30.0) -> Any:
        """Let a routine work on data, and return what its main_logic returns: the verb "call"."""
        return self._do("call", {"routine": routine, "data": data, "timeout": timeout})

    def _do(self, name: str, arguments: dict[str, Any]) -> Any:
        verb = VERBS[name]
        if name == "join":
            return self._join(verb, arguments)
        return self._run(verb, arguments, long=_may_take_long(verb, arguments))

    def _join(self, verb: Verb, arguments: dict[str, Any]) -> Any:
        """Look again and again whether the pipe has ended: a thread that waits for it would outlive its caller."""
        checked = verb.check(arguments)
        if checked["to_kill"]:
            return self._run(verb, checked, long=True)
        deadline = None if checked["timeout"] is None else monotonic() + checked["timeout"]
        while True:
            try:
                reply = self._run(verb, {"timeout": 0.0}, long=True)
            except ControlError as error:
                if error.code != "no_room":
                    raise
                reply = {"ended": False}
            if reply["ended"] or (deadline is not None and monotonic() >= deadline):
                return reply
            if not self._runner.pause(_PATIENCE):
                raise ControlError("failed", "the RPC server is about to end; the pipe has not ended yet")

    def _run(self, verb: Verb, arguments: dict[str, Any], *, long: bool) -> Any:
        return self._runner.run(lambda: plain(verb.call(self._service, arguments)), long=long)

    def _is_event(self, name: str) -> bool:
        return any(event.name == name for found in self._service.events().values() for event in found)

    def _notice(self, number: int, message: str, level: str = "INFO") -> LogRecord:
        return LogRecord(number, time(), level, __name__, None, None, message, None, {})


def _may_take_long(verb: Verb, arguments: dict[str, Any]) -> bool:
    if verb.name in _EVENT_VERBS:
        return arguments.get("wait") is not None
    return verb.scope is not Scope.READ


class _UnknownVerbError(UnknownNameError):
    kind = "verb"


def _arguments(what: str, given: Any) -> dict[str, Any]:
    """Arguments that came as JSON text, as a map, or not at all."""
    if isinstance(given, str | bytes):
        try:
            given = json.loads(given) if given.strip() else None
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, json.JSONDecodeError) else "it is nested too deep, or no text"
            raise ControlError("bad_argument", f"{what}: the arguments are not JSON: {reason}", "args") from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        message = f'{what}: the arguments are a JSON object, as in {{"name": 1}}, not {type(given).__name__}'
        raise ControlError("bad_argument", message, "args")
    return {str(name): value for name, value in given.items()}


# --- as zerorpc wants them


class Method:
    """A function as zerorpc's decorators and its introspection want it."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.__name__ = name
        self.__doc__ = inspect.getdoc(function)
        self.__signature__ = inspect.signature(function)
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return sendable(self._function(*args))

    def _zerorpc_args(self) -> tuple[list[str], None, None, list[Any]]:
        parameters = self.__signature__.parameters.values()
        defaults = [one.default for one in parameters if one.default is not one.empty]
        return [one.name for one in parameters], None, None, defaults


class VerbMethod(Method):
    """A verb of the service as zerorpc's decorators and its introspection want it."""

    def __init__(self, verb: Verb, call: Callable[..., Any]) -> None:
        super().__init__(verb.name, functools.partial(call, verb))
        self.__doc__ = verb.help
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=inspect.Parameter.empty if field.is_required() else field.default,
                )
                for name, field in verb.request.model_fields.items()
            ]
        )

    def __call__(self, *args: Any) -> Any:
        self.__signature__.bind(*args)  # too many or too few: the TypeError that any other method gives
        return super().__call__(*args)


class StreamMethod(Method):
    """A generator as zerorpc's decorators want it."""

    def __call__(self, *args: Any) -> Iterator[Any]:
        return (sendable(item) for item in self._function(*args))


def methods_of(target: Any) -> dict[str, Any]:
    """The methods that *target* names in ``names``, those in ``streams`` as streams, and the verbs in ``verbs``."""
    found: dict[str, Any] = {}
    for name in target.names:
        function = getattr(target, name)
        found[name] = stream(StreamMethod(name, function)) if name in target.streams else rep(Method(name, function))
    for name in getattr(target, "verbs", ()):
        found[name] = rep(VerbMethod(VERBS[name], target.verb))
    return found


def sendable(value: Any) -> Any:
    """*value*, of JSON's types, as msgpack can send it: whole numbers of more than 64 bits become text."""
    try:
        msgpack.packb(value)
    except (OverflowError, ValueError, TypeError):
        return _fit(value, 100)
    return value


def _fit(value: Any, depth: int) -> Any:
    if depth == 0:
        return "..."
    if isinstance(value, dict):
        return {_fit(str(key), depth): _fit(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fit(item, depth - 1) for item in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"{value:#x}"
    return value
