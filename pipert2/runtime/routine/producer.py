"""What a source does from start to stop: call ``main_logic`` again and again, or when its trigger says so, and send."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from inspect import iscoroutinefunction
from time import monotonic_ns
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any

from pipert2.graph.routine import EndOfStream, RoutineKind
from pipert2.graph.validation import has_logic, logic
from pipert2.runtime.messages import Packed
from pipert2.runtime.routine.fed_producer import FedProducer
from pipert2.runtime.routine.feed import BringsFeed
from pipert2.runtime.routine.triggered_producer import TriggeredProducer
from pipert2.runtime.routine.unfinished import dead_letter
from pipert2.transport import board as b
from pipert2.transport import work_table as w
from pipert2.transport.envelope import Message, origin_of
from pipert2.transport.ring import Interrupted
from pipert2.transport.work_ends import KEPT, Delivery, Kept
from pipert2.transport.work_queue import WorkQueue

if TYPE_CHECKING:
    from pipert2.runtime.routine.around import End
    from pipert2.runtime.routine.loop import RoutineLoop

_Stream = Generator[Any, Any, Any] | AsyncGenerator[Any, Any]

_GENERATORS = (GeneratorType, AsyncGeneratorType)


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class Producer:
    """The producing side of one source.

    Args:
        loop: the routine's.
        ledger: where it keeps account of what is not acknowledged, if it must.
    """

    def __init__(self, loop: RoutineLoop, ledger: WorkQueue | None) -> None:
        self._loop = loop
        self._ledger = ledger
        self._most = ledger.spec.capacity if ledger is not None else 0
        self._unsent: Delivery | Kept | None = None
        self._fed: FedProducer | None = None
        self.awaited: int | None = None  # the last message of this stream, where what is returned for it is handed back
        self.result: Any = None  # what the destination returned for that

    def run(self) -> End:
        """Call ``main_logic`` until the routine is told to end, or its stream has ended."""
        loop = self._loop
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            unsent.done()
        if not has_logic(loop.routine) or loop.routine.kind in (RoutineKind.MIDDLE, RoutineKind.DESTINATION):
            return self._only_handle_events()
        if isinstance(loop.routine, BringsFeed):
            self._fed = self._fed or FedProducer(loop, loop.routine, self._ledger)
            fed, self._unsent = self._fed.run()
            return fed
        # A free-running source may get an interval while it runs.
        end = self._produce() if loop.trigger is None else None
        return end if end is not None else TriggeredProducer(loop, self).run()

    def _only_handle_events(self) -> End:
        loop = self._loop
        while True:
            loop.attend()
            if loop.wanted is not None:
                return loop.wanted
            loop.sleep()

    def _produce(self) -> End | None:
        """Call ``main_logic`` again and again; None: it is to run by a trigger from now on."""
        loop = self._loop
        words, busy, sent = loop.words, loop.row + b.BUSY_SINCE, loop.row + b.SENT
        inbox, sampler, index = loop.inbox, loop.sampler, loop.spec.index
        assert loop.outlet is not None
        send = loop.send() or loop.outlet.send
        call = self.logic()
        stream: _Stream | None = None
        sequence: int = words[sent]
        pace = loop.row + b.PACE_NS
        kept = KEPT if loop.pipe.acknowledged else None
        ledger = self._ledger
        try:
            while True:
                if inbox or loop.due:
                    loop.due = False
                    loop.attend()
                    if loop.wanted is not None:
                        return loop.wanted
                    if loop.trigger is not None:
                        return None
                    send = loop.send() or loop.outlet.send
                if ledger is not None and not self._await_credit(ledger):
                    continue
                if loop.const_period or words[pace]:
                    if not loop.await_tick():
                        continue
                    if loop.due:  # a command came meanwhile; the tick is not given up for it
                        send = loop.send() or loop.outlet.send
                began = words[busy] = monotonic_ns()
                try:
                    data = call()
                    if stream is None and isinstance(data, _GENERATORS):
                        stream = data
                        call = self.next_of(data)
                        continue
                except (EndOfStream, StopIteration, StopAsyncIteration):
                    return loop.finished
                except Interrupted:
                    return loop.interrupted()
                except BaseException as error:
                    words[busy] = 0
                    loop.failures.note("main_logic", error)
                    if stream is not None:
                        return loop.finished  # a generator that raised has ended
                    loop.pause_after_failure()
                    continue
                finally:
                    words[busy] = 0
                done = monotonic_ns()
                sampler.countdown -= 1
                if sampler.countdown <= 0:
                    sampler.record(began, done, None)
                if data is None:
                    continue
                sequence += 1
                words[sent] = sequence
                delivery: Delivery | Kept | None = kept if ledger is None else loop.host.open_account(ledger, index)
                origin = origin_of(index, sequence)
                if ledger is not None:
                    self.awaited = origin
                try:
                    send(data, origin, done, 0, delivery)
                except Interrupted:
                    self._unsent = delivery
                    return loop.interrupted()
                except Exception as error:
                    failure = loop.failures.note("sending", error)
                    if kept is not None:
                        message = Message(data, origin, done, done)
                        loop.host.keep_dead_letter(dead_letter(index, message, failure, 1))
                    loop.pause_after_failure()
                else:
                    loop.forget_failures()
                data = None
                if ledger is not None and delivery is not None:
                    delivery.done()
        finally:
            if stream is not None:
                self.close(stream)

    def hand_on(self, data: Any) -> None:
        """Send one result, when there is credit and room for it.

        Raises:
            Interrupted: the routine is to end.
        """
        loop, ledger, index = self._loop, self._ledger, self._loop.spec.index
        send = loop.send()
        if data is None or send is None:
            return
        self.await_credit()
        sequence = loop.words[loop.row + b.SENT] = loop.words[loop.row + b.SENT] + 1
        origin, made = origin_of(index, sequence), monotonic_ns()
        delivery: Delivery | Kept | None = KEPT if loop.pipe.acknowledged else None
        if ledger is not None:
            delivery = loop.host.open_account(ledger, index)
            self.awaited = origin
        try:
            send(data, origin, made, 0, delivery)
        except Interrupted:
            self._unsent = delivery
            raise
        except Exception as error:
            failure = loop.failures.note("sending", error)
            if loop.pipe.acknowledged:
                message = Message(data, origin, made, made)
                loop.host.keep_dead_letter(dead_letter(index, message, failure, 1))
        if ledger is not None and delivery is not None:
            delivery.done()

    def take_result(self, origin: int, value: Packed) -> None:
        """What a destination returned for a message."""
        if self._fed is not None:
            self._fed.take_result(origin, value)
        elif origin == self.awaited:
            self.result = value.open()

    def await_credit(self) -> None:
        """Wait until another message may be unacknowledged.

        Raises:
            Interrupted: the routine is to end.
        """
        if self._ledger is not None and not self._await_credit(self._ledger):
            raise Interrupted

    def logic(self) -> Callable[[], Any]:
        """What calls ``main_logic``."""
        own = self._loop.routine.main_logic
        if iscoroutinefunction(logic(self._loop.routine)):
            return lambda: self._loop.await_here(own())
        return own

    def next_of(self, stream: _Stream) -> Callable[[], Any]:
        """What gets the next of a generator's data."""
        # What comes for a message of an earlier stream, or of the process before this one, is none of its business.
        self.awaited = self.result = None
        if isinstance(stream, AsyncGenerator):
            return lambda: self._loop.await_here(_as_coroutine(stream.__anext__()))
        if self._loop.spec.max_in_flight != 1:
            return stream.__next__

        def resume() -> Any:
            result, self.result = self.result, None
            return stream.send(result)

        return resume

    def close(self, stream: _Stream) -> None:
        """End a generator that may not have come to its end."""
        close = stream.close if isinstance(stream, Generator) else lambda: _as_coroutine(stream.aclose())
        self._loop.call_user("main_logic", close)

    def _await_credit(self, ledger: WorkQueue) -> bool:
        """Wait until another message may be unacknowledged; False if a command came first that ends the session."""
        loop, words, most = self._loop, ledger.table.words, self._most
        flag = w.SENDER_WAITS + loop.spec.replica
        while words[w.UNDONE] >= most:
            with ledger.lock:
                ledger.table.await_room(loop.spec.replica)
            loop.sleep(lambda: bool(words[w.UNDONE] < most))
            words[flag] = 0
            if loop.inbox:
                loop.attend()
                if loop.wanted is not None:
                    return False
        return True
