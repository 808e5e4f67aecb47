"""What a flow's process was sent and has not begun with: its successor gets it when it dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from pipert2.events.bus import EventCall
from pipert2.runtime import commands

_PASSED_ON = (commands.PARAMETERS, commands.DRAIN, commands.GIVEN_UP)
_OURS = "pipert2."


def is_passed_on(name: str) -> bool:
    """Whether an event that a process has not begun with is for its successor.

    Of pipert2's own those are not that its sender sees to itself, as calls, which another replica may get.
    """
    return not name.startswith(_OURS) or name in _PASSED_ON


class Unheard:
    """The events that the process of one flow was sent. Its supervisor's lock is held by who calls.

    Each is given a place among those of the same process. Its routines say, in shared memory, how far they have come
    before they begin with one: so each is begun once, also when the process is killed between any two instructions.
    """

    def __init__(self) -> None:
        self._last = 0
        self._sent: dict[int, deque[EventCall]] = {}

    def note(self, call: EventCall, heard: memoryview) -> EventCall:
        """An event, with its place, as it is to be sent.

        Args:
            heard: by routine the place of the last event that it has begun with.
        """
        self._last += 1
        call = replace(call, place=self._last)
        for index in call.routines:
            sent = self._sent.setdefault(index, deque())
            while sent and sent[0].place <= heard[index]:
                sent.popleft()
            sent.append(call)
        return call

    def take_back(self, routines: Iterable[int], heard: memoryview) -> list[EventCall]:
        """What was not begun with, in order, when the process is gone; the next one begins to count anew."""
        calls: dict[int, EventCall] = {}
        missed: dict[int, list[int]] = {}
        for index, sent in self._sent.items():
            for call in sent:
                if call.place > heard[index]:
                    calls[call.place] = call
                    missed.setdefault(call.place, []).append(index)
        self._sent.clear()
        self._last = 0
        for index in routines:
            heard[index] = 0
        return [replace(calls[place], routines=tuple(sorted(missed[place])), place=0) for place in sorted(calls)]
