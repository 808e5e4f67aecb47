"""Whether all is well with a pipe, read from its status."""

from __future__ import annotations

from collections.abc import Iterator

from pipert2.control.letters import letter_problems
from pipert2.control.records import Health
from pipert2.observe.snapshot import FlowStatus, PipeState, PipeStatus


def health_of(status: PipeStatus) -> Health:
    """Whether nothing is wrong, whether all flows are up, and each problem in a sentence, once."""
    problems = tuple(dict.fromkeys(_problems(status)))
    up = status.state not in (PipeState.NEW, PipeState.ENDED) and all(flow.state == "running" for flow in status.flows)
    return Health(not problems, up, status.state.value, problems)


def _problems(status: PipeStatus) -> Iterator[str]:
    if status.reason:
        yield status.reason
    for routine in status.routines:
        if routine.state == "failed":
            yield f"routine {routine.name!r} failed: {routine.last_error}"
    for flow in status.flows:
        yield from _of_flow(flow)
    for site in status.sites:
        if site.state not in ("running", "ended") and site.reason is None:
            yield f"site {site.name!r} is {site.state}"
        for link in site.links:
            yield f"site {site.name!r}: link {link}"
    yield from letter_problems(status)


def _of_flow(flow: FlowStatus) -> Iterator[str]:
    if flow.state == "failed":
        yield f"flow {flow.name!r} died too often ({flow.last_exit}) and was not restarted"
    elif flow.state == "restarting":
        yield f"flow {flow.name!r} is being restarted ({flow.last_exit})"
    if flow.replica_of is None:
        for one in flow.waits_for:
            if one.startswith("parameter "):
                yield f"flow {flow.name!r} waits for {one}: set it for the pipe as a whole"
