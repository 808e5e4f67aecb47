"""What is sent back is worked on before the stream ends, whatever it passes on its way."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2 import Pipe, Wire, middle, source
from pipert2.testing import CollectingDestination


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])
@pytest.mark.parametrize("flows", ["one flow", "a flow each"])
def test_a_lossless_stream_ends_when_nothing_can_come_back_any_more(inline: bool, flows: str) -> None:
    @source
    def submit() -> Any:
        for number in range(20):
            yield (number, 3)  # comes back three times

    @middle
    def identify(item: tuple[int, int]) -> tuple[int, int]:
        return item

    @middle
    def unpack(item: tuple[int, int]) -> tuple[int, int]:
        return (item[0], item[1] - 1)

    seen = CollectingDestination("seen")
    pipe = Pipe(lossless=True, inline=inline)
    routines = (submit, identify, unpack, seen)
    if flows == "one flow":
        pipe.create_flow("all", False, *routines)
    else:
        for routine in routines:
            pipe.create_flow(routine.name, False, routine)
    pipe.link(
        Wire(submit, identify),
        Wire(identify, unpack, where=lambda item: item[1] > 0),
        Wire(identify, seen, where=lambda item: item[1] == 0),
        Wire(unpack, identify, feedback=True),
    )

    summary = pipe.run(timeout=60)

    assert (summary.ok, summary.reason) == (True, "finished")
    assert sorted(seen.items()) == [(number, 0) for number in range(20)]
    assert next(one for one in summary.routines if one.name == "identify").received == 80
