"""How many replicas of a flow each of its hosts has, when their number changes. A plain decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def spread(
    now: Mapping[str, int],
    wanted: int,
    fixed: Collection[str] = (),
    room: Mapping[str, int | None] | None = None,
) -> dict[str, int]:
    """Give each host its share, and change as little as may be.

    Those that have fewest get more, as long as they have room; those that have most give some up; each keeps one.

    Args:
        now: replicas by host. wanted: how many there are to be. fixed: hosts whose number stays.
        room: for how many more each host has room; without: for any number.

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
    left = {host: wanted if room is None or room.get(host) is None else room[host] or 0 for host in free}
    while sum(found.values()) < wanted:
        fitting = [host for host in free if left[host] > 0]
        if not fitting:
            raise ValueError(f"its hosts have room for {sum(found.values())}, not for {wanted}: ask for fewer")
        chosen = min(fitting, key=found.__getitem__)
        found[chosen] += 1
        left[chosen] -= 1
    while sum(found.values()) > wanted:
        found[max(free, key=found.__getitem__)] -= 1
    return found
