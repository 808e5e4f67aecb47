"""Crews: who runs ``main_logic`` on several messages at once, in threads or as coroutines.

The routine's own thread takes messages and gives one to each of the crew that has nothing to do; what comes of it waits
in :attr:`Crew.outcomes` until that thread sends it on. So everything but ``main_logic`` still happens in one thread.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from inspect import isawaitable
from queue import SimpleQueue
from time import monotonic_ns
from types import GeneratorType
from typing import Any, NamedTuple, Protocol

from pipert2.runtime.flow.event_loop import EventLoop
from pipert2.transport.envelope import Message

_JOIN_TIMEOUT = 5.0

About = tuple[int, int, int]
"""What a routine may be told of the message that it works on: origin, born, attempt."""
crew_message: ContextVar[About | None] = ContextVar("pipert2_message")
"""What the member of a crew that asks works on; None: something that came on no wire."""


def _about(message: Message) -> About | None:
    return (message.origin, message.born, message.attempt) if message.origin else None


class Outcome(NamedTuple):
    """What came of a message: *result*, or the *error* that was raised; when it began and ended (monotonic, ns).

    Where *several*, the result is a list of what a generator yielded.
    """

    message: Message
    result: Any
    error: BaseException | None
    began: int
    ended: int
    several: bool = False


class Crew(Protocol):
    """Runs ``main_logic`` on as many messages at once as it has hands.

    Attributes:
        outcomes: what came of it. logic: what it runs on each message's data, from the next one on.
    """

    outcomes: deque[Outcome]
    logic: Callable[[Any], Any]

    @property
    def busy(self) -> int:
        """How many messages are being worked on."""
        ...

    @property
    def room(self) -> int:
        """How many more messages it would take."""
        ...

    @property
    def since(self) -> int:
        """Since when the oldest of them is (monotonic, ns); 0 if there is none."""
        ...

    def submit(self, message: Message) -> None: ...

    def tend(self) -> float | None:
        """Called before the routine's thread sleeps; in so many seconds it shall be called again at the latest."""
        ...

    def finish(self) -> bool:
        """The inputs have ended, and nothing is left to do; False: not yet, look again after the next ring."""
        ...

    def release(self) -> None:
        """The routine ends: break off what need not be waited for, with ``Interrupted`` as its outcome."""
        ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class BringsCrew(ABC):
    """A routine that works on several messages at once in a way of its own.

    Its crew lives from start to stop, and all of it but the ring is used in the routine's own thread.

    Attributes:
        takes_encoded: it has no use for what data without arrays says, and takes it :class:`Encoded`.
    """

    takes_encoded = False

    @abstractmethod
    def make_crew(self, outcomes: deque[Outcome], ring: Callable[[], None], run: str) -> Crew:
        """The crew.

        Args:
            outcomes: where to put what comes of messages, in the routine's thread or before ringing.
            ring: wakes the routine's thread, from any thread.
            run: the same for all processes of one run of the pipe, and for no other; empty in an inline pipe.
        """


class _Hands:
    """What both kinds of crew have in common: who is busy, and what came of it."""

    def __init__(
        self, hands: int, logic: Callable[[Any], Any], outcomes: deque[Outcome], ring: Callable[[], None]
    ) -> None:
        self.logic = logic
        self.outcomes = outcomes
        self._hands = hands
        self._ring = ring
        self._begun: dict[int, int] = {}

    @property
    def busy(self) -> int:
        return len(self._begun)

    @property
    def room(self) -> int:
        return self._hands - len(self._begun)

    def tend(self) -> float | None:
        """Nothing has to be done at times."""
        return None

    def finish(self) -> bool:
        """Nothing more is to be done."""
        return True

    def release(self) -> None:
        """What was begun is finished."""

    @property
    def since(self) -> int:
        return min(tuple(self._begun.values()), default=0)

    def _end(self, message: Message, result: Any, error: BaseException | None, *, several: bool = False) -> None:
        began = self._begun[id(message)]
        self.outcomes.append(Outcome(message, result, error, began, monotonic_ns(), several))
        del self._begun[id(message)]  # after that, so that nobody finds neither
        self._ring()


class ThreadCrew(_Hands):
    """A crew of threads.

    Args:
        name: names the threads.
        hands: how many.
        logic: what they run on each message's data.
        setup: called in each thread before.
        outcomes: where to put what comes of it. ring: called then.

    Raises:
        what *setup* raises in a thread.
    """

    def __init__(
        self,
        name: str,
        hands: int,
        logic: Callable[[Any], Any],
        setup: Callable[[], None],
        outcomes: deque[Outcome],
        ring: Callable[[], None],
    ) -> None:
        super().__init__(hands, logic, outcomes, ring)
        self._todo: SimpleQueue[Message | None] = SimpleQueue()
        ready: SimpleQueue[BaseException | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(setup, ready), name=f"pipert2-{name}-{number}", daemon=True)
            for number in range(1, hands + 1)
        ]
        for thread in self._threads:
            thread.start()
        failed: Sequence[BaseException | None] = [ready.get() for _ in self._threads]
        for error in failed:
            if error is not None:
                self.close()
                raise error

    def _work(self, setup: Callable[[], None], ready: SimpleQueue[BaseException | None]) -> None:
        try:
            setup()
        except BaseException as error:
            ready.put(error)
            return
        ready.put(None)
        while (message := self._todo.get()) is not None:
            result, failure, several = None, None, False
            crew_message.set(_about(message))
            try:
                result = self.logic(message.data)
                several = type(result) is GeneratorType
                if several:
                    result = list(result)  # here, in the thread that ``setup_thread`` has prepared
            except BaseException as error:
                failure = error
            self._end(message, result, failure, several=several)
            del message, result, failure  # views into slots must not wait here for the next message

    def submit(self, message: Message) -> None:
        """Let somebody who has nothing to do work on a message."""
        self._begun[id(message)] = monotonic_ns()
        self._todo.put(message)

    def cancel(self) -> None:
        """Threads cannot be cancelled."""

    def close(self) -> None:
        """End the threads, which have nothing to do any more."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT)


class CoroutineCrew(_Hands):
    """A crew of coroutines on the flow's event loop; arguments as of :class:`ThreadCrew`."""

    def __init__(
        self,
        name: str,
        hands: int,
        loop: EventLoop,
        logic: Callable[[Any], Any],
        outcomes: deque[Outcome],
        ring: Callable[[], None],
    ) -> None:
        super().__init__(hands, logic, outcomes, ring)
        self._name = name
        self._loop = loop

    async def _work(self, message: Message) -> None:
        result, failure = None, None
        crew_message.set(_about(message))
        try:
            result = self.logic(message.data)
            if isawaitable(result):
                result = await result
        except BaseException as error:
            failure = error
        self._end(message, result, failure)
        del message, result, failure  # the traceback holds this frame, which would hold views until it is collected

    def submit(self, message: Message) -> None:
        """Begin to work on a message."""
        self._begun[id(message)] = monotonic_ns()
        self._loop.start(self._work(message), self._name, lambda: self._end(message, None, CancelledError()))

    def cancel(self) -> None:
        """Let all that are under way end with ``CancelledError``."""
        self._loop.cancel(self._name)

    def close(self) -> None:
        """Nothing is left to do: the loop belongs to the flow."""
