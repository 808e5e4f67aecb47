"""What can be said to a running pipe's routines: events, calls, and messages that were given up."""

from __future__ import annotations

from typing import Any, overload

from pipert2.events.bus import EventResult
from pipert2.events.notices import NoticePage, Notices
from pipert2.events.target import Targets, resolve
from pipert2.graph.handlers import KILL_EVENT_NAME, STOP_EVENT_NAME
from pipert2.graph.routine import Routine
from pipert2.pipe.base import PipeBase
from pipert2.runtime.messages import Packed
from pipert2.runtime.supervision.dead_letter_results import DeadLetterStatus, RequeueResult
from pipert2.transport.codec import dumps_plain


class MessageVerbs(PipeBase):
    """Events, calls and dead letters."""

    _last_dead_letters: tuple[DeadLetterStatus, ...]
    _notices: Notices

    # --- what has happened

    def notices(self, after: int = 0, *, limit: int = 1000, wait: float = 0.0) -> NoticePage:
        """What has happened in the pipe that people may want to hear of: see :class:`Notice`.

        Routines hear the same as events: ``@events("fired")``. The newest 10,000 are kept, also when the pipe has
        ended.

        Args:
            after: the ``last`` of an earlier page, for what has happened since.
            limit: how many at most, the oldest ones first.
            wait: seconds to wait for one if there is none yet.
        """
        if after < 0 or limit < 1 or not wait >= 0:
            raise ValueError(f"notices(after={after}, limit={limit}, wait={wait}): 0, 1, 0 or more")
        return self._notices.page(after, limit, wait)

    # --- events

    @overload
    def notify_event(
        self, event_name: str, specific_flow_routines: Targets | None = None, *, wait: float, **params: Any
    ) -> dict[str, EventResult]: ...
    @overload
    def notify_event(
        self, event_name: str, specific_flow_routines: Targets | None = None, *, wait: None = None, **params: Any
    ) -> None: ...
    def notify_event(
        self,
        event_name: str,
        specific_flow_routines: Targets | None = None,
        *,
        wait: float | None = None,
        **params: Any,
    ) -> dict[str, EventResult] | None:
        """Send an event to routines. A pipe that is not built yet is built first.

        Args:
            event_name: ``"start"``, ``"stop"``, ``"kill"`` or one that routines handle with ``@events(...)``.
            specific_flow_routines: flow names with lists of names of routines in them; an empty list is the whole flow.
                Left out: all routines that handle the event.
            wait: seconds to wait for what the handlers return; left out, the event is sent and forgotten.
            params: the handlers' keyword arguments.

        Returns:
            With *wait*: by routine name what each handler returned or raised. Without: None.

        Raises:
            UnknownFlowError, UnknownRoutineError, UnknownEventError: with the nearest name that there is.
            PipeStateError: the pipe has ended. ``stop`` and ``kill`` are then done already and do nothing.
            UnsendableDataError: a parameter cannot be sent to another process.
        """
        supervisor = self._current(
            f"event {event_name!r}", over_is_fine=event_name in (STOP_EVENT_NAME, KILL_EVENT_NAME)
        )
        if supervisor is None:
            return {} if wait is not None else None
        routines = resolve(supervisor.spec, event_name, specific_flow_routines)
        if wait is not None and not wait >= 0:
            raise ValueError(f"notify_event(wait=...) is a time in seconds, 0 or more, not {wait!r}")
        if event_name == STOP_EVENT_NAME and not specific_flow_routines and supervisor.spec.acknowledged:
            return supervisor.stopping.stop(wait)
        if wait is None:
            supervisor.bus.send(event_name, routines, params)
            return None
        return supervisor.bus.call(event_name, routines, params, wait)

    def receivers_of(self, event_name: str, specific_flow_routines: Targets | None = None) -> tuple[str, ...]:
        """The names of the routines that an event would go to; raises what :meth:`notify_event` raises."""
        supervisor = self._current(
            f"event {event_name!r}", over_is_fine=event_name in (STOP_EVENT_NAME, KILL_EVENT_NAME)
        )
        if supervisor is None:
            return ()
        receivers = resolve(supervisor.spec, event_name, specific_flow_routines)
        return tuple(dict.fromkeys(routine.name for routine in receivers))  # its replicas are one routine

    # --- calls

    def call(self, routine: Routine | str, data: Any, *, timeout: float = 30.0) -> Any:
        """Let a routine work on *data*, and get what its ``main_logic`` returns. One of its replicas that runs does it.

        Args:
            routine: whom to call, or its name; also one that is on no wire, if it is a ``service``.
            data: what its ``main_logic`` gets; any picklable object.
            timeout: seconds to wait for the result.

        Raises:
            CallError: it raised an exception, or its process died again and again.
            CallTimeoutError: there was no result in time (a ``TimeoutError`` as well).
            UnknownRoutineError: there is no such routine.
            PipeStateError: the pipe is not built, or has ended.
        """
        name = routine.name if isinstance(routine, Routine) else routine
        self.routine(name)
        if not timeout > 0:
            raise ValueError(f"call(timeout=...) is a time in seconds above 0, not {timeout!r}")
        supervisor = self._running(f"call of {name!r}")
        spec = supervisor.spec.routines[self._index(supervisor, name)]
        return supervisor.calls.call(spec, Packed(dumps_plain(data)), timeout).unwrap()

    # --- dead letters

    def dead_letters(
        self, routine_name: str | None = None, *, after: int = 0, limit: int | None = None
    ) -> tuple[DeadLetterStatus, ...]:
        """The messages that were given up after all their attempts, oldest first.

        Without a store they are kept with this object. In a store they are kept until they are dropped or done, so that
        a later run of a pipe of the same name finds them; when the pipe has ended this lists the oldest hundred.

        Args:
            routine_name: only those of this routine.
            after: only those with a higher number.
            limit: how many at most.

        Raises:
            StoreError: the store cannot be read.
        """
        supervisor = self._supervisor
        if supervisor is not None:
            return supervisor.dead_letters.list(routine_name, after=after, limit=limit)
        found = [letter for letter in self._last_dead_letters if letter.number > after]
        return tuple(letter for letter in found if routine_name in (None, letter.routine))[:limit]

    def requeue_dead_letter(self, number: int, *, wait: float = 30.0) -> None:
        """Give a message that was given up to its routine again; whatever goes wrong, it is kept as it was.

        Args:
            number: the dead letter's number.
            wait: seconds that the routine may take.

        Raises:
            UnknownDeadLetterError: there is none of this number.
            UnknownRoutineError: an earlier run left it, and there is no such routine any more.
            EventHandlerError: it failed again.
            PipeStateError: the pipe or the routine does not run, or the message cannot be read.
            StoreError: the store cannot be written.
        """
        self._running("requeue_dead_letter").dead_letters.requeue(number, wait)

    def requeue_dead_letters(self, routine_name: str | None = None, *, wait: float = 30.0) -> RequeueResult:
        """Give all messages that were given up to their routines again, one after the other.

        Args:
            routine_name: only those of this routine.
            wait: seconds that all of them together may take.

        Raises:
            PipeStateError: the pipe does not run.
            StoreError: the store cannot be read or written.
        """
        return self._running("requeue_dead_letters").dead_letters.requeue_all(routine_name, wait)

    def drop_dead_letter(self, number: int) -> None:
        """Forget a message that was given up.

        Raises:
            UnknownDeadLetterError: there is none of this number.
            PipeStateError: the pipe does not run.
            StoreError: the store cannot be written.
        """
        self._running("drop_dead_letter").dead_letters.drop(number)

    def drop_dead_letters(self, routine_name: str | None = None) -> tuple[int, ...]:
        """Forget all messages that were given up, or those of a routine; the numbers of those that were forgotten.

        Raises:
            PipeStateError: the pipe does not run.
            StoreError: the store cannot be read or written.
        """
        return self._running("drop_dead_letters").dead_letters.drop_all(routine_name)
