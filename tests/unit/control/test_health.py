"""What is wrong with a pipe is read from its status."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2.control.health import health_of
from pipert2.observe.snapshot import FlowStatus, PipeState, PipeStatus, SiteStatus


def flow(name: str, state: str = "running", **more: Any) -> FlowStatus:
    facts = {"pid": 1, "cpu_percent": 0.0, "rss_bytes": 0, "restarts": 0, "uptime": 1.0, "last_exit": None}
    return FlowStatus(name=name, state=state, **(facts | more))


def status(*flows: FlowStatus, state: PipeState = PipeState.RUNNING, **more: Any) -> PipeStatus:
    return PipeStatus("shop", state, more.pop("reason", None), 0.0, 0, (), (), flows, **more)


def test_a_pipe_that_runs_is_well_and_ready() -> None:
    found = health_of(status(flow("one"), flow("two")))
    assert (found.ok, found.ready, found.state, found.problems) == (True, True, "running", ())


@pytest.mark.parametrize("state", [PipeState.NEW, PipeState.ENDED])
def test_a_pipe_without_processes_is_not_ready(state: PipeState) -> None:
    assert not health_of(status(state=state)).ready


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (status(reason="flow 'one' died"), "flow 'one' died"),
        (
            status(flow("one", "failed", last_exit="SIGKILL")),
            "flow 'one' died too often (SIGKILL) and was not restarted",
        ),
        (status(flow("one", "restarting", last_exit="exit code 7")), "flow 'one' is being restarted (exit code 7)"),
        (
            status(flow("one", waits_for=("flow 'two'", "parameter 'price'"))),
            "flow 'one' waits for parameter 'price': set it for the pipe as a whole",
        ),
        (status(sites=(SiteStatus("lab", None, "silent"),)), "site 'lab' is silent"),
        (
            status(sites=(SiteStatus("lab", "b", "running", links=("to 'x' is cut",)),)),
            "site 'lab': link to 'x' is cut",
        ),
    ],
)
def test_each_problem_is_told_once(given: PipeStatus, problem: str) -> None:
    found = health_of(given)
    assert (found.ok, found.problems) == (False, (problem,))


def test_a_replica_does_not_repeat_what_its_flow_waits_for() -> None:
    waits = {"waits_for": ("parameter 'price'",)}
    found = health_of(status(flow("one", **waits), flow("one#2", replica_of="one", **waits)))
    assert len(found.problems) == 1
