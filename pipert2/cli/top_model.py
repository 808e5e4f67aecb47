"""What ``pipert2 top`` knows and decides, apart from terminals and connections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipert2.observe.snapshot import PipeStatus, RoutineStatus

WHOLE_PIPE = -1


class Action(Enum):
    """What a key asks for that the view cannot do by itself."""

    START = "start"
    STOP = "stop"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen.

    Attributes:
        where: the pipe's URL.
        status: the latest one, None before the first.
        chosen: the number of the routine that keys are about, -1 for the whole pipe.
        details: whether more is shown of the chosen one.
        disconnected_since: when the pipe stopped answering (seconds since the epoch), None while it does.
        note: what came of the last key, or why the pipe does not answer.
    """

    where: str
    status: PipeStatus | None = None
    chosen: int = WHOLE_PIPE
    details: bool = False
    disconnected_since: float | None = None
    note: str = ""

    @property
    def routine(self) -> RoutineStatus | None:
        """The routine that is chosen."""
        if self.status is None or not 0 <= self.chosen < len(self.status.routines):
            return None
        return self.status.routines[self.chosen]

    def noting(self, note: str) -> View:
        """This view with another note."""
        return replace(self, note=note)

    def choosing(self, chosen: int, details: bool) -> View:
        """This view with another routine chosen."""
        return replace(self, chosen=chosen, details=details, note="")


def with_status(view: View, status: PipeStatus, where: str) -> View:
    """The view after a status has come from *where*; the choice stays with its routine's name."""
    names = [one.name for one in status.routines]
    before = view.routine
    chosen = names.index(before.name) if before is not None and before.name in names else WHOLE_PIPE
    note = "" if view.disconnected_since is not None else view.note
    return replace(view, where=where, status=status, chosen=chosen, disconnected_since=None, note=note)


def without_answer(view: View, reason: str, now: float) -> View:
    """The view after the pipe did not answer."""
    since = view.disconnected_since if view.disconnected_since is not None else now
    return replace(view, disconnected_since=since, note=reason)


_KEYS = {"s": Action.START, "x": Action.STOP, "q": Action.QUIT, "escape": None}


def after_key(view: View, key: str) -> tuple[View, Action | None]:
    """What a key changes, and what it asks for.

    Args:
        key: a character, or ``"up"``, ``"down"``, ``"enter"``, ``"escape"``.
    """
    many = len(view.status.routines) if view.status is not None else 0
    if key in ("j", "down"):
        return replace(view, chosen=min(view.chosen + 1, many - 1)), None
    if key in ("k", "up"):
        return replace(view, chosen=max(view.chosen - 1, WHOLE_PIPE)), None
    if key == "enter":
        return replace(view, details=not view.details), None
    if key == "escape":
        return replace(view, details=False, chosen=WHOLE_PIPE), None
    return view, _KEYS.get(key)


def keys_in(data: bytes) -> list[str]:
    """The keys in what a terminal sent.

    >>> keys_in(b"s\\x1b[A\\x1bOBq\\r")
    ['s', 'up', 'down', 'q', 'enter']
    """
    found = []
    position = 0
    while position < len(data):
        sequence = data[position : position + 3]
        if sequence[:2] in (b"\x1b[", b"\x1bO") and len(sequence) == 3:
            found.append({b"A": "up", b"B": "down"}.get(sequence[2:], ""))
            position += 3
            continue
        one = data[position : position + 1]
        found.append({b"\r": "enter", b"\n": "enter", b"\x1b": "escape"}.get(one, one.decode("ascii", "ignore")))
        position += 1
    return [key for key in found if key]
