"""Where dead letters lie: in memory for as long as the pipe runs, or in its store, which outlives every process."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pipert2.errors import StoreError
from pipert2.runtime.messages import Packed
from pipert2.store import DeadLetter as StoredLetter
from pipert2.store import Store
from pipert2.store.data import is_plain
from pipert2.transport.codec import dumps_plain

STORE_PATIENCE = 2.0
"""Seconds to wait for others that write to the store: whoever gives a message up waits as long."""
MOST = 1 << 40
"""More letters, and a greater number of one, than there will ever be in a store."""
MOST_IN_MEMORY = 10_000
"""Letters of a pipe without a store that are kept."""
MOST_BYTES_IN_MEMORY = 256 << 20
"""Bytes of these letters: their data and what was said of them."""
_LARGEST_PLAIN = 65536


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that was given up, as it is kept.

    Attributes:
        routine, flow: names of who gave it up.
        data: what the routine got; None: it cannot be read.
        reason, traceback, attempts: of its last attempt.
        origin: source and sequence of the message.
        time: when it was given up (seconds since the epoch).
        earlier: an earlier run of the pipe left it.
        site: which part of the pipe gave it up, where it has several.
    """

    routine: str
    flow: str
    data: Packed | None
    reason: str
    traceback: str
    attempts: int
    origin: int
    time: float
    earlier: bool = False
    site: str = ""


