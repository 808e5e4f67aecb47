"""What all workers get, or those with certain tags: given to them over the event bus, and waited for."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pipert2.graph.routine import Routine
from pipert2.patterns.events.batch import CALL, Lane, Made, Share

_TIMEOUT = 60.0


def call_workers(
    routine: Routine,
    lanes: Iterable[Lane],
    *,
    scan_id: str,
    share: Share | None,
    opening: Share | None,
    parameters: bytes,
    last: bool = False,
) -> list[tuple[Made, float | None]]:
    """Give an event to the workers of these lanes.

    Args:
        routine: which asks; its log says which worker could not be reached.
        share: the event. opening: its scan's first one, for a worker that was not there when that came.
        parameters: what holds for the event, pickled.
        last: it is the end of the scan.

    Returns:
        What each worker made of it, and the seconds between ticks that it wants.
    """
    targets: dict[str, list[str]] = {}
    for lane in lanes:
        targets.setdefault(lane.flow, []).append(lane.routine)
    if not targets:
        return []
    params = {"scan_id": scan_id, "share": share, "opening": opening, "parameters": parameters, "last": last}
    made = []
    for result in routine.notify_event(CALL, targets, wait=_TIMEOUT, **params).values():
        if result.error is None:
            made.append(result.value)
            continue
        level = logging.DEBUG if routine.wait(0) else logging.ERROR  # of a pipe that ends that is no surprise
        what = "the end of the scan" if last or share is None else f"event {share.number}"
        routine.logger.log(level, "%s did not reach a worker: %s", what, result.error)
    return made
