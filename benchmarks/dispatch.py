"""What it costs to hand out messages to many replicas by credit: ``python -m benchmarks.dispatch``.

No process and no network: the tables of work queues as they are, one for each site that hands out, in a tree whose
inner sites each stand for up to FANOUT others. A message goes down only where credit is left, and its cells are
completed on the way back, as egresses and ingresses do it. Counted is processor time.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections import deque
from dataclasses import dataclass, field

from pipert2.transport.work_table import Claim, WorkTable, table_words

FANOUT = 32
"""Sites that one site hands out to; a work queue has 64 takers at most."""
LEAVES = 100
"""Replicas at each host."""


@dataclass(slots=True)
class Site:
    """A site's queue, who takes from it, and how much more each of them may take."""

    table: WorkTable
    above: Site | None
    credit: int
    below: list[Site] = field(default_factory=list)
    ready: deque[int] = field(default_factory=deque)
    """Takers with credit, in the order in which they asked: one entry for each message that they may take."""
    held: dict[int, tuple[Claim, int]] = field(default_factory=dict)
    """By cell of the site below (or number of a replica), what was claimed for it, and by whom."""


def _site(above: Site | None, credit: int) -> Site:
    cells = 2 * credit + 8
    return Site(WorkTable(memoryview(bytearray(8 * table_words(cells))).cast("q"), cells), above, credit)


def _grow(site: Site, replicas: int, fanout: int) -> list[Site]:
    """Put sites below, until each replica is at one; the sites that have replicas."""
    hosts = math.ceil(replicas / LEAVES)
    if hosts == 1:
        site.ready.extend(range(replicas))
        return [site]
    groups = min(fanout, hosts)
    found: list[Site] = []
    left = replicas
    for number in range(groups):
        share = math.ceil(left / (groups - number))
        left -= share
        child = _site(site, share)
        site.below.append(child)
        site.ready.extend([number] * share)
        found += _grow(child, share, fanout)
    return found


class Tree:
    """All sites of a flow with so many replicas."""

    def __init__(self, replicas: int, fanout: int) -> None:
        self.top = _site(None, replicas)
        self.hosts = _grow(self.top, replicas, fanout)
        self.busy: list[tuple[Site, int]] = []
        self.handed_out = 0
        self.depth = 1
        site = self.top
        while site.below:
            self.depth, site = self.depth + 1, site.below[0]

    def hand_out(self) -> bool:
        """Put one message at the top and let it go to whoever has credit; False if nobody has."""
        site = self.top
        if not site.ready:
            return False
        site.table.put(site.table.take_free())
        while True:
            taker = site.ready.popleft()
            claim = site.table.claim(taker)
            assert claim is not None
            if not site.below:
                site.held[taker] = claim, taker
                self.busy.append((site, taker))
                self.handed_out += 1
                return True
            child = site.below[taker]
            cell = child.table.take_free()
            child.table.put(cell)
            site.held[id(child) ^ cell] = claim, taker
            site = child

    def finish(self, number: int) -> None:
        """A replica is done with its message: so is every site above it, and each has credit again."""
        site, taker = self.busy[number]
        self.busy[number] = self.busy[-1]
        self.busy.pop()
        claim, _ = site.held.pop(taker)
        while True:
            assert site.table.returned(claim.cell)
            site.table.complete(claim.cell, None, None)
            site.ready.append(taker)
            if site.above is None:
                return
            above = site.above
            claim, taker = above.held.pop(id(site) ^ claim.cell)
            site = above


def measure(replicas: int, messages: int, fanout: int) -> tuple[int, float, int]:
    """How deep the tree is, microseconds of processor time for each message, and the most under way at once."""
    tree, dice = Tree(replicas, fanout), random.Random(7)
    while tree.hand_out():
        pass
    most = len(tree.busy)
    picks = [dice.random() for _ in range(messages)]
    began = time.process_time()
    for pick in picks:
        tree.finish(int(pick * len(tree.busy)))
        tree.hand_out()
    spent = time.process_time() - began
    assert most == len(tree.busy) == min(replicas, most)
    return tree.depth, 1e6 * spent / messages, most


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--fanout", type=int, default=FANOUT)
    options = parser.parse_args()
    print("replicas  hosts  levels  under way  us/message  us/message and level")
    for replicas in (100, 1_000, 3_200, 10_000, 32_000, 100_000):
        depth, cost, most = measure(replicas, options.messages, options.fanout)
        hosts = math.ceil(replicas / LEAVES)
        print(f"{replicas:8d}  {hosts:5d}  {depth:6d}  {most:9d}  {cost:10.1f}  {cost / depth:20.1f}", flush=True)


if __name__ == "__main__":
    main()