class Shelf(Protocol):
    """Keeps letters by number. One that is *taken* is hidden until it is removed or put back. Safe from any thread."""

    def put(self, letter: Letter) -> int:
        """Keep a letter; its number."""
        ...

    def numbers(self, routine: str | None) -> Sequence[int]:
        """Those that there are, the oldest first."""
        ...

    def page(self, routine: str | None, after: int, limit: int) -> list[tuple[int, Letter]]:
        """Letters with numbers above *after*, the oldest first."""
        ...

    def take(self, number: int) -> Letter | None:
        """Hide a letter; None if there is none."""
        ...

    def put_back(self, number: int, letter: Letter) -> None:
        """It was taken, and is to be seen again."""
        ...

    def remove(self, number: int, letter: Letter) -> None:
        """It was taken, and is done with."""
        ...

    def counts(self) -> dict[str, int]:
        """How many there are by routine; cheap."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class MemoryShelf:
    """Letters in memory. When there are too many, or too large ones, the oldest go.

    Args:
        first: the number of the first one.
        most, most_bytes: letters, and bytes of them, that are kept; the newest one always is.

    Attributes:
        dropped: how many went.
    """

    def __init__(self, first: int = 1, most: int = MOST_IN_MEMORY, most_bytes: int = MOST_BYTES_IN_MEMORY) -> None:
        self._letters: dict[int, Letter] = {}  # the oldest first, but for those that were put back
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self.dropped = 0
        self._counts: Counter[str] = Counter()
        self._numbers = itertools.count(first)
        self._lock = threading.Lock()

    def put(self, letter: Letter) -> int:
        number = next(self._numbers)
        self.put_back(number, letter)
        return number

    def numbers(self, routine: str | None) -> list[int]:
        return [number for number, _ in self.page(routine, 0, MOST)]

    def page(self, routine: str | None, after: int, limit: int) -> list[tuple[int, Letter]]:
        with self._lock:
            found = sorted(self._letters.items())
        fitting = ((n, one) for n, one in found if n > after and (routine is None or one.routine == routine))
        return list(itertools.islice(fitting, limit))

    def take(self, number: int) -> Letter | None:
        with self._lock:
            return self._pop(number) if number in self._letters else None

    def _pop(self, number: int) -> Letter:
        letter = self._letters.pop(number)
        self._counts[letter.routine] -= 1
        self._bytes -= _size(letter)
        return letter

    def put_back(self, number: int, letter: Letter) -> None:
        with self._lock:
            self._letters[number] = letter
            self._counts[letter.routine] += 1
            self._bytes += _size(letter)
            while len(self._letters) > max(1, self._most) or (
                self._bytes > self._most_bytes and len(self._letters) > 1
            ):
                self._pop(next(iter(self._letters)))
                self.dropped += 1

    def remove(self, number: int, letter: Letter) -> None:
        pass  # it was let go when it was taken

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(+self._counts)

    def close(self) -> None:
        pass


def _size(letter: Letter) -> int:
    data = 0 if letter.data is None else len(letter.data.data)
    return data + len(letter.reason) + len(letter.traceback)


class SentShelf:
    """Remembers letters that are kept elsewhere for as long as they concern those who gave them up.

    Args:
        keep: keeps one; its number. Raises StoreError where that cannot be.
    """

    def __init__(self, keep: Callable[[Letter], int]) -> None:
        self._keep = keep
        self._sent: dict[int, Letter] = {}

    def put(self, letter: Letter) -> int:
        number = self._keep(letter)
        self._sent[number] = replace(letter, data=None, traceback="")
        return number

    def numbers(self, routine: str | None) -> Sequence[int]:
        return ()

    def page(self, routine: str | None, after: int, limit: int) -> list[tuple[int, Letter]]:
        return []

    def take(self, number: int) -> Letter | None:
        return self._sent.pop(number, None)

    def put_back(self, number: int, letter: Letter) -> None:
        self._sent[number] = letter

    def remove(self, number: int, letter: Letter) -> None:
        pass  # who keeps it has done that

    def counts(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        pass


class StoreShelf:
    """Letters in the pipe's store, those of its earlier runs among them. Data is read from there when it is needed.

    Args:
        store: the pipe's.
        pipe: the pipe's name; other pipes may share the file.

    Raises:
        StoreError: of all methods but :meth:`counts` and :meth:`close`.
    """

    def __init__(self, store: Store, pipe: str) -> None:
        self._store = Store(store.path, patience=STORE_PATIENCE)
        self._letters = self._store.dead_letters
        self._pipe = pipe
        self._run = uuid.uuid4().hex
        self._messages = itertools.count(1)
        self._lock = threading.Lock()
        if self._letters.list(requeued=True, limit=1, pipe=pipe):  # somebody was killed in the middle of it
            self._letters.unqueue(pipe=pipe)
        self._counts = Counter(self._letters.counts(pipe))

    def put(self, letter: Letter) -> int:
        number = self._letters.add(
            letter.flow,
            letter.routine,
            f"{self._run}/{next(self._messages)}",
            _stored(letter.data),
            attempts=letter.attempts,
            error=letter.reason,
            traceback=letter.traceback,
            pipe=self._pipe,
            run=f"{self._run}@{letter.site}" if letter.site else self._run,
            origin=letter.origin,
        )
        self._count(letter.routine, 1)
        return number

    def numbers(self, routine: str | None) -> Sequence[int]:
        return self._letters.ids(routine, pipe=self._pipe)

    def page(self, routine: str | None, after: int, limit: int) -> list[tuple[int, Letter]]:
        found = self._letters.list(routine, after=after, limit=limit, pipe=self._pipe)
        return [(one.id, self._letter(one)) for one in found]

    def take(self, number: int) -> Letter | None:
        found = self._letters.get(number) if number < MOST else None
        if found is None or found.requeued is not None or found.pipe != self._pipe:
            return None
        try:
            self._letters.requeue(number)
        except StoreError:
            if self._letters.get(number) is None:  # somebody else was quicker
                return None
            raise
        self._count(found.routine, -1)
        return self._letter(found)

    def put_back(self, number: int, letter: Letter) -> None:
        self._letters.unqueue(number)
        self._count(letter.routine, 1)

    def remove(self, number: int, letter: Letter) -> None:
        self._letters.drop(number)

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(+self._counts)

    def close(self) -> None:
        self._store.close()

    def _count(self, routine: str, change: int) -> None:
        with self._lock:
            self._counts[routine] += change

    def _letter(self, kept: StoredLetter) -> Letter:
        run, _, site = kept.run.partition("@")
        data = kept.data if kept.data is None or isinstance(kept.data, Packed) else Packed(dumps_plain(kept.data))
        return Letter(
            kept.routine,
            kept.flow,
            data,
            kept.error,
            kept.traceback,
            kept.attempts,
            kept.origin,
            kept.time,
            earlier=run != self._run,
            site=site,
        )


def _stored(data: Packed | None) -> object:
    """What JSON can hold is kept so that other programs can read it; a pickle stays one of its own."""
    if data is None or len(data.data) > _LARGEST_PLAIN:
        return data
    try:
        value = data.open()
    except Exception:  # its class may be one that only the flow can make
        return data
    return value if value is not None and is_plain(value) else data
