"""Arguments of events are checked before they are sent."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2 import DestinationRoutine, events
from pipert2.control.event_arguments import check_arguments
from pipert2.errors import ControlError


class Zoom(DestinationRoutine):
    @events("ZOOM")
    def zoom(self, factor: float, mode: str = "fast") -> None:
        pass

    @events("LOOK")
    async def look(self, *, at: str) -> None:
        pass

    def main_logic(self, data: Any) -> None:
        pass


class Anything(DestinationRoutine):
    @events("ZOOM")
    def zoom(self, **what: Any) -> None:
        pass

    @events("LOOK")
    def look(self, at: str, /) -> None:
        pass

    def main_logic(self, data: Any) -> None:
        pass


@pytest.mark.parametrize("params", [{"factor": 2}, {"factor": 2, "mode": "slow"}])
def test_what_a_handler_takes_is_sent(params):
    check_arguments("ZOOM", params, [Zoom("lens")])


@pytest.mark.parametrize(
    ("event", "params", "message", "field", "near"),
    [
        (
            "ZOOM",
            {"factr": 2},
            "event 'ZOOM' of 'lens' has no argument 'factr': did you mean 'factor'?",
            "factr",
            "factor",
        ),
        ("ZOOM", {"x": 2}, "event 'ZOOM' of 'lens' has no argument 'x': it takes 'factor', 'mode'", "x", None),
        ("ZOOM", {}, "event 'ZOOM' of 'lens' needs 'factor'", "factor", None),
        ("LOOK", {"att": 1}, "event 'LOOK' of 'lens' has no argument 'att': did you mean 'at'?", "att", "at"),
    ],
)
def test_what_nobody_takes_is_refused_and_named(event, params, message, field, near):
    with pytest.raises(ControlError) as caught:
        check_arguments(event, params, [Zoom("lens")])
    assert (caught.value.code, caught.value.message) == ("bad_argument", message)
    assert (caught.value.field, caught.value.nearest) == (field, near)


def test_one_handler_that_takes_it_is_enough():
    check_arguments("ZOOM", {"depth": 2}, [Zoom("lens"), Anything("any")])


def test_a_handler_that_can_never_be_called_says_so():
    with pytest.raises(ControlError, match="LOOK"):
        check_arguments("LOOK", {"at": "me"}, [Anything("any")])


def test_the_built_in_events_have_arguments_of_their_own():
    check_arguments("configure", {"interval": "1 h"}, [Zoom("lens")])
