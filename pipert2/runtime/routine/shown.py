"""What routines show while they run: numbers, texts and arrays by name, made into sketches when somebody looks."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipert2.runtime.routine.side_thread import SideThread
from pipert2.runtime.routine.sketch import Held, ShownKind, ShownValue, as_float, hold, kind_of, sketch, whole_text

logger = logging.getLogger(__name__)

MOST_NAMES = 200
LONGEST_NAME = 200
POINTS_KEPT = 600
"""Of each number, in the routine's process."""
MOST_BYTES = 1_000_000
"""In one answer, about; what is left over comes with the next one."""
_THINNED_US = 100_000


@dataclass(frozen=True, slots=True)
class Sketches:
    """What was shown since an earlier answer.

    Attributes:
        values: by name; of numbers only the points that are new.
        last: give it as *after* to get what is newer than this.
        more: some was left out, so that this is not too large: ask again at once.
    """

    values: tuple[ShownValue, ...]
    last: int
    more: bool


@dataclass(slots=True)
class _Kept:
    stamp: int
    held: Held
    points: deque[tuple[int, float]] | None = None


class Shown:
    """Keeps the newest values of one routine. To show something costs no more than to put it into a dict.

    Args:
        routine: its name.
        log: gets a warning if there are too many names.
    """

    def __init__(self, routine: str, log: logging.Logger) -> None:
        self._routine = routine
        self._log = log
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._stamp = 0
        self._full = False

    def show(self, name: str, value: Any) -> None:
        """Keep *value* in place of the last one of this name."""
        kind = _checked(name, value)
        name, held = whole_text(name), hold(kind, value)
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                if len(self._kept) >= MOST_NAMES:
                    if not self._full:
                        self._full = True
                        self._log.warning("%d names are shown already: %r and later ones are not", MOST_NAMES, name)
                    return
                kept = self._kept[name] = _Kept(0, held)
            # Microseconds since the epoch, so that they go on growing when another process takes over.
            self._stamp = kept.stamp = max(self._stamp + 1, time.time_ns() // 1000)
            kept.held = held
            if kind != "number":
                kept.points = None
                return
            if kept.points is None:
                kept.points = deque(maxlen=POINTS_KEPT)
            points, point = kept.points, (kept.stamp, as_float(held.value))
            if len(points) > 1 and kept.stamp - points[-2][0] < _THINNED_US:
                points[-1] = point  # so that what is kept is a minute, however fast they come
            else:
                points.append(point)

    def since(self, after: int) -> Sketches:
        """Sketches of what was shown after an earlier answer's *last*; 0: of all."""
        with self._lock:
            now = self._stamp = max(self._stamp, time.time_ns() // 1000)
            news = [
                (kept.stamp, name, kept.held, [point for point in kept.points or () if point[0] > after])
                for name, kept in self._kept.items()
                if kept.stamp > after
            ]
        made: list[ShownValue] = []
        size, last = 0, after
        for stamp, name, held, points in sorted(news, key=lambda one: one[0]):
            if size >= MOST_BYTES:
                return Sketches(tuple(made), last, True)
            last = stamp
            try:
                one = sketch(self._routine, name, stamp / 1e6, held, points)
            except Exception:  # an array that changes its shape meanwhile, and what else nobody foresaw
                logger.debug("%s of %s cannot be sketched", name, self._routine, exc_info=True)
                continue
            made.append(one)
            size += 2 * len(one.png) + 36 * len(one.at) + 2 * len(one.text) + 300
        return Sketches(tuple(made), max(now, after), False)


def merged(answers: Sequence[Sketches | None], after: int) -> Sketches:
    """The answers of all replicas as one; None is one that did not come in time: then it is asked for again."""
    there = [one for one in answers if one is not None]
    values = tuple(value for one in there for value in one.values)
    # The least: what another replica has shown since then is not to be missed.
    last = min((one.last for one in there), default=after) if len(there) == len(answers) else after
    return Sketches(values, last, any(one.more for one in there))


class Sketcher:
    """Makes sketches in a thread of its own.

    Args:
        answer: gets the number of a request, the index of the routine, and the sketches.
    """

    def __init__(self, answer: Callable[[int, int, Sketches], None]) -> None:
        self._answer = answer
        self._thread: SideThread[tuple[int, int, Shown, int]] = SideThread("pipert2-sketches", self._sketch)
        self.close = self._thread.close

    def ask(self, number: int, routine: int, shown: Shown, after: int) -> None:
        """Answer as soon as may be. Never blocks."""
        self._thread.put((number, routine), (number, routine, shown, after))

    def _sketch(self, job: tuple[int, int, Shown, int]) -> None:
        number, routine, shown, after = job
        self._answer(number, routine, shown.since(after))


def _checked(name: object, value: Any) -> ShownKind:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"show(name, ...) takes a text of 1 to {LONGEST_NAME} characters as name, not {name!r:.80}")
    kind = kind_of(value)
    if kind is None:
        what = type(value).__name__
        if isinstance(value, np.ndarray):
            what = f"an array {' x '.join(map(str, value.shape))} of {value.dtype}"
        raise TypeError(f"show({name!r:.80}, ...) takes a number, a text, or a 1-D or 2-D array of numbers, not {what}")
    return kind
