"""What becomes of events, and of the frames that end up in none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Missing(Enum):
    """What becomes of an event of which frames are missing: it is lost, or goes on with those that are there."""

    DROP = "drop"
    PARTIAL = "partial"


class Outcome(Enum):
    """What became of an event. ``LATE``: it was lost, and a frame of it came after all."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    DISCARDED = "discarded"
    LOST = "lost"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Settled:
    """An event about which nothing is open any more; *frames* by stream, without those to discard."""

    number: int
    outcome: Outcome
    frames: Mapping[str, Any]


@dataclass(slots=True)
class Counts:
    """What was seen. Events: settled ones, each in one of the outcomes. The others count frames.

    Attributes:
        duplicate: one of the same number was there already.
        late: of an event that was settled without it.
        malformed: not readable, or of an impossible number.
        surplus: beyond the plan, after the stream's end, of an unknown stream, or that no event had use for.
        overflow: events settled early because too many were open.
    """

    frames: int = 0
    events: int = 0
    complete: int = 0
    partial: int = 0
    discarded: int = 0
    lost: int = 0
    late_events: int = 0
    duplicate: int = 0
    late: int = 0
    malformed: int = 0
    surplus: int = 0
    overflow: int = 0

    def of_frames(self) -> dict[str, int]:
        """Those that count frames, and how often there were too many open events, by name."""
        return {name: getattr(self, name) for name in _OF_FRAMES}

    def unreadable(self) -> None:
        """A frame could not be read."""
        self.frames += 1
        self.malformed += 1

    def note(self, outcome: Outcome) -> None:
        """An event was settled."""
        self.events += 1
        if outcome is Outcome.COMPLETE:
            self.complete += 1
        elif outcome is Outcome.PARTIAL:
            self.partial += 1
        elif outcome is Outcome.DISCARDED:
            self.discarded += 1
        else:
            self.lost += 1


_OF_FRAMES = ("frames", "duplicate", "late", "malformed", "surplus", "overflow")
