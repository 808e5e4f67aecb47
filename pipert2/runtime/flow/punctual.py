"""How soon after its time the kernel wakes a flow's threads."""

from __future__ import annotations

import ctypes
import sys

_SET_TIMER_SLACK = 29  # PR_SET_TIMERSLACK of prctl(2)
_LEAST = 1  # nanoseconds; 0 stands for the default


def wake_on_time() -> None:
    """Have the sleeps of this thread, and of those that it starts from now on, end when they should.

    Linux lets a sleep end up to 50 us late, so that it ends together with others. A source that is paced, a wait with
    a time-out and a ``time.sleep`` of a user's are that much late each time. Other systems are left as they are.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, ctypes.c_ulong(_LEAST))
