"""Automatic pacing: watches how long routines take and tells sources how fast is enough."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from pipert2.graph.spec import PipeSpec
from pipert2.runtime.routine.pacing import HEADROOM, SECOND, Load, usable_rates
from pipert2.transport import board as b
from pipert2.transport.board import Board

INTERVAL = 0.25
"""Seconds between two looks."""
LONGEST_PERIOD = SECOND
"""A source is never slower than this (ns), so that a consumer that gets faster is soon seen to be."""


class AutoPacing:
    """Sets the ``PACE_NS`` word of each source from the ``main_logic`` times of those behind it.

    Args:
        described: gives the pipe's description as it is now.
        board: where the times are read and the paces are written.
    """

    def __init__(self, described: Callable[[], PipeSpec], board: Board) -> None:
        self._described = described
        self._board = board
        self._seen: dict[int, tuple[int, int]] = {}
        self._loads: dict[int, Load] = {}
        self._spec: PipeSpec | None = None
        self._sources: list[int] = []

    def tick(self) -> None:
        """Look and adjust."""
        words, board = self._board.words, self._board
        spec = self._described()
        if spec is not self._spec:
            self._spec = spec
            self._loads = {routine.index: self._loads.get(routine.index, Load(None)) for routine in spec.routines}
            self._sources = [routine.index for routine in spec.routines if not spec.inputs(routine.index)]
        for routine in spec.routines:
            self._look(routine.index)
        outputs: dict[int, list[int]] = {}
        for edge in spec.links:
            if not words[board.edge(edge.index) + b.CLOSED]:
                outputs.setdefault(edge.source, []).append(edge.destination)
        for source, rate in usable_rates(self._loads, outputs, self._sources).items():
            period = 0 if not rate else min(LONGEST_PERIOD, round(SECOND / (rate * HEADROOM)))
            words[board.routine(source) + b.PACE_NS] = period

    def _look(self, index: int) -> None:
        words, row = self._board.words, self._board.routine(index)
        count, total = words[row + b.LOGIC], words[row + b.LOGIC + 1]
        before = self._seen.get(index, (0, 0))
        since = words[row + b.BUSY_SINCE]
        if count > before[0]:
            self._loads[index] = Load((total - before[1]) / (count - before[0]) / SECOND)
            self._seen[index] = (count, total)
        elif since and (busy := (monotonic_ns() - since) / SECOND) > (self._loads[index].seconds or 0.0):
            self._loads[index] = Load(busy)  # the message in hand already takes longer than those before
