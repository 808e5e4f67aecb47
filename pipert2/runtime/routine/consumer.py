"""What a routine with inputs does from start to stop: take a message, run ``main_logic``, send, acknowledge.

One message at a time in the routine's own thread, or several at once by a crew
(:mod:`pipert2.runtime.routine.crew`); taking, sending and acknowledging stay in the routine's thread in both cases.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic, monotonic_ns
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from pipert2.graph.routine import has_keys
from pipert2.runtime.routine.crew import About, BringsCrew, Crew, Outcome
from pipert2.runtime.routine.failures import Failure
from pipert2.runtime.routine.once import Keys
from pipert2.runtime.routine.unfinished import Unfinished
from pipert2.transport import board as b
from pipert2.transport.envelope import Message
from pipert2.transport.ring import Interrupted
from pipert2.transport.work_ends import Delivery, WorkReceiver, end_all

if TYPE_CHECKING:
    from pipert2.runtime.routine.around import End
    from pipert2.runtime.routine.loop import RoutineLoop
    from pipert2.runtime.routine.requests import Done


_AT_ONCE = 32
"""Messages that are claimed under one taking of their queue's lock, by a crew that has room for them."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Stands where a message's delivery would, in one that came on no wire: *done* waits for what comes of it."""

    done: Done


class Consumer:
    """The consuming side of one routine; keeps between a stop and a start what was not brought to its end.

    Args:
        loop: the routine's.
    """

    def __init__(self, loop: RoutineLoop) -> None:
        self._loop = loop
        self._unfinished = Unfinished(loop, self._send)
        self._unsent: tuple[Iterator[Any], Message] | None = None
        self._outcomes: deque[Outcome] = deque()
        self._crew: Crew | None = None
        self._held: Message | None = None  # one that waits until the crew has nothing else to do
        store = loop.host.store
        self._keys = Keys(loop.routine, store) if store is not None and has_keys(loop.routine) else None

    def run(self) -> End:
        """Take messages until the routine is told to end, or its inputs have."""
        loop = self._loop
        self._finish_unsent()
        crew = loop.make_crew(self._outcomes)
        if crew is None:
            return self._one_at_a_time()
        self._crew = crew
        try:
            return self._several_at_once(crew)
        finally:
            cancelled = False
            crew.release()
            while crew.busy:
                loop.words[loop.row + b.BUSY_SINCE] = crew.since
                if loop.is_to_end_at_once and not cancelled:
                    crew.cancel()
                    cancelled = True
                elif crew.busy:
                    loop.rest()
            crew.close()
            loop.words[loop.row + b.BUSY_SINCE] = loop.words[loop.row + b.IN_HAND] = 0
            while self._outcomes and self._unsent is None and self._settle(self._outcomes):
                pass
            self._crew = None
            if self._held is not None:
                self._unfinished.hand_back(self._held)
                self._held = None
            self._unfinished.retry_all()

    def abandon(self) -> None:
        """The routine ends for good, or goes on in another process: keep what only this process has."""
        left = [*self._unfinished.again, *(outcome.message for outcome in self._outcomes)]
        if self._unsent is not None:
            left.append(self._unsent[1])
        for message in left:
            if not isinstance(message.delivery, _Asked):
                self._unfinished.leave(message)
        self._unfinished.again.clear()
        self._outcomes.clear()
        self._unsent = None

    def take_request(self, data: Any, about: About | None, done: Done) -> bool:
        """Let the crew work on something that was not sent but asked for; False if there is no crew."""
        if self._crew is None:
            return False
        origin, born, attempt = about or (0, 0, 0)
        self._crew.submit(Message(data, origin, born, born, attempt, _Asked(done)))
        return True

    # --- one at a time

    def _one_at_a_time(self) -> End:
        loop = self._loop
        words, busy, sent = loop.words, loop.row + b.BUSY_SINCE, loop.row + b.SENT
        inbox, sampler, again, keys = loop.inbox, loop.sampler, self._unfinished.again, self._keys
        assert loop.outlet is not None
        send, logic, (take, turn) = loop.send(), loop.logic(), loop.inputs.taker()
        counted = 1 if loop.outlet.senders else 0  # a preview alone is no wire
        done: Delivery | None = None  # of a message that is over as soon as the next one is taken
        while True:
            if done is None and (inbox or loop.due):
                loop.due = False
                loop.attend()
                if loop.wanted is not None:
                    return loop.wanted
                send, logic, (take, turn) = loop.send(), loop.logic(), loop.inputs.taker()
                counted = 1 if loop.outlet.senders else 0
            if done is None and loop.const_period and loop.inputs.has_data():
                if not loop.await_tick():
                    continue
                if loop.due:  # a command came meanwhile; the tick is not given up for it
                    send, logic, (take, turn) = loop.send(), loop.logic(), loop.inputs.taker()
                    counted = 1 if loop.outlet.senders else 0
            try:
                if done is not None and turn is not None:
                    over, done = done, None
                    message: Message | None = turn(over)
                else:
                    message = again.popleft() if again else take()
            except Exception as error:
                self._unfinished.not_received(error)
                continue
            if message is None:
                if loop.inputs.ended():
                    return loop.finished
                loop.sleep()
                continue
            if keys is not None and self._is_done_already(keys, message):
                continue
            data, origin, born, _, attempt, delivery = message
            loop.about = origin, born, attempt
            began = words[busy] = monotonic_ns()
            try:
                data = logic(data)
            except Interrupted:
                self._unfinished.hand_back(message)
                return loop.interrupted()
            except BaseException as error:
                words[busy] = 0
                data = None
                self._failed(message, loop.failures.note("main_logic", error))
                continue
            words[busy] = 0
            sampler.countdown -= 1
            if sampler.countdown <= 0:
                sampler.record(began, monotonic_ns(), born)
            if data is not None:
                if type(data) is GeneratorType:
                    if not self._send_all(data, message):
                        return loop.interrupted()
                    continue
                if send is not None:
                    words[sent] += counted
                    try:
                        send(data, origin, born, attempt, delivery)
                    except Interrupted:
                        self._unsent = iter(()), message
                        return loop.interrupted()
                    except Exception as error:
                        failure = loop.failures.note("sending", error)
                        if delivery is not None:
                            data = None
                            self._unfinished.give_up(message, failure)
                            continue
                elif loop.returns_results:
                    loop.return_result(origin, data)
            if keys is not None:
                keys.note(message.data)
            data = message = None
            if delivery is None:
                continue
            if turn is None or inbox or loop.due or again or loop.const_period:
                delivery.done()
            else:  # nothing is to be done before the next message is taken
                done = delivery

    # --- several at once

    def _several_at_once(self, crew: Crew) -> End:
        loop = self._loop
        inbox, outcomes, again = loop.inbox, self._outcomes, self._unfinished.again
        careful = loop.routine.concurrency > 1
        busy, in_hand = loop.row + b.BUSY_SINCE, loop.row + b.IN_HAND
        # Several at once only for a crew that others do not compete with for each single message.
        together = isinstance(loop.routine, BringsCrew) and not careful and self._keys is None
        queue = loop.inputs.only_queue() if together else None
        take, _ = loop.inputs.taker()
        alone = False
        ending = False

        def takes() -> bool:
            return not crew.busy or (not alone and self._held is None and crew.room > 0)

        def can_go_on() -> bool:
            if outcomes or (self._held is not None and not crew.busy):
                return True
            return takes() and (bool(again) or loop.inputs.has_data())

        while True:
            if inbox or loop.due:
                loop.due = False
                loop.attend()
                if loop.wanted is not None:
                    return loop.wanted
                take, _ = loop.inputs.taker()
                queue = loop.inputs.only_queue() if together else None
                crew.logic = loop.logic()
            if outcomes:
                loop.words[busy] = 0  # this thread may wait for room now, and what is asked of it is done meanwhile
                while outcomes:
                    if not self._settle_plain(outcomes) and not self._settle(outcomes):
                        return loop.interrupted()
            if self._unfinished.due is not None:
                self._unfinished.retry(monotonic())
            if not crew.busy:
                alone = False
                if self._held is not None:
                    crew.submit(self._held)
                    self._held, alone = None, True
            if crew.room > 0 and not alone and self._held is None:
                if loop.const_period and (again or loop.inputs.has_data()) and not loop.await_tick():
                    continue
                if queue is not None and not (again or loop.const_period) and self._take_several(crew, queue):
                    loop.words[busy], loop.words[in_hand] = crew.since, crew.busy
                    continue
                try:
                    message = again.popleft() if again else take()
                except Exception as error:
                    self._unfinished.not_received(error)
                    continue
                if message is not None:
                    if self._keys is not None and self._is_done_already(self._keys, message):
                        continue
                    delivery = message.delivery
                    if careful and message.attempt > 1 and delivery is not None and delivery.is_suspect:
                        self._held = message  # if it kills its process again, then no other one with it
                        del message
                        continue
                    crew.submit(message)
                    del message
                    loop.words[busy], loop.words[in_hand] = crew.since, crew.busy
                    continue
            timeout = crew.tend()
            if outcomes:
                continue
            if not (crew.busy or outcomes or self._unfinished.due) and (ending or loop.inputs.ended()):
                if crew.finish():
                    return loop.finished
                # What was said cannot be taken back: if an input comes meanwhile, it begins another stream.
                ending = True
            loop.words[busy], loop.words[in_hand] = crew.since, crew.busy
            if (due := self._unfinished.due) is not None:
                retry = max(0.0, due - monotonic())
                timeout = retry if timeout is None else min(timeout, retry)
            loop.sleep(can_go_on, timeout, takes=takes())

    def _take_several(self, crew: Crew, queue: WorkReceiver) -> bool:
        """Give the crew as many messages as it has room for; whether there were any."""
        claims = queue.claim_some(min(crew.room, _AT_ONCE))
        for claim in claims:
            try:
                message = queue.message(claim)
            except Exception as error:
                self._unfinished.not_received(error)
            else:
                crew.submit(message)
        return bool(claims)

    def _settle_plain(self, outcomes: deque[Outcome]) -> bool:
        """Be done with messages, from the first one on, of which nothing has come; whether there were any."""
        if self._keys is not None:
            return False
        sampler, deliveries, outcome = self._loop.sampler, [], None
        while outcomes:
            message, result, error, *_ = outcomes[0]
            delivery = message.delivery
            if error is not None or result is not None or not (delivery is None or type(delivery) is Delivery):
                break
            if delivery is not None:
                deliveries.append(delivery)
            outcome = outcomes.popleft()
            sampler.countdown -= 1
        if outcome is None:
            return False
        end_all(deliveries)
        if sampler.countdown <= 0:
            sampler.record(outcome.began, outcome.ended, outcome.message.born)
        return True

    def _settle(self, outcomes: deque[Outcome]) -> bool:
        """Send what came of a message, or see to its failure; False if sending was interrupted."""
        loop = self._loop
        outcome = outcomes.popleft()
        message, result = outcome.message, outcome.result
        if isinstance(message.delivery, _Asked):
            failure = loop.failures.note("main_logic", outcome.error) if outcome.error is not None else None
            message.delivery.done(result, failure, outcome.several)
            return True
        loop.sampler.countdown -= 1
        if loop.sampler.countdown <= 0:
            loop.sampler.record(outcome.began, outcome.ended, message.born)
        if outcome.error is not None:
            if isinstance(outcome.error, Interrupted) or loop.is_to_end_at_once:
                self._unfinished.hand_back(message)
                return True
            self._failed(message, loop.failures.note("main_logic", outcome.error))
            return True
        return self._send_all(iter(result if outcome.several else (result,)), message)

    # --- what came of a message

    def _end(self, message: Message) -> None:
        """All that came of a message is sent."""
        if self._keys is not None:
            self._keys.note(message.data)
        if message.delivery is not None:
            message.delivery.done()

    def _send(self, data: Any, message: Message) -> None:
        loop = self._loop
        assert loop.outlet is not None
        send = loop.send()
        if send is not None:
            loop.words[loop.row + b.SENT] += 1 if loop.outlet.senders else 0
            send(data, message.origin, message.born, message.attempt, message.delivery)
        elif loop.returns_results:
            loop.return_result(message.origin, data)

    def _send_all(self, stream: Iterator[Any], message: Message) -> bool:
        """Send all that came of a message and end it; False if it was interrupted, which :meth:`run` makes up for."""
        loop = self._loop
        busy = loop.row + b.BUSY_SINCE
        while True:
            loop.words[busy] = monotonic_ns()
            try:
                data = next(stream)
            except StopIteration:
                break
            except Interrupted:
                self._unfinished.hand_back(message)
                return False
            except BaseException as error:
                loop.words[busy] = 0
                self._failed(message, loop.failures.note("main_logic", error))
                return True
            finally:
                loop.words[busy] = 0
            if data is None:
                continue
            try:
                self._send(data, message)
            except Interrupted:
                self._unsent = stream, message
                return False
            except Exception as error:
                self._unfinished.give_up(message, loop.failures.note("sending", error))
                return True
        self._end(message)
        return True

    def _finish_unsent(self) -> None:
        """Go on with the message whose results were not all sent when the routine was stopped."""
        unsent, self._unsent = self._unsent, None
        if unsent is not None and not self._send_all(*unsent):
            raise Interrupted

    def _failed(self, message: Message, failure: Failure) -> None:
        self._unfinished.failed(message, failure, in_turn=self._crew is None)

    def _is_done_already(self, keys: Keys, message: Message) -> bool:
        """Whether a message needs no work any more; if so it is over."""
        try:
            if not keys.knows(message.data):
                return False
        except Exception as error:
            self._failed(message, self._loop.failures.note("idempotency_key", error))
            return True
        self._loop.words[self._loop.row + b.DUPLICATES] += 1
        if message.delivery is not None:
            message.delivery.done()
        return True
