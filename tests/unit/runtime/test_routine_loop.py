"""The loop of one routine, at moments that whole pipes seldom meet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pipert2 import Pipe, Routine, events
from pipert2.runtime.routine.around import Command
from pipert2.runtime.supervision.flow_handle import InlineFlow


class Hears(Routine):
    @events("SAY")
    def say(self) -> str:
        return "said"


def test_what_reaches_a_routine_just_after_its_end_is_answered() -> None:
    # Given a routine that was killed, of which those who send do not know that yet
    with Pipe(inline=True) as pipe:
        pipe.create_flow("one", False, Hears("hears"), Hears("other"))
        pipe.notify_event("kill", {"one": ["hears"]}, wait=60)
        assert pipe._supervisor is not None
        handle = pipe._supervisor.flows["one"].handle
        assert isinstance(handle, InlineFlow)
        assert handle._host is not None
        loop = handle._host.loops[0]
        loop.thread.join(60.0)
        # When something is sent to it
        answers: list[Any] = []
        loop.host = cast(Any, SimpleNamespace(answer=lambda *answer: answers.append(answer)))
        for number, name in enumerate(("SAY", "kill", "stop"), 7):
            loop.post(Command(number, name, {}))
        # Then nobody waits for an answer in vain
        assert answers == [
            (7, 0, None, ("it was killed before it got to that", "")),
            (8, 0, None, None),
            (9, 0, None, None),
        ]
        assert not loop.inbox
