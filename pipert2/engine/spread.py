"""How many replicas of a flow each of its hosts has, when their number changes. A plain decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def spread(now: Mapping[str, int], wanted: int, fixed: Collection[str] = ()) -> dict[str, int]:
    """Give each host its share, and change as little as may be.

    Those that have fewest get more, those that have most give some up; each keeps one.

    Args:
        now: replicas by host. wanted: how many there are to be. fixed: hosts whose number stays.

    Raises:
        ValueError: it cannot be; the message says what can.

    >>> spread({"x": 1, "y": 2}, 5)
    {'x': 3, 'y': 2}
    """
    found = dict(now)
    free = [host for host in found if host not in fixed]
    least = sum(1 if host in free else count for host, count in found.items())
    if wanted < least:
        raise ValueError(f"it has replicas on {len(found)} hosts, so {least} are the fewest, not {wanted}")
    if not free and wanted != least:
        raise ValueError(f"none of its hosts can change their number, it stays {least}")
    while (sum(found.values())) < wanted:
        found[min(free, key=found.__getitem__)] += 1
    while sum(found.values()) > wanted:
        found[max(free, key=found.__getitem__)] -= 1
    return found
