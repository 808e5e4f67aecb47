"""Store: what routines know as ``self.store``."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any

from pipert2.errors import StoreError
from pipert2.store.database import Database
from pipert2.store.dead_letters import DeadLetters
from pipert2.store.ledger import Acknowledged, Runs
from pipert2.store.reader import StoreReader
from pipert2.store.records import Change, Record, Records
from pipert2.store.relations import End, Relation, Relations


class Store:
    """The pipe's embedded database: records, relations, and what the pipe itself must not forget.

    Every process of the pipe may use it, and every thread; it can be sent to another process. What a method has
    written when it returns outlives the end of any process, ``kill -9`` too. Data may be anything that can be pickled;
    what JSON can hold is kept as JSON, for other programs to read. Closes twice without complaint.

    Args:
        path: the file; it is made if it is not there.
        power_safe: what is written outlives a loss of power as well; ten times slower.
        patience: seconds to wait for other processes that write.
        now: tells the time.
        made_later: a file that is not there is made at first use, not now.

    Attributes:
        dead_letters: messages that were given up.
        runs: of triggered routines.
        acknowledged: ids of messages that were dealt with.

    Raises:
        StoreError: of all methods: the file cannot be read or written.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Store(folder.name + "/run.db") as store:
    ...     store.put("elf", "a1", {"size": 3})
    ...     store.put("elf", "a1", {"size": 3})
    ...     store.count("elf"), store.get("elf", "a1")
    <Change.NEW: 'new'>
    <Change.SAME: 'same'>
    (1, {'size': 3})
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        power_safe: bool = False,
        patience: float = 30.0,
        now: Callable[[], float] = time.time,
        made_later: bool = False,
    ) -> None:
        self._database = Database(path, power_safe=power_safe, patience=patience, made_later=made_later)
        self._build(now)

    def _build(self, now: Callable[[], float]) -> None:
        self._now = now
        self._records = Records(self._database)
        self._relations = Relations(self._database)
        self.dead_letters = DeadLetters(self._database, now)
        self.runs = Runs(self._database, now)
        self.acknowledged = Acknowledged(self._database, now)

    def __getstate__(self) -> dict[str, Any]:
        return {"_database": self._database}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._database = state["_database"]
        self._build(time.time)

    @property
    def path(self) -> str:
        """The file."""
        return self._database.path

    # --- records

    def add(self, kind: str, data: Any) -> int:
        """Keep *data* as a new record of *kind*. Returns its number."""
        return self._records.add(kind, data, self._now())

    def put(self, kind: str, key: str | int, data: Any) -> Change:
        """Keep *data* under *key*, whether or not it is there: doing it again changes nothing.

        Returns:
            ``Change.NEW``, ``Change.CHANGED`` (then it is new for readers) or ``Change.SAME``.
        """
        return self._records.put(kind, key, data, self._now())

    def get(self, kind: str, key: str | int, default: Any = None) -> Any:
        """What was put under *key*; *default* if nothing was."""
        found = self._records.get(kind, key)
        return default if found is None else found.data

    def record(self, kind_or_number: str | int, key: str | int | None = None) -> Record | None:
        """The record of a kind and key, or of a number."""
        if isinstance(kind_or_number, int):
            return self._records.by_number(kind_or_number)
        return None if key is None else self._records.get(kind_or_number, key)

    def records(self, kind: str) -> Iterator[Record]:
        """All records of *kind* that there are now, oldest first."""
        return self._records.between(kind, 0, self._records.newest(kind))

    def count(
        self,
        kind: str,
        since: float | datetime | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> int:
        """How many records of *kind* there are; none is loaded for that.

        Args:
            since: only those that came at or after this moment (seconds since the epoch, or a ``datetime``).
            after: only those with a greater number.
            limit: count no further than this.
        """
        return self._records.count(kind, since, after, limit)

    def kinds(self) -> dict[str, int]:
        """How many records there are of each kind."""
        return self._records.kinds()

    def position(self) -> int:
        """The number of the newest record of all."""
        return self._records.newest()

    def version(self) -> int:
        """A number that changes when anybody has written: cheap to look at."""
        return int(self._database.read("PRAGMA data_version")[0][0])

    def remove(self, kind: str, key: str | int) -> bool:
        """Remove a record. Returns whether it was there."""
        return self._records.remove(kind, key)

    def forget(self, kind: str, before: float | datetime) -> int:
        """Remove the records of *kind* that came before a moment. Returns how many."""
        return self._records.forget(kind, before.timestamp() if isinstance(before, datetime) else before)

    # --- what is new, and what is left to do

    def added(self, kind: str) -> Iterator[Record]:
        """The records of *kind* that came, or were changed, since the last completed run of this routine, oldest first.

        For routines with a trigger, whose runs have an end: what a run was handed out comes again if that run fails, or
        its process is killed. Anybody else says with :meth:`reader` and its ``commit()`` how far they have come.

        Raises:
            StoreError: whoever asks is no routine with a trigger.
        """
        hint = f"with a trigger; anybody else takes store.reader(NAME).added({kind!r}), and its commit()"
        raise StoreError(self.path, f"added({kind!r}) is what is new to a routine {hint}")

    def reader(self, name: str) -> StoreReader:
        """A reader whose position is kept under *name*, the routine's."""
        return StoreReader(self._database, name)

    def pending(self, kind: str) -> Iterator[Record]:
        """The records of *kind* that are not :meth:`done`, oldest first."""
        return self._records.pending(kind)

    def done(self, record: Record | str, key: str | int | None = None) -> bool:
        """A record needs no more work: ``done(record)`` or ``done(kind, key)``. Returns whether that is new.

        A record that is changed later needs work again.
        """
        if isinstance(record, Record):
            return self._records.done(record.kind, None, record.id, self._now())
        return self._records.done(record, key, None, self._now())

    # --- relations

    def relate(self, a: End, name: str, b: End, *, symmetric: bool = False, **data: Any) -> Change:
        """Say that *a* is related to *b*; doing it again updates the data.

        Args:
            a, b: records, texts or whole numbers.
            name: how they are related.
            symmetric: it goes both ways, and is one relation whichever end comes first.
            data: what belongs to it, such as a score.
        """
        return self._relations.relate(a, name, b, symmetric, data, self._now())

    def related(self, a: End, name: str) -> Iterator[Relation]:
        """The relations of *a*: those from it, and those that go both ways."""
        return self._relations.of(a, name)

    def relations(self, name: str) -> Iterator[Relation]:
        """All relations of this name."""
        return self._relations.all(name)

    def count_relations(self, name: str) -> int:
        """How many relations of this name there are."""
        return self._relations.count(name)

    def unrelate(self, a: End, name: str, b: End) -> bool:
        """Remove a relation. Returns whether it was there."""
        return self._relations.remove(a, name, b)

    # --- triggers: what trigger_schedule's Schedule is given and gives

    def trigger_state(self, routine: str) -> dict[str, Any] | None:
        """What was last saved of a routine's trigger."""
        return self.runs.trigger_state(routine)

    def save_trigger_state(self, routine: str, state: dict[str, Any]) -> None:
        """Keep the state of a routine's trigger."""
        self.runs.save_trigger_state(routine, state)

    # --- all of it

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whatever is written within ``with store.together():`` is kept as a whole, or not at all, and much faster.

        Others wait meanwhile, so keep it short; an ``async`` routine must not await within it.
        """
        with self._database.writing():
            yield

    def listen(self, listener: Callable[[], None]) -> None:
        """Call *listener* after whatever this process has written, in the thread that wrote; it does not travel."""
        self._database.listeners.append(listener)

    def ignore(self, listener: Callable[[], None]) -> None:
        """Call *listener* no more."""
        with contextlib.suppress(ValueError):
            self._database.listeners.remove(listener)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.path!r}>"
