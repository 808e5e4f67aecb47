"""What Ray keeps for replicas that a pipe was given while it runs, so that nobody else is given the same.

A site's actor holds what its flows asked for when the pipe was built, and Ray cannot give an actor more. What replicas
that come later need is held beside it, on the same node, one placement group for each: that is no process.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Protocol

from pipert2.engine.placement import HostOffer
from pipert2.errors import PipeStateError

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds in which Ray gives back what was held before, and gives what is free."""
_LOOK = 0.1


def room_for(offer: Mapping[str, float], each: Mapping[str, float]) -> int | None:
    """How many more replicas that need *each* a host has room for; None: as many as you like.

    >>> room_for({"CPU": 3.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 0.5})
    2
    """
    fitting = [int(offer.get(name, 0.0) / amount + 1e-9) for name, amount in each.items() if amount]
    return min(fitting, default=None)


class Grants(Protocol):
    """Who knows what hosts have left, and gives of it."""

    def hosts(self) -> list[HostOffer]: ...

    def grant(self, node: str, resources: Mapping[str, float], patience: float) -> Callable[[], None] | None: ...


@dataclass(slots=True)
class _Held:
    node: str
    resources: Mapping[str, float]
    give_back: Callable[[], None]


class Reserve:
    """What is held for replicas beyond those that a pipe was built with. Closes twice without complaint.

    Args:
        grants: who gives.
        node_of: the node that a site is on; None: it is the driver's own, where nothing is held.
        patience: seconds that giving may take.
    """

    def __init__(self, grants: Grants, node_of: Callable[[str], str | None], *, patience: float = PATIENCE) -> None:
        self._grants = grants
        self._node_of = node_of
        self._patience = patience
        self._held: dict[tuple[str, str], list[_Held]] = {}
        self._lock = threading.RLock()

    def room(self, site: str, each: Mapping[str, float]) -> int | None:
        """How many more replicas that need *each* a site has room for; None: as many as you like."""
        wanted = {name: amount for name, amount in each.items() if amount}
        node = self._node_of(site) if wanted else None
        if node is None:
            return None
        offer = next((one.resources for one in self._grants.hosts() if node in one.aliases), {})
        return room_for(offer, wanted)

    def hold(self, flow: str, site: str, each: Mapping[str, float], count: int) -> None:
        """Hold what *count* replicas of a flow need at a site, and no more.

        Raises:
            PipeStateError: there is not as much left; then as much is held as before.
        """
        wanted = {name: float(amount) for name, amount in each.items() if amount}
        with self._lock:
            mine = self._held.setdefault((flow, site), [])
            before = len(mine)
            node = self._node_of(site) if wanted and count > before else None
            while node is not None and len(mine) < count:
                given = self._granted(node, wanted)
                if given is None:
                    self._shrink(mine, before)
                    needed = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
                    raise PipeStateError(
                        f"flow {flow!r}: {site} has no room for another replica, which needs {needed}: "
                        "ask for fewer, or add a host and build the pipe anew"
                    )
                mine.append(_Held(node, wanted, given))
            self._shrink(mine, count)

    def _granted(self, node: str, wanted: Mapping[str, float]) -> Callable[[], None] | None:
        """What is given back may come late, and is waited for."""
        deadline = monotonic() + self._patience
        while True:
            offer = next((one.resources for one in self._grants.hosts() if node in one.aliases), {})
            left = deadline - monotonic()
            if room_for(offer, wanted) and (given := self._grants.grant(node, wanted, max(_LOOK, left))) is not None:
                return given
            if left <= 0:
                return None
            sleep(min(_LOOK, left))

    def follow(self, site: str) -> list[str]:
        """Hold at the node that a site is on now what was held at another one; the flows for which there is no room."""
        short = []
        with self._lock:
            for (flow, where), mine in self._held.items():
                if where != site or not mine:
                    continue
                node = self._node_of(site)
                for number, one in enumerate(tuple(mine)):
                    if node is None or one.node == node:
                        continue
                    one.give_back()
                    given = self._granted(node, one.resources)
                    if given is None:
                        del mine[number]
                        self._shrink(mine, number)
                        short.append(flow)
                        break
                    mine[number] = _Held(node, one.resources, given)
        return short

    @staticmethod
    def _shrink(mine: list[_Held], count: int) -> None:
        while len(mine) > count:
            mine.pop().give_back()

    def close(self) -> None:
        """Give all of it back."""
        with self._lock:
            for mine in self._held.values():
                self._shrink(mine, 0)


class RayGrants:
    """A Ray as the one who gives."""

    def __init__(self, hosts: Callable[[], list[HostOffer]]) -> None:
        self._hosts = hosts

    def hosts(self) -> list[HostOffer]:
        """What each node has left."""
        return self._hosts()

    def grant(self, node: str, resources: Mapping[str, float], patience: float) -> Callable[[], None] | None:
        """Hold resources of a node; what gives them back, or None if they could not be had."""
        from ray.util.placement_group import placement_group, remove_placement_group

        group: Any = placement_group(
            [dict(resources)], strategy="STRICT_PACK", bundle_label_selector=[{"ray.io/node-id": node}]
        )

        def give_back() -> None:
            try:
                remove_placement_group(group)
            except Exception as error:  # Ray itself may be gone
                logger.debug("what was held at node %s: %s", node, error)

        with contextlib.suppress(Exception):
            if group.wait(max(1, round(patience))):
                return give_back
        give_back()
        return None
