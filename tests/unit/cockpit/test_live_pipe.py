"""What is remembered of a run of a pipe."""

from __future__ import annotations

import pytest

from pipert2.cockpit.server.live_pipe import LivePipe
from pipert2.cockpit.store.pipe_store import KnownPipe, PipeRun

RUN = PipeRun("run", "pipe", "host", 1, 100.0, "2")


@pytest.mark.parametrize(("heard", "since"), [(500.0, 500.0), (90.0, 110.0), (None, 110.0)])
def test_a_pipe_of_a_killed_cockpit_is_gone_since_it_was_heard_of_last(heard: float | None, since: float) -> None:
    status = {"status": {}, "health": {}, "at": heard} if heard is not None else None
    assert LivePipe(KnownPipe(1, RUN, 110.0, None, status)).since == since
