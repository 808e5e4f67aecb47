"""The board: the words that tell how a pipe is doing, one block of shared memory for all of it.

Each routine and each edge has its row of 64-bit words; each word has one writer. What the protocol needs (``W``, ``R``,
``SLEEPING``) and what :meth:`pipert2.Pipe.status` shows are the same words, so that counting costs nothing extra.
"""

from __future__ import annotations

from enum import IntEnum

from pipert2.transport.memory import Block

NEVER = (1 << 64) - 1
SPARE_EDGES = 64
"""Rows of the board and columns of slots that are made for wires that come while the pipe runs."""

# --- words of an edge; first those that the sender writes, a cache line further those of the receiver
W = 0  # number of the last message published
ENDED = 1  # 0: the stream goes on; n + 1: it ended after message n
WAKE_AT = 2  # ring the sender's bell once R is this high; NEVER: do not
BLOCKED_NS = 3  # time the sender spent waiting for room
DISCARDED = 4  # messages the sender gave up: no memory, not sendable, killed while waiting for room
BLOCKED_SINCE = 5  # since when the sender waits for room, 0 if it does not
CLOSED = 6  # 1: unlinked, nothing more will come
FILTERED = 7  # messages that the wire's condition kept from it
R = 8  # number of the highest message taken
RECEIVED = 9  # messages handed to the routine
DROPPED = 10  # messages that passed before they were taken (real-time edges)
COPIED = 11  # messages copied because the routine holds too many views already
LOST = 12  # messages that were taken but never handed to the routine, because its process died
EDGE_WORDS = 16

# --- words of a routine
STATE = 0
SLEEPING = 1  # 1: ring the bell after publishing
BUSY_SINCE = 2  # since when the user's code runs on one message (ns), 0 if it does not
SENT = 3  # results handed to the wires
ERRORS = 4
SKIPPED = 5  # ticks of a fixed rate or a trigger that were missed, or at which its conditions did not hold
FINISHED = 6  # 1: the stream has ended
LOGS_DROPPED = 7
PACE_NS = 8  # least time between two messages (written by the pacing of the main process)
ERROR_VERSION = 9  # odd while the text of the last error is being written
ERROR_SIZE = 10
INTERRUPTED = 11  # messages in hand when the process died (written by the supervisor)
RETRIED = 13  # attempts at messages that had failed before
DUPLICATES = 14  # messages that were done before, by their keys
GONE = 12  # 1: it will never take anything again, so that nobody needs to wait for it
IN_HAND = 15  # messages that a crew works on
STARTED_AT = 16  # when it was started first (written by the supervisor); ns since the epoch, as the next two
LAST_FIRE = 17  # when its trigger fired last, 0: never
NEXT_FIRE = 18  # when it will next, 0: not known
FIRES = 19
TIMED_OUT = 20  # runs that took longer than they may
AWAITS_RECORDS = 21  # 1: ring the bell when something was written to the store
TO_BE_KILLED = 22  # 1: it was told to be killed, with all that have that word (written by the supervisor)
HEARD = 23  # the place of the last event that it has begun with, see Unheard (taken back by the supervisor)
ERROR_TEXT = 24
ERROR_TEXT_BYTES = 1024
LOGIC = ERROR_TEXT + ERROR_TEXT_BYTES // 8
HISTOGRAM_BUCKETS = 256
HISTOGRAM_WORDS = 2 + HISTOGRAM_BUCKETS  # count, sum (ns), then the buckets
AGE = LOGIC + HISTOGRAM_WORDS
ROUTINE_WORDS = AGE + HISTOGRAM_WORDS + (-(AGE + HISTOGRAM_WORDS)) % 8


class RoutineState(IntEnum):
    """The states of a routine's life. ``KILLED`` is final."""

    IDLE = 0
    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    FAILED = 4
    KILLED = 5


class Board:
    """Finds the rows in the block."""

    __slots__ = ("_edges", "_view", "block", "words")

    def __init__(self, block: Block, routines: int) -> None:
        self.block = block
        self.words = block.words
        self._view = block.view
        self._edges = routines * ROUTINE_WORDS

    @property
    def heard(self) -> memoryview:
        """By routine the word ``HEARD``; not to be kept, as the block cannot be closed meanwhile."""
        return self.words[HEARD : self._edges : ROUTINE_WORDS]

    @staticmethod
    def size(routines: int, edges: int) -> int:
        """Bytes that the board of a pipe takes."""
        return 8 * max(1, routines * ROUTINE_WORDS + edges * EDGE_WORDS)

    def routine(self, index: int) -> int:
        """Index of the first word of a routine's row."""
        return index * ROUTINE_WORDS

    def edge(self, index: int) -> int:
        """Index of the first word of an edge's row."""
        return self._edges + index * EDGE_WORDS

    def write_error(self, routine: int, text: str) -> None:
        """Keep the text of a routine's last error, cut to 1 KiB."""
        data = text.encode("utf-8", "replace")[:ERROR_TEXT_BYTES]
        row = self.routine(routine)
        start = (row + ERROR_TEXT) * 8
        words = self.words
        words[row + ERROR_VERSION] += 1
        words[row + ERROR_SIZE] = len(data)
        self._view[start : start + len(data)] = data
        words[row + ERROR_VERSION] += 1

    def read_error(self, routine: int) -> str | None:
        """The text of a routine's last error, None if it had none."""
        row = self.routine(routine)
        start = (row + ERROR_TEXT) * 8
        data = b""
        for _ in range(100):  # it is written in microseconds; a writer killed half-way leaves what it had written
            version = self.words[row + ERROR_VERSION]
            if version == 0:
                return None
            data = bytes(self._view[start : start + min(self.words[row + ERROR_SIZE], ERROR_TEXT_BYTES)])
            if version % 2 == 0 and version == self.words[row + ERROR_VERSION]:
                break
        return data.decode("utf-8", "ignore")
