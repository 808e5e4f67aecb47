"""Edges within a flow: data goes from thread to thread by reference."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections import deque
from time import monotonic_ns
from typing import Any

import numpy as np

from pipert2.graph.spec import EdgeSpec
from pipert2.transport import board as b
from pipert2.transport.board import NEVER, Board
from pipert2.transport.edge_words import ReceivingWords, SendingWords
from pipert2.transport.envelope import Message
from pipert2.transport.memory import Bell, Fence
from pipert2.transport.ring import Waiter


class LocalEdge(SendingWords, ReceivingWords):
    """Both ends of an edge between two threads. The words are those of a ring; a deque holds the messages.

    One thread sends and one receives; each operation on the deque is atomic under the GIL.
    """

    __slots__ = (
        "_bell",
        "_capacity",
        "_closed",
        "_fence",
        "_lossless",
        "_messages",
        "_number",
        "_receiver_gone",
        "_row",
        "_sender_bell",
        "_sleeping",
        "_taken",
        "_waiter",
        "_words",
        "spec",
    )

    def __init__(self, spec: EdgeSpec, board: Board, bell: Bell, sender_bell: Bell, waiter: Waiter) -> None:
        self.spec = spec
        self._words = board.words
        self._row = board.edge(spec.index)
        self._sleeping = board.routine(spec.destination) + b.SLEEPING
        self._receiver_gone = board.routine(spec.destination) + b.GONE
        self._bell = bell
        self._sender_bell = sender_bell
        self._waiter = waiter
        self._fence = Fence()
        self._capacity = spec.capacity
        self._lossless = spec.lossless
        self._closed = False
        self._messages: deque[tuple[int, Message]] = deque(maxlen=None if spec.lossless else spec.capacity)
        words, row = self._words, self._row
        # What waited in a process that died went with it.
        counted = words[row + b.RECEIVED] + words[row + b.DROPPED] + words[row + b.LOST]
        words[row + b.LOST] += words[row + b.W] - counted
        words[row + b.R] = words[row + b.W]
        words[row + b.WAKE_AT] = NEVER
        words[row + b.BLOCKED_SINCE] = 0
        self._number: int = words[row + b.W]
        self._taken: int = self._number

    # --- the sending end

    def put(self, message: Message) -> None:
        """Hand a message over.

        Raises:
            Interrupted: there was no room before the routine was told to stop.
        """
        words, row = self._words, self._row
        number = self._number + 1
        waited = self._lossless and number - words[row + b.R] > self._capacity
        if waited:
            self._wait_for_room(number)
        if self._closed or (waited and words[self._receiver_gone]):
            self.discard()  # unlinked, or nobody is left to take it
            return
        if message.delivery is not None:
            message.delivery.add()
            if self._messages.maxlen is not None and len(self._messages) >= self._messages.maxlen:
                with contextlib.suppress(IndexError):  # the receiver was faster
                    self._messages.popleft()[1].delivery.done()
        self._messages.append((number, message))
        words[row] = self._number = number
        if words[self._sleeping]:
            self._bell.ring()

    def _wait_for_room(self, number: int) -> None:
        words, row = self._words, self._row
        began = words[row + b.BLOCKED_SINCE] = monotonic_ns()
        try:
            while True:
                words[row + b.WAKE_AT] = number - 1 - self._capacity // 2
                if number - words[row + b.R] <= self._capacity:
                    return
                self._waiter.check()
                if self._closed or words[self._receiver_gone]:
                    return
                self._waiter.wait_for_room("room")
        finally:
            words[row + b.WAKE_AT] = NEVER
            words[row + b.BLOCKED_SINCE] = 0
            words[row + b.BLOCKED_NS] += monotonic_ns() - began

    def open(self) -> None:
        """Take :meth:`close` back: the edge is linked again."""
        self._closed = False

    # --- the receiving end

    @property
    def views(self) -> int:
        """Views into slots are counted where they were received."""
        return 0

    def take(self) -> Message | None:
        """The next message, None if there is none."""
        try:
            number, message = self._messages.popleft()
        except IndexError:
            return None
        words, row = self._words, self._row
        gap = number - self._taken - 1
        words[row + b.R] = self._taken = number  # first, as in a ring
        if gap:
            words[row + b.DROPPED] += gap
        words[row + b.RECEIVED] += 1
        if self._lossless and words[row + b.WAKE_AT] <= number:
            self._sender_bell.ring()
        return message


def separate(data: Any) -> Any:
    """A copy of *data* for one of several receivers: containers are copied, arrays are shared and read-only.

    Containers are dicts, lists, tuples, sets, deques, byte arrays and dataclasses, however nested, also in themselves;
    everything else is handed on as it is.
    """
    return _separate(data, {})


def _separate(data: Any, done: dict[int, Any]) -> Any:
    kind = type(data)
    if kind in _ATOMS:
        return data
    if id(data) in done:
        return done[id(data)]
    if isinstance(data, np.ndarray):
        view = data.view()
        view.flags.writeable = False
        done[id(data)] = view
        return view
    if isinstance(data, tuple):
        parts = [_separate(value, done) for value in data]
        if all(part is value for part, value in zip(parts, data, strict=True)):
            return data
        twin: Any = kind(*parts) if hasattr(data, "_fields") else kind(parts)
    elif isinstance(data, dict):
        twin = done[id(data)] = copy.copy(data)
        for key, value in data.items():
            twin[key] = _separate(value, done)
    elif isinstance(data, list):
        twin = done[id(data)] = copy.copy(data)
        for index, value in enumerate(data):
            twin[index] = _separate(value, done)
    elif isinstance(data, deque):
        twin = done[id(data)] = deque(maxlen=data.maxlen)
        twin.extend(_separate(value, done) for value in data)
    elif isinstance(data, set | bytearray):
        twin = copy.copy(data)
    elif dataclasses.is_dataclass(data) and not isinstance(data, type):
        twin = done[id(data)] = copy.copy(data)
        names = {field.name for field in dataclasses.fields(data) if hasattr(data, field.name)}
        for name in names.union(getattr(data, "__dict__", ())):
            object.__setattr__(twin, name, _separate(getattr(data, name), done))
    else:
        return data
    done[id(data)] = twin
    return twin


_ATOMS = frozenset({int, float, bool, str, bytes, complex, type(None)})
